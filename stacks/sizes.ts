/** How large each workload's pods are, and how many of them there may be. */
import type { Scaling } from "../components/availability.ts";
import type { PodSize } from "../components/pod.ts";
import type { Pool } from "../core/pools.ts";
import type { Compute } from "../core/units.ts";
import type { StackConfig } from "./config.ts";
import { AUTOSCALER_POD, MIGRATION_POD, roomOn } from "./scheduling.ts";

/** Disk that a pod of each workload has for logs and scratch files, MiB. */
const EPHEMERAL_MIB = { server: 2048, jobs: 2048, terminals: 4096, migrate: 256, haproxy: 64, autoscaler: 64 } as const;

/** What each workload's pod takes. Up to a whole node's CPU, for what its neighbours leave idle may be used. */
export function sizesOf({ nodes, app, jobs, terminals, loadBalancer }: StackConfig) {
	const size = (pool: Pool, requests: Compute, ephemeralMib: number): PodSize => ({
		requests,
		cpuLimitMilli: roomOn(nodes[pool].instanceType).milliCpu,
		ephemeralMib,
	});
	return {
		server: size("app", app.pod, EPHEMERAL_MIB.server),
		jobs: size("app", jobs.pod, EPHEMERAL_MIB.jobs),
		terminals: size("system", terminals.pod, EPHEMERAL_MIB.terminals),
		migrate: size("system", MIGRATION_POD, EPHEMERAL_MIB.migrate),
		haproxy: size("system", loadBalancer.haproxy.pod, EPHEMERAL_MIB.haproxy),
		autoscaler: size("system", AUTOSCALER_POD, EPHEMERAL_MIB.autoscaler),
	};
}

/** Between how many pods the server and the job workers are scaled. */
export function scalingOf({ nodes, app, jobs }: StackConfig): { server: Scaling; jobs: Scaling } {
	return {
		server: {
			minPods: nodes.app.min * app.podsPerNode,
			maxPods: nodes.app.max * app.podsPerNode,
			cpuTargetPercent: app.cpuTargetPercent,
		},
		jobs: { minPods: jobs.minPods, maxPods: jobs.maxPods, cpuTargetPercent: jobs.cpuTargetPercent },
	};
}
