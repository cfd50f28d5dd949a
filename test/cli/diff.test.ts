import { writeFileSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ResourceRecord, StackRecord } from "../../core/record.ts";
import { resource, stackOf } from "../../preview/record.fixture.ts";
import { flowctl, temporaryFolder } from "./flowctl.ts";

const { folder, remove } = temporaryFolder();
afterAll(remove);

const table = (given: Partial<ResourceRecord> = {}) => resource({ type: "aws:rds/instance:Instance", name: "primary", ...given });

function save(name: string, stack: StackRecord): void {
	writeFileSync(path.join(folder, name), JSON.stringify(stack));
}

beforeAll(() => {
	save("empty.json", stackOf([]));
	save("one.json", stackOf([table({ inputs: { class: "a", port: 5432, config: "x\ny\nz\n" } })], { host: "h" }));
	save("other.json", stackOf([table({ inputs: { class: "b", port: "5432", config: "x\nY\nz\n" }, protect: true })], { host: "i" }));
});

describe("flowctl diff of saved previews", () => {
	it("says that nothing differs", async () => {
		expect(await flowctl(["diff", "one.json", "./one.json", "--expect-no-changes"], { cwd: folder })).toEqual({
			code: 0,
			stdout: "test -> test: nothing differs (1 resources)\n",
			stderr: "",
		});
	});

	it("shows what changed: values, types, lines of texts, options, outputs", async () => {
		const { code, stdout } = await flowctl(["diff", "one.json", "other.json"], { cwd: folder });
		expect(code).toBe(0);
		expect(stdout).toMatchInlineSnapshot(`
			"test -> test

			~ aws:rds:Instance primary
			    ~ class: "a" => "b"
			    ~ config:
			        line 2
			        - y
			        + Y
			    ~ port: 5432 => "5432" (number became text)
			    ~ [protect]: false => true

			outputs
			    ~ host: "h" => "i"

			0 removed, 0 added, 1 changed, 0 unchanged, 1 output differs
			"
		`);
	});

	it("is loud about what is lost with its data", async () => {
		const { stdout } = await flowctl(["diff", "one.json", "empty.json"], { cwd: folder });
		expect(stdout).toContain("- aws:rds:Instance primary  STATEFUL  what it holds is lost with it\n");
		expect(stdout).toContain("1 removed (1 stateful), 0 added");
	});

	it("exits with 3 where no changes were expected, and 0 where they were not forbidden", async () => {
		expect((await flowctl(["diff", "empty.json", "one.json", "--expect-no-changes"], { cwd: folder })).code).toBe(3);
		expect((await flowctl(["diff", "empty.json", "one.json"], { cwd: folder })).code).toBe(0);
	});

	it("gives tools everything as JSON", async () => {
		const { stdout } = await flowctl(["diff", "one.json", "other.json", "--json"], { cwd: folder });
		expect(JSON.parse(stdout)).toMatchObject({
			before: "test",
			changed: [{ name: "primary", inputs: [{ path: "class", before: "a", after: "b" }, { path: "config" }, { path: "port" }] }],
			outputs: [{ path: "host", before: "h", after: "i" }],
		});
	});

	it("has colours on a terminal, unless NO_COLOR asks for none", async () => {
		const argv = ["diff", "one.json", "other.json"];
		expect((await flowctl(argv, { cwd: folder, tty: true })).stdout).toContain("\u001b[3");
		expect((await flowctl(argv, { cwd: folder, tty: true, env: { NO_COLOR: "1" } })).stdout).not.toContain("\u001b");
		expect((await flowctl(argv, { cwd: folder })).stdout).not.toContain("\u001b");
	});

	it("refuses a file that is no saved preview, and says what is wrong with it", async () => {
		writeFileSync(path.join(folder, "bad.json"), '{"stack":"x","resources":[{}],"outputs":{}}');
		const { code, stderr } = await flowctl(["diff", "bad.json", "one.json"], { cwd: folder });
		expect(code).toBe(2);
		expect(stderr).toContain(
			"bad.json is not a saved preview\n  resources[0].urn: is missing; it must be a URN\n      fix: write it again",
		);
	});
});

describe("flowctl diff of stacks", () => {
	it("compares dev with prod, and hides what is the stack's name alone unless asked", async () => {
		const [short, long] = [await flowctl(["diff", "dev", "prod"]), await flowctl(["diff", "dev", "prod", "--names"])];
		expect(short.code).toBe(0);
		expect(short.stdout).toMatch(/^dev -> prod\n/);
		expect(short.stdout).toContain("~ multiAz: false => true");
		expect(short.stdout).toMatch(/of the differences.*are the stack's name alone: --names shows them\n$/);
		const renamed = '~ identifier: "agentic-flow-dev-postgres" => "agentic-flow-prod-postgres"';
		expect(short.stdout).not.toContain(renamed);
		expect(long.stdout).toContain(renamed);
	});

	it("compares a stack with its own saved preview: nothing differs", async () => {
		const file = path.join(folder, "dev.json");
		await flowctl(["preview", "dev", "--json", "--out", file]);
		expect(await flowctl(["diff", file, "dev", "--expect-no-changes"])).toMatchObject({ code: 0 });
	});
});
