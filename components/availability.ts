/** How many pods of a workload there are, and how many may be away at once: one. */
import type { input } from "@pulumi/kubernetes/types/index.js";
import type { CustomTimeouts, Input } from "@pulumi/pulumi";
import { selectorOf, type Workload } from "./labels.ts";
import type { Shutdown } from "./pod.ts";

/** Between how many pods, and by what, a workload is scaled. */
export interface Scaling {
	readonly minPods: number;
	readonly maxPods: number;
	/** CPU use to aim for, in percent of what is requested. */
	readonly cpuTargetPercent: number;
}

/** Longest time that a pod takes to start on a node that is there, seconds. */
export const START_SECONDS = 120;

/** Longest time that a node takes to come, seconds. */
const NODE_SECONDS = 600;

/**
 * The spec of an autoscaler for a Deployment that states no `replicas` of its own. It grows at once, up to double every
 * half minute; it shrinks by one pod in `shrinkSeconds`, and only as far as the busiest moment of that time allows.
 */
export function scaleByCpu(deployment: Input<string>, { minPods, maxPods, cpuTargetPercent }: Scaling, shrinkSeconds: number) {
	return {
		scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: deployment },
		minReplicas: minPods,
		maxReplicas: maxPods,
		metrics: [{ type: "Resource", resource: { name: "cpu", target: { type: "Utilization", averageUtilization: cpuTargetPercent } } }],
		behavior: {
			scaleUp: {
				stabilizationWindowSeconds: 0,
				selectPolicy: "Max",
				policies: [
					{ type: "Percent", value: 100, periodSeconds: 30 },
					{ type: "Pods", value: 4, periodSeconds: 30 },
				],
			},
			scaleDown: {
				stabilizationWindowSeconds: shrinkSeconds,
				policies: [{ type: "Pods", value: 1, periodSeconds: shrinkSeconds }],
			},
		},
	} satisfies input.autoscaling.v2.HorizontalPodAutoscalerSpec;
}

/**
 * How a Deployment replaces its pods: the old one goes first, for nodes are filled and a pod more would find no room.
 * A pod that is pending for want of a node is no reason to give up.
 */
export function oneAtATime({ terminationGraceSeconds }: Shutdown) {
	return {
		strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: 0, maxUnavailable: 1 } },
		progressDeadlineSeconds: terminationGraceSeconds + NODE_SECONDS + START_SECONDS,
		revisionHistoryLimit: 3,
	} satisfies Partial<input.apps.v1.DeploymentSpec>;
}

/** The spec of a disruption budget: node drains take one pod at a time, and a broken one whenever they like. */
export function oneAway(workload: Workload) {
	return {
		maxUnavailable: 1,
		unhealthyPodEvictionPolicy: "AlwaysAllow",
		selector: { matchLabels: selectorOf(workload) },
	} satisfies input.policy.v1.PodDisruptionBudgetSpec;
}

/** How long the engine waits for a rollout of so many pods, one after another. Its own ten minutes are too short. */
export function rolloutTimeouts(pods: number, { terminationGraceSeconds }: Shutdown, readySeconds: number): CustomTimeouts {
	const rollout = `${NODE_SECONDS + pods * (terminationGraceSeconds + START_SECONDS + readySeconds)}s`;
	return { create: rollout, update: rollout, delete: `${terminationGraceSeconds + START_SECONDS}s` };
}
