import { type ChildProcess, spawn } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { JobServices } from "../services/compose.ts";
import { toolEntries, toolEntry } from "./catalogue.ts";
import { answerOf, externalTool } from "./external.ts";
import type { ToolRun } from "./tool.ts";
import { toolNamed } from "./tools.ts";

const folder = mkdtempSync(path.join(tmpdir(), "af-external-"));
const temporary = path.join(folder, "tmp");

/** More than any process has as its id. */
const lost = 99_999_999;

/** Commands that behave in one way each. They are sh's: it is everywhere, and starts at once. */
const commands = {
	json: `echo "Executing tool: $4"; echo '  Parameters: {"a":1}'; echo "{\\"tool\\": \\"$4\\", \\"params\\": $6,"; echo "\\"result\\": {\\"argv\\": \\"$1 $2 $3 $4 $5 $7 $8\\"}, \\"duration\\": 1}"`,
	params: 'printf "%s" "$6"',
	bare: `echo '[1, {"a": null}]'`,
	text: 'printf "\\033[1mIt is done.\\033[0m\\n"',
	fails: "echo half an answer; echo 'no such repository' >&2; exit 3",
	crashes: "kill -SEGV $$",
	silent: "exit 0",
	help: "echo 'claude-flow 2.0'; echo; echo 'USAGE: claude-flow <command>'",
	refuses: `echo '{"success": false, "error": "quota used up"}'`,
	hangs: "echo begun; sleep 1000",
	stubborn: "trap '' TERM; echo begun; while :; do sleep 0.1; done",
	family: `trap '' TERM; "$(dirname "$0")/stubborn" & wait`,
	floods: "while :; do echo 'a line that is written for ever and ever'; done",
	// Its child has its output open, and would write once it is no longer watched.
	leaves: '(sleep 2; touch "$HOME/survived") & echo left',
	escapes: "setsid sleep 60 & sleep 0.5; echo $!",
	environment: "env",
	where: 'pwd; touch file; echo "$TMPDIR"',
} as const;

const file = (name: keyof typeof commands) => path.join(folder, name);

