import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const root = path.dirname(import.meta.dirname);

/** Each must fail with a message that begins like this. */
const refused: Record<string, [code: string, message: string]> = {
	"a resource inside apply": ["vpc.id.apply((id) => new Subnet(name, { id }));", "No resource inside apply"],
	"a resource deep inside apply": [
		"all([a, b]).apply(([x]) => { if (x) { x.map((y) => new aws.Thing(y)); } });",
		"No resource inside apply",
	],
	"a resource inside an apply inside an apply": [
		"a.apply(function (x) { return b.apply((y) => new Thing(x, y)); });",
		"No resource inside apply",
	],
	"a data source": ["getAmiOutput({ owners: [] });", "No data source or invoke"],
	"a data source of the package": ["aws.ec2.getAmi({ owners: [] });", "No data source or invoke"],
	"an invoke": ['pulumi.runtime.invoke("aws:index:getRegion", {});', "No data source or invoke"],
	"an import of a data source": ['import { getAmi } from "@pulumi/aws/ec2/getAmi.js";', "No data source:"],
	"a number by chance": ["Math.random();", "No chance"],
	"chance passed on": ["names.map(Math.random);", "No chance"],
	"a random id": ["crypto.randomUUID();", "No chance"],
	"random bytes": ["randomBytes(4);", "No chance"],
	"the clock": ["Date.now();", "No clock"],
	"a date": ["new Date();", "No clock"],
};

const accepted: Record<string, string> = {
	"a plain value inside apply": "arn.apply((value) => new Map([[value, 1]]));",
	"an error inside apply": "arn.apply((value) => { throw new UserError(value, []); });",
	"an output of a new resource": "new Vpc(name).id.apply((id) => id.length);",
	"an input made with apply": "new Subnet(name, { id: vpc.id.apply((id) => id) });",
	"a getter of our own": "settings.get(key);",
	"the stack's name": "pulumi.getStack();",
};

describe("what the program may not do", () => {
	const folder = mkdtempSync(path.join(tmpdir(), "lint-program-"));
	let found: Map<string, string[]>;

	beforeAll(() => {
		for (const file of ["biome.json", ".gitignore", "scripts/lint-program.grit"]) cpSync(path.join(root, file), path.join(folder, file));
		const write = (where: string, code: string) => {
			mkdirSync(path.dirname(path.join(folder, where)), { recursive: true });
			writeFileSync(path.join(folder, where), `${code}\n`);
		};
		for (const [name, [code]] of Object.entries(refused)) write(fileOf("infra", name), code);
		for (const [name, code] of Object.entries(accepted)) write(fileOf("components", name), code);
		for (const where of ["core/a.ts", "infra/a.ts", "components/a.ts", "stacks/a.ts", "stacks/a.test.ts", "cli/a.ts"])
			write(where, "Date.now();");
		found = pluginMessages(folder);
	});

	afterAll(() => rmSync(folder, { recursive: true }));

	it.each(Object.keys(refused))("refuses %s", (name) => {
		const message = refused[name]?.[1];
		expect(found.get(fileOf("infra", name))).toEqual([expect.stringMatching(new RegExp(`^${message}`))]);
	});

	it.each(Object.keys(accepted))("accepts %s", (name) => {
		expect(found.get(fileOf("components", name))).toBeUndefined();
	});

	it("looks at the program's four folders, and not at tests or other folders", () => {
		expect([...found.keys()].filter((file) => /\/a(\.test)?\.ts$/.test(file)).sort()).toEqual([
			"components/a.ts",
			"core/a.ts",
			"infra/a.ts",
			"stacks/a.ts",
		]);
	});
});

function fileOf(folder: string, name: string): string {
	return `${folder}/${name.replaceAll(/\W+/g, "-")}.ts`;
}

/** Messages of the plugin, by file. */
function pluginMessages(folder: string): Map<string, string[]> {
	const args = ["lint", "--reporter=json", "--max-diagnostics=none", "."];
	let report: string;
	try {
		report = execFileSync(path.join(root, "node_modules/.bin/biome"), args, {
			cwd: folder,
			encoding: "utf8",
			stdio: ["ignore", "pipe", "ignore"],
		});
	} catch (error) {
		report = (error as { stdout: string }).stdout; // it found something, as it should
	}
	const { diagnostics } = JSON.parse(report) as { diagnostics: { category: string; message: string; location: { path: string } }[] };
	const found = new Map<string, string[]>();
	for (const { category, message, location } of diagnostics) {
		if (category === "plugin") found.set(location.path, [...(found.get(location.path) ?? []), message]);
	}
	return found;
}
