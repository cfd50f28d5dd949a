import { Deployment } from "@pulumi/kubernetes/apps/v1/deployment.js";
import { HorizontalPodAutoscaler } from "@pulumi/kubernetes/autoscaling/v2/horizontalPodAutoscaler.js";
import { Service } from "@pulumi/kubernetes/core/v1/service.js";
import { ServiceAccount } from "@pulumi/kubernetes/core/v1/serviceAccount.js";
import { NetworkPolicy } from "@pulumi/kubernetes/networking/v1/networkPolicy.js";
import { PodDisruptionBudget } from "@pulumi/kubernetes/policy/v1/podDisruptionBudget.js";
import { PriorityClass } from "@pulumi/kubernetes/scheduling/v1/priorityClass.js";
import type { input } from "@pulumi/kubernetes/types/index.js";
import * as pulumi from "@pulumi/pulumi";
import { commandOf, env, IMAGE_USER, paths, ports, workerPorts } from "../app/contract.ts";
import { environmentOf, portsOf, type Stores, storesEnvironment } from "./app-environment.ts";
import { oneAtATime, oneAway, rolloutTimeouts, type Scaling, START_SECONDS, scaleByCpu } from "./availability.ts";
import { labelsOf, selectorOf } from "./labels.ts";
import { allow, blocks, podsOf } from "./network-policies.ts";
import {
	gracePeriod,
	httpProbe,
	mountsOf,
	type PodSize,
	resourcesOf,
	restrictedContainer,
	restrictedPod,
	type Shutdown,
	scratch,
	spread,
} from "./pod.ts";
import { type SecretNames, secretMounts } from "./secret-mount.ts";

/** The headless Service that HAProxy finds the workers by. */
export const WORKERS_SERVICE = "workers";

/** Seconds in which the server loses at most one pod to the autoscaler: time for its sockets to settle elsewhere. */
const SHRINK_SECONDS = 300;

const PRIORITY_CLASS = "agentic-flow-server";

const PM2_HOME = "/pm2";
const PM2_HOME_MIB = 64;

/** Settings of {@link App}. */
export interface AppArgs {
	readonly namespace: pulumi.Input<string>;
	/** The server's image, by digest. */
	readonly image: pulumi.Input<string>;
	readonly size: PodSize;
	/** Processes in a pod, each with a port of its own. */
	readonly workersPerPod: number;
	readonly scaling: Scaling;
	/** While it sleeps before its stop, HAProxy forgets it; a new pod counts after as long, when HAProxy knows it. */
	readonly shutdown: Shutdown;
	readonly stores: Stores;
	/** Where Redis and PostgreSQL are: blocks of addresses. */
	readonly dataCidrs: readonly string[];
	/** HAProxy's namespace: nobody else may connect to a worker. */
	readonly haproxyNamespace: pulumi.Input<string>;
	readonly secrets: SecretNames<"postgres" | "redisState" | "redisCache" | "session">;
	/** What browsers see in their address bar: `https://agentic.example.com`. */
	readonly publicOrigin: pulumi.Input<string>;
	/** Host headers that are answered. */
	readonly allowedHosts: readonly pulumi.Input<string>[];
	/** Browser origins allowed beside {@link publicOrigin}. */
	readonly allowedOrigins: readonly string[];
	/** How often an idle WebSocket is pinged, and when a worker closes a silent connection, seconds. */
	readonly pingSeconds: number;
	readonly keepAliveSeconds: number;
	/** What sticky cookies are made with; HAProxy has the same. Not a secret. */
	readonly stickyKey: string;
	/** Whether there are terminal hosts. */
	readonly terminals: boolean;
}

/** The server: pods of PM2 workers that fill the app nodes. Give `dependsOn` its namespace and the migration. */
export class App extends pulumi.ComponentResource {
	constructor(name: string, args: AppArgs, opts: pulumi.ComponentResourceOptions) {
		super("agentic-flow:components:App", name, {}, opts);
		const meta = { name: "server", namespace: args.namespace, labels: labelsOf("server") };
		const account = new ServiceAccount(`${name}-account`, { metadata: meta, automountServiceAccountToken: false }, { parent: this });
		const policy = this.createPolicy(name, args, meta);
		const priority = this.createPriority(name);
		this.createWorkersService(name, args);
		const deployment = this.createDeployment(name, args, { meta, account, policy, priority });
		new HorizontalPodAutoscaler(
			`${name}-scaler`,
			{ metadata: meta, spec: scaleByCpu(deployment.metadata.name, args.scaling, SHRINK_SECONDS) },
			{ parent: this },
		);
		new PodDisruptionBudget(`${name}-budget`, { metadata: meta, spec: oneAway("server") }, { parent: this });
		this.registerOutputs({});
	}

	private createPolicy(name: string, args: AppArgs, metadata: input.meta.v1.ObjectMeta): NetworkPolicy {
		const spec = allow("server", {
			ingress: [{ peers: [podsOf("haproxy", args.haproxyNamespace)], ports: workerPorts(args.workersPerPod) }],
			egress: [{ peers: blocks(args.dataCidrs), ports: portsOf(args.stores) }],
		});
		return new NetworkPolicy(`${name}-policy`, { metadata, spec }, { parent: this });
	}

	/**
	 * Job workers may have filled a node before the server came to it. They make room: their jobs go on elsewhere, while a
	 * server pod without a place is traffic without an answer.
	 */
	private createPriority(name: string): PriorityClass {
		return new PriorityClass(
			`${name}-priority`,
			{
				metadata: { name: PRIORITY_CLASS, labels: labelsOf("server") },
				value: 1000,
				globalDefault: false,
				description: "Before the job workers, which share its nodes",
			},
			{ parent: this },
		);
	}

