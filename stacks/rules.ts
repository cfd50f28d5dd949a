/** Rules that hold between settings. Each looks at complete, well-typed settings and reports every fault it finds. */
import { seconds } from "../app/contract.ts";
import type { Fault } from "../core/errors.ts";
import { maxConnections } from "../infra/database-classes.ts";
import { instanceTypes } from "../infra/instance-types.ts";
import { planSubnets, usableAddresses } from "../infra/subnet-plan.ts";
import type { StackConfig } from "./config.ts";
import { loadsOf, roomOn, totalOf, unplaced } from "./scheduling.ts";

export type Rule = (config: StackConfig) => Fault[];

/** Seconds for which CoreDNS lets an answer be kept: the default of its `kubernetes` plugin. https://coredns.io/plugins/kubernetes/ */
export const DNS_TTL_SECONDS = 5;

/** Addresses that an ALB wants free in each of its subnets. https://docs.aws.amazon.com/elasticloadbalancing/latest/application/application-load-balancers.html */
const ALB_ADDRESSES = 8;

/** Connections of the migration Job, of maintenance and of a person who looks. */
const SPARE_CONNECTIONS = 20;

export const rules = {
	production: ({ environment, aws, domain, cluster, loadBalancer, postgres, redis }) => {
		if (environment !== "production") return [];
		const faults: Fault[] = [];
		const demand = (holds: boolean, at: string, what: string, why: string, fix: string) => {
			if (!holds) faults.push({ at, what, why, fix });
		};
		demand(
			domain !== undefined,
			"domain",
			"is missing",
			"production serves HTTPS only, and a certificate needs a name",
			"give domain.name and domain.hostedZoneId",
		);
		demand(
			aws.availabilityZones.length >= 3,
			"aws.availabilityZones",
			`has ${aws.availabilityZones.length} zones`,
			"production keeps its capacity when a zone is lost, which takes three",
			"list at least three zone ids",
		);
		demand(
			postgres.multiAz,
			"postgres.multiAz",
			"is false",
			"without a standby the database is down until it is restored by hand",
			"set it to true",
		);
		demand(
			postgres.backupDays >= 7,
			"postgres.backupDays",
			`is ${postgres.backupDays}`,
			"a mistake may be noticed a week later",
			"set it to 7 or more",
		);
		demand(
			redis.state.replicas >= 1,
			"redis.state.replicas",
			"is 0",
			"without a replica there is nothing to fail over to",
			"set it to 1 or more",
		);
		for (const [at, protectedNow] of [
			["postgres.deletionProtection", postgres.deletionProtection],
			["loadBalancer.deletionProtection", loadBalancer.deletionProtection],
			["cluster.deletionProtection", cluster.deletionProtection],
		] as const) {
			demand(protectedNow, at, "is false", "one wrong command could delete production", "set it to true");
		}
		return faults;
	},

	zones: ({ aws: { region, availabilityZones }, network }) => {
		const faults: Fault[] = [];
		const prefix = zoneIdPrefix(region);
		for (const [index, zone] of availabilityZones.entries()) {
			if (!zone.startsWith(`${prefix}-az`)) {
				faults.push({
					at: `aws.availabilityZones[${index}]`,
					what: `"${zone}" is not in ${region}`,
					fix: `use ids that begin with ${prefix}-az`,
				});
			}
			if (availabilityZones.indexOf(zone) !== index) {
				faults.push({ at: `aws.availabilityZones[${index}]`, what: `"${zone}" is listed twice`, fix: "list each zone once" });
			}
		}
		if (availabilityZones.length > network.maxAvailabilityZones) {
			faults.push({
				at: "network.maxAvailabilityZones",
				what: `is ${network.maxAvailabilityZones}, but ${availabilityZones.length} zones are listed`,
				why: "subnets are laid out for that many zones once and for all",
				fix: `raise it to ${availabilityZones.length} before the first up, or list fewer zones`,
			});
		}
		return faults;
	},

	accounts: ({ aws: { accountId, deployRoleArn, adminRoleArns } }) =>
		[{ at: "aws.deployRoleArn", arn: deployRoleArn }, ...adminRoleArns.map((arn, index) => ({ at: `aws.adminRoleArns[${index}]`, arn }))]
			.filter(({ arn }) => arn.split(":")[4] !== accountId)
			.map(({ at, arn }) => ({
				at,
				what: `"${arn}" is not in account ${accountId}`,
				why: "an access entry of the cluster names a role of its own account",
				fix: `use a role of ${accountId}, or set aws.accountId to ${arn.split(":")[4]}`,
			})),

	addresses: (config) => addressFaults(config),

	addons: ({ cluster: { version, addons } }) =>
		addons.kubeProxy.startsWith(`v${version}.`)
			? []
			: [
					{
						at: "cluster.addons.kubeProxy",
						what: `is ${addons.kubeProxy}, on a ${version} cluster`,
						why: "kube-proxy is of the cluster's own minor version, never newer",
						fix: `give a v${version}.x build: aws eks describe-addon-versions --addon-name kube-proxy --kubernetes-version ${version}`,
					},
				],

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

	timeouts: ({ loadBalancer: { timeouts } }) => {
		const chain = [
			["the ping interval plus the wait for its answer", timeouts.pingSeconds + seconds.pingTimeout, "pingSeconds"],
			["the ALB's idle time-out", timeouts.albIdleSeconds, "albIdleSeconds"],
			["HAProxy's client and tunnel time-out", timeouts.haproxyIdleSeconds, "haproxyIdleSeconds"],
			["the worker's keep-alive time-out", timeouts.keepAliveSeconds, "keepAliveSeconds"],
		] as const;
		return chain.slice(1).flatMap(([name, value, key], index) => {
			const [earlierName, earlier] = chain[index] as (typeof chain)[number];
			if (earlier < value) return [];
			return [
				{
					at: `loadBalancer.timeouts.${key}`,
					what: `is ${value} s, not above ${earlierName}, ${earlier} s`,
					why: `${name} must be the longer one, or a live connection is cut in the middle (each hop outlasts the one before it)`,
					fix: `set it above ${earlier}`,
				},
			];
		});
	},

	drains: ({ app, jobs, terminals, loadBalancer: { haproxy, healthCheck } }) => {
		const grace = (at: string, given: number, needs: number, parts: string): Fault[] =>
			given > needs
				? []
				: [
						{
							at: `${at}.terminationGraceSeconds`,
							what: `is ${given} s, but stopping takes up to ${needs} s (${parts})`,
							why: "Kubernetes would kill the pod before it has let go of its work",
							fix: `set it above ${needs}`,
						},
					];
		const margin = seconds.killMargin;
		const forget = DNS_TTL_SECONDS + haproxy.resolveSeconds + haproxy.holdSeconds;
		const notice = healthCheck.intervalSeconds * healthCheck.unhealthyThreshold + healthCheck.timeoutSeconds;
		return [
			...grace(
				"app",
				app.terminationGraceSeconds,
				app.preStopSeconds + app.drainSeconds + margin,
				`preStop ${app.preStopSeconds} + drain ${app.drainSeconds} + ${margin}`,
			),
			...grace("jobs", jobs.terminationGraceSeconds, jobs.drainSeconds + margin, `drain ${jobs.drainSeconds} + ${margin}`),
			...grace(
				"terminals",
				terminals.terminationGraceSeconds,
				terminals.drainSeconds + margin,
				`drain ${terminals.drainSeconds} + ${margin}`,
			),
			...grace(
				"loadBalancer.haproxy",
				haproxy.terminationGraceSeconds,
				haproxy.preStopSeconds + haproxy.hardStopSeconds,
				`preStop ${haproxy.preStopSeconds} + hard stop ${haproxy.hardStopSeconds}`,
			),
			...(app.preStopSeconds >= forget
				? []
				: [
						{
							at: "app.preStopSeconds",
							what: `is ${app.preStopSeconds} s, but HAProxy may use a stopping pod for ${forget} s more`,
							why: `that is DNS ${DNS_TTL_SECONDS} + look-up ${haproxy.resolveSeconds} + hold ${haproxy.holdSeconds}`,
							fix: `set it to ${forget} or more`,
						},
					]),
			...(haproxy.preStopSeconds >= notice
				? []
				: [
						{
							at: "loadBalancer.haproxy.preStopSeconds",
							what: `is ${haproxy.preStopSeconds} s, but the ALB notices after up to ${notice} s`,
							why: `that is ${healthCheck.unhealthyThreshold} checks ${healthCheck.intervalSeconds} s apart and one time-out`,
							fix: `set it to ${notice} or more`,
						},
					]),
			...(healthCheck.timeoutSeconds < healthCheck.intervalSeconds
				? []
				: [
						{
							at: "loadBalancer.healthCheck.timeoutSeconds",
							what: `is ${healthCheck.timeoutSeconds} s, not below the interval, ${healthCheck.intervalSeconds} s`,
							why: "AWS refuses it",
							fix: `set it below ${healthCheck.intervalSeconds}`,
						},
					]),
		];
	},

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

	redisVersions: ({ environment, redis: { engine, version, cache } }) => {
		const faults: Fault[] = [];
		if ((engine === "redis") !== (version === "7.1")) {
			faults.push({
				at: "redis.version",
				what: `is ${version}, which ${engine} does not have`,
				why: "Redis stops at 7.1; Valkey starts at 7.2",
				fix: engine === "redis" ? 'set it to "7.1", or redis.engine to valkey' : 'set it to "7.2" or an 8.x',
			});
		}
		if (environment === "production" && cache.replicas === 0) {
			faults.push({
				at: "redis.cache.replicas",
				what: "is 0",
				why: "production keeps its cache when a zone is lost, or the database takes all of its load",
				fix: "set it to 1 or more",
			});
		}
		return faults;
	},

	replicasNeedBackups: ({ postgres: { replicas, backupDays } }) =>
		replicas > 0 && backupDays === 0
			? [
					{
						at: "postgres.backupDays",
						what: `is 0, with ${replicas} read replica${replicas > 1 ? "s" : ""}`,
						why: "RDS makes replicas from backups, and refuses them without",
						fix: "set it to 1 or more, or postgres.replicas to 0",
					},
				]
			: [],

	storage: ({ postgres: { storageGib, maxStorageGib } }) =>
		maxStorageGib < storageGib * 1.1
			? [
					{
						at: "postgres.maxStorageGib",
						what: `is ${maxStorageGib}, less than a tenth above storageGib, which is ${storageGib}`,
						why: "RDS refuses a limit that leaves no room to grow",
						fix: `set it to ${Math.ceil(storageGib * 1.1)} or more`,
					},
				]
			: [],

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

function addressFaults({ aws, network, nodes }: StackConfig): Fault[] {
	const size = Number(network.cidr.split("/")[1]);
	if (size < 16 || size > 20) {
		return [
			{
				at: "network.cidr",
				what: `"${network.cidr}" is a /${size}`,
				why: "subnets for every tier and zone fit into a /16 to a /20",
				fix: "take a block between /16 and /20",
			},
		];
	}
	const zones = new Set(aws.availabilityZones).size;
	if (zones < aws.availabilityZones.length || zones > network.maxAvailabilityZones) return []; // reported by `zones`: there is no plan
	const plan = planSubnets({ cidr: network.cidr, zones: aws.availabilityZones, maxZones: network.maxAvailabilityZones });
	const aZone = (count: number, { maxAddresses }: { maxAddresses: number }) => Math.ceil(count / zones) * maxAddresses;
	const needed =
		aZone(nodes.app.max, instanceTypes[nodes.app.instanceType]) +
		aZone(nodes.system.max, instanceTypes[nodes.system.instanceType]) +
		network.interfaceEndpoints.length;
	const faults: Fault[] = [];
	const check = (tier: "public" | "private", want: number, whom: string) => {
		const { cidr } = plan[tier][0] as { cidr: string };
		if (usableAddresses(cidr) >= want) return;
		faults.push({
			at: "network.cidr",
			what: `"${network.cidr}" gives each ${tier} subnet ${usableAddresses(cidr)} addresses (${cidr})`,
			why: `${whom} may take ${want} in one zone`,
			fix: "take a larger block, fewer network.maxAvailabilityZones, or fewer nodes",
		});
	};
	check("private", needed, `${nodes.app.max} app and ${nodes.system.max} system nodes with their pods`);
	check("public", ALB_ADDRESSES + 1, "the load balancer and a NAT gateway");
	return faults;
}

/** `eu-west-1` -> `euw1`, `ap-southeast-2` -> `apse2`: how AWS names a region in zone ids. https://docs.aws.amazon.com/global-infrastructure/latest/regions/az-ids.html */
function zoneIdPrefix(region: string): string {
	const letters: Record<string, string> = {
		northeast: "ne",
		northwest: "nw",
		southeast: "se",
		southwest: "sw",
		north: "n",
		south: "s",
		east: "e",
		west: "w",
		central: "c",
		gov: "g",
	};
	return region
		.split("-")
		.map((word) => letters[word] ?? word)
		.join("");
}
