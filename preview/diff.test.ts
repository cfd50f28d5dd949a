import { describe, expect, it } from "vitest";
import { SECRET, UNKNOWN } from "../core/record.ts";
import { diff, isSame, onlyStackName } from "./diff.ts";
import { resource, stackOf, urnOf } from "./record.fixture.ts";

const key = { type: "aws:kms/key:Key", name: "keys-data" };

describe("the difference between two stacks", () => {
	it("is nothing for one stack and itself", () => {
		const stack = stackOf([resource({ ...key, inputs: { a: 1 } })], { url: "x" });
		expect(diff(stack, stack)).toEqual({
			before: "test",
			after: "test",
			added: [],
			removed: [],
			changed: [],
			unchanged: 1,
			outputs: [],
		});
		expect(isSame(diff(stack, stack))).toBe(true);
	});

	it("leaves the stacks' names aside: in URNs, in references, and in the name of the stack itself", () => {
		const of = (stack: string) => {
			const root = resource({ type: "pulumi:pulumi:Stack", name: `project-${stack}` }, stack);
			const provider = resource({ type: "pulumi:providers:aws", name: "aws", parent: root.urn }, stack);
			const first = resource({ ...key, parent: root.urn, provider: provider.urn }, stack);
			const inputs = { keyId: UNKNOWN };
			const sources = { dependencies: [first.urn], propertyDependencies: { keyId: [first.urn] } };
			return stackOf([root, provider, first, resource({ type: "t", name: "n", inputs, ...sources }, stack)], {}, stack);
		};
		expect(isSame(diff(of("dev"), of("prod")))).toBe(true);
	});

	it("tells what was added, removed and changed, with every option that changed", () => {
		const before = stackOf([
			resource({ ...key, inputs: { rotation: true }, dependencies: [urnOf("t", "a")] }),
			resource({ type: "t", name: "gone" }),
		]);
		const after = stackOf([
			resource({
				...key,
				inputs: { rotation: false },
				dependencies: [urnOf("t", "b")],
				protect: true,
				retainOnDelete: true,
				ignoreChanges: ["tags"],
				parent: urnOf("c", "keys"),
				provider: urnOf("pulumi:providers:aws", "aws"),
			}),
			resource({ type: "t", name: "new" }),
		]);
		const found = diff(before, after);
		expect(found.added.map(({ name }) => name)).toEqual(["new"]);
		expect(found.removed).toMatchObject([{ resource: { name: "gone" }, stateful: false, movedTo: null }]);
		expect(found.changed).toEqual([
			{
				urn: urnOf(key.type, key.name),
				...key,
				inputs: [{ path: "rotation", before: true, after: false }],
				options: [
					{ path: "parent", before: null, after: "project::c::keys" },
					{ path: "provider", before: null, after: "project::pulumi:providers:aws::aws" },
					{ path: "protect", before: false, after: true },
					{ path: "retainOnDelete", before: false, after: true },
					{ path: "ignoreChanges", after: "tags" },
					{ path: "dependencies", before: "project::t::a" },
					{ path: "dependencies", after: "project::t::b" },
				],
			},
		]);
	});

	it.each([
		["an unknown value", UNKNOWN],
		["a secret", [SECRET]],
	])("tells when %s comes from elsewhere, although it looks the same", (_name, value) => {
		const from = (source: string) =>
			stackOf([resource({ type: "t", name: "n", inputs: { key: value }, propertyDependencies: { key: [urnOf("k", source)] } })]);
		expect(diff(from("old"), from("new")).changed[0]?.options).toEqual([
			{ path: "sources of key", before: "project::k::old" },
			{ path: "sources of key", after: "project::k::new" },
		]);
	});

	it("marks the removal of what holds data", () => {
		const types = [
			"aws:rds/instance:Instance",
			"aws:elasticache/replicationGroup:ReplicationGroup",
			"aws:kms/key:Key",
			"aws:s3/bucket:Bucket",
			"aws:secretsmanager/secret:Secret",
			"aws:ecr/repository:Repository",
			"aws:eks/cluster:Cluster",
			"aws:iam/role:Role",
		];
		const { removed } = diff(stackOf(types.map((type) => resource({ type, name: "x" }))), stackOf([]));
		expect(removed.filter(({ stateful }) => !stateful).map(({ resource: { type } }) => type)).toEqual(["aws:iam/role:Role"]);
	});

	it("finds where a resource went that now has another parent", () => {
		const moved = resource({ ...key, urn: `urn:pulumi:test::project::c$${key.type}::${key.name}` });
		const { removed, added } = diff(stackOf([resource(key)]), stackOf([moved]));
		expect(removed[0]).toMatchObject({ stateful: true, movedTo: moved.urn });
		expect(added).toEqual([moved]);
	});

	it("counts outputs too", () => {
		const found = diff(stackOf([], { url: "a" }), stackOf([], { url: "b" }));
		expect(found.outputs).toEqual([{ path: "url", before: "a", after: "b" }]);
		expect(isSame(found)).toBe(false);
	});
});

describe("a change of the stack's name alone", () => {
	const isName = onlyStackName({ before: "dev", after: "prod" });

	it.each([
		["agentic-flow-dev-keys", "agentic-flow-prod-keys", true],
		["dev", "prod", true],
		["/aws/dev/x-dev", "/aws/prod/x-prod", true],
		["devices", "prodices", false],
		["x-dev", "x-prod-2", false],
		[1, 2, false],
	])("%j => %j: %s", (before, after, expected) => {
		expect(isName({ path: "name", before, after })).toBe(expected);
	});

	it("is none between two previews of one stack", () => {
		expect(onlyStackName({ before: "dev", after: "dev" })({ path: "name", before: "dev", after: "dev" })).toBe(false);
	});
});
