import { describe, expect, it } from "vitest";
import { SECRET, UNKNOWN } from "../core/record.ts";
import { object, resource, stackOf, urnOf } from "./record.fixture.ts";
import { shortType, type TreeNode, totalsOf, treeOf } from "./tree.ts";

describe("the tree", () => {
	it("puts every resource below its parent, and one whose parent is not there at the top", () => {
		const network = resource({ type: "c", name: "network", custom: false });
		const tree = treeOf(
			stackOf([
				resource({ type: "z", name: "vpc", parent: network.urn }),
				network,
				resource({ type: "y", name: "gateway", parent: network.urn }),
				resource({ type: "d", name: "stray", parent: urnOf("c", "absent") }),
			]),
		);
		const names = (nodes: readonly TreeNode[]): unknown => nodes.map(({ resource: { name }, children }) => [name, names(children)]);
		expect(names(tree)).toEqual([
			[
				"network",
				[
					["gateway", []],
					["vpc", []],
				],
			],
			["stray", []],
		]);
	});
});

describe("short types", () => {
	it.each([
		["aws:ec2/vpc:Vpc", "aws:ec2:Vpc"],
		["random:index/randomPassword:RandomPassword", "random:index:RandomPassword"],
		["kubernetes:apps/v1:Deployment", "kubernetes:apps/v1:Deployment"],
		["agentic-flow:infra:Network", "agentic-flow:infra:Network"],
		["pulumi:providers:aws", "pulumi:providers:aws"],
	])("%s is %s", (type, short) => {
		expect(shortType(type)).toBe(short);
	});
});

describe("totals", () => {
	it("count what providers make by package, apart from components, providers and the stack", () => {
		const totals = totalsOf(
			stackOf([
				resource({ type: "pulumi:pulumi:Stack", name: "s", custom: false }),
				resource({ type: "pulumi:providers:aws", name: "aws" }),
				resource({ type: "agentic-flow:infra:Keys", name: "keys", custom: false }),
				resource({ type: "aws:kms/key:Key", name: "b", protect: true, inputs: { a: UNKNOWN, b: [{ c: UNKNOWN }, SECRET] } }),
				resource({ type: "aws:kms/key:Key", name: "a", retainOnDelete: true }),
				object("Namespace", "n"),
			]),
		);
		expect(totals).toEqual({
			all: 6,
			byPackage: new Map([
				["aws", 2],
				["kubernetes", 1],
			]),
			byType: new Map([
				["agentic-flow:infra:Keys", 1],
				["aws:kms:Key", 2],
				["kubernetes:core/v1:Namespace", 1],
				["pulumi:providers:aws", 1],
				["pulumi:pulumi:Stack", 1],
			]),
			components: 1,
			protected: 1,
			retained: 1,
			unknownValues: 2,
			secretValues: 1,
		});
	});
});
