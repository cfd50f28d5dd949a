import { describe, expect, it } from "vitest";
import type { ResourceRecord } from "../core/record.ts";
import { record } from "../preview/record.ts";
import { Registry, type RegistryArgs } from "./registry.ts";

const args: RegistryArgs = {
	prefix: "agentic-flow-test",
	accountId: "111122223333",
	region: "eu-west-1",
	keyArn: "arn:key",
	keepImages: 100,
	protect: true,
};

async function registry(changes: Partial<RegistryArgs>): Promise<{ url: string; repository: ResourceRecord; policy: string }> {
	let url = "";
	const { resources } = await record({ project: "agentic-flow", stack: "test" }, async () => {
		url = new Registry("registry", { ...args, ...changes }, {}).url;
		return {};
	});
	const repository = resources.find(({ type }) => type === "aws:ecr/repository:Repository");
	const lifecycle = resources.find(({ type }) => type === "aws:ecr/lifecyclePolicy:LifecyclePolicy");
	if (!repository || !lifecycle) throw new Error("the registry is not complete");
	return { url, repository, policy: String(lifecycle.inputs.policy) };
}

describe("Registry", () => {
	it("scans what is pushed, lets no tag move and encrypts with the given key", async () => {
		expect((await registry({})).repository.inputs).toEqual({
			name: "agentic-flow-test-server",
			imageTagMutability: "IMMUTABLE",
			imageScanningConfiguration: { scanOnPush: true },
			encryptionConfigurations: [{ encryptionType: "KMS", kmsKey: "arn:key" }],
			forceDelete: false,
		});
	});

	it("knows its address before it exists", async () => {
		expect((await registry({})).url).toBe("111122223333.dkr.ecr.eu-west-1.amazonaws.com/agentic-flow-test-server");
	});

	it("deletes images with it only where nothing is protected", async () => {
		const { repository } = await registry({ protect: false });
		expect([repository.protect, repository.inputs.forceDelete]).toEqual([false, true]);
		expect((await registry({})).repository.protect).toBe(true);
	});

	it("keeps as many images as it is told", async () => {
		const { rules } = JSON.parse((await registry({ keepImages: 7 })).policy) as { rules: { selection: object }[] };
		expect(rules.map(({ selection }) => selection)).toEqual([
			{ tagStatus: "untagged", countType: "sinceImagePushed", countUnit: "days", countNumber: 7 },
			{ tagStatus: "any", countType: "imageCountMoreThan", countNumber: 7 },
		]);
	});
});
