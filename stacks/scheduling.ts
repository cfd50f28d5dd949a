import { type Compute, sumCompute, timesCompute } from "../core/units.ts";
import { allocatable, daemonSetRequests, instanceTypes } from "../infra/instance-types.ts";
import type { StackConfig } from "./config.ts";

/** Pods of one kind that a pool must hold. */
export interface Demand {
	readonly what: string;
	readonly pods: number;
	readonly each: Compute;
	/** Most pods of this kind on one node: 1 where they must be apart. */
	readonly perNode: number;
}

/** A pool at one of its sizes, and what it must hold then. */
export interface Load {
	readonly pool: "app" | "system";
	readonly size: "min" | "max";
	readonly nodes: number;
	readonly instanceType: keyof typeof instanceTypes;
	readonly demands: readonly Demand[];
}

/** DaemonSet pods on each node: aws-node, kube-proxy, Pod Identity agent, EBS CSI, node monitoring. */
const DAEMON_PODS = 5;

// What EKS add-ons request on the system pool: CoreDNS 100m/70Mi, EBS CSI controller (six containers of 10m/40Mi),
// metrics-server 100m/200Mi, two pods each, as their add-on manifests say.
const SYSTEM_SERVICES: readonly Demand[] = [
	{ what: "CoreDNS", pods: 2, each: { milliCpu: 100, memoryMib: 70 }, perNode: 2 },
	{ what: "EBS CSI controller", pods: 2, each: { milliCpu: 60, memoryMib: 240 }, perNode: 2 },
	{ what: "metrics-server", pods: 2, each: { milliCpu: 100, memoryMib: 200 }, perNode: 2 },
];

/** What the autoscaler's own pod requests. */
export const AUTOSCALER_POD: Compute = { milliCpu: 100, memoryMib: 400 };

/** What the migration's pod requests. It runs on the system pool, for the app nodes are full during an update. */
export const MIGRATION_POD: Compute = { milliCpu: 250, memoryMib: 512 };

/** Each pool at its smallest and its largest. */
export function loadsOf({ nodes, app, jobs, terminals, loadBalancer }: StackConfig): Load[] {
	const appDemands = (count: number, jobPods: number): Demand[] => [
		{ what: "server", pods: count * app.podsPerNode, each: app.pod, perNode: app.podsPerNode },
		{ what: "job worker", pods: jobPods, each: jobs.pod, perNode: jobPods },
	];
	const systemDemands: Demand[] = [
		{ what: "HAProxy", pods: loadBalancer.haproxy.replicas, each: loadBalancer.haproxy.pod, perNode: 1 },
		{ what: "terminal host", pods: terminals.enabled ? terminals.hosts : 0, each: terminals.pod, perNode: terminals.hosts },
		{ what: "cluster-autoscaler", pods: 1, each: AUTOSCALER_POD, perNode: 1 },
		{ what: "migration", pods: 1, each: MIGRATION_POD, perNode: 1 },
		...SYSTEM_SERVICES,
	];
	const load = (pool: Load["pool"], size: Load["size"], demands: Demand[]): Load => ({
		pool,
		size,
		nodes: nodes[pool][size],
		instanceType: nodes[pool].instanceType,
		demands,
	});
	return [
		load("app", "min", appDemands(nodes.app.min, jobs.minPods)),
		load("app", "max", appDemands(nodes.app.max, jobs.maxPods)),
		load("system", "min", systemDemands),
		load("system", "max", systemDemands),
	];
}

/** What a node of this type has left for pods, after the kubelet and the DaemonSets took theirs. */
export function roomOn(instanceType: Load["instanceType"]): Compute & { pods: number } {
	const whole = allocatable(instanceType);
	return {
		milliCpu: whole.milliCpu - daemonSetRequests.milliCpu,
		memoryMib: whole.memoryMib - daemonSetRequests.memoryMib,
		pods: instanceTypes[instanceType].maxPods - DAEMON_PODS,
	};
}

/** Pods that find no place, by kind; empty where all do. Largest first, each on the first node with room, as the scheduler at worst does. */
export function unplaced({ nodes, instanceType, demands }: Load): { what: string; pods: number }[] {
	const room = roomOn(instanceType);
	const free = Array.from({ length: nodes }, () => ({ ...room }));
	const bySize = [...demands].sort((a, b) => share(b.each, room) - share(a.each, room));
	return bySize.flatMap(({ what, pods, each, perNode }) => {
		let left = pods;
		for (const node of free) {
			const fits = Math.min(
				perNode,
				left,
				node.pods,
				Math.floor(node.milliCpu / each.milliCpu),
				Math.floor(node.memoryMib / each.memoryMib),
			);
			if (fits <= 0) continue;
			left -= fits;
			node.pods -= fits;
			node.milliCpu -= each.milliCpu * fits;
			node.memoryMib -= each.memoryMib * fits;
		}
		return left > 0 ? [{ what, pods: left }] : [];
	});
}

/** Everything a load requests, in all. */
export function totalOf({ demands }: Load): Compute {
	return sumCompute(demands.map(({ each, pods }) => timesCompute(each, pods)));
}

function share(each: Compute, room: Compute): number {
	return Math.max(each.milliCpu / room.milliCpu, each.memoryMib / room.memoryMib);
}
