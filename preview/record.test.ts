import { Subnet } from "@pulumi/aws/ec2/subnet.js";
import { Vpc } from "@pulumi/aws/ec2/vpc.js";
import * as pulumi from "@pulumi/pulumi";
import { RandomPassword } from "@pulumi/random/randomPassword.js";
import { describe, expect, it } from "vitest";
import { record } from "./record.ts";

const options = { project: "test", stack: "dev" };

class Group extends pulumi.ComponentResource {
	constructor(name: string) {
		super("test:index:Group", name, {}, {});
		const vpc = new Vpc("vpc", { cidrBlock: "10.0.0.0/16" }, { parent: this, protect: true, ignoreChanges: ["tags"] });
		new Subnet("subnet", { vpcId: vpc.id, cidrBlock: vpc.cidrBlock, tags: { of: pulumi.interpolate`vpc ${vpc.arn}` } }, { parent: this });
	}
}

describe("a recorded program", () => {
	it("shows parents, dependencies, options, what is known and what is not", async () => {
		const { resources } = await record(options, async () => {
			new Group("group");
			return {};
		});
		const vpc = "urn:pulumi:dev::test::test:index:Group$aws:ec2/vpc:Vpc::vpc";
		expect(resources.map(({ urn }) => urn)).toEqual([
			"urn:pulumi:dev::test::pulumi:pulumi:Stack::test-dev",
			"urn:pulumi:dev::test::test:index:Group$aws:ec2/subnet:Subnet::subnet",
			vpc,
			"urn:pulumi:dev::test::test:index:Group::group",
		]);
		expect(resources[1]).toMatchObject({
			parent: "urn:pulumi:dev::test::test:index:Group::group",
			dependencies: [vpc],
			propertyDependencies: { cidrBlock: [vpc], tags: [vpc], vpcId: [vpc] },
			inputs: { cidrBlock: "10.0.0.0/16", tags: { of: { $unknown: true } }, vpcId: { $unknown: true } },
		});
		expect(resources[2]).toMatchObject({ protect: true, ignoreChanges: ["tags"] });
	});

	it("marks what is secret and what is made of it, and keeps no value", async () => {
		const canary = "correct-horse-battery";
		const { resources, outputs } = await record(options, async () => {
			const password = new RandomPassword("password", { length: 20 });
			const tags = { generated: password.result, given: pulumi.secret(canary), within: pulumi.interpolate`user:${password.result}` };
			new Vpc("vpc", { tags });
			return { login: pulumi.secret({ user: "me", password: canary }) };
		});
		expect(resources.find(({ name }) => name === "vpc")?.inputs.tags).toEqual({
			generated: { $secret: true },
			given: { $secret: true },
			within: { $secret: true },
		});
		expect(outputs).toEqual({ login: { $secret: true } });
		expect(JSON.stringify(resources)).not.toContain(canary);
	});

	it("can be told an output, and an id, that a provider would compute", async () => {
		const answer = (type: string): Record<string, string> => (type === "aws:ec2/vpc:Vpc" ? { id: "vpc-1", arn: "arn:1" } : {});
		const { outputs } = await record({ ...options, answer }, async () => {
			const vpc = new Vpc("vpc", {});
			return { id: vpc.id, arn: vpc.arn, owner: vpc.ownerId };
		});
		expect(outputs).toEqual({ id: "vpc-1", arn: "arn:1", owner: { $unknown: true } });
	});
});

describe("a program that cannot be recorded", () => {
	const failing: [what: string, program: () => Promise<Record<string, unknown>>, message: string][] = [
		["throws", async () => Promise.reject(new Error("boom")), "boom"],
		[
			"throws inside apply",
			async () => {
				const vpc = new Vpc("vpc", { cidrBlock: "10.0.0.0/16" });
				const cidrBlock = vpc.cidrBlock.apply((): string => {
					throw new Error("boom");
				});
				new Subnet("subnet", { vpcId: vpc.id, cidrBlock });
				return {};
			},
			"boom",
		],
		[
			"gives two resources one name",
			async () => {
				new Vpc("vpc", {});
				new Vpc("vpc", {});
				return {};
			},
			"two resources have the URN urn:pulumi:dev::test::aws:ec2/vpc:Vpc::vpc",
		],
		[
			"asks the cloud",
			async () => ({ answer: await pulumi.runtime.invoke("aws:index/getRegion:getRegion", {}) }),
			"settings must be complete",
		],
		["reads what is outside the stack", async () => ({ vpc: Vpc.get("vpc", "vpc-1").arn }), "nothing outside the stack is looked up"],
	];
	it.each(failing)("because it %s fails with its reason, and the next run does not", async (_what, program, message) => {
		await expect(record(options, program)).rejects.toThrow(message);
		const next = await record(options, async () => {
			new Vpc("vpc", {});
			return { fine: true };
		});
		expect(next.outputs).toEqual({ fine: true });
	});
});
