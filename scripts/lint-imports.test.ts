import { describe, expect, it } from "vitest";
import { lintImports } from "./lint-imports.ts";

/** The first line of each breach in these files. */
function breaches(files: Record<string, string>): string[] {
	return lintImports(new Map(Object.entries(files))).map((text) => text.split("\n")[0] as string);
}

/** A layer, and a file that it must not import. */
const forbidden: [file: string, target: string][] = [
	["core/names.ts", "app/contract.ts"],
	["core/names.ts", "infra/network.ts"],
	["infra/network.ts", "app/contract.ts"],
	["infra/network.ts", "components/server.ts"],
	["infra/network.ts", "stacks/config.ts"],
	["components/server.ts", "infra/network.ts"],
	["components/server.ts", "stacks/config.ts"],
	["components/observability/grafana.ts", "infra/network.ts"],
	["stacks/platform.ts", "preview/record.ts"],
	["stacks/platform.ts", "cli/print.ts"],
	["preview/record.ts", "stacks/config.ts"],
	["preview/record.ts", "infra/network.ts"],
	["policies/encryption.ts", "preview/record.ts"],
	["policies/encryption.ts", "infra/network.ts"],
	["local/topology.ts", "stacks/config.ts"],
	["local/topology.ts", "stacks/platform.ts"],
	["local/topology.ts", "infra/network.ts"],
	["cli/print.ts", "infra/network.ts"],
	["cli/print.ts", "components/server.ts"],
	["cli/print.ts", "app/contract.ts"],
	["app/main.ts", "core/names.ts"],
	["core/names.ts", "test/cluster/control-plane.ts"],
	["core/names.ts", "app/main.ts"],
	["cli/print.ts", "app/main.ts"],
	["bench/http.ts", "app/main.ts"],
	["core/names.test.ts", "app/main.ts"],
	["core/names.ts", "../outside.ts"],
];

const allowed: [file: string, target: string][] = [
	["core/names.ts", "core/errors.ts"],
	["infra/network.ts", "core/names.ts"],
	["components/server.ts", "core/names.ts"],
	["components/server.ts", "app/contract.ts"],
	["stacks/platform.ts", "infra/network.ts"],
	["stacks/platform.ts", "components/server.ts"],
	["stacks/platform.ts", "app/contract.ts"],
	["preview/record.ts", "core/record.ts"],
	["policies/encryption.ts", "core/record.ts"],
	["local/topology.ts", "core/names.ts"],
	["local/topology.ts", "app/contract.ts"],
	["cli/print.ts", "stacks/platform.ts"],
	["cli/print.ts", "preview/record.ts"],
	["cli/print.ts", "policies/encryption.ts"],
	["cli/print.ts", "local/topology.ts"],
	["app/main.ts", "app/http/server.ts"],
	["app/main.ts", "app/contract.ts"],
	["core/names.test.ts", "preview/record.ts"],
	["components/pods.fixture.ts", "preview/record.ts"],
	["test/haproxy/cookie.test.ts", "app/cookie.ts"],
	["bench/preview.ts", "stacks/platform.ts"],
];

/** How `file` writes an import of `target`. */
function specifier(file: string, target: string): string {
	return `${"../".repeat(file.split("/").length - 1)}${target}`;
}

describe("the import rules", () => {
	it.each(forbidden)("keep %s from %s", (file, target) => {
		const path = specifier(file, target);
		expect(breaches({ [file]: `import { x } from "${path}";` })).toEqual([`${file}:1: imports ${path}`]);
	});

	it.each(allowed)("let %s import %s", (file, target) => {
		expect(breaches({ [file]: `import { x } from "${specifier(file, target)}";` })).toEqual([]);
	});

	it.each([
		["a type import", 'import type { X } from "../infra/x.ts";'],
		["a side effect", 'import "../infra/x.ts";'],
		["a re-export", 'export { x } from "../infra/x.ts";'],
		["a re-export of everything", 'export * from "../infra/x.ts";'],
		["a dynamic import", 'const x = await import("../infra/x.ts");'],
		["a type in place", 'let x: import("../infra/x.ts").X;'],
	])("see %s", (_name, code) => {
		expect(breaches({ "core/names.ts": `\n${code}` })).toEqual(["core/names.ts:2: imports ../infra/x.ts"]);
	});

	it("do not take text for an import", () => {
		expect(breaches({ "core/names.ts": '// import "../infra/x.ts"\nconst x = \'import "../infra/x.ts"\';\nexport { x };' })).toEqual([]);
	});

	it("let local/ have the settings' type, with `import type` only", () => {
		expect(breaches({ "local/topology.ts": 'import type { StackConfig } from "../stacks/config.ts";' })).toEqual([]);
		expect(breaches({ "local/topology.ts": 'import { type StackConfig } from "../stacks/config.ts";' })).toHaveLength(1);
	});

	it("keep the contract free of imports, even of a package", () => {
		expect(breaches({ "app/contract.ts": 'import { join } from "node:path";' })).toEqual(["app/contract.ts:1: imports node:path"]);
	});

	it.each(["@pulumi/aws", "@pulumi/kubernetes", "@pulumi/aws/index.js"])("refuse the whole of %s, in tests too", (name) => {
		expect(breaches({ "infra/x.ts": `import * as x from "${name}";`, "infra/x.test.ts": `import * as x from "${name}";` })).toHaveLength(2);
	});

	it("accept a class of its own file, and the Pulumi SDK", () => {
		expect(breaches({ "infra/x.ts": 'import * as pulumi from "@pulumi/pulumi";\nimport { Vpc } from "@pulumi/aws/ec2/vpc.js";' })).toEqual(
			[],
		);
	});

	it("say the rule and its reason", () => {
		expect(lintImports(new Map([["infra/x.ts", 'import "../stacks/config.ts";']]))).toEqual([
			"infra/x.ts:1: imports ../stacks/config.ts\n" +
				"  rule: infra/ may import core/\n" +
				"  why: an AWS building block knows neither Kubernetes nor the stacks; only stacks/ joins them",
		]);
	});
});

describe("cycles", () => {
	it("are found, and told with every file of the ring", () => {
		const files = { "core/a.ts": 'import "./b.ts";', "core/b.ts": 'export * from "./c.ts";', "core/c.ts": 'import "./a.ts";' };
		expect(breaches(files)).toEqual(["core/a.ts: imports itself: core/a.ts -> core/b.ts -> core/c.ts -> core/a.ts"]);
	});

	it("are found where a file imports itself", () => {
		expect(breaches({ "core/a.ts": 'import "./a.ts";' })).toEqual(["core/a.ts: imports itself: core/a.ts -> core/a.ts"]);
	});

	it("are not two ways to one file", () => {
		expect(breaches({ "core/a.ts": 'import "./b.ts";\nimport "./c.ts";', "core/b.ts": 'import "./c.ts";', "core/c.ts": "" })).toEqual([]);
	});

	it("are not closed by a type, which is gone at run time", () => {
		expect(breaches({ "core/a.ts": 'import "./b.ts";', "core/b.ts": 'import type { A } from "./a.ts";' })).toEqual([]);
	});
});
