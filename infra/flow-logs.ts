import { LogGroup } from "@pulumi/aws/cloudwatch/logGroup.js";
import { FlowLog } from "@pulumi/aws/ec2/flowLog.js";
import { Role } from "@pulumi/aws/iam/role.js";
import { RolePolicy } from "@pulumi/aws/iam/rolePolicy.js";
import * as pulumi from "@pulumi/pulumi";
import { nameOf } from "../core/names.ts";
import { policyDocument } from "./iam-policy.ts";

/** Settings of {@link FlowLogs}. */
export interface FlowLogsArgs {
	/** Starts every physical name. */
	readonly prefix: string;
	/** The AWS account, twelve digits. */
	readonly accountId: string;
	readonly region: string;
	readonly vpcId: pulumi.Input<string>;
	/** Days that flow logs are kept. */
	readonly retentionDays: number;
	/** The key that encrypts them. */
	readonly logsKeyArn: pulumi.Input<string>;
}

/** Who talked to whom in a VPC, accepted or refused, in an encrypted log group. */
export class FlowLogs extends pulumi.ComponentResource {
	constructor(name: string, args: FlowLogsArgs, opts: pulumi.ComponentResourceOptions) {
		super("agentic-flow:infra:FlowLogs", name, {}, opts);
		const group = this.logGroup(name, args);
		const role = this.role(name, args);
		const policy = this.policy(name, args, role);
		new FlowLog(
			name,
			{
				vpcId: args.vpcId,
				trafficType: "ALL",
				logDestinationType: "cloud-watch-logs",
				logDestination: group.arn,
				iamRoleArn: role.arn,
				tags: { Name: nameOf([args.prefix, "flow-logs"]) },
			},
			{ parent: this, dependsOn: [policy] },
		);
		this.registerOutputs({});
	}

	private logGroup(name: string, args: FlowLogsArgs): LogGroup {
		return new LogGroup(
			`${name}-group`,
			{ name: groupName(args), retentionInDays: args.retentionDays, kmsKeyId: args.logsKeyArn },
			{ parent: this },
		);
	}

	/** https://docs.aws.amazon.com/vpc/latest/userguide/flow-logs-iam-role.html */
	private role(name: string, { prefix, accountId, region }: FlowLogsArgs): Role {
		return new Role(
			`${name}-role`,
			{
				name: nameOf([prefix, "flow-logs"]),
				assumeRolePolicy: policyDocument([
					{
						Effect: "Allow",
						Principal: { Service: "vpc-flow-logs.amazonaws.com" },
						Action: ["sts:AssumeRole"],
						Condition: {
							StringEquals: { "aws:SourceAccount": accountId },
							ArnLike: { "aws:SourceArn": `arn:aws:ec2:${region}:${accountId}:vpc-flow-log/*` },
						},
					},
				]),
			},
			{ parent: this },
		);
	}

	private policy(name: string, args: FlowLogsArgs, role: Role): RolePolicy {
		const groups = `arn:aws:logs:${args.region}:${args.accountId}:log-group:`;
		return new RolePolicy(
			`${name}-policy`,
			{
				role: role.name,
				policy: policyDocument([
					{
						Effect: "Allow",
						Action: ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
						Resource: `${groups}${groupName(args)}:*`,
					},
					{ Effect: "Allow", Action: ["logs:DescribeLogGroups"], Resource: `${groups}*` },
				]),
			},
			{ parent: this },
		);
	}
}

function groupName({ prefix }: FlowLogsArgs): string {
	return `/aws/vpc/${prefix}/flow-logs`;
}
