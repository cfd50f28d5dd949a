import { Alias } from "@pulumi/aws/kms/alias.js";
import { Key } from "@pulumi/aws/kms/key.js";
import * as pulumi from "@pulumi/pulumi";
import { nameOf } from "../core/names.ts";
import { policyDocument, type Statement } from "./iam-policy.ts";

/** What a key is for. Each purpose has its own, so that access to one opens nothing else. */
export type KeyPurpose = "cluster" | "disks" | "data" | "secrets" | "logs" | "registry";

const descriptions: Readonly<Record<KeyPurpose, string>> = {
	cluster: "Kubernetes secrets in EKS",
	disks: "EBS volumes of nodes and pods",
	data: "RDS and ElastiCache at rest",
	secrets: "Secrets Manager",
	logs: "CloudWatch log groups",
	registry: "ECR repositories",
};

/** Settings of {@link Keys}. */
export interface KeysArgs {
	/** Starts every alias: `alias/<prefix>-<purpose>`. */
	readonly prefix: string;
	/** The AWS account, twelve digits. */
	readonly accountId: string;
	readonly region: string;
	/** Whether Pulumi refuses to delete the keys. */
	readonly protect: boolean;
	/** Days in which a deleted key can be brought back, 7 to 30. */
	readonly deletionWindowDays: number;
}

/**
 * Customer managed KMS keys, rotated every year.
 *
 * A key policy names the account and, where a service uses the key by itself, that service. Everybody else needs the
 * account's IAM policies. KMS refuses a policy that names a role which does not exist: in an account that never had an
 * Auto Scaling group, `aws iam create-service-linked-role --aws-service-name autoscaling.amazonaws.com` comes first.
 */
export class Keys extends pulumi.ComponentResource {
	/** ARN of each key. */
	readonly arns: Readonly<Record<KeyPurpose, pulumi.Output<string>>>;

	constructor(name: string, args: KeysArgs, opts: pulumi.ComponentResourceOptions) {
		super("agentic-flow:infra:Keys", name, {}, opts);
		this.arns = {
			cluster: this.key(name, args, "cluster", []),
			disks: this.key(name, args, "disks", forAutoScaling(args)),
			data: this.key(name, args, "data", []),
			secrets: this.key(name, args, "secrets", []),
			logs: this.key(name, args, "logs", forCloudWatchLogs(args)),
			registry: this.key(name, args, "registry", []),
		};
		this.registerOutputs({ arns: this.arns });
	}

	private key(name: string, args: KeysArgs, purpose: KeyPurpose, services: readonly Statement[]): pulumi.Output<string> {
		const key = new Key(
			`${name}-${purpose}`,
			{
				description: `${args.prefix}: ${descriptions[purpose]}`,
				enableKeyRotation: true,
				deletionWindowInDays: args.deletionWindowDays,
				policy: policyDocument([forAccount(args), ...services]),
			},
			{ parent: this, protect: args.protect },
		);
		new Alias(`${name}-${purpose}-alias`, { name: `alias/${nameOf([args.prefix, purpose])}`, targetKeyId: key.keyId }, { parent: this });
		return key.arn;
	}
}

// A key policy's `*` is the key itself: https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-overview.html
const THIS_KEY = "*";
const USE = ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"];

/** Leaves it to IAM who in the account may do what. Without it nobody could ever change the key again. */
function forAccount({ accountId }: KeysArgs): Statement {
	return {
		Sid: "AccountAdministers",
		Effect: "Allow",
		Principal: { AWS: `arn:aws:iam::${accountId}:root` },
		Action: ["kms:*"],
		Resource: THIS_KEY,
	};
}

/** https://docs.aws.amazon.com/autoscaling/ec2/userguide/key-policy-requirements-EBS-encryption.html */
function forAutoScaling({ accountId }: KeysArgs): Statement[] {
	const Principal = { AWS: `arn:aws:iam::${accountId}:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling` };
	return [
		{ Sid: "AutoScalingUses", Effect: "Allow", Principal, Action: USE, Resource: THIS_KEY },
		{
			Sid: "AutoScalingGrants",
			Effect: "Allow",
			Principal,
			Action: ["kms:CreateGrant"],
			Resource: THIS_KEY,
			Condition: { Bool: { "kms:GrantIsForAWSResource": "true" } },
		},
	];
}

/** https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/encrypt-log-data-kms.html */
function forCloudWatchLogs({ accountId, region }: KeysArgs): Statement[] {
	return [
		{
			Sid: "LogGroupsOfThisAccount",
			Effect: "Allow",
			Principal: { Service: `logs.${region}.amazonaws.com` },
			Action: USE,
			Resource: THIS_KEY,
			Condition: { ArnLike: { "kms:EncryptionContext:aws:logs:arn": `arn:aws:logs:${region}:${accountId}:log-group:*` } },
		},
	];
}
