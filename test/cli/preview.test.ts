import { readFileSync } from "node:fs";
import path from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import type { StackRecord } from "../../core/record.ts";
import { flowctl, root, temporaryFolder } from "./flowctl.ts";

const { folder, remove } = temporaryFolder();
afterAll(remove);

describe.each(["dev", "prod"])("flowctl preview %s", (stack) => {
	it("shows every resource, its inputs, counts and outputs", async () => {
		const { code, stdout, stderr } = await flowctl(["preview", stack]);
		expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
		const { resources, outputs } = await recordOf(stack);
		const lines = stdout.split("\n");
		expect(lines[0]).toBe(`${stack}: ${resources.length} resources, offline: nothing was asked of any cloud, cluster or state.`);
		for (const { name } of resources)
			expect(
				lines.some((line) => line.includes(` ${name}`)),
				name,
			).toBe(true);
		for (const name of Object.keys(outputs)) expect(stdout).toContain(`\n  ${name}: `);
		expect(stdout).toContain(`cidrBlock: 10.${stack === "dev" ? 40 : 50}.0.0/16`);
		expect(stdout).toMatch(/kmsKeyId: \(known after up\) from keys-data\n/);
		expect(stdout).toContain("password: (secret)");
		expect(stdout).toMatch(/haproxy\.cfg: \|\n.* global\n/);
		expect(stdout.includes("aws:ec2:Vpc network-vpc [protected]")).toBe(stack === "prod");
		expect(stdout).not.toMatch(/\$unknown|\$secret|[ \t]\n/);
	});

	it("prints the same bytes twice, as text and as JSON", async () => {
		for (const argv of [
			["preview", stack],
			["preview", stack, "--json"],
		]) {
			expect((await flowctl(argv)).stdout).toBe((await flowctl(argv)).stdout);
		}
	});
});

describe("flowctl preview", () => {
	it("leaves the inputs out of a summary, and nothing else", async () => {
		const [summary, whole] = [await flowctl(["preview", "dev", "--summary"]), await flowctl(["preview", "dev"])];
		const rest = whole.stdout.split("\n");
		let at = 0;
		for (const line of summary.stdout.split("\n")) {
			const found = rest.indexOf(line, at);
			expect(found, line).toBeGreaterThanOrEqual(at);
			at = found + 1;
		}
		expect(summary.stdout).not.toContain("cidrBlock");
		expect(summary.stdout).toContain("Outputs\n");
	});

	it("writes to a file what it would have printed, without colours", async () => {
		const file = path.join(folder, "dev.txt");
		const { stdout } = await flowctl(["preview", "dev"]);
		expect(await flowctl(["preview", "dev", "--out", file], { tty: true })).toMatchObject({ code: 0, stdout: "" });
		expect(readFileSync(file, "utf8")).toBe(stdout);
	});

	it("finds the project from a folder below it, and tells where there is none", async () => {
		expect((await flowctl(["preview", "dev", "--summary"], { cwd: path.join(root, "core") })).code).toBe(0);
		const { code, stderr } = await flowctl(["preview", "dev"], { cwd: folder });
		expect(code).toBe(2);
		expect(stderr).toContain(`fix: run the command in the project's folder: ${folder} holds no stack file`);
	});

	it("tells a watcher what takes so long, and wipes it out afterwards", async () => {
		const { stderr } = await flowctl(["preview", "dev", "--summary"], { tty: true });
		expect(stderr).toBe("running the program of dev, offline ...\r\u001b[2K");
	});
});

async function recordOf(stack: string): Promise<StackRecord> {
	return JSON.parse((await flowctl(["preview", stack, "--json"])).stdout);
}
