import { Bucket } from "@pulumi/aws/s3/bucket.js";
import { BucketLifecycleConfiguration } from "@pulumi/aws/s3/bucketLifecycleConfiguration.js";
import { BucketOwnershipControls } from "@pulumi/aws/s3/bucketOwnershipControls.js";
import { BucketPolicy } from "@pulumi/aws/s3/bucketPolicy.js";
import { BucketPublicAccessBlock } from "@pulumi/aws/s3/bucketPublicAccessBlock.js";
import { BucketServerSideEncryptionConfiguration } from "@pulumi/aws/s3/bucketServerSideEncryptionConfiguration.js";
import { BucketVersioning } from "@pulumi/aws/s3/bucketVersioning.js";
import * as pulumi from "@pulumi/pulumi";
import { nameOf } from "../core/names.ts";
import { policyDocument } from "./iam-policy.ts";

/** Days in which a log that somebody deleted can be brought back. */
const DELETED_DAYS = 7;

export interface AccessLogsArgs {
	/** First part of the bucket's name, e.g. `agentic-flow-dev`. */
	readonly prefix: string;
	/** AWS account, twelve digits: makes the bucket's name unique in the world. */
	readonly accountId: string;
	/** Days that logs are kept. */
	readonly retentionDays: number;
	/** Refuse to delete the bucket, and leave it behind if it is deleted all the same. Otherwise its logs go with it. */
	readonly protect: boolean;
}

/**
 * The bucket a load balancer writes its access logs to. Depend on the whole component: a load balancer tries to write
 * when logging is switched on, and needs the policy for that.
 */
export class AccessLogs extends pulumi.ComponentResource {
	/** The bucket's name. */
	readonly bucket: string;

	constructor(name: string, args: AccessLogsArgs, opts: pulumi.ComponentResourceOptions) {
		super("agentic-flow:infra:AccessLogs", name, {}, opts);
		this.bucket = nameOf([args.prefix, "alb-logs", args.accountId]);
		const bucket = new Bucket(
			`${name}-bucket`,
			{ bucket: this.bucket, forceDestroy: !args.protect },
			{ parent: this, protect: args.protect, retainOnDelete: args.protect },
		);
		this.secure(name, args, bucket);
		this.expire(name, args, bucket);
		this.registerOutputs({ bucket: this.bucket });
	}

	/** Private, encrypted, and open to the log delivery service alone. */
	private secure(name: string, args: AccessLogsArgs, bucket: Bucket): void {
		new BucketOwnershipControls(
			`${name}-ownership`,
			{ bucket: bucket.id, rule: { objectOwnership: "BucketOwnerEnforced" } },
			{ parent: this },
		);
		// Load balancers cannot write to a bucket that is encrypted with a key of ours.
		new BucketServerSideEncryptionConfiguration(
			`${name}-encryption`,
			{ bucket: bucket.id, rules: [{ applyServerSideEncryptionByDefault: { sseAlgorithm: "AES256" } }] },
			{ parent: this },
		);
		const publicAccess = new BucketPublicAccessBlock(
			`${name}-public-access`,
			{ bucket: bucket.id, blockPublicAcls: true, blockPublicPolicy: true, ignorePublicAcls: true, restrictPublicBuckets: true },
			{ parent: this },
		);
		// S3 refuses two changes of one bucket's access at once, hence one after the other.
		new BucketPolicy(
			`${name}-policy`,
			{ bucket: bucket.id, policy: policyOf(this.bucket, args.accountId) },
			{ parent: this, dependsOn: publicAccess },
		);
	}

	private expire(name: string, args: AccessLogsArgs, bucket: Bucket): void {
		const versioning = new BucketVersioning(
			`${name}-versioning`,
			{ bucket: bucket.id, versioningConfiguration: { status: "Enabled" } },
			{ parent: this },
		);
		new BucketLifecycleConfiguration(
			`${name}-lifecycle`,
			{
				bucket: bucket.id,
				rules: [
					{
						id: "expire",
						status: "Enabled",
						filter: { prefix: "" },
						expiration: { days: args.retentionDays },
						noncurrentVersionExpiration: { noncurrentDays: DELETED_DAYS },
						abortIncompleteMultipartUpload: { daysAfterInitiation: DELETED_DAYS },
					},
				],
			},
			{ parent: this, dependsOn: versioning },
		);
	}
}

/**
 * The service writes below the account's own path only, which is how AWS documents the limit; it promises no source
 * account to put into a condition. https://docs.aws.amazon.com/elasticloadbalancing/latest/application/enable-access-logging.html
 */
function policyOf(bucket: string, accountId: string): string {
	const arn = `arn:aws:s3:::${bucket}`;
	return policyDocument([
		{
			Sid: "LogDelivery",
			Effect: "Allow",
			Principal: { Service: "logdelivery.elasticloadbalancing.amazonaws.com" },
			Action: ["s3:PutObject"],
			Resource: `${arn}/AWSLogs/${accountId}/*`,
		},
		{
			Sid: "TlsOnly",
			Effect: "Deny",
			Principal: { AWS: "*" },
			Action: ["s3:*"],
			Resource: [arn, `${arn}/*`],
			Condition: { Bool: { "aws:SecureTransport": "false" } },
		},
	]);
}
