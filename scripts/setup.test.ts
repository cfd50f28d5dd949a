import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

const LOCK = {
	packages: {
		"": {},
		"node_modules/a": { version: "1.0.0", integrity: "x" },
		"node_modules/other-os": { version: "1.0.0", optional: true },
	},
};

/** Does what npm ci does, as far as the set-up can see. */
const NPM_CI = `echo "npm $*" >> "$ROOT/calls"; echo noise
	mkdir -p node_modules/.bin && ln -sf "$NODE" node_modules/.bin/node && cp package-lock.json node_modules/.package-lock.json`;

let root: string;

beforeEach(() => {
	root = mkdtempSync(path.join(tmpdir(), "setup-"));
	cpSync(path.join(import.meta.dirname, "setup.mjs"), inRoot("scripts/setup.mjs"));
	writeFileSync(inRoot("package-lock.json"), JSON.stringify(LOCK));
	program("npm", NPM_CI);
});

afterEach(() => rmSync(root, { recursive: true }));

describe("npm packages", () => {
	it("are installed in a fresh clone, and the command runs under the project's Node", async () => {
		writeFileSync(inRoot("print.mjs"), "console.log(process.argv0, process.argv.slice(2).join(' '))");
		const { code, stdout, stderr } = await setup("--", "print.mjs", "a", "--b");
		expect(stdout).toBe(`${inRoot("node_modules/.bin/node")} a --b\n`);
		expect(stderr).toMatch(/^setup: installing npm packages, .*\nsetup: npm packages installed in \d+ s\n$/);
		expect(code).toBe(0);
		expect(calls()).toEqual(["npm ci --engine-strict=false --no-audit --no-fund"]);
	});

	it("are left alone when they are what package-lock.json says", async () => {
		await setup();
		const { stdout, stderr } = await setup();
		expect(stdout + stderr).toBe("");
		expect(calls()).toHaveLength(1);
	});

	it.each([
		["a version differs", { ...LOCK.packages, "node_modules/a": { version: "2.0.0", integrity: "x" } }],
		["the content of a version differs", { ...LOCK.packages, "node_modules/a": { version: "1.0.0", integrity: "y" } }],
		["one is new", { ...LOCK.packages, "node_modules/b": { version: "1.0.0" } }],
	])("are installed again when %s", async (_name, packages) => {
		await setup();
		writeFileSync(inRoot("package-lock.json"), JSON.stringify({ packages }));
		await setup();
		expect(calls()).toHaveLength(2);
	});

	it("are installed again when the last installation was cut short", async () => {
		await setup();
		rmSync(inRoot("node_modules/.package-lock.json"));
		await setup();
		expect(calls()).toHaveLength(2);
	});

	it("are installed once when several commands start together", async () => {
		program("npm", `sleep 0.5; ${NPM_CI}`);
		const results = await Promise.all([setup(), setup(), setup()]);
		expect(results.map(({ code }) => code)).toEqual([0, 0, 0]);
		expect(calls()).toHaveLength(1);
		expect(results.filter(({ stderr }) => stderr.includes("waiting"))).toHaveLength(2);
	});

	it("that npm cannot install end in npm's reason, without its warnings", async () => {
		program("npm", "echo 'npm warn deprecated x' >&2; echo 'npm error code ENOTFOUND' >&2; exit 7");
		const { code, stderr } = await setup();
		expect(code).toBe(2);
		expect(stderr.slice(stderr.indexOf("\n") + 1)).toBe(
			"setup: npm ci failed with exit code 7\n" +
				"  why: npm error code ENOTFOUND\n" +
				"  fix: mend what npm names above (network, registry, disk), then run the command again\n",
		);
	});
});

