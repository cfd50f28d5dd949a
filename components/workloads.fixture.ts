/** For tests: everything that runs the server's image, with settings as a stack gives them. */
import type { ResourceRecord } from "../core/record.ts";
import { record } from "../preview/record.ts";
import { App, type AppArgs } from "./app.ts";
import type { Stores } from "./app-environment.ts";
import { JobWorkers, type JobWorkersArgs } from "./jobs.ts";
import { Migration, type MigrationArgs } from "./migration.ts";
import { Namespace, type NamespaceArgs, quotaFor } from "./namespace.ts";
import type { PodSize } from "./pod.ts";
import { type Credential, credentialSecret } from "./secret-mount.ts";
import { TerminalHost, type TerminalHostArgs } from "./terminal-host.ts";

export const CANARY = "canary1234canary1234";

export const IMAGE = `registry.example.com/app@sha256:${"a".repeat(64)}`;

export const DATA_CIDRS = ["10.0.96.0/24", "10.0.97.0/24"];

const size = (milliCpu: number, memoryMib: number): PodSize => ({
	requests: { milliCpu, memoryMib },
	cpuLimitMilli: 8000,
	ephemeralMib: 2048,
});

const stores: Stores = {
	redisState: { host: "state.redis", port: 6379 },
	redisCache: { host: "cache.redis", port: 6379 },
	postgres: {
		primary: { host: "primary.postgres", port: 5432 },
		replicas: [
			{ host: "replica-1.postgres", port: 5432 },
			{ host: "replica-2.postgres", port: 5432 },
		],
		database: "agentic_flow",
		poolPrimary: 4,
		poolReplica: 3,
	},
};

const app: Omit<AppArgs, "namespace" | "secrets"> = {
	image: IMAGE,
	size: size(3200, 10_240),
	workersPerPod: 4,
	scaling: { minPods: 4, maxPods: 40, cpuTargetPercent: 65 },
	shutdown: { preStopSeconds: 15, drainSeconds: 45, terminationGraceSeconds: 90 },
	stores,
	dataCidrs: DATA_CIDRS,
	haproxyNamespace: "edge",
	publicOrigin: "https://agentic.example.com",
	allowedHosts: ["agentic.example.com", "www.example.com"],
	allowedOrigins: ["https://other.example.com"],
	pingSeconds: 25,
	keepAliveSeconds: 180,
	stickyKey: "sticky-key-of-the-stack",
	terminals: true,
};

const jobs: Omit<JobWorkersArgs, "namespace" | "secrets"> = {
	image: IMAGE,
	size: size(1000, 3072),
	concurrency: 20,
	scaling: { minPods: 2, maxPods: 20, cpuTargetPercent: 70 },
	shutdown: { preStopSeconds: 0, drainSeconds: 60, terminationGraceSeconds: 90 },
	stores,
	dataCidrs: DATA_CIDRS,
	retentionMonths: 12,
};

const terminals: Omit<TerminalHostArgs, "namespace" | "secrets"> = {
	image: IMAGE,
	hosts: 2,
	size: size(500, 2048),
	shutdown: { preStopSeconds: 0, drainSeconds: 600, terminationGraceSeconds: 660 },
	redisState: stores.redisState,
	redisCidrs: DATA_CIDRS,
};

const migration: Omit<MigrationArgs, "namespace" | "secrets"> = {
	image: IMAGE,
	release: IMAGE,
	size: size(250, 512),
	postgresPrimary: stores.postgres.primary,
	database: stores.postgres.database,
	databaseCidrs: DATA_CIDRS,
	credentialVersion: 1,
	retentionMonths: 12,
	retries: 2,
	deadlineSeconds: 900,
};

/** Changes to the settings above. */
export interface Changes {
	readonly app?: Partial<AppArgs>;
	readonly jobs?: Partial<JobWorkersArgs>;
	readonly terminals?: Partial<TerminalHostArgs>;
	readonly migration?: Partial<MigrationArgs>;
}

