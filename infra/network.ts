import { DefaultSecurityGroup } from "@pulumi/aws/ec2/defaultSecurityGroup.js";
import { Eip } from "@pulumi/aws/ec2/eip.js";
import { InternetGateway } from "@pulumi/aws/ec2/internetGateway.js";
import { NatGateway } from "@pulumi/aws/ec2/natGateway.js";
import { Route } from "@pulumi/aws/ec2/route.js";
import { RouteTable } from "@pulumi/aws/ec2/routeTable.js";
import { RouteTableAssociation } from "@pulumi/aws/ec2/routeTableAssociation.js";
import { Subnet } from "@pulumi/aws/ec2/subnet.js";
import { Vpc } from "@pulumi/aws/ec2/vpc.js";
import * as pulumi from "@pulumi/pulumi";
import { nameOf } from "../core/names.ts";
import { FlowLogs } from "./flow-logs.ts";
import { planSubnets, type SubnetPlan } from "./subnet-plan.ts";
import { VpcEndpoints } from "./vpc-endpoints.ts";

/** Settings of {@link Network}. */
export interface NetworkArgs {
	/** Starts every physical name. */
	readonly prefix: string;
	/** The AWS account, twelve digits. */
	readonly accountId: string;
	readonly region: string;
	/** The cluster whose nodes and load balancers the subnets are for. */
	readonly clusterName: string;
	/** Addresses of the VPC, /16 to /20. Cannot change. */
	readonly cidr: string;
	/** Availability zone ids, e.g. `euw1-az1`. Grows at the end; never reordered. */
	readonly zones: readonly string[];
	/** Zones the subnets are laid out for. Cannot change. */
	readonly maxZones: number;
	/** `one` gateway in the first zone, or one a zone. */
	readonly natGateways: "one" | "perZone";
	/** Short names of the services reached inside the VPC, e.g. `ecr.api`. */
	readonly interfaceEndpoints: readonly string[];
	/** Days that flow logs are kept. */
	readonly flowLogRetentionDays: number;
	/** The key that encrypts flow logs. */
	readonly logsKeyArn: pulumi.Input<string>;
	/** Whether Pulumi refuses to delete the VPC and its subnets. */
	readonly protect: boolean;
}

/**
 * A VPC in three tiers. Public subnets have the internet gateway, private ones a NAT gateway, and the data tier no way
 * out at all. Nothing launched anywhere gets a public address by itself.
 */
export class Network extends pulumi.ComponentResource {
	readonly plan: SubnetPlan;
	readonly vpcId: pulumi.Output<string>;
	/** In the order of the zones, like the other two. */
	readonly publicSubnetIds: readonly pulumi.Output<string>[];
	readonly privateSubnetIds: readonly pulumi.Output<string>[];
	readonly dataSubnetIds: readonly pulumi.Output<string>[];

	constructor(name: string, args: NetworkArgs, opts: pulumi.ComponentResourceOptions) {
		super("agentic-flow:infra:Network", name, {}, opts);
		this.plan = planSubnets(args);
		this.vpcId = this.vpc(name, args);
		const publicSubnets = this.subnets(name, args, "public", { "kubernetes.io/role/elb": "1" });
		const privateSubnets = this.subnets(name, args, "private", { "kubernetes.io/role/internal-elb": "1" });
		const dataSubnets = this.subnets(name, args, "data", {});
		const internet = this.publicRoutes(name, args, publicSubnets);
		const gateways = this.natGateways(name, args, publicSubnets, internet);
		const privateTables = this.privateRoutes(name, args, privateSubnets, gateways);
		this.dataRoutes(name, args, dataSubnets);
		this.publicSubnetIds = publicSubnets.map(({ id }) => id);
		this.privateSubnetIds = privateSubnets.map(({ id }) => id);
		this.dataSubnetIds = dataSubnets.map(({ id }) => id);
		this.endpoints(name, args, privateTables);
		this.flowLogs(name, args);
		this.registerOutputs({
			vpcId: this.vpcId,
			publicSubnetIds: this.publicSubnetIds,
			privateSubnetIds: this.privateSubnetIds,
			dataSubnetIds: this.dataSubnetIds,
		});
	}

	private vpc(name: string, args: NetworkArgs): pulumi.Output<string> {
		const vpc = new Vpc(
			`${name}-vpc`,
			{ cidrBlock: args.cidr, enableDnsSupport: true, enableDnsHostnames: true, tags: tags(args, "vpc") },
			{ parent: this, protect: args.protect },
		);
		// Taken over without rules, so that whatever lands in it by mistake can talk to nobody.
		new DefaultSecurityGroup(`${name}-default-security-group`, { vpcId: vpc.id, tags: tags(args, "default-unused") }, { parent: this });
		return vpc.id;
	}

