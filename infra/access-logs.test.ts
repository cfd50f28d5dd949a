import { describe, expect, it } from "vitest";
import { type ResourceRecord, type StackRecord, UNKNOWN } from "../core/record.ts";
import { record } from "../preview/record.ts";
import { AccessLogs } from "./access-logs.ts";

const NAME = "agentic-flow-test-alb-logs-111122223333";

const stackOf = (protect: boolean): Promise<StackRecord> =>
	record({ project: "agentic-flow", stack: "test" }, async () => {
		new AccessLogs("logs", { prefix: "agentic-flow-test", accountId: "111122223333", retentionDays: 90, protect }, {});
		return {};
	});

function only({ resources }: StackRecord, type: string): ResourceRecord {
	const [found, ...more] = resources.filter((one) => one.type.endsWith(`:${type}`));
	if (!found || more.length > 0) throw new Error(`not one resource of type ${type}`);
	return found;
}

describe("AccessLogs", () => {
	it("is a private, encrypted bucket that its owner owns everything in", async () => {
		const stack = await stackOf(true);
		expect(only(stack, "Bucket").inputs).toEqual({ bucket: NAME, forceDestroy: false });
		expect(only(stack, "BucketPublicAccessBlock").inputs).toEqual({
			bucket: UNKNOWN,
			blockPublicAcls: true,
			blockPublicPolicy: true,
			ignorePublicAcls: true,
			restrictPublicBuckets: true,
		});
		expect(only(stack, "BucketOwnershipControls").inputs.rule).toEqual({ objectOwnership: "BucketOwnerEnforced" });
		expect(only(stack, "BucketServerSideEncryptionConfiguration").inputs.rules).toEqual([
			{ applyServerSideEncryptionByDefault: { sseAlgorithm: "AES256" } },
		]);
	});

	it("lets the log service write for this account, and nobody do anything without TLS", async () => {
		const policy = only(await stackOf(true), "BucketPolicy").inputs.policy;
		const { Statement } = JSON.parse(String(policy)) as { Statement: Record<string, unknown>[] };
		expect(Statement).toEqual([
			{
				Sid: "LogDelivery",
				Effect: "Allow",
				Principal: { Service: "logdelivery.elasticloadbalancing.amazonaws.com" },
				Action: ["s3:PutObject"],
				Resource: `arn:aws:s3:::${NAME}/AWSLogs/111122223333/*`,
			},
			{
				Sid: "TlsOnly",
				Effect: "Deny",
				Principal: { AWS: "*" },
				Action: ["s3:*"],
				Resource: [`arn:aws:s3:::${NAME}`, `arn:aws:s3:::${NAME}/*`],
				Condition: { Bool: { "aws:SecureTransport": "false" } },
			},
		]);
	});

	it("forgets logs after the given days", async () => {
		expect(only(await stackOf(true), "BucketLifecycleConfiguration").inputs.rules).toMatchObject([
			{ status: "Enabled", expiration: { days: 90 } },
		]);
	});

	it("is left behind where it is protected, and goes with its logs where it is not", async () => {
		const kept = only(await stackOf(true), "Bucket");
		expect([kept.protect, kept.retainOnDelete, kept.inputs.forceDestroy]).toEqual([true, true, false]);
		const disposable = only(await stackOf(false), "Bucket");
		expect([disposable.protect, disposable.retainOnDelete, disposable.inputs.forceDestroy]).toEqual([false, false, true]);
	});
});
