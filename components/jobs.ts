import { Deployment } from "@pulumi/kubernetes/apps/v1/deployment.js";
import { HorizontalPodAutoscaler } from "@pulumi/kubernetes/autoscaling/v2/horizontalPodAutoscaler.js";
import { ServiceAccount } from "@pulumi/kubernetes/core/v1/serviceAccount.js";
import { NetworkPolicy } from "@pulumi/kubernetes/networking/v1/networkPolicy.js";
import { PodDisruptionBudget } from "@pulumi/kubernetes/policy/v1/podDisruptionBudget.js";
import type { input } from "@pulumi/kubernetes/types/index.js";
import * as pulumi from "@pulumi/pulumi";
import { commandOf, IMAGE_USER } from "../app/contract.ts";
import { environmentOf, portsOf, type Stores, storesEnvironment } from "./app-environment.ts";
import { oneAtATime, oneAway, rolloutTimeouts, type Scaling, scaleByCpu } from "./availability.ts";
import { labelsOf, selectorOf } from "./labels.ts";
import { allow, blocks } from "./network-policies.ts";
import {
	gracePeriod,
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
import { SINGLE_PROCESS_PORT, singleProcess } from "./single-process.ts";

/** Seconds in which the autoscaler takes at most one pod away: its jobs are done, or go back to the queue. */
const SHRINK_SECONDS = 60;

/** Settings of {@link JobWorkers}. */
export interface JobWorkersArgs {
	readonly namespace: pulumi.Input<string>;
	/** The server's image, by digest. */
	readonly image: pulumi.Input<string>;
	readonly size: PodSize;
	/** Jobs one pod works on at once. */
	readonly concurrency: number;
	readonly scaling: Scaling;
	/** Nobody has to forget a job worker: `preStopSeconds` is 0. */
	readonly shutdown: Shutdown;
	readonly stores: Stores;
	/** Where Redis and PostgreSQL are: blocks of addresses. */
	readonly dataCidrs: readonly string[];
	readonly secrets: SecretNames<"postgres" | "redisState" | "redisCache">;
	/** Months of activities and events kept; a job drops older ones. */
	readonly retentionMonths: number;
}

/** The job workers: one process a pod, in what room the server leaves on the app nodes. `dependsOn` as for the server. */
export class JobWorkers extends pulumi.ComponentResource {
	constructor(name: string, args: JobWorkersArgs, opts: pulumi.ComponentResourceOptions) {
		super("agentic-flow:components:JobWorkers", name, {}, opts);
		const metadata = { name: "jobs", namespace: args.namespace, labels: labelsOf("jobs") };
		const account = new ServiceAccount(`${name}-account`, { metadata, automountServiceAccountToken: false }, { parent: this });
		const policy = new NetworkPolicy(
			`${name}-policy`,
			{ metadata, spec: allow("jobs", { ingress: [], egress: [{ peers: blocks(args.dataCidrs), ports: portsOf(args.stores) }] }) },
			{ parent: this },
		);
		const deployment = new Deployment(
			`${name}-deployment`,
			{
				metadata,
				spec: {
					...oneAtATime(args.shutdown),
					selector: { matchLabels: selectorOf("jobs") },
					template: { metadata: { labels: labelsOf("jobs") }, spec: podSpec(args, account.metadata.name) },
				},
			},
			{ parent: this, dependsOn: [policy], customTimeouts: rolloutTimeouts(args.scaling.maxPods, args.shutdown, 0) },
		);
		new HorizontalPodAutoscaler(
			`${name}-scaler`,
			{ metadata, spec: scaleByCpu(deployment.metadata.name, args.scaling, SHRINK_SECONDS) },
			{ parent: this },
		);
		new PodDisruptionBudget(`${name}-budget`, { metadata, spec: oneAway("jobs") }, { parent: this });
		this.registerOutputs({});
	}
}

function podSpec(args: JobWorkersArgs, serviceAccount: pulumi.Input<string>): input.core.v1.PodSpec {
	const mounts = mountsOf([
		secretMounts(args.secrets, ["postgres", "redisState", "redisCache"]),
		scratch("tmp", "/tmp", Math.floor(args.size.ephemeralMib / 2)),
	]);
	return {
		...restrictedPod({ pool: "app", serviceAccount, user: IMAGE_USER }),
		terminationGracePeriodSeconds: gracePeriod(args.shutdown),
		topologySpreadConstraints: spread("jobs", "should"),
		volumes: mounts.volumes,
		containers: [
			{
				name: "jobs",
				image: args.image,
				command: commandOf("jobs"),
				env: environmentOf({
					...storesEnvironment(args.stores),
					port: SINGLE_PROCESS_PORT,
					jobConcurrency: args.concurrency,
					retentionMonths: args.retentionMonths,
					drainSeconds: args.shutdown.drainSeconds,
				}),
				...singleProcess,
				resources: resourcesOf(args.size),
				securityContext: restrictedContainer,
				volumeMounts: mounts.volumeMounts,
			},
		],
	};
}
