import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Principal } from "../../app/model.ts";
import { toolEntries } from "../../app/tools/catalogue.ts";
import { missing } from "./daemons.ts";
import { type Answer, refusalOf, somebody, startToolRuns, type ToolRuns } from "./tool-runs.ts";

describe.skipIf(missing)(`tools about work and the server${missing ? `: ${missing}` : ""}`, () => {
	let tools: ToolRuns;
	let ada: Principal;
	let spaces = 0;

	beforeAll(async () => {
		tools = await startToolRuns();
	});

	afterAll(() => tools?.stop());

	beforeEach(() => {
		spaces += 1;
		ada = somebody(`system-${spaces}`, "operator");
	});

	const run = (tool: string, args?: Readonly<Record<string, unknown>>): Promise<Answer> => tools.run(ada, tool, args);
	const services = () => tools.rig.edge.services;

	/** As if a job worker had done them by now: how each ended, after waiting and working for so long. */
	const work = (rows: readonly { tool: string; state: string; waitMs: number; ms: number; error?: string; hoursAgo?: number }[]) =>
		tools.rig.edge.database.write([], (client) =>
			client.query({
				name: "test-jobs",
				text: `insert into jobs (id, workspace, principal, roles, tool, arguments, priority, state, max_attempts, queued_at, created_at, started_at,
						ended_at, error_code, error)
					select (substr(uuid_at(at)::text, 1, 24) || lpad(to_hex(row_number() over ()), 12, '0'))::uuid, $1, $2, '{}', tool, '{}', 2, state, 3, at, at,
						at + "waitMs" * interval '1 ms', at + ("waitMs" + ms) * interval '1 ms', case when error is null then null else 'TOOL_FAILED' end, error
					from (select *, clock_timestamp() - coalesce("hoursAgo", 0) * interval '1 hour' - ("waitMs" + ms) * interval '1 ms' as at
						from jsonb_to_recordset($3::jsonb) as r (tool text, state text, "waitMs" int, ms int, error text, "hoursAgo" float)) as each`,
				values: [ada.workspace, ada.id, JSON.stringify(rows)],
			}),
		);

	it("reports what jobs took and how they ended, and nothing that has not happened", async () => {
		expect(await run("performance_report")).toMatchObject({
			timeframe: "24h",
			jobs: { completed: 0, failed: 0, successRate: null },
			tasks: { created: 0, medianMs: null, successRate: null },
		});
		await work([
			{ tool: "agent_spawn", state: "completed", waitMs: 10, ms: 100 },
			{ tool: "agent_spawn", state: "completed", waitMs: 30, ms: 300 },
			{ tool: "neural_train", state: "failed", waitMs: 5, ms: 50, error: "no" },
			{ tool: "neural_train", state: "completed", waitMs: 5, ms: 900, hoursAgo: 48 },
		]);
		const day = await run("performance_report", { format: "detailed" });
		expect(day.jobs).toMatchObject({ completed: 2, failed: 1, successRate: 2 / 3 });
		const spawn = day.tools.find(({ tool }: { tool: string }) => tool === "agent_spawn");
		expect(spawn).toMatchObject({ calls: 2, completed: 2, open: 0 });
		expect(spawn.medianMs).toBeCloseTo(200, 3);
		expect(spawn.p95Ms).toBeCloseTo(290, 3);
		expect(spawn.waitP95Ms).toBeCloseTo(29, 3);
		expect((await run("performance_report", { timeframe: "7d" })).jobs.completed).toBe(3);
		expect((await tools.run(somebody("elsewhere"), "performance_report")).jobs.completed).toBe(0);
	});

	it("ranks what work waits for", async () => {
		await work([
			{ tool: "slow", state: "completed", waitMs: 10, ms: 5_000 },
			{ tool: "late", state: "completed", waitMs: 9_000, ms: 10 },
			{ tool: "broken", state: "failed", waitMs: 1, ms: 1, error: "no" },
		]);
		const needed = await services().tasks.create(ada, { description: "needed", priority: "low", strategy: null, dependencies: [] });
		const waits = await services().tasks.create(ada, { description: "waits", priority: "low", strategy: null, dependencies: [needed.id] });
		await services().tasks.cancel(ada, needed.id);
		const { findings } = await run("bottleneck_analyze");
		const first = (measure: string) => findings.find((each: { measure: string }) => each.measure === measure);
		expect(first("duration")).toMatchObject({ subject: "slow", value: expect.closeTo(5_000, 1) });
		expect(first("wait")).toMatchObject({ subject: "late", value: expect.closeTo(9_000, 1) });
		expect(first("failures")).toMatchObject({ subject: "broken", value: 1 });
		expect(first("blocked")).toMatchObject({ subject: waits.id, detail: `it waits for ${needed.id}, which is cancelled` });
		expect(first("idle")).toMatchObject({ value: 0, detail: "0 agents, 1 pending tasks" });
		const some = await run("bottleneck_analyze", { component: "jobs", metrics: ["wait"] });
		expect(new Set(some.findings.map((each: { measure: string }) => each.measure))).toEqual(new Set(["wait"]));
		expect(await refusalOf(run("bottleneck_analyze", { component: "magic" }))).toMatch(/^INVALID: component must be one of jobs, tasks/);
	});

	it("shows which way a metric goes, and knows none that nobody measures", async () => {
		for (let hoursAgo = 0.5; hoursAgo < 12; hoursAgo += 1) {
			await work(
				Array(Math.round(12 - hoursAgo)).fill({ tool: "t", state: "completed", waitMs: 1, ms: 100 * Math.round(hoursAgo + 1), hoursAgo }),
			);
		}
		const jobs = await run("trend_analysis", { metric: "jobs", period: "12h" });
		expect(jobs.points.map(({ value }: { value: number }) => value).slice(0, -1)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
		expect(jobs).toMatchObject({ direction: "rising", unit: "per part" });
		expect(await run("trend_analysis", { metric: "job_duration", period: "12h" })).toMatchObject({ direction: "falling" });
		const none = await run("trend_analysis", { metric: "task_duration", period: "7d" });
		expect(none).toMatchObject({ slopePerPart: null, direction: null });
		expect(none.points.every(({ value }: { value: unknown }) => value === null)).toBe(true);
		expect(await refusalOf(run("trend_analysis", { metric: "happiness" }))).toMatch(
			/^INVALID: metric must be one of .*; nobody measures "happiness"$/,
		);
	});

	it.each([
		"tasks_created",
		"tasks_completed",
		"tasks_failed",
		"task_duration",
		"jobs_failed",
		"job_wait",
		"agents_spawned",
		"activities",
		"memory_writes",
	])("has a trend of %s", async (metric) => {
		const { agentId } = await run("agent_spawn", { type: "coder" });
		for (const outcome of ["complete", "fail"] as const) {
			const { id } = await services().tasks.create(ada, { description: "x", priority: "low", strategy: null, dependencies: [] });
			await services().tasks.claim(ada, id, agentId);
			await services().tasks[outcome](ada, id, "x");
		}
		await run("memory_usage", { action: "store", key: "k", value: "v" });
		await work([{ tool: "t", state: "failed", waitMs: 1, ms: 1, error: "no" }]);
		const { points } = await run("trend_analysis", { metric, period: "1h" });
		expect(points).toHaveLength(12);
		expect(points.at(-1).value).toBeGreaterThan(0);
	});

	it("counts calls and what is stored", async () => {
		await run("memory_usage", { action: "store", key: "k", value: "12345" });
		await run("agent_spawn", { type: "coder" });
		const stats = await run("usage_stats");
		expect(stats.storage).toMatchObject({ agents: 1, tasks: 0, memoryEntries: 1, memoryBytes: 5, savedStates: 0, workflows: 0 });
		expect(stats.tools).toContainEqual({ tool: "agent_spawn", calls: 1, completed: 0, failed: 0 });
		expect(await run("usage_stats", { component: "storage" })).not.toHaveProperty("tools");
	});

	it("groups the failures of the workspace's tasks and of the caller's own jobs", async () => {
		await work(Array(3).fill({ tool: "t", state: "failed", waitMs: 1, ms: 1, error: "no such repository" }));
		const { failures } = await run("error_analysis");
		expect(failures).toMatchObject([{ source: "job", tool: "t", code: "TOOL_FAILED", message: "no such repository", count: 3 }]);
		const other = { ...ada, id: "token:other" };
		expect((await tools.run(other, "error_analysis")).failures).toEqual([]);
	});

	it("groups the lines of a log that it is given", async () => {
		const { byLevel, groups } = await run("error_analysis", {
			logs: ["ERROR 1 failed", "ERROR 2 failed", { level: "info", message: "ok" }],
		});
		expect(byLevel).toEqual({ fatal: 0, error: 2, warning: 0, other: 1 });
		expect(groups[0]).toMatchObject({ pattern: "ERROR <n> failed", count: 2 });
	});

	it("recognises patterns, and gives one up that never ends", async () => {
		const found = await run("pattern_recognize", { data: ["a1", { a: 2 }, "c"], patterns: ["/^a\\d/", "*2*"] });
		expect(found).toMatchObject({ items: 3, unmatched: 1, patterns: [{ items: [0] }, { items: [1] }] });
		const began = performance.now();
		const endless = run("pattern_recognize", { data: [`${"a".repeat(50)}!`], patterns: ["/^(a+)+$/"] });
		expect(await refusalOf(endless)).toBe("TIMEOUT: not done within 10 seconds; ask for less, or for something simpler");
		expect(performance.now() - began).toBeLessThan(30_000);
		expect(await refusalOf(run("pattern_recognize", { data: [], patterns: ["/(/"] }))).toMatch(
			/^INVALID: patterns\[0\] is no regular expression/,
		);
		expect(await refusalOf(run("pattern_recognize", { data: [], patterns: [1] }))).toMatch(/^INVALID: patterns\[0\] must be text/);
	});

	it("collects figures by component, and names those that nobody measures", async () => {
		await run("swarm_init");
		const { metrics, unmeasured } = await run("metrics_collect", {
			components: ["swarm", "agents", "memory", "process", "gpu", "__proto__"],
		});
		expect(metrics).toMatchObject({ swarm: { topology: "hierarchical" }, agents: { total: 0 }, memory: { entries: 0 }, gpu: null });
		expect(metrics.process.rss).toBeGreaterThan(10_000_000);
		expect(unmeasured).toEqual(["gpu", "__proto__"]);
		expect(Object.keys((await run("metrics_collect")).metrics)).toEqual([
			"swarm",
			"agents",
			"tasks",
			"memory",
			"jobs",
			"process",
			"dependencies",
		]);
	});

	it("says whether what the server depends on answers", async () => {
		await expect.poll(() => run("health_check"), { timeout: 20_000 }).toMatchObject({ status: "healthy" });
		expect((await run("health_check")).components).toContainEqual(expect.objectContaining({ name: "postgres", status: "up" }));
		expect(await run("health_check", { components: ["postgres", "kafka"] })).toMatchObject({
			status: "degraded",
			components: [{ name: "postgres" }, { name: "kafka", status: "unknown" }],
		});
	});

	it("tries its parts out, with the time that each took", async () => {
		const { passed, failed, results } = await run("diagnostic_run");
		expect([passed, failed]).toEqual([4, 1]);
		expect(results.map(({ name, status }: { name: string; status: string }) => [name, status])).toEqual([
			["database", "passed"],
			["dependencies", "passed"],
			["schemas", "passed"],
			["threads", "passed"],
			["command", "failed"],
		]);
		expect(results.every(({ ms }: { ms: number }) => ms >= 0)).toBe(true);
		expect(results[4].detail).toMatch(/set CLAUDE_FLOW_BIN on the job workers/);
		expect((await run("diagnostic_run", { components: ["flux"] })).results).toEqual([
			{ name: "flux", status: "unknown", ms: null, detail: "there is no such check" },
		]);
	});

	it("says which tools it has, and which nothing here can run", async () => {
		const { tools: found, versions } = await run("features_detect");
		expect(found.here).toContain("swarm_init");
		expect(found.external).toMatchObject({ available: false, why: expect.stringContaining("CLAUDE_FLOW_BIN") });
		expect([...found.here, ...found.external.tools]).toHaveLength(82);
		expect(versions.node).toBe(process.versions.node);
		expect(versions.postgres).toMatch(/^\d+/);
		expect(await refusalOf(run("neural_train"))).toMatch(/^TOOL_UNAVAILABLE: neural_train is run by a command: /);
	});

	it("runs every tool that runs here, and each answers in a record how it went", async () => {
		const init = await run("swarm_init");
		const { agentId } = await run("agent_spawn", { type: "coder" });
		const { taskId } = await run("task_orchestrate", { task: "x" });
		await run("memory_backup", { path: "p" });
		await run("state_snapshot", { name: "s" });
		await run("workflow_create", { name: "w", steps: [{ tool: "swarm_status" }] });
		/** What those need that cannot do without arguments. */
		const needed: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
			agent_spawn: { type: "tester", swarmId: init.swarmId },
			task_orchestrate: { task: "y", dependencies: [taskId] },
			swarm_scale: { targetSize: 2 },
			task_results: { taskId },
			memory_usage: { action: "list" },
			memory_search: { pattern: "x" },
			memory_restore: { backupPath: "p" },
			memory_sync: { target: "hivemind" },
			context_restore: { snapshotId: "s" },
			workflow_create: { name: "v", steps: [{ tool: "swarm_status" }] },
			workflow_execute: { workflowId: "w" },
			trend_analysis: { metric: "jobs" },
			pattern_recognize: { data: ["a"], patterns: ["a"] },
			cancel_task: { taskId },
			remove_agent: { agentId },
		};
		const here = toolEntries.filter(({ runs }) => runs === "here").map(({ name }) => name);
		// What ends things comes last.
		const last = ["context_restore", "cancel_task", "remove_agent", "swarm_init", "swarm_destroy"];
		for (const name of [...here.filter((each) => !last.includes(each)), ...last]) {
			const answer = await run(name, needed[name]);
			expect(answer, name).toMatchObject({ success: true });
			expect(Object.keys(answer).length, name).toBeGreaterThan(1);
		}
		expect(here).toHaveLength(40);
	});

	describe("workflows", () => {
		const create = (steps: readonly unknown[], more: Readonly<Record<string, unknown>> = {}) =>
			run("workflow_create", { name: "deploy", steps, ...more });

		it("run their steps in order, with parameters as whole values", async () => {
			const { workflowId } = await create([
				{ tool: "swarm_init", arguments: { topology: "${params.shape}" } },
				{ tool: "agent_spawn", name: "helper", arguments: { type: "coder", capabilities: "${params.skills}" } },
				{ tool: "memory_usage", arguments: { action: "store", key: "k", value: "costs ${params.shape} dollars" } },
			]);
			const progress: (string | undefined)[] = [];
			const done: Answer = await tools.run(
				ada,
				"workflow_execute",
				{ workflowId, params: { shape: "ring", skills: ["a", "b"] } },
				{ progress: (_, message) => progress.push(message) },
			);
			expect(done).toMatchObject({ success: true, status: "completed", failedStep: null, workflowId, name: "deploy" });
			expect(done.steps.map(({ step, name, status }: Answer) => [step, name, status])).toEqual([
				[1, "swarm_init", "completed"],
				[2, "helper", "completed"],
				[3, "memory_usage", "completed"],
			]);
			expect(progress).toEqual(["step 1 of 3: swarm_init", "step 2 of 3: agent_spawn", "step 3 of 3: memory_usage"]);
			expect((await services().swarm.current(ada))?.topology).toBe("ring");
			expect((await services().agents.list(ada))[0]?.capabilities).toEqual(["a", "b"]);
			expect((await services().memory.get(ada, "swarm", "default", "k"))?.value).toBe("costs ${params.shape} dollars");
		});

		it("stop at the first step that fails, and report every one", async () => {
			await create([
				{ tool: "agent_spawn", arguments: { type: "coder" } },
				{ tool: "cancel_task", arguments: { taskId: "nothing" } },
				{ tool: "agent_spawn", arguments: { type: "coder" } },
			]);
			const done = await run("workflow_execute", { workflowId: "deploy" });
			expect(done).toMatchObject({ success: false, status: "failed", failedStep: 2 });
			expect(done.steps).toMatchObject([
				{ status: "completed" },
				{ status: "failed", error: { code: "NOT_FOUND", message: "there is no task nothing" } },
				{ step: 3, tool: "agent_spawn", status: "skipped" },
			]);
			expect(await services().agents.list(ada)).toHaveLength(1);
		});

		it("fail at a step whose arguments make no sense, or whose tool nothing can run", async () => {
			await create([{ tool: "memory_usage", arguments: {} }]);
			expect((await run("workflow_execute", { workflowId: "deploy" })).steps).toMatchObject([
				{ status: "failed", error: { code: "INVALID", message: "action is missing" } },
			]);
			await create([{ tool: "neural_train" }]);
			expect((await run("workflow_execute", { workflowId: "deploy" })).steps).toMatchObject([
				{ status: "failed", error: { code: "TOOL_UNAVAILABLE" } },
			]);
		});

		it("do, run again after their worker was lost, no step twice", async () => {
			await create([
				{ tool: "agent_spawn", arguments: { type: "coder" } },
				{ tool: "task_orchestrate", arguments: { task: "x" } },
				{ tool: "swarm_scale", arguments: { targetSize: 3 } },
			]);
			const job = await tools.begin(ada, "workflow_execute", { workflowId: "deploy" });
			const lost = (percent: number) => {
				if (percent > 60) throw new Error("the worker is lost before the last step");
			};
			await expect(job.again({ progress: lost })).rejects.toThrow("the worker is lost");
			expect(await services().agents.list(ada)).toHaveLength(1);
			// Another workflow has the name by now.
			await create([{ tool: "swarm_destroy" }]);
			expect(await job.again()).toMatchObject({ success: true, steps: [{}, {}, {}] });
			const { agents, tasks } = await services().swarm.snapshot(ada);
			expect([agents.length, tasks.length]).toEqual([3, 1]);
		});

		it("let nobody do through them what they may not do themselves", async () => {
			await create([{ tool: "agent_spawn", arguments: { type: "coder" } }, { tool: "swarm_destroy" }]);
			const member = somebody(ada.workspace);
			expect(await refusalOf(tools.run(member, "workflow_execute", { workflowId: "deploy" }))).toBe(
				"FORBIDDEN: step 2: only an operator may call swarm_destroy",
			);
			expect(await services().agents.list(ada)).toEqual([]);
			expect(await refusalOf(tools.run(somebody("elsewhere"), "workflow_execute", { workflowId: "deploy" }))).toBe(
				"NOT_FOUND: there is no workflow deploy",
			);
		});

		it("need the parameters that their steps name", async () => {
			await create([{ tool: "agent_spawn", arguments: { type: "${params.type}" } }]);
			expect(await refusalOf(run("workflow_execute", { workflowId: "deploy", params: { other: 1 } }))).toBe(
				"INVALID: step 1 needs the parameter type: give it in params",
			);
			for (const name of ["__proto__", "constructor", "toString"]) {
				await create([{ tool: "agent_spawn", arguments: { type: `\${params.${name}}` } }]);
				expect(await refusalOf(run("workflow_execute", { workflowId: "deploy", params: {} }))).toMatch(
					/^INVALID: step 1 needs the parameter/,
				);
			}
		});

		it.each<[unknown, RegExp]>([
			["build", /^INVALID: step 1 is no object; a step is like \{"tool": "agent_spawn"/],
			[{}, /^INVALID: step 1 names no tool/],
			[{ tool: "no_such" }, /^INVALID: step 1: there is no tool "no_such"$/],
			[{ tool: "workflow_execute" }, /^INVALID: step 1: a workflow cannot run another one/],
			[{ tool: "agent_spawn", arguments: [] }, /^INVALID: step 1 has arguments that are no object/],
			[{ tool: "agent_spawn", name: 1 }, /^INVALID: step 1 has a name that is no text/],
		])("are refused with a step like %j", async (step, message) => {
			expect(await refusalOf(create([step]))).toMatch(message);
		});

		it("are refused with no steps, or too many; triggers are kept and said to be idle", async () => {
			expect(await refusalOf(create([]))).toBe("INVALID: a workflow has 1 to 50 steps");
			expect(await refusalOf(create(Array(51).fill({ tool: "swarm_status" })))).toBe("INVALID: a workflow has 1 to 50 steps");
			expect(await create([{ tool: "swarm_status" }], { triggers: ["push"] })).toMatchObject({
				triggers: ["push"],
				note: "The triggers are kept; nothing sets them off. Run it with workflow_execute.",
			});
			expect(await refusalOf(run("workflow_execute", {}))).toMatch(/^INVALID: workflowId is missing/);
		});
	});
});
