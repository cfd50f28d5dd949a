/** What the stack has on AWS: the settings of each infra component, and what the cluster's objects need to know of them. */
import type * as pulumi from "@pulumi/pulumi";
import { Cluster } from "../infra/cluster.ts";
import { ClusterAddons } from "../infra/cluster-addons.ts";
import { Keys } from "../infra/keys.ts";
import { LoadBalancer, type LoadBalancerScheme } from "../infra/load-balancer.ts";
import { Network } from "../infra/network.ts";
import { NodeGroup } from "../infra/node-group.ts";
import { Registry } from "../infra/registry.ts";
import type { SubnetPlan } from "../infra/subnet-plan.ts";
import type { StackConfig } from "./config.ts";
import { createDataStores, type DataStores } from "./data-stores.ts";
import type { Stackwide } from "./stackwide.ts";

/** HAProxy's port on every node it runs on: the ALB's only way in. In Kubernetes' range for such ports. */
export const NODE_PORT = 30_080;

/** HAProxy's answer to the ALB's health checks. */
export const MONITOR_PATH = "/haproxy-health";

/** What the rest of the stack takes from AWS. */
export interface Cloud {
	readonly subnets: SubnetPlan;
	readonly cluster: Cluster;
	/** What pods wait for: nodes, names, volumes, metrics. */
	readonly ready: readonly pulumi.Resource[];
	readonly registry: Registry;
	readonly loadBalancer: LoadBalancer;
	readonly data: DataStores;
}

/** Everything on AWS, in the order in which it can exist. */
export function createCloud(stackwide: Stackwide): Cloud {
	const { config, prefix, accountId, region, protect } = stackwide;
	const keys = new Keys(
		"keys",
		{ prefix, accountId, region, protect, deletionWindowDays: Math.max(7, config.secrets.recoveryDays) },
		stackwide.opts,
	);
	const network = createNetwork(stackwide, keys);
	const registry = new Registry(
		"registry",
		{ prefix, accountId, region, keyArn: keys.arns.registry, keepImages: config.app.keepImages, protect },
		stackwide.opts,
	);
	const cluster = createCluster(stackwide, keys, network);
	const groups = createNodeGroups(stackwide, keys, network, cluster);
	const addons = createAddons(stackwide, keys, cluster, groups);
	return {
		subnets: network.plan,
		cluster,
		ready: [...groups.map(({ nodes }) => nodes), ...addons.ready],
		registry,
		loadBalancer: createLoadBalancer(stackwide, network, cluster, groups),
		data: createDataStores(stackwide, keys, network, cluster),
	};
}

interface Group {
	readonly name: string;
	readonly pool: "app" | "system";
	readonly nodes: NodeGroup;
}

function createNetwork({ config, prefix, accountId, region, protect, opts }: Stackwide, keys: Keys): Network {
	const { network, aws } = config;
	return new Network(
		"network",
		{
			prefix,
			accountId,
			region,
			clusterName: prefix,
			cidr: network.cidr,
			zones: aws.availabilityZones,
			maxZones: network.maxAvailabilityZones,
			natGateways: network.natGateways,
			interfaceEndpoints: network.interfaceEndpoints,
			flowLogRetentionDays: network.flowLogDays,
			logsKeyArn: keys.arns.logs,
			protect,
		},
		opts,
	);
}

function createCluster({ config, prefix, accountId, region, protect, opts }: Stackwide, keys: Keys, network: Network): Cluster {
	const { cluster, aws } = config;
	return new Cluster(
		"cluster",
		{
			prefix,
			name: prefix,
			accountId,
			region,
			version: cluster.version,
			// Two zones, for good: EKS refuses subnets in zones that it did not begin with, so one added later is the nodes' alone.
			// https://docs.aws.amazon.com/eks/latest/userguide/network-reqs.html
			subnetIds: network.privateSubnetIds.slice(0, 2),
			endpointPublicCidrs: cluster.publicAccessCidrs,
			endpointPrivateCidrs: cluster.privateAccessCidrs,
			logTypes: cluster.logTypes,
			logRetentionDays: cluster.logDays,
			secretsKeyArn: keys.arns.cluster,
			logsKeyArn: keys.arns.logs,
			deployRoleArn: aws.deployRoleArn,
			adminRoleArns: aws.adminRoleArns,
			supportType: cluster.supportType,
			deletionProtection: cluster.deletionProtection,
			addonVersions: cluster.addons,
			protect,
		},
		opts,
	);
}

