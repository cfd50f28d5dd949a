import { describe, expect, it } from "vitest";
import type { ResourceRecord } from "../core/record.ts";
import { record } from "../preview/record.ts";
import { Network, type NetworkArgs } from "./network.ts";

const args: NetworkArgs = {
	prefix: "agentic-flow-test",
	accountId: "111122223333",
	region: "eu-west-1",
	clusterName: "agentic-flow-test",
	cidr: "10.40.0.0/16",
	zones: ["euw1-az1", "euw1-az2"],
	maxZones: 4,
	natGateways: "perZone",
	interfaceEndpoints: ["ecr.api", "sts"],
	flowLogRetentionDays: 90,
	logsKeyArn: "arn:aws:kms:eu-west-1:111122223333:key/logs",
	protect: false,
};

describe("Network", () => {
	it("gives no address to anything launched in it", async () => {
		const subnets = (await build(args)).filter(({ type }) => type === "aws:ec2/subnet:Subnet");
		expect(subnets.map(({ name }) => name)).toEqual([
			"network-data-euw1-az1",
			"network-data-euw1-az2",
			"network-private-euw1-az1",
			"network-private-euw1-az2",
			"network-public-euw1-az1",
			"network-public-euw1-az2",
		]);
		for (const { inputs } of subnets) expect(inputs.mapPublicIpOnLaunch).toBe(false);
	});

	it("tags subnets for the load balancers that belong there", async () => {
		const resources = await build(args);
		const tags = (name: string) => resources.find((resource) => resource.name === name)?.inputs.tags;
		expect(tags("network-public-euw1-az1")).toMatchObject({
			"kubernetes.io/role/elb": "1",
			"kubernetes.io/cluster/agentic-flow-test": "shared",
		});
		expect(tags("network-private-euw1-az1")).toMatchObject({ "kubernetes.io/role/internal-elb": "1" });
		expect(tags("network-data-euw1-az1")).toEqual({ Name: "agentic-flow-test-data-euw1-az1" });
	});

	it("routes public subnets to the internet, private ones to their own zone's gateway, and data nowhere", async () => {
		const resources = await build(args);
		expect(waysOut(resources, "public-euw1-az1")).toEqual(["network-internet"]);
		expect(waysOut(resources, "public-euw1-az2")).toEqual(["network-internet"]);
		expect(waysOut(resources, "private-euw1-az1")).toEqual(["network-nat-euw1-az1"]);
		expect(waysOut(resources, "private-euw1-az2")).toEqual(["network-nat-euw1-az2"]);
		expect(waysOut(resources, "data-euw1-az1")).toEqual([]);
		expect(waysOut(resources, "data-euw1-az2")).toEqual([]);
	});

	it("shares one gateway between the zones when told to", async () => {
		const resources = await build({ ...args, natGateways: "one" });
		expect(waysOut(resources, "private-euw1-az1")).toEqual(["network-nat-euw1-az1"]);
		expect(waysOut(resources, "private-euw1-az2")).toEqual(["network-nat-euw1-az1"]);
		expect(resources.filter(({ type }) => type === "aws:ec2/natGateway:NatGateway")).toHaveLength(1);
	});

	it("makes a NAT gateway only once the internet gateway is there, and takes it away before", async () => {
		const resources = await build(args);
		const internet = resources.find(({ name }) => name === "network-internet");
		for (const gateway of resources.filter(({ type }) => type === "aws:ec2/natGateway:NatGateway")) {
			expect(gateway.dependencies).toContain(internet?.urn);
		}
	});

	it("takes every rule from the default security group", async () => {
		const [group] = (await build(args)).filter(({ type }) => type === "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup");
		expect(group?.inputs).toEqual({ vpcId: { $unknown: true }, tags: { Name: "agentic-flow-test-default-unused" } });
	});

	it("logs all traffic of the VPC", async () => {
		const resources = await build(args);
		const flowLog = resources.find(({ type }) => type === "aws:ec2/flowLog:FlowLog");
		const vpc = resources.find(({ type }) => type === "aws:ec2/vpc:Vpc");
		expect(flowLog?.inputs.trafficType).toBe("ALL");
		expect(flowLog?.propertyDependencies.vpcId).toEqual([vpc?.urn]);
		expect(flowLog?.dependencies).toContain(resources.find(({ name }) => name === "network-flow-logs-policy")?.urn);
	});

	it("reaches S3 from private subnets by a route, and the named services by an address in each of their zones", async () => {
		const endpoints = (await build(args)).filter(({ type }) => type === "aws:ec2/vpcEndpoint:VpcEndpoint");
		expect(endpoints.map(({ inputs }) => [inputs.vpcEndpointType, inputs.serviceName])).toEqual([
			["Interface", "com.amazonaws.eu-west-1.ecr.api"],
			["Gateway", "com.amazonaws.eu-west-1.s3"],
			["Interface", "com.amazonaws.eu-west-1.sts"],
		]);
		expect(names(endpoints[0]?.propertyDependencies.subnetIds)).toEqual(["network-private-euw1-az1", "network-private-euw1-az2"]);
		expect(names(endpoints[1]?.propertyDependencies.routeTableIds)).toEqual([
			"network-routes-private-euw1-az1",
			"network-routes-private-euw1-az2",
		]);
	});

	it("changes nothing that is there when a zone is added", async () => {
		const before = await build(args);
		const after = await build({ ...args, zones: [...args.zones, "euw1-az3"] });
		// Endpoints get an address in the new zone; everything else stays as it is.
		const settled = before.filter(({ custom, type }) => custom && type !== "aws:ec2/vpcEndpoint:VpcEndpoint");
		expect(after).toEqual(expect.arrayContaining(settled));
	});
});

async function build(settings: NetworkArgs): Promise<readonly ResourceRecord[]> {
	const { resources } = await record({ project: "agentic-flow", stack: "test" }, async () => {
		new Network("network", settings, {});
		return {};
	});
	return resources;
}

/** Gateways to which the table of a subnet sends traffic. Fails unless the subnet has exactly one table. */
function waysOut(resources: readonly ResourceRecord[], subnet: string): string[] {
	const tables = resources
		.filter(({ type }) => type === "aws:ec2/routeTableAssociation:RouteTableAssociation")
		.filter(({ propertyDependencies }) => names(propertyDependencies.subnetId).includes(`network-${subnet}`))
		.flatMap(({ propertyDependencies }) => propertyDependencies.routeTableId ?? []);
	expect(tables).toHaveLength(1);
	return resources
		.filter(({ type }) => type === "aws:ec2/route:Route")
		.filter(({ propertyDependencies }) => propertyDependencies.routeTableId?.[0] === tables[0])
		.flatMap(({ propertyDependencies }) =>
			names([...(propertyDependencies.gatewayId ?? []), ...(propertyDependencies.natGatewayId ?? [])]),
		);
}

function names(urns: readonly string[] | undefined): string[] {
	return (urns ?? []).map((urn) => urn.split("::").at(-1) as string);
}