beforeAll(() => {
	mkdirSync(temporary);
	process.env.TMPDIR = temporary;
	// Of a process that is gone, of this one, and of one that is there.
	for (const pid of [lost, process.pid, process.ppid]) mkdirSync(path.join(temporary, `agentic-flow-tool-${pid}-abc`));
	for (const [name, body] of Object.entries(commands)) {
		writeFileSync(path.join(folder, name), `#!/bin/sh\n${body}\n`);
		chmodSync(path.join(folder, name), 0o755);
	}
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Call {
	readonly tool?: string;
	readonly args?: Readonly<Record<string, unknown>>;
	readonly ms?: number;
	readonly signal?: AbortSignal;
	/** What the job has decided before. */
	readonly steps?: Map<string, unknown>;
	readonly onOutput?: (data: string) => void;
}

function call(
	claudeFlowBin: string | null,
	{ tool = "neural_train", args = {}, ms = 20_000, signal, steps = new Map(), onOutput }: Call = {},
) {
	const entry = toolEntry(tool);
	if (entry === undefined) throw new Error(`no tool ${tool}`);
	const run: ToolRun = {
		jobId: "job-1",
		principal: { id: "token:t", roles: ["member", "operator"], workspace: "w", expiresAt: null, credentialId: "t" },
		services: {} as JobServices,
		signal: signal ?? new AbortController().signal,
		async step<T>(name: string, decide: () => Promise<T>) {
			if (!steps.has(name)) steps.set(name, await decide());
			return steps.get(name) as T;
		},
		progress() {},
		output: (_, data) => onOutput?.(data),
	};
	return externalTool(entry, { claudeFlowBin, commandMs: ms })(args, run);
}

const refusal = (promise: Promise<unknown>) =>
	promise.then(
		(answer) => `not refused: ${JSON.stringify(answer)}`,
		({ code, message }: { code: string; message: string }) => `${code}: ${message}`,
	);

/** Command lines of processes that there are now. */
function processes(): string {
	return readdirSync("/proc")
		.filter((name) => /^\d+$/.test(name))
		.map((id) => {
			try {
				return readFileSync(`/proc/${id}/cmdline`, "utf8").replaceAll("\0", " ");
			} catch {
				return "";
			}
		})
		.join("\n");
}

async function until(condition: () => boolean): Promise<void> {
	const end = performance.now() + 20_000;
	while (!condition()) {
		if (performance.now() > end) throw new Error(`waited in vain until ${condition}`);
		await sleep(20);
	}
}

/** What is killed may take a moment. */
const gone = (part: string) => until(() => !processes().includes(part));

const missing = existsSync("/proc/self/cmdline") ? null : "needs Linux";

describe.skipIf(missing)(`a tool that a command runs${missing ? `: ${missing}` : ""}`, () => {
	it("is called by its name and arguments, and answers what the command's JSON has as the result", async () => {
		expect(await call(file("json"), { args: { epochs: 3 } })).toEqual({
			argv: "mcp exec --tool neural_train --params --format json",
		});
	});

	it("hands arguments on to the letter, whatever a shell would make of them", async () => {
		const args = { training_data: "$(touch /tmp/x) `id` ; rm -rf * \"'\\ \n ü -- --help" };
		expect(await call(file("params"), { args })).toEqual(args);
	});

	it("answers JSON as it is, and else text without its colours", async () => {
		expect(await call(file("bare"))).toEqual([1, { a: null }]);
		expect(await call(file("text"))).toBe("It is done.");
	});

	it("fails where the command does, with its last words, and never makes up a success", async () => {
		expect(await refusal(call(file("fails")))).toBe(
			"TOOL_FAILED: the command failed to do neural_train: its exit code is 3. It said: no such repository",
		);
		expect(await refusal(call(file("crashes")))).toBe("TOOL_FAILED: the command failed to do neural_train: it was ended by SIGSEGV");
		expect(await refusal(call(file("silent")))).toBe("TOOL_FAILED: the command failed to do neural_train: it answered nothing");
		expect(await refusal(call(file("help")))).toMatch(
			/^TOOL_FAILED: the command failed to do neural_train: it answered with its help: it may not know the tool/,
		);
		expect(await refusal(call(file("refuses")))).toBe(
			"TOOL_FAILED: the command failed to do neural_train: it says that it failed. It said: quota used up",
		);
	});

	it("is unavailable without a command, and says how to give one", async () => {
		expect(await refusal(call(null))).toBe(
			"TOOL_UNAVAILABLE: neural_train is run by a command: nothing here can run it: no command is set. To have it run, set CLAUDE_FLOW_BIN on the job workers to the absolute path of claude-flow's command",
		);
		expect(await refusal(call("/nowhere/claude-flow"))).toMatch(
			/^TOOL_UNAVAILABLE: .*the command \/nowhere\/claude-flow is not there; set /,
		);
		expect(await refusal(call(folder))).toMatch(/^TOOL_UNAVAILABLE: .* is no file; set /);
		const plain = path.join(folder, "plain");
		writeFileSync(plain, "no program", { mode: 0o644 });
		expect(await refusal(call(plain))).toMatch(/^TOOL_UNAVAILABLE: .* may not be executed; make it executable/);
	});

	it("fails where the file is no program", async () => {
		const garbage = path.join(folder, "garbage");
		writeFileSync(garbage, Buffer.from([0x7f, 0x45, 0x4c, 0x46, 0, 0, 0]), { mode: 0o755 });
		expect(await refusal(call(garbage))).toMatch(/^(TOOL_FAILED|TOOL_UNAVAILABLE): /);
	});

	it("is ended when its time is over, with everything that it has started", async () => {
		const began = performance.now();
		expect(await refusal(call(file("hangs"), { ms: 500 }))).toBe("TIMEOUT: not done within 0.5 seconds");
		expect(performance.now() - began).toBeLessThan(10_000);
		await gone(file("hangs"));
		await gone("sleep 1000");
	});

	it("is ended even where it does not want to", async () => {
		expect(await refusal(call(file("stubborn"), { ms: 300 }))).toBe("TIMEOUT: not done within 0.3 seconds");
		await gone(file("stubborn"));
	});

	it("is ended when its job is cancelled, and says so by the reason it was given", async () => {
		const abort = new AbortController();
		const running = call(file("stubborn"), { signal: abort.signal, onOutput: () => abort.abort("cancelled") });
		await expect(running).rejects.toBe("cancelled");
		await gone(file("stubborn"));
		await expect(call(file("hangs"), { signal: abort.signal })).rejects.toBe("cancelled");
	});

	it("passes on what the command says while it runs, up to what is kept", async () => {
		let passed = 0;
		const onOutput = (data: string) => {
			passed += data.length;
		};
		expect(await refusal(call(file("floods"), { onOutput }))).toBe("OUTPUT_LIMIT: it wrote more than 1 MiB, which is all that is kept");
		expect(passed).toBe(1_048_576);
		await gone(file("floods"));
	});

	it("leaves no process behind that the command left", async () => {
		process.env.HOME = folder;
		expect(await call(file("leaves"))).toBe("left");
		await sleep(2_500);
		expect(existsSync(path.join(folder, "survived"))).toBe(false);
	});

	it("does not wait for a process that has left the command's group with its output", async () => {
		const began = performance.now();
		const escaped = Number(await call(file("escapes")));
		expect(performance.now() - began).toBeLessThan(30_000);
		expect(process.kill(escaped, "SIGKILL")).toBe(true);
	});

	it("finds nothing of the worker's secrets in its environment, but the job that it is", async () => {
		process.env.SECRETS_DIR = "/run/secrets";
		process.env.AWS_SECRET_ACCESS_KEY = "secret";
		const lines = String(await call(file("environment"))).split("\n");
		const names = lines.map((line) => line.slice(0, line.indexOf("=")));
		const allowed = ["PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "NO_COLOR", "AGENTIC_FLOW_JOB_ID", "PWD", "OLDPWD", "SHLVL", "_"];
		expect(names.filter((name) => !allowed.includes(name))).toEqual([]);
		expect(lines).toContain("AGENTIC_FLOW_JOB_ID=job-1");
	});

	it("works in an empty folder of its own, which is gone afterwards", async () => {
		const [working, forTemporary] = String(await call(file("where"))).split("\n");
		expect(working).toBe(forTemporary);
		expect(working).toContain(`agentic-flow-tool-${process.pid}-`);
		expect(existsSync(working as string)).toBe(false);
		// Nor is anything left of processes that were lost.
		expect(readdirSync(temporary)).toEqual([`agentic-flow-tool-${process.ppid}-abc`]);
	});

	it("refuses arguments that no command can take", async () => {
		expect(await refusal(call(file("json"), { args: { training_data: "x".repeat(200_000) } }))).toMatch(
			/^INVALID: the arguments have more than 131000 bytes as JSON/,
		);
		expect(await call(file("params"), { args: { training_data: "x".repeat(130_900) } })).toMatchObject({});
	});
});

describe.skipIf(missing)(`a command whose worker was lost${missing ? `: ${missing}` : ""}`, () => {
	it("is not begun again where it changes something", async () => {
		const steps = new Map<string, unknown>([["begun", "by the worker before"]]);
		expect(await refusal(call(file("bare"), { tool: "neural_train", steps }))).toMatch(/^INTERRUPTED: its worker was lost/);
	});

	it("is begun again where it only reads", async () => {
		const steps = new Map<string, unknown>([["begun", "by the worker before"]]);
		expect(await call(file("bare"), { tool: "neural_status", steps })).toEqual([1, { a: null }]);
	});

	it("answers what it did where that was written down", async () => {
		const steps = new Map<string, unknown>();
		const answer = await call(file("bare"), { steps });
		expect(await call(file("silent"), { steps })).toEqual(answer);
	});

	it("does not outlive the worker, nor does anything that it has started", async () => {
		const program = `
			import { runCommand } from ${JSON.stringify(new URL("./command.ts", import.meta.url).href)};
			await runCommand({ file: ${JSON.stringify(file("family"))}, args: [], folder: "/", environment: { PATH: process.env.PATH },
				timeLimitMs: 60_000, signal: new AbortController().signal, onOutput: () => process.stdout.write("begun") });`;
		const worker: ChildProcess = spawn(process.execPath, ["--input-type=module", "-e", program], { stdio: ["ignore", "pipe", "inherit"] });
		await new Promise((resolve) => worker.stdout?.once("data", resolve));
		for (const member of [file("family"), file("stubborn")]) expect(processes()).toContain(member);
		worker.kill("SIGKILL");
		await until(() => [file("family"), file("stubborn")].every((member) => !processes().includes(member)));
	});
});

describe("what a command writes", () => {
	const end = (stdout: string) => answerOf("neural_train", { code: 0, killedBy: null, stdout, stderr: "" });

	it.each<[string, unknown]>([
		['{"a": 1}', { a: 1 }],
		["[]", []],
		["7", 7],
		['"text"', "text"],
		['[INFO] one\n[INFO] two\n{\n  "a": [\n    1\n  ]\n}\n', { a: [1] }],
		[`${"[2026-01-02] starting\n".repeat(300)}{"a": 1}`, { a: 1 }],
		['noise\n[\n{"a": 1},\n{"a": 2}\n]', [{ a: 1 }, { a: 2 }]],
		['{"tool": "neural_train", "result": null}', null],
		['{"tool": "another", "result": 1}', { tool: "another", result: 1 }],
		['{"a": 1} and more', '{"a": 1} and more'],
		["{ this is prose }", "{ this is prose }"],
	])("%j is %j", (stdout, answer) => {
		expect(end(stdout)).toEqual(answer);
	});

	it("is read in no time, however it is made", () => {
		for (const line of ["[1,\n", '{"a":\n', "[\n", "{\n", "[INFO\n"]) {
			const before = process.cpuUsage();
			end(line.repeat(Math.floor(1_048_576 / line.length)));
			// Of the processor's time: others may want it too.
			expect(process.cpuUsage(before).user / 1_000).toBeLessThan(3_000);
		}
	});
});

describe("every tool of the catalogue", () => {
	it("is either run here, or by a command", async () => {
		const settings = { claudeFlowBin: null, commandMs: 1_000 };
		for (const { name } of toolEntries) expect(toolNamed(name, settings), name).toBeTypeOf("function");
		expect(() => toolNamed("no_such_tool", settings)).toThrow('this build has no tool "no_such_tool"');
		for (const name of ["constructor", "toString", "__proto__"]) expect(() => toolNamed(name, settings)).toThrow("this build has no tool");
	});
});
