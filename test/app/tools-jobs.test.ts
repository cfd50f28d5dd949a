/** Tools as a client meets them: asked for at the edge, run by job workers that are processes of their own. */
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { JobRequest } from "../../app/ports.ts";
import { freePort } from "./daemon.ts";
import { missing } from "./daemons.ts";
import { type JobsRig, startJobsRig } from "./jobs-rig.ts";
import { ServerProcess, until } from "./server-process.ts";
import { somebody } from "./tool-runs.ts";

const ada = somebody("team", "operator");

describe.skipIf(missing)(`tools through jobs${missing ? `: ${missing}` : ""}`, { timeout: 180_000 }, () => {
	const folder = mkdtempSync(path.join(tmpdir(), "af-command-"));
	const command = path.join(folder, "claude-flow");
	const begun = path.join(folder, "begun");
	let rig: JobsRig;
	let worker: ServerProcess;

	beforeAll(async () => {
		// It says which job it is begun for, and then takes its time.
		writeFileSync(
			command,
			`#!/bin/sh\necho "$AGENTIC_FLOW_JOB_ID" >> ${begun}\ncase "$6" in *wait*) sleep 600.25;; esac\necho "{\\"tool\\": \\"$4\\", \\"result\\": {\\"given\\": $6}}"\n`,
		);
		chmodSync(command, 0o755);
		rig = await startJobsRig();
		worker = await startWorker();
	}, 180_000);

	afterAll(async () => {
		await worker?.kill();
		await rig?.stop();
		rmSync(folder, { recursive: true, force: true });
	});

	async function startWorker(): Promise<ServerProcess> {
		const port = await freePort([0, 1_000]);
		const environment = { PORT: String(port), LOG_LEVEL: "warn", CLAUDE_FLOW_BIN: command, CLAUDE_FLOW_SECONDS: "120", TMPDIR: folder };
		return await new ServerProcess("jobs", { ...rig.setting.environment, ...environment }).ready(port);
	}

	const jobs = () => rig.edge.services.jobs;
	const run = (tool: string, args: JobRequest["arguments"] = {}) => jobs().run(ada, { tool, arguments: args }, { ms: 60_000 });
	const timesBegun = () => readFileSync(begun, "utf8").trim().split("\n");

	it("change the workspace, and answer what it says", async () => {
		const init = await run("swarm_init", { topology: "star", maxAgents: 3 });
		expect(init).toMatchObject({ state: "completed", error: null, result: { success: true, topology: "star", maxAgents: 3 } });
		expect((await rig.edge.services.swarm.current(ada))?.swarmId).toBe((init.result as { swarmId: string }).swarmId);
		const spawned = await run("agent_spawn", { type: "coder" });
		expect((await run("agent_list")).result).toMatchObject({ total: 1, agents: [{ id: (spawned.result as { agentId: string }).agentId }] });
	});

	it("fail with a code and a sentence, at once where another try would not help", async () => {
		expect(await run("task_status", { taskId: "nothing" })).toMatchObject({
			state: "failed",
			attempts: 1,
			error: { code: "NOT_FOUND", message: "there is no task nothing" },
		});
		expect(await run("agent_spawn", {})).toMatchObject({ state: "failed", error: { code: "INVALID" } });
		const member = { ...ada, id: "token:member", roles: ["member"] as const };
		const refused = await jobs().run(member, { tool: "swarm_destroy", arguments: {} }, { ms: 60_000 });
		expect(refused).toMatchObject({ state: "failed", error: { code: "FORBIDDEN" } });
	});

	it("that a command runs answer what it says, and each step of a workflow is a call of its own", async () => {
		expect((await run("neural_train", { epochs: 3 })).result).toEqual({ given: { epochs: 3 } });
		const steps = [{ tool: "neural_train" }, { tool: "neural_train" }];
		await run("workflow_create", { name: "twice", steps });
		const { id, result } = await run("workflow_execute", { workflowId: "twice" });
		expect(result).toMatchObject({ success: true, steps: [{ result: { given: {} } }, { result: { given: {} } }] });
		expect(timesBegun().slice(-2)).toEqual([`${id}/1`, `${id}/2`]);
	});

	it("that a command runs end with it when they are cancelled", async () => {
		const { id } = await jobs().submit(ada, { tool: "neural_train", arguments: { training_data: "wait" } });
		await until(
			() => timesBegun().includes(id),
			() => "the command to begin",
		);
		await jobs().cancel(ada, id);
		expect(await jobs().wait(ada, id, { ms: 60_000 })).toMatchObject({ state: "cancelled" });
		await until(
			() => !isRunning(),
			() => "the command to end",
		);
	});

	it("are not run by the command a second time when its worker is lost, and the command is lost with it", async () => {
		const { id } = await jobs().submit(ada, { tool: "neural_train", arguments: { training_data: "wait" } });
		await until(
			() => timesBegun().includes(id),
			() => "the command to begin",
		);
		await worker.kill();
		worker = await startWorker();
		expect(await jobs().wait(ada, id, { ms: 120_000 })).toMatchObject({ state: "failed", error: { code: "INTERRUPTED" } });
		expect(timesBegun().filter((each) => each === id)).toHaveLength(1);
		await until(
			() => !isRunning(),
			() => "the command to end",
		);
	});

	it("that only read are run by the command again when their worker is lost", async () => {
		const { id } = await jobs().submit(ada, { tool: "neural_predict", arguments: { input: "wait" } });
		await until(
			() => timesBegun().includes(id),
			() => "the command to begin",
		);
		await worker.kill();
		worker = await startWorker();
		await until(
			() => timesBegun().filter((each) => each === id).length === 2,
			() => "the command to begin again",
			120_000,
		);
		await jobs().cancel(ada, id);
		expect(await jobs().wait(ada, id, { ms: 60_000 })).toMatchObject({ state: "cancelled" });
	});
});

/** Whether what the command starts when it takes its time is still there: it goes on longer than the command may. */
function isRunning(): boolean {
	return readdirSync("/proc").some((name) => {
		try {
			return /^\d+$/.test(name) && readFileSync(`/proc/${name}/cmdline`, "utf8").split("\0").includes("600.25");
		} catch {
			return false;
		}
	});
}