	/** One named port a worker, so that `_w1._tcp.workers` lists the first worker of every ready pod. */
	private createWorkersService(name: string, args: AppArgs): Service {
		return new Service(
			`${name}-workers`,
			{
				metadata: { name: WORKERS_SERVICE, namespace: args.namespace, labels: labelsOf("server") },
				spec: {
					clusterIP: "None",
					publishNotReadyAddresses: false,
					selector: selectorOf("server"),
					ports: workerPorts(args.workersPerPod).map((port, index) => ({
						name: workerPortName(index),
						port,
						targetPort: workerPortName(index),
						protocol: "TCP",
					})),
				},
			},
			{ parent: this },
		);
	}

	/** No `replicas`: they are the autoscaler's. */
	private createDeployment(name: string, args: AppArgs, parts: Parts): Deployment {
		const readySeconds = args.shutdown.preStopSeconds;
		return new Deployment(
			`${name}-deployment`,
			{
				metadata: parts.meta,
				spec: {
					...oneAtATime(args.shutdown),
					minReadySeconds: readySeconds,
					selector: { matchLabels: selectorOf("server") },
					template: { metadata: { labels: labelsOf("server") }, spec: podSpec(args, parts.account.metadata.name) },
				},
			},
			{
				parent: this,
				dependsOn: [parts.policy, parts.priority],
				customTimeouts: rolloutTimeouts(args.scaling.maxPods, args.shutdown, readySeconds),
			},
		);
	}
}

interface Parts {
	readonly meta: input.meta.v1.ObjectMeta;
	readonly account: ServiceAccount;
	readonly policy: NetworkPolicy;
	readonly priority: PriorityClass;
}

function podSpec(args: AppArgs, serviceAccount: pulumi.Input<string>): input.core.v1.PodSpec {
	const mounts = mountsOf([
		secretMounts(args.secrets, ["postgres", "redisState", "redisCache", "session"]),
		scratch("pm2-home", PM2_HOME, PM2_HOME_MIB),
		scratch("tmp", "/tmp", Math.floor(args.size.ephemeralMib / 2)),
	]);
	return {
		...restrictedPod({ pool: "app", serviceAccount, user: IMAGE_USER }),
		terminationGracePeriodSeconds: gracePeriod(args.shutdown),
		priorityClassName: PRIORITY_CLASS,
		topologySpreadConstraints: spread("server", "should"),
		volumes: mounts.volumes,
		containers: [
			{
				name: "server",
				image: args.image,
				command: commandOf("server"),
				env: [...environment(args), { name: env.podIp, valueFrom: { fieldRef: { fieldPath: "status.podIP" } } }],
				ports: containerPorts(args.workersPerPod),
				startupProbe: httpProbe(paths.live, "health", { periodSeconds: 2, failureThreshold: START_SECONDS / 2 }),
				livenessProbe: httpProbe(paths.live, "health", { periodSeconds: 10, failureThreshold: 3 }),
				readinessProbe: httpProbe(paths.ready, "health", { periodSeconds: 3, failureThreshold: 2 }),
				lifecycle: { preStop: { sleep: { seconds: args.shutdown.preStopSeconds } } },
				resources: resourcesOf(args.size),
				securityContext: restrictedContainer,
				volumeMounts: mounts.volumeMounts,
			},
		],
	};
}

function environment(args: AppArgs): input.core.v1.EnvVar[] {
	return environmentOf({
		...storesEnvironment(args.stores),
		workers: args.workersPerPod,
		workerMemoryMib: workerMemoryMib(args.size.requests.memoryMib, args.workersPerPod),
		drainSeconds: args.shutdown.drainSeconds,
		stickyKey: args.stickyKey,
		publicOrigin: args.publicOrigin,
		allowedHosts: pulumi.all([...args.allowedHosts]).apply((hosts) => hosts.join(",")),
		allowedOrigins: args.allowedOrigins.join(","),
		pingSeconds: args.pingSeconds,
		keepAliveSeconds: args.keepAliveSeconds,
		terminals: args.terminals,
		pm2Home: PM2_HOME,
	});
}

function containerPorts(workers: number): input.core.v1.ContainerPort[] {
	const named = (name: string, containerPort: number) => ({ name, containerPort, protocol: "TCP" });
	return [
		...workerPorts(workers).map((port, index) => named(workerPortName(index), port)),
		...workerPorts(workers).map((port, index) => named(`m${index + 1}`, port + ports.metricsOffset)),
		named("health", ports.pod),
	];
}

/** The Service's ports: `w1` for the first worker of every pod, `w2` for the second, and so on. */
export function workerPortNames(workers: number): string[] {
	return workerPorts(workers).map((_, index) => workerPortName(index));
}

function workerPortName(index: number): string {
	return `w${index + 1}`;
}

/** PM2 itself, the entry process, and a worker that is just starting in another one's place. */
const SHARED_MIB = 512;

/**
 * Memory at which PM2 replaces a worker, MiB. A sixth of its share is left: PM2 looks every half minute, and a worker
 * may grow by then, but all of them together must stay below the pod's limit.
 */
export function workerMemoryMib(podMemoryMib: number, workers: number): number {
	return Math.floor(((podMemoryMib - SHARED_MIB) / workers) * (5 / 6));
}
