import { SecurityGroup } from "@pulumi/aws/ec2/securityGroup.js";
import { VpcEndpoint } from "@pulumi/aws/ec2/vpcEndpoint.js";
import { SecurityGroupIngressRule } from "@pulumi/aws/vpc/securityGroupIngressRule.js";
import * as pulumi from "@pulumi/pulumi";
import { nameByContent, nameOf } from "../core/names.ts";

/** Settings of {@link VpcEndpoints}. */
export interface VpcEndpointsArgs {
	/** Starts every physical name. */
	readonly prefix: string;
	readonly region: string;
	readonly vpcId: pulumi.Input<string>;
	/** Short names of the services, e.g. `ecr.api`. */
	readonly services: readonly string[];
	/** One subnet a zone, where the endpoints have their addresses. */
	readonly subnetIds: readonly pulumi.Input<string>[];
	/** Who may use the endpoints. */
	readonly clientCidrs: readonly string[];
	/** Tables that get a route to S3. */
	readonly routeTableIds: readonly pulumi.Input<string>[];
}

/** Ways to AWS services that do not leave the VPC: a gateway for S3 (image layers), and an interface for each named service. */
export class VpcEndpoints extends pulumi.ComponentResource {
	constructor(name: string, args: VpcEndpointsArgs, opts: pulumi.ComponentResourceOptions) {
		super("agentic-flow:infra:VpcEndpoints", name, {}, opts);
		this.storage(name, args);
		const securityGroup = this.securityGroup(name, args);
		for (const service of args.services) this.interface(name, args, service, securityGroup);
		this.registerOutputs({});
	}

	private storage(name: string, args: VpcEndpointsArgs): void {
		new VpcEndpoint(
			`${name}-s3`,
			{
				vpcId: args.vpcId,
				vpcEndpointType: "Gateway",
				serviceName: serviceName(args, "s3"),
				routeTableIds: [...args.routeTableIds],
				tags: { Name: nameOf([args.prefix, "s3"]) },
			},
			{ parent: this },
		);
	}

	/** Lets the clients in on 443. No egress: an endpoint only answers. */
	private securityGroup(name: string, args: VpcEndpointsArgs): pulumi.Output<string> {
		const description = "Interface endpoints of AWS services";
		// A group's description cannot change, and two groups of a VPC cannot share a name.
		const groupName = nameByContent([args.prefix, "endpoints"], { description });
		const group = new SecurityGroup(
			`${name}-security-group`,
			{ name: groupName, description, vpcId: args.vpcId, tags: { Name: groupName } },
			{ parent: this },
		);
		for (const cidr of args.clientCidrs) {
			new SecurityGroupIngressRule(
				`${name}-from-${cidr}`,
				{
					securityGroupId: group.id,
					cidrIpv4: cidr,
					ipProtocol: "tcp",
					fromPort: 443,
					toPort: 443,
					description: "HTTPS from private subnets",
				},
				{ parent: this },
			);
		}
		return group.id;
	}

	private interface(name: string, args: VpcEndpointsArgs, service: string, securityGroupId: pulumi.Input<string>): void {
		new VpcEndpoint(
			`${name}-${service}`,
			{
				vpcId: args.vpcId,
				vpcEndpointType: "Interface",
				serviceName: serviceName(args, service),
				subnetIds: [...args.subnetIds],
				securityGroupIds: [securityGroupId],
				privateDnsEnabled: true,
				tags: { Name: nameOf([args.prefix, service]) },
			},
			{ parent: this },
		);
	}
}

function serviceName({ region }: VpcEndpointsArgs, service: string): string {
	return `com.amazonaws.${region}.${service}`;
}
