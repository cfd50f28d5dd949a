import path from "node:path";
import { execa } from "execa";
import { describe, expect, it } from "vitest";
import { root } from "./flowctl.ts";

const entry = path.join(root, "cli/flowctl.ts");

describe("the process", () => {
	it("ends quietly when its reader has seen enough", async () => {
		const { stdout, stderr, exitCode } = await execa({
			cwd: root,
			shell: "/bin/bash",
			reject: false,
		})`set -o pipefail; ${process.execPath} ${entry} preview dev | head -n 1`;
		expect({ stderr, exitCode }).toEqual({ stderr: "", exitCode: 0 });
		expect(stdout).toMatch(/^dev: \d+ resources/);
	});

	it("writes all of a long output into a pipe", async () => {
		const { stdout } = await execa({ cwd: root })`${process.execPath} ${entry} preview dev --json`;
		expect(JSON.parse(stdout).stack).toBe("dev");
	});

	it("exits with the command's code", async () => {
		const { exitCode, stderr } = await execa({ cwd: root, reject: false })`${process.execPath} ${entry} preview none`;
		expect(exitCode).toBe(2);
		expect(stderr).toMatch(/^unknown stack "none"\n/);
	});

	it("loads neither the SDK nor the settings to print its help", async () => {
		const trace = ["--input-type=module", "--eval"];
		const script = `
			import { registerHooks } from "node:module";
			const loaded = [];
			registerHooks({ load(url, context, next) { loaded.push(url); return next(url, context); } });
			process.argv = [process.argv[0], ${JSON.stringify(entry)}, "--help"];
			await import(${JSON.stringify(entry)});
			console.log("LOADED " + JSON.stringify(loaded.filter((url) => /node_modules|stacks/.test(url))));
		`;
		const { stdout } = await execa({ cwd: root })`${process.execPath} ${trace} ${script}`;
		expect(stdout).toContain("flowctl <command> [options]");
		expect(stdout).toContain("LOADED []");
	});
});