/** One group for the app, and one or one a zone for the system. */
function createNodeGroups({ config, prefix, tags, opts }: Stackwide, keys: Keys, network: Network, cluster: Cluster): Group[] {
	const { nodes, aws, cluster: settings } = config;
	const zones = aws.availabilityZones.map((zone, index) => ({ zone, subnetId: network.privateSubnetIds[index] as pulumi.Output<string> }));
	const group = (pool: Group["pool"], name: string, within: typeof zones, shares: number): Group => ({
		name,
		pool,
		nodes: new NodeGroup(
			`nodes-${name}`,
			{
				prefix,
				pool,
				group: name,
				clusterName: cluster.createdName,
				version: settings.version,
				instanceType: nodes[pool].instanceType,
				diskGib: nodes[pool].diskGib,
				min: nodes[pool].min / shares,
				max: nodes[pool].max / shares,
				maxUnavailable: 1,
				zones: within.map(({ zone }) => zone),
				subnetIds: within.map(({ subnetId }) => subnetId),
				disksKeyArn: keys.arns.disks,
				tags,
			},
			// The way to the internet too, which nothing else here refers to: without it a node never joins.
			{ ...opts, dependsOn: [...cluster.beforeNodes, network] },
		),
	});
	const system = nodes.system.groupPerZone
		? zones.map((zone) => group("system", `system-${zone.zone}`, [zone], zones.length))
		: [group("system", "system", zones, 1)];
	return [group("app", "app", zones, 1), ...system];
}

function createAddons(
	{ config, prefix, accountId, region, tags, opts }: Stackwide,
	keys: Keys,
	cluster: Cluster,
	groups: readonly Group[],
): ClusterAddons {
	return new ClusterAddons(
		"addons",
		{ prefix, accountId, region, clusterName: cluster.name, addonVersions: config.cluster.addons, disksKeyArn: keys.arns.disks, tags },
		{ ...opts, dependsOn: groups.filter(({ pool }) => pool === "system").map(({ nodes }) => nodes) },
	);
}

function createLoadBalancer(
	{ config, prefix, accountId, protect, opts }: Stackwide,
	network: Network,
	cluster: Cluster,
	groups: readonly Group[],
): LoadBalancer {
	const { loadBalancer } = config;
	return new LoadBalancer(
		"load-balancer",
		{
			prefix,
			accountId,
			scheme: schemeOf(config),
			vpcId: network.vpcId,
			publicSubnetIds: [...network.publicSubnetIds],
			privateSubnetIds: [...network.privateSubnetIds],
			// HAProxy runs on these alone, and a node without it would fail every check.
			autoScalingGroups: groups
				.filter(({ pool }) => pool === "system")
				.map(({ name, nodes }) => ({ name, autoScalingGroupName: nodes.autoScalingGroupName })),
			nodeSecurityGroupId: cluster.clusterSecurityGroupId,
			nodePort: NODE_PORT,
			healthCheck: { path: MONITOR_PATH, ...loadBalancer.healthCheck },
			idleTimeoutSeconds: loadBalancer.timeouts.albIdleSeconds,
			clientKeepAliveSeconds: loadBalancer.timeouts.clientKeepAliveSeconds,
			deregistrationDelaySeconds: loadBalancer.haproxy.hardStopSeconds,
			deletionProtection: loadBalancer.deletionProtection,
			accessLogs: { retentionDays: loadBalancer.accessLogDays, protect },
		},
		// AWS refuses a public load balancer in a VPC whose internet gateway is not there yet.
		{ ...opts, dependsOn: [network] },
	);
}

function schemeOf({ domain, loadBalancer, network }: StackConfig): LoadBalancerScheme {
	if (domain) {
		return {
			kind: "domain",
			domainName: domain.name,
			alternativeNames: domain.alternativeNames,
			hostedZoneId: domain.hostedZoneId,
			webAclRateLimit: loadBalancer.webAclRequestsPerFiveMinutes,
		};
	}
	return loadBalancer.allowedCidrs.length > 0
		? { kind: "cidrLimited", cidrs: loadBalancer.allowedCidrs }
		: { kind: "internal", vpcCidr: network.cidr };
}
