/** What a stack can hold: pods on nodes, WebSockets, database connections. */
import type { Fault } from "../../core/errors.ts";
import { maxConnections } from "../../infra/database-classes.ts";
import { instanceTypes } from "../../infra/instance-types.ts";
import type { StackConfig } from "../config.ts";
import { loadsOf, roomOn, totalOf, unplaced } from "../scheduling.ts";
import type { Rule } from "./rule.ts";

/** Connections of the migration Job, of maintenance and of a person who looks. */
const SPARE_CONNECTIONS = 20;

/** What a pod's workers share: PM2, the entry process, a worker that is just starting. */
const PM2_MIB = 512;

/** Below this a worker spends its time collecting garbage. */
const LEAST_WORKER_MIB = 256;

export const capacityRules = {
	nodeCounts: ({ aws, nodes, app }) => {
		const faults: Fault[] = [];
		for (const pool of ["app", "system"] as const) {
			const { min, max } = nodes[pool];
			if (min > max)
				faults.push({ at: `nodes.${pool}.min`, what: `is ${min}, above nodes.${pool}.max, which is ${max}`, fix: "make min at most max" });
		}
		const zones = aws.availabilityZones.length;
		const { groupPerZone, min, max } = nodes.system;
		for (const [size, count] of [
			["min", min],
			["max", max],
		] as const) {
			if (groupPerZone && count % zones !== 0) {
				faults.push({
					at: `nodes.system.${size}`,
					what: `is ${count}, which ${zones} zones cannot share evenly`,
					why: "groupPerZone makes one group a zone, each of the same size",
					fix: `use a multiple of ${zones}, or set nodes.system.groupPerZone to false`,
				});
			}
		}
		const workers = app.podsPerNode * app.workersPerPod;
		if (workers < 4 || workers > 8) {
			faults.push({
				at: "app.workersPerPod",
				what: `is ${app.workersPerPod}, which with ${app.podsPerNode} pods a node makes ${workers} workers a node`,
				why: "a node is laid out for 4 to 8 workers",
				fix: "choose app.podsPerNode x app.workersPerPod between 4 and 8",
			});
		}
		return faults;
	},

	jobPods: ({ jobs: { minPods, maxPods } }) =>
		minPods > maxPods
			? [{ at: "jobs.minPods", what: `is ${minPods}, above jobs.maxPods, which is ${maxPods}`, fix: "make minPods at most maxPods" }]
			: [],

	workerMemory: ({ app: { pod, workersPerPod } }) => {
		const least = PM2_MIB + workersPerPod * LEAST_WORKER_MIB;
		return pod.memoryMib >= least
			? []
			: [
					{
						at: "app.pod.memoryMib",
						what: `is ${pod.memoryMib}, for PM2 and ${workersPerPod} workers`,
						why: `PM2 takes ${PM2_MIB} MiB and a worker at least ${LEAST_WORKER_MIB}`,
						fix: `set it to ${least} or more`,
					},
				];
	},

	architecture: ({ nodes: { app, system } }) => {
		const [ofApp, ofSystem] = [app, system].map(({ instanceType }) => instanceTypes[instanceType].architecture);
		return ofApp === ofSystem
			? []
			: [
					{
						at: "nodes.system.instanceType",
						what: `${system.instanceType} is ${ofSystem}, but ${app.instanceType} is ${ofApp}`,
						why: "one image runs on both pools",
						fix: "take types of one architecture",
					},
				];
	},

	scheduling: (config) =>
		loadsOf(config).flatMap((load) => {
			const left = unplaced(load);
			if (left.length === 0) return [];
			const room = roomOn(load.instanceType);
			const total = totalOf(load);
			return [
				{
					at: `nodes.${load.pool}.${load.size}`,
					what: `${load.nodes} x ${load.instanceType} cannot hold ${left.map(({ what, pods }) => `${pods} ${what} pod${pods > 1 ? "s" : ""}`).join(" and ")}`,
					why: `the pods request ${total.milliCpu}m CPU and ${total.memoryMib} MiB in all; each node has ${room.milliCpu}m and ${room.memoryMib} MiB for them`,
					fix: `raise nodes.${load.pool}.${load.size}, take a larger instanceType, or make pods fewer or smaller`,
				},
			];
		}),

	webSockets: ({ nodes, app, loadBalancer: { webSockets, haproxy } }) => {
		const held = (haproxy.replicas - 1) * haproxy.maxConnections;
		const workers = nodes.app.max * app.podsPerNode * app.workersPerPod;
		return [
			...(held >= webSockets
				? []
				: [
						{
							at: "loadBalancer.haproxy.maxConnections",
							what: `is ${haproxy.maxConnections}: ${haproxy.replicas - 1} HAProxies hold ${held} connections while one is away`,
							why: `loadBalancer.webSockets asks for ${webSockets}`,
							fix: `set it to ${Math.ceil(webSockets / (haproxy.replicas - 1))} or more, or add replicas`,
						},
					]),
			...(workers * app.socketsPerWorker >= webSockets
				? []
				: [
						{
							at: "app.socketsPerWorker",
							what: `is ${app.socketsPerWorker}: ${workers} workers hold ${workers * app.socketsPerWorker} WebSockets at most`,
							why: `loadBalancer.webSockets asks for ${webSockets}`,
							fix: `set it to ${Math.ceil(webSockets / workers)} or more, or raise nodes.app.max`,
						},
					]),
		];
	},

	databaseConnections: (config) => {
		const { instanceClass, poolPrimary, poolReplica, replicas } = config.postgres;
		const limit = maxConnections(instanceClass);
		const clients = connectingProcesses(config);
		const check = (at: string, which: string, pool: number): Fault[] => {
			const needed = clients * pool + SPARE_CONNECTIONS;
			if (needed <= limit) return [];
			return [
				{
					at,
					what: `is ${pool}: ${clients} processes x ${pool} + ${SPARE_CONNECTIONS} is ${needed} connections to ${which}`,
					why: `${instanceClass} takes ${limit}`,
					fix: `set it to ${Math.max(1, Math.floor((limit - SPARE_CONNECTIONS) / clients))} or less, take a larger postgres.instanceClass, or run fewer workers`,
				},
			];
		};
		return [
			...check("postgres.poolPrimary", "the primary", poolPrimary),
			...(replicas > 0 ? check("postgres.poolReplica", "each replica", poolReplica) : []),
		];
	},
} satisfies Record<string, Rule>;

/** Processes that hold a pool when the stack is at its largest: a reload adds one worker a pod for a moment. */
function connectingProcesses({ nodes, app, jobs }: StackConfig): number {
	return nodes.app.max * app.podsPerNode * (app.workersPerPod + 1) + jobs.maxPods;
}
