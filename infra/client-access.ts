import { SecurityGroup } from "@pulumi/aws/ec2/securityGroup.js";
import { SecurityGroupIngressRule } from "@pulumi/aws/vpc/securityGroupIngressRule.js";
import * as pulumi from "@pulumi/pulumi";

export interface ClientAccessArgs {
	/** The security group's own name. */
	readonly groupName: string;
	/** What is behind the port, e.g. `PostgreSQL`: for descriptions, which AWS cannot change later. */
	readonly service: string;
	readonly port: number;
	readonly vpcId: pulumi.Input<string>;
	/** Security groups that may connect, each by a name that stays. */
	readonly clientSecurityGroupIds: Readonly<Record<string, pulumi.Input<string>>>;
}

/** The security group of a data store: clients, by their groups and never by address, reach its one port. It opens no connections itself. */
export class ClientAccess extends pulumi.ComponentResource {
	readonly securityGroupId: pulumi.Output<string>;

	constructor(name: string, args: ClientAccessArgs, opts: pulumi.ComponentResourceOptions) {
		super("agentic-flow:infra:ClientAccess", name, {}, opts);
		// AWS lets a new group talk to everybody; the provider takes that rule away, and no other is added.
		const group = new SecurityGroup(
			`${name}-group`,
			{ name: args.groupName, description: args.service, vpcId: args.vpcId },
			{ parent: this },
		);
		for (const [client, clientId] of Object.entries(args.clientSecurityGroupIds)) {
			new SecurityGroupIngressRule(
				`${name}-from-${client}`,
				{
					securityGroupId: group.id,
					referencedSecurityGroupId: clientId,
					ipProtocol: "tcp",
					fromPort: args.port,
					toPort: args.port,
					description: `${args.service} from ${client}`,
				},
				{ parent: this },
			);
		}
		this.securityGroupId = group.id;
		this.registerOutputs({ securityGroupId: this.securityGroupId });
	}
}
