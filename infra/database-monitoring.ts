import { Role } from "@pulumi/aws/iam/role.js";
import { RolePolicyAttachment } from "@pulumi/aws/iam/rolePolicyAttachment.js";
import * as pulumi from "@pulumi/pulumi";
import { nameOf } from "../core/names.ts";
import { policyDocument } from "./iam-policy.ts";

export interface DatabaseMonitoringArgs {
	/** First part of the role's name, e.g. `agentic-flow-dev`. */
	readonly prefix: string;
	/** AWS account, twelve digits. */
	readonly accountId: string;
}

/** The role by which RDS writes an instance's operating-system figures to CloudWatch (Enhanced Monitoring). */
export class DatabaseMonitoring extends pulumi.ComponentResource {
	/** Known once the role may do its work. */
	readonly roleArn: pulumi.Output<string>;

	constructor(name: string, args: DatabaseMonitoringArgs, opts: pulumi.ComponentResourceOptions) {
		super("agentic-flow:infra:DatabaseMonitoring", name, {}, opts);
		const role = new Role(
			`${name}-role`,
			{
				name: nameOf([args.prefix, "postgres", "monitoring"]),
				assumeRolePolicy: policyDocument([
					{
						Effect: "Allow",
						Principal: { Service: "monitoring.rds.amazonaws.com" },
						Action: ["sts:AssumeRole"],
						Condition: { StringEquals: { "aws:SourceAccount": args.accountId } },
					},
				]),
			},
			{ parent: this },
		);
		const policy = new RolePolicyAttachment(
			`${name}-policy`,
			{ role: role.name, policyArn: "arn:aws:iam::aws:policy/service-role/AmazonRDSEnhancedMonitoringRole" },
			{ parent: this },
		);
		this.roleArn = pulumi.all([role.arn, policy.id]).apply(([arn]) => arn);
		this.registerOutputs({ roleArn: this.roleArn });
	}
}