/** The namespaces `agentic-flow` and `terminals` with all that runs the server's image in them. */
export async function recordWorkloads(changes: Changes): Promise<Workloads> {
	const { resources } = await record({ project: "agentic-flow", stack: "test" }, async () => {
		const main = new Namespace(
			"main",
			namespaceArgs("agentic-flow", [app, jobs].map(mostPods).concat({ maxPods: 1, size: migration.size })),
			{},
		);
		const shells = new Namespace(
			"shells",
			{ ...namespaceArgs("terminals", [{ maxPods: terminals.hosts, size: terminals.size }]), podSecurity: "baseline" },
			{},
		);
		const secret = (credential: Credential, { name: namespace }: Namespace) =>
			credentialSecret(`${credential}-secret`, { namespace, credential, files: { username: "somebody", password: CANARY } }, {}).metadata
				.name;

		// Everybody is given every name, and has to take no more than its own.
		const secrets = {
			postgresAdmin: secret("postgresAdmin", main),
			postgres: secret("postgres", main),
			redisState: secret("redisState", main),
			redisCache: secret("redisCache", main),
			session: secret("session", main),
			redisTerminals: secret("redisTerminals", shells),
		};
		const given = { namespace: main.name, secrets };
		const first = new Migration("migration", { ...migration, ...given, ...changes.migration }, { dependsOn: [main] });
		new App("app", { ...app, ...given, ...changes.app }, { dependsOn: [main, first] });
		new JobWorkers("jobs", { ...jobs, ...given, ...changes.jobs }, { dependsOn: [main, first] });
		new TerminalHost("terminals", { ...terminals, namespace: shells.name, secrets, ...changes.terminals }, { dependsOn: [shells] });
		return {};
	});
	return new Workloads(resources);
}

const mostPods = ({ scaling, size }: { scaling: { maxPods: number }; size: PodSize }) => ({ maxPods: scaling.maxPods, size });

function namespaceArgs(name: string, workloads: { maxPods: number; size: PodSize }[]): NamespaceArgs {
	return { name, kubernetesVersion: "1.35", podSecurity: "restricted", quota: quotaFor(workloads, 0), containerDefaults: size(100, 128) };
}

/** An object of the cluster as it was registered; tests look at it as they like. */
// biome-ignore lint/suspicious/noExplicitAny: Kubernetes objects of any kind
export type KubernetesObject = any;

/** What was recorded, by kind. */
export class Workloads {
	readonly resources: readonly ResourceRecord[];

	constructor(resources: readonly ResourceRecord[]) {
		this.resources = resources;
	}

	/** Every object of a kind, e.g. `Deployment`. */
	all(kind: string): KubernetesObject[] {
		return this.resources.filter(({ type }) => type.startsWith("kubernetes:") && type.endsWith(`:${kind}`)).map(({ inputs }) => inputs);
	}

	/** The one object of a kind with this name. */
	get(kind: string, name: string): KubernetesObject {
		const found = this.all(kind).filter(({ metadata }) => metadata.name === name);
		if (found.length !== 1) throw new Error(`${found.length} objects of kind ${kind} are named ${name}`);
		return found[0];
	}

	/** The pod specs of all workloads. */
	pods(): KubernetesObject[] {
		return ["Deployment", "StatefulSet", "Job"].flatMap((kind) => this.all(kind)).map(({ spec }) => spec.template.spec);
	}

	/** The one pod spec whose container has this name. */
	pod(container: string): KubernetesObject {
		return this.pods().find(({ containers }) => containers[0].name === container);
	}
}

/** A container's environment as an object; what comes from elsewhere is as it is written. */
export function environmentIn(pod: KubernetesObject): Record<string, unknown> {
	const variables: KubernetesObject[] = pod.containers[0].env;
	return Object.fromEntries(variables.map(({ name, value, valueFrom }) => [name, value ?? valueFrom]));
}