describe("the command", () => {
	it("gives its exit code", async () => {
		writeFileSync(inRoot("fail.mjs"), "process.exit(5)");
		expect((await setup("--", "fail.mjs")).code).toBe(5);
	});

	it("gets the signal that asks to stop, and has the time to", async () => {
		writeFileSync(
			inRoot("wait.mjs"),
			"process.on('SIGTERM', () => { console.log('stopped'); process.exit(3) }); console.log('ready'); setInterval(() => {}, 1e6)",
		);
		const { child, done } = start("--", "wait.mjs");
		await once(child.stdout, "data");
		child.kill("SIGTERM");
		expect(await done).toMatchObject({ code: 3, stdout: "ready\nstopped\n" });
	});

	it("that a signal ended gives 128 and the signal's number", async () => {
		writeFileSync(inRoot("die.mjs"), "process.kill(process.pid, 'SIGKILL')");
		expect((await setup("--", "die.mjs")).code).toBe(137);
	});

	it("may be a program, which finds the project's Node first", async () => {
		const { stdout } = await setup("--", "sh", "-c", "command -v node");
		expect(stdout).toBe(`${inRoot("node_modules/.bin/node")}\n`);
	});

	it("that is not installed ends in a hint", async () => {
		const { code, stderr } = await setup("--", "pulumi", "up");
		expect(code).toBe(2);
		expect(stderr).toContain('setup: "pulumi" is not installed\n');
		expect(stderr).toContain("https://www.pulumi.com/docs/install/");
	});
});

describe("Debian packages", () => {
	beforeEach(() => {
		program("sudo", 'echo "sudo $*" >> "$ROOT/calls"; [ "$1" = -n ] && shift; exec "$@"');
		program("apt-get", 'echo "apt-get $*" >> "$ROOT/calls"');
	});

	it("are installed when missing", async () => {
		expect((await setup("--system", "no-such-package")).code).toBe(0);
		expect(calls().filter((call) => call.startsWith("apt-get"))).toEqual([
			"apt-get update",
			"apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=120 no-such-package",
		]);
	});

	it("are left alone when the program is there", async () => {
		program("some-daemon", "");
		await setup("--system", "some-daemon");
		expect(calls().filter((call) => call.includes("apt-get"))).toEqual([]);
	});

	it("that cannot be installed stop a command that needs them, with the line to run", async () => {
		program("apt-get", "echo 'E: Unable to locate package'; exit 100");
		writeFileSync(inRoot("touch.mjs"), "import fs from 'node:fs'; fs.writeFileSync('ran', '')");
		const { code, stderr } = await setup("--system", "no-such-package", "--", "touch.mjs");
		expect(code).toBe(2);
		expect(stderr).toContain("setup: no-such-package is not installed\n  why: apt-get update failed: E: Unable to locate package\n");
		expect(stderr).toMatch(/ {2}fix: (sudo )?apt-get update && (sudo )?apt-get install -y --no-install-recommends no-such-package\n/);
		expect(existsSync(inRoot("ran"))).toBe(false);
	});

	it("that cannot be installed are only told to a command that can do without", async () => {
		program("apt-get", "exit 100");
		writeFileSync(inRoot("touch.mjs"), "import fs from 'node:fs'; fs.writeFileSync('ran', '')");
		const { code, stderr } = await setup("--want", "no-such-package", "--", "touch.mjs");
		expect(code).toBe(0);
		expect(stderr).toContain("setup: no-such-package is not installed; going on without");
		expect(existsSync(inRoot("ran"))).toBe(true);
	});
});

it("An option that does not exist is refused with the usage", async () => {
	const { code, stderr } = await setup("--sytem", "haproxy");
	expect(code).toBe(2);
	expect(stderr).toContain('setup: cannot use "--sytem haproxy"\n');
	expect(stderr).not.toContain("    at ");
});

function inRoot(file: string): string {
	return path.join(root, file);
}

/** A program that the set-up finds before the machine's own. */
function program(name: string, script: string): void {
	mkdirSync(inRoot("programs"), { recursive: true });
	writeFileSync(inRoot(`programs/${name}`), `#!/bin/sh\n${script}\n`);
	chmodSync(inRoot(`programs/${name}`), 0o755);
	if (!existsSync(inRoot("programs/node"))) symlinkSync(process.execPath, inRoot("programs/node"));
}

function calls(): string[] {
	return readFileSync(inRoot("calls"), "utf8").trim().split("\n");
}

function start(...args: string[]) {
	const env = { ...process.env, ROOT: root, NODE: process.execPath, PATH: `${inRoot("programs")}:/usr/bin:/bin` };
	const child = spawn(process.execPath, [inRoot("scripts/setup.mjs"), ...args], { cwd: root, env, stdio: ["ignore", "pipe", "pipe"] });
	const output = { stdout: "", stderr: "" };
	child.stdout.on("data", (data) => (output.stdout += data));
	child.stderr.on("data", (data) => (output.stderr += data));
	return { child, done: once(child, "close").then(([code]) => ({ code: code as number | null, ...output })) };
}

function setup(...args: string[]) {
	return start(...args).done;
}