	private subnets(name: string, args: NetworkArgs, tier: Tier, role: Readonly<Record<string, string>>): ZoneSubnet[] {
		const cluster = tier === "data" ? {} : { [`kubernetes.io/cluster/${args.clusterName}`]: "shared" };
		return this.plan[tier].map(({ zone, cidr }) => {
			const subnet = new Subnet(
				`${name}-${tier}-${zone}`,
				{
					vpcId: this.vpcId,
					availabilityZoneId: zone,
					cidrBlock: cidr,
					mapPublicIpOnLaunch: false,
					tags: { ...tags(args, tier, zone), ...cluster, ...role },
				},
				{ parent: this, protect: args.protect },
			);
			return { zone, id: subnet.id };
		});
	}

	/** The internet gateway, and the one table by which every public subnet reaches it. */
	private publicRoutes(name: string, args: NetworkArgs, subnets: readonly ZoneSubnet[]): InternetGateway {
		const internet = new InternetGateway(`${name}-internet`, { vpcId: this.vpcId, tags: tags(args, "internet") }, { parent: this });
		const table = this.routeTable(name, args, "public", "public", subnets);
		new Route(
			`${name}-public-to-internet`,
			{ routeTableId: table, destinationCidrBlock: EVERYWHERE, gatewayId: internet.id },
			{ parent: this },
		);
		return internet;
	}

	private natGateways(name: string, args: NetworkArgs, subnets: readonly ZoneSubnet[], internet: InternetGateway): NatGateway[] {
		return (args.natGateways === "one" ? subnets.slice(0, 1) : subnets).map(({ zone, id }) => {
			const address = new Eip(`${name}-nat-address-${zone}`, { domain: "vpc", tags: tags(args, "nat", zone) }, { parent: this });
			return new NatGateway(
				`${name}-nat-${zone}`,
				{ subnetId: id, allocationId: address.id, tags: tags(args, "nat", zone) },
				// It has no reference to the internet gateway, yet cannot work without.
				{ parent: this, dependsOn: [internet] },
			);
		});
	}

	/** One table a zone, so that with a gateway a zone traffic to the internet stays in its zone. */
	private privateRoutes(
		name: string,
		args: NetworkArgs,
		subnets: readonly ZoneSubnet[],
		gateways: readonly NatGateway[],
	): pulumi.Output<string>[] {
		return subnets.map((subnet, index) => {
			const gateway = (gateways[index] ?? gateways[0]) as NatGateway;
			const table = this.routeTable(name, args, "private", `private-${subnet.zone}`, [subnet]);
			new Route(
				`${name}-private-to-nat-${subnet.zone}`,
				{ routeTableId: table, destinationCidrBlock: EVERYWHERE, natGatewayId: gateway.id },
				{ parent: this },
			);
			return table;
		});
	}

	/** One table with no route but the VPC's own. */
	private dataRoutes(name: string, args: NetworkArgs, subnets: readonly ZoneSubnet[]): void {
		this.routeTable(name, args, "data", "data", subnets);
	}

	private routeTable(name: string, args: NetworkArgs, tier: Tier, role: string, subnets: readonly ZoneSubnet[]): pulumi.Output<string> {
		const table = new RouteTable(`${name}-routes-${role}`, { vpcId: this.vpcId, tags: tags(args, role) }, { parent: this });
		for (const { zone, id } of subnets) {
			new RouteTableAssociation(`${name}-routes-of-${tier}-${zone}`, { routeTableId: table.id, subnetId: id }, { parent: this });
		}
		return table.id;
	}

	private endpoints(name: string, args: NetworkArgs, routeTableIds: readonly pulumi.Output<string>[]): void {
		new VpcEndpoints(
			`${name}-endpoints`,
			{
				prefix: args.prefix,
				region: args.region,
				vpcId: this.vpcId,
				services: args.interfaceEndpoints,
				subnetIds: this.privateSubnetIds,
				clientCidrs: this.plan.private.map(({ cidr }) => cidr),
				routeTableIds,
			},
			{ parent: this },
		);
	}

	private flowLogs(name: string, args: NetworkArgs): void {
		new FlowLogs(
			`${name}-flow-logs`,
			{
				prefix: args.prefix,
				accountId: args.accountId,
				region: args.region,
				vpcId: this.vpcId,
				retentionDays: args.flowLogRetentionDays,
				logsKeyArn: args.logsKeyArn,
			},
			{ parent: this },
		);
	}
}

type Tier = keyof SubnetPlan;

interface ZoneSubnet {
	readonly zone: string;
	readonly id: pulumi.Output<string>;
}

const EVERYWHERE = "0.0.0.0/0";

function tags(args: NetworkArgs, ...role: string[]): Record<string, string> {
	return { Name: nameOf([args.prefix, ...role]) };
}
