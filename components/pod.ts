/** The parts that pods of ours have in common. All of them pass the Pod Security level `restricted`. */
import type { input } from "@pulumi/kubernetes/types/index.js";
import type * as pulumi from "@pulumi/pulumi";
import { seconds } from "../app/contract.ts";
import { type Pool, placement } from "../core/pools.ts";
import { type Compute, quantities } from "../core/units.ts";
import { selectorOf, type Workload } from "./labels.ts";

/** What one pod takes of its node. */
export interface PodSize {
	/** What is set aside for it. Memory is also its limit: a node never promises more memory than it has. */
	readonly requests: Compute;
	/**
	 * Most CPU, in thousandths. Above the request, up to the whole node: what neighbours leave idle may be used, and a
	 * short burst is not stalled for the rest of a scheduling period.
	 */
	readonly cpuLimitMilli: number;
	/** Most disk for logs and scratch files, MiB; also set aside. */
	readonly ephemeralMib: number;
}

/** How a pod stops: it still serves while others forget it, then drains, then is killed. Seconds. */
export interface Shutdown {
	readonly preStopSeconds: number;
	readonly drainSeconds: number;
	/** From the order to stop to the kill. */
	readonly terminationGraceSeconds: number;
}

/** The fields of a pod's spec that do not depend on what it runs. */
export function restrictedPod(args: {
	readonly pool: Pool;
	/** Its ServiceAccount. No pod gets a token by it unless its spec says so after this one. */
	readonly serviceAccount: pulumi.Input<string>;
	/** Numeric user and group, also of its volumes' files. */
	readonly user: number;
}) {
	return {
		...placement(args.pool),
		serviceAccountName: args.serviceAccount,
		automountServiceAccountToken: false,
		// Kubernetes would put the address of every Service of the namespace into the environment.
		enableServiceLinks: false,
		securityContext: {
			runAsNonRoot: true,
			runAsUser: args.user,
			runAsGroup: args.user,
			fsGroup: args.user,
			seccompProfile: { type: "RuntimeDefault" },
		},
	} satisfies Partial<input.core.v1.PodSpec>;
}

/** The security context of every container: no privileges, no capabilities, nothing to write to but its volumes. */
export const restrictedContainer = {
	allowPrivilegeEscalation: false,
	readOnlyRootFilesystem: true,
	capabilities: { drop: ["ALL"] },
} satisfies input.core.v1.SecurityContext;

/** Requests and limits of a pod's one container. */
export function resourcesOf({ requests, cpuLimitMilli, ephemeralMib }: PodSize) {
	const ephemeral = { "ephemeral-storage": `${ephemeralMib}Mi` };
	return {
		requests: { ...quantities(requests), ...ephemeral },
		limits: { ...quantities({ ...requests, milliCpu: cpuLimitMilli }), ...ephemeral },
	} satisfies input.core.v1.ResourceRequirements;
}

/** A pod's volumes, and where its container has them. */
export interface Mounts {
	readonly volumes: input.core.v1.Volume[];
	readonly volumeMounts: input.core.v1.VolumeMount[];
}

/** An empty folder to write to, gone with the pod. Beyond `sizeMib` the pod is evicted. */
export function scratch(name: string, mountPath: string, sizeMib: number): Mounts {
	return { volumes: [{ name, emptyDir: { sizeLimit: `${sizeMib}Mi` } }], volumeMounts: [{ name, mountPath }] };
}

/** Several mounts as one. */
export function mountsOf(all: readonly Mounts[]): Mounts {
	return { volumes: all.flatMap(({ volumes }) => volumes), volumeMounts: all.flatMap(({ volumeMounts }) => volumeMounts) };
}

/** A probe by HTTP: it has failed after `failureThreshold` answers in a row that were bad, or later than half the period. */
export function httpProbe(path: string, port: pulumi.Input<number | string>, timing: { periodSeconds: number; failureThreshold: number }) {
	return {
		httpGet: { path, port },
		timeoutSeconds: Math.max(1, Math.floor(timing.periodSeconds / 2)),
		...timing,
	} satisfies input.core.v1.Probe;
}

/** Spreads a workload's pods evenly over hosts, and over zones as far as there is room. */
export function spread(workload: Workload, overHosts: "must" | "should"): input.core.v1.TopologySpreadConstraint[] {
	const labelSelector = { matchLabels: selectorOf(workload) };
	return [
		{
			topologyKey: "kubernetes.io/hostname",
			maxSkew: 1,
			whenUnsatisfiable: overHosts === "must" ? "DoNotSchedule" : "ScheduleAnyway",
			// A node that is being drained is no place for a pod, and must not count as an empty one.
			nodeTaintsPolicy: "Honor",
			labelSelector,
		},
		// Never "must": the autoscaler cannot know in which zone its next node will be.
		{ topologyKey: "topology.kubernetes.io/zone", maxSkew: 1, whenUnsatisfiable: "ScheduleAnyway", labelSelector },
	];
}

/**
 * The grace period of a pod that drains.
 *
 * @throws TypeError when the pod would be killed before it is done
 */
export function gracePeriod({ preStopSeconds, drainSeconds, terminationGraceSeconds }: Shutdown): number {
	const needed = preStopSeconds + drainSeconds + seconds.killMargin;
	if (terminationGraceSeconds <= needed)
		throw new TypeError(`a grace of ${terminationGraceSeconds} s is not above the ${needed} s that stopping takes`);
	return terminationGraceSeconds;
}
