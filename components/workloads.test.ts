import * as pulumi from "@pulumi/pulumi";
import { beforeAll, describe, expect, it } from "vitest";
import { isSecretMark } from "../core/record.ts";
import { CANARY, environmentIn, type KubernetesObject, recordWorkloads, type Workloads } from "./workloads.fixture.ts";

let workloads: Workloads;
beforeAll(async () => {
	workloads = await recordWorkloads({});
});

const containers = ["server", "jobs", "terminal-host", "migrate"];

describe.each(containers)("the pod of %s", (name) => {
	let pod: KubernetesObject;
	let container: KubernetesObject;
	beforeAll(() => {
		pod = workloads.pod(name);
		[container] = pod.containers;
	});

	it.skipIf(name === "terminal-host")("has one container, with the privileges of nobody", () => {
		expect(pod.containers).toHaveLength(1);
		expect(container.securityContext).toEqual({
			allowPrivilegeEscalation: false,
			readOnlyRootFilesystem: true,
			capabilities: { drop: ["ALL"] },
		});
		expect(pod.securityContext).toMatchObject({ runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" } });
		expect(pod.securityContext.runAsUser).toBeGreaterThanOrEqual(10_000);
	});

	it("has a service account of its own, and no token", () => {
		expect(pod.serviceAccountName).toBe(name);
		expect(pod.automountServiceAccountToken).toBe(false);
		expect(workloads.get("ServiceAccount", name).automountServiceAccountToken).toBe(false);
	});

	it("states what it needs and the most it may take", () => {
		const { requests, limits } = container.resources;
		expect(Object.keys(requests).sort()).toEqual(["cpu", "ephemeral-storage", "memory"]);
		expect(Object.keys(limits).sort()).toEqual(["cpu", "ephemeral-storage", "memory"]);
		expect(limits.memory).toBe(requests.memory);
	});

	it("writes to limited volumes only, together within its disk", () => {
		const sizes = pod.volumes.flatMap(({ emptyDir }: KubernetesObject) => (emptyDir ? [Number.parseInt(emptyDir.sizeLimit, 10)] : []));
		expect(sizes.length).toBeGreaterThan(0);
		expect(sizes.every((mib: number) => mib > 0)).toBe(true);
		expect(sizes.reduce((sum: number, mib: number) => sum + mib, 0)).toBeLessThan(2048);
	});

	it("has each credential as a folder of files its group may read", () => {
		for (const { name: volume, secret } of pod.volumes) {
			const mount = container.volumeMounts.find((one: KubernetesObject) => one.name === volume);
			expect(mount).toBeDefined();
			if (!secret) continue;
			expect(secret.defaultMode).toBe(0o440);
			expect(mount).toEqual({ name: volume, mountPath: `/run/secrets/agentic-flow/${volume}`, readOnly: true });
		}
		expect(pod.securityContext.fsGroup).toBeGreaterThanOrEqual(10_000);
	});

	it("finds no secret in its environment, nor where to ask for one", () => {
		for (const [variable, value] of Object.entries(environmentIn(pod))) {
			expect(isSecretMark(value as never), variable).toBe(false);
			expect(value, variable).not.toHaveProperty("secretKeyRef");
		}
		expect(container).not.toHaveProperty("envFrom");
	});

	it("runs the image's role of that name", () => {
		expect(container.command).toEqual(["node", "main.ts", name]);
	});
});

it.each([
	["server", ["postgres", "redis-cache", "redis-state", "session"]],
	["jobs", ["postgres", "redis-cache", "redis-state"]],
	["terminal-host", ["redis-terminals"]],
	["migrate", ["postgres-admin"]],
])("%s has the credentials %j and no others", (name, credentials) => {
	const secrets = workloads.pod(name).volumes.flatMap(({ secret }: KubernetesObject) => (secret ? [secret.secretName] : []));
	expect(secrets.sort()).toEqual(credentials);
});

it("a credential's Secret keeps its name and shows nothing of what is in it", () => {
	const secret = workloads.get("Secret", "postgres");
	expect(isSecretMark(secret.stringData)).toBe(true);
	expect(JSON.stringify(workloads.resources)).not.toContain(CANARY);
});

it("every object says which namespace it is in, and none is in the default one", () => {
	const objects = workloads.resources.filter(({ type }) => type.startsWith("kubernetes:") && !/:(Namespace|PriorityClass)$/.test(type));
	expect(objects.length).toBeGreaterThan(30);
	for (const { name, inputs } of objects) {
		const { metadata } = inputs as KubernetesObject;
		expect(metadata.name, name).toBeTypeOf("string");
		expect(["agentic-flow", "terminals"], name).toContain(metadata.namespace);
	}
});

it("no two objects of a kind have the same name in a namespace", () => {
	const names = workloads.resources.map(({ type, inputs }) => {
		const { metadata } = inputs as KubernetesObject;
		return metadata ? `${type} ${metadata.namespace}/${metadata.name}` : type;
	});
	const objects = names.filter((name) => name.startsWith("kubernetes:"));
	expect(new Set(objects).size).toBe(objects.length);
});

describe("job workers", () => {
	it("leave their number to their autoscaler", () => {
		expect(workloads.get("Deployment", "jobs").spec).not.toHaveProperty("replicas");
		expect(workloads.get("HorizontalPodAutoscaler", "jobs").spec).toMatchObject({ minReplicas: 2, maxReplicas: 20 });
	});

	it("are connected to by nobody", () => {
		const { policyTypes, ingress } = workloads.get("NetworkPolicy", "jobs").spec;
		expect(policyTypes).toEqual(["Egress"]);
		expect(ingress).toBeUndefined();
	});
});

describe("terminal hosts", () => {
	it("are root, in a user namespace alone, and have of that only what gives shells users of their own", () => {
		const pod = workloads.pod("terminal-host");
		expect(pod.hostUsers).toBe(false);
		expect(pod.securityContext).toEqual({ runAsUser: 0, runAsGroup: 0, fsGroup: 10_002, seccompProfile: { type: "RuntimeDefault" } });
		expect(pod.containers.map(({ securityContext }: KubernetesObject) => securityContext)).toEqual([
			{
				allowPrivilegeEscalation: false,
				readOnlyRootFilesystem: true,
				capabilities: { drop: ["ALL"], add: ["CHOWN", "KILL", "SETGID", "SETUID"] },
			},
		]);
	});

	it("are in a namespace of their own, away from the server", () => {
		const { metadata, spec } = workloads.get("StatefulSet", "terminal-host");
		expect(metadata.namespace).toBe("terminals");
		expect(spec.replicas).toBe(2);
		expect(spec.serviceName).toBe("terminal-host");
		expect(workloads.pod("terminal-host").nodeSelector).toEqual({ "agentic-flow.io/pool": "system" });
	});

	it("reach the state Redis alone, and know of nothing else", () => {
		const { policyTypes, egress } = workloads.get("NetworkPolicy", "terminal-host").spec;
		expect(policyTypes).toEqual(["Egress"]);
		expect(egress.map(({ ports }: KubernetesObject) => ports)).toEqual([[{ protocol: "TCP", port: 6379 }]]);
		expect(Object.keys(environmentIn(workloads.pod("terminal-host"))).sort()).toEqual([
			"DRAIN_SECONDS",
			"PORT",
			"REDIS_STATE",
			"REDIS_TLS",
			"SECRETS_DIR",
			"TERMINAL_HOMES",
		]);
	});

	it("outlive their long drain", () => {
		expect(workloads.pod("terminal-host").terminationGracePeriodSeconds).toBe(660);
	});
});

describe("the migration", () => {
	const nameOf = async (migration: object) => (await recordWorkloads({ migration })).all("Job")[0].metadata.name;

	it("runs again, under another name, for another image and for new passwords", async () => {
		const name = workloads.all("Job")[0].metadata.name;
		expect(name).toMatch(/^migrate-[0-9a-f]{8}$/);
		expect(await nameOf({})).toBe(name);
		expect(await nameOf({ release: "another" })).not.toBe(name);
		expect(await nameOf({ credentialVersion: 2 })).not.toBe(name);
		expect(await nameOf({ image: pulumi.output(pulumi.unknown as never) })).toBe(name);
	});

	it("comes before the server", () => {
		const app = workloads.resources.find(({ name }) => name === "app");
		expect(app?.dependencies).toContainEqual(expect.stringMatching(/Job::migration-job$/));
	});

	it("ends by itself and is not cleaned up behind the engine's back", () => {
		const { spec } = workloads.all("Job")[0];
		expect(spec).toMatchObject({ backoffLimit: 2, activeDeadlineSeconds: 900, template: { spec: { restartPolicy: "Never" } } });
		expect(spec).not.toHaveProperty("ttlSecondsAfterFinished");
	});
});
