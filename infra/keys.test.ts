import { beforeAll, describe, expect, it } from "vitest";
import type { ResourceRecord } from "../core/record.ts";
import { record } from "../preview/record.ts";
import type { Statement } from "./iam-policy.ts";
import { Keys } from "./keys.ts";

let resources: readonly ResourceRecord[];

beforeAll(async () => {
	const args = { prefix: "agentic-flow-test", accountId: "111122223333", region: "eu-west-1", protect: true, deletionWindowDays: 30 };
	({ resources } = await record({ project: "agentic-flow", stack: "test" }, async () => {
		new Keys("keys", args, {});
		return {};
	}));
});

describe("Keys", () => {
	it("are rotated, protected and recoverable for 30 days", () => {
		const keys = resources.filter(({ type }) => type === "aws:kms/key:Key");
		expect(keys.map(({ name }) => name)).toEqual(["keys-cluster", "keys-data", "keys-disks", "keys-logs", "keys-registry", "keys-secrets"]);
		for (const { inputs, protect } of keys) {
			expect(inputs).toMatchObject({ enableKeyRotation: true, deletionWindowInDays: 30 });
			expect(protect).toBe(true);
		}
	});

	it("have an alias each", () => {
		const aliases = resources.filter(({ type }) => type === "aws:kms/alias:Alias").map(({ inputs }) => inputs.name);
		expect(aliases).toEqual([
			"alias/agentic-flow-test-cluster",
			"alias/agentic-flow-test-data",
			"alias/agentic-flow-test-disks",
			"alias/agentic-flow-test-logs",
			"alias/agentic-flow-test-registry",
			"alias/agentic-flow-test-secrets",
		]);
	});

	it("name everybody who may use them", () => {
		const root = "arn:aws:iam::111122223333:root";
		const autoScaling = "arn:aws:iam::111122223333:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling";
		expect(principals("keys-disks")).toEqual([root, autoScaling, autoScaling]);
		expect(principals("keys-logs")).toEqual([root, "logs.eu-west-1.amazonaws.com"]);
		for (const purpose of ["cluster", "data", "registry", "secrets"]) expect(principals(`keys-${purpose}`)).toEqual([root]);
	});

	it("let services act on their own resources of this account only", () => {
		expect(statements("keys-logs")[1]?.Condition).toEqual({
			ArnLike: { "kms:EncryptionContext:aws:logs:arn": "arn:aws:logs:eu-west-1:111122223333:log-group:*" },
		});
		const grant = statements("keys-disks").find(({ Action }) => Action.includes("kms:CreateGrant"));
		expect(grant?.Condition).toEqual({ Bool: { "kms:GrantIsForAWSResource": "true" } });
	});
});

function statements(key: string): Statement[] {
	return JSON.parse(String(resources.find(({ name }) => name === key)?.inputs.policy)).Statement;
}

function principals(key: string): (string | undefined)[] {
	return statements(key).map(({ Principal }) => Principal?.AWS ?? Principal?.Service);
}
