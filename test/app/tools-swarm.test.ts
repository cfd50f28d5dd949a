import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Principal } from "../../app/model.ts";
import { missing } from "./daemons.ts";
import { type Answer, refusalOf, somebody, startToolRuns, type ToolRuns } from "./tool-runs.ts";

describe.skipIf(missing)(`tools about a swarm${missing ? `: ${missing}` : ""}`, () => {
	let tools: ToolRuns;
	let ada: Principal;
	let spaces = 0;

	beforeAll(async () => {
		tools = await startToolRuns();
	});

	afterAll(() => tools?.stop());

	beforeEach(() => {
		spaces += 1;
		ada = somebody(`space-${spaces}`, "operator");
	});

	const run = (tool: string, args?: Readonly<Record<string, unknown>>): Promise<Answer> => tools.run(ada, tool, args);
	const services = () => tools.rig.edge.services;
	const spawn = async (type = "coder"): Promise<string> => (await run("agent_spawn", { type })).agentId;
	const task = async (description: string, more: Readonly<Record<string, unknown>> = {}): Promise<string> =>
		(await run("task_orchestrate", { task: description, ...more })).taskId;
	const activities = async () => (await services().activities.list(ada, 100)).map(({ type }) => type);

	it("begins a swarm with what the schema gives, and shows it", async () => {
		const begun = await run("swarm_init", { topology: "mesh" });
		expect(begun).toMatchObject({ success: true, topology: "mesh", maxAgents: 8, strategy: "auto" });
		expect((await services().swarm.current(ada))?.swarmId).toBe(begun.swarmId);
		const agentId = await spawn();
		const shown = await run("swarm_status", { swarmId: begun.swarmId });
		expect(shown).toMatchObject({ swarm: { swarmId: begun.swarmId }, agentsByStatus: { total: 1, idle: 1 }, tasks: { total: 0 } });
		expect(shown.agents[0].id).toBe(agentId);
	});

	it("knows no swarm but the workspace's own", async () => {
		await run("swarm_init");
		for (const tool of ["swarm_status", "agent_list", "topology_optimize", "load_balance", "coordination_sync", "swarm_destroy"]) {
			expect(await refusalOf(run(tool, { swarmId: "swarm-of-somebody" }))).toMatch(
				/^NOT_FOUND: there is no swarm swarm-of-somebody; there is /,
			);
		}
	});

	it("spawns an agent up to the swarm's maximum, and says what is missing", async () => {
		await run("swarm_init", { maxAgents: 1 });
		expect(await refusalOf(run("agent_spawn", {}))).toMatch(/^INVALID: type is missing: one of coordinator, /);
		const agent = await run("agent_spawn", { type: "tester", name: "T", capabilities: ["vitest"] });
		expect(agent).toMatchObject({ name: "T", type: "tester", capabilities: ["vitest"], status: "idle", performance: null });
		expect(await refusalOf(run("agent_spawn", { type: "tester" }))).toBe("CONFLICT: the swarm has its 1 agents");
		expect((await run("agent_list")).agents).toHaveLength(1);
		expect((await run("agent_metrics", { agentId: agent.agentId })).metrics).toMatchObject([
			{ agentId: agent.agentId, cpu: null, tasks: 0 },
		]);
		expect(await refusalOf(run("agent_metrics", { agentId: "nobody" }))).toBe("NOT_FOUND: there is no agent nobody");
	});

	it.each([0, 1.5, -1, 1_001])("refuses a swarm of at most %s agents", async (maxAgents) => {
		expect(await refusalOf(run("swarm_init", { maxAgents }))).toBe(
			`INVALID: maxAgents must be a whole number from 1 to 1000; it is ${maxAgents}`,
		);
	});

	it("hands a task on, shows its state, its result, and cancels it", async () => {
		const [agentId, taskId] = [await spawn(), await task("do it", { priority: "high" })];
		expect(await run("task_status", { taskId })).toMatchObject({ status: "pending", priority: "high", assignedAgent: null });
		await services().tasks.claim(ada, taskId, agentId);
		expect(await run("task_results", { taskId })).toMatchObject({ status: "in_progress", completed: false, result: null });
		await services().tasks.complete(ada, taskId, { answer: 42 });
		expect(await run("task_results", { taskId })).toMatchObject({ completed: true, result: { answer: 42 } });
		expect(await refusalOf(run("cancel_task", { taskId }))).toMatch(/^CONFLICT: cannot cancel task/);
		const other = await task("never mind");
		expect(await run("cancel_task", { taskId: other })).toMatchObject({ success: true, status: "cancelled" });
		expect((await run("task_status")).counts).toMatchObject({ total: 2, completed: 1, cancelled: 1 });
	});

	it("gives idle agents the most urgent tasks that can be begun, and says why not the others", async () => {
		const agents = [await spawn(), await spawn()];
		const first = await task("first", { priority: "low" });
		const waiting = await task("waiting", { priority: "critical", dependencies: [first] });
		const urgent = await task("urgent", { priority: "critical" });
		const spare = await task("spare", { priority: "low" });
		const { assigned, skipped } = await run("load_balance");
		expect(assigned).toEqual([
			{ taskId: urgent, agentId: agents[0] },
			{ taskId: first, agentId: agents[1] },
		]);
		expect(skipped).toEqual([
			{ taskId: waiting, why: `it waits for ${first}` },
			{ taskId: spare, why: "no agent is idle" },
		]);
		expect(await services().tasks.get(ada, urgent)).toMatchObject({ status: "in_progress", assignedAgent: agents[0] });
		await services().tasks.complete(ada, first, null);
		const named = await run("load_balance", { tasks: [waiting, "nothing"] });
		expect(named).toMatchObject({
			assigned: [{ taskId: waiting, agentId: agents[1] }],
			skipped: [{ taskId: "nothing", why: "there is no such task that is open" }],
		});
	});

	it("scales up and down, the idle first, and puts their tasks back", async () => {
		await run("swarm_init", { maxAgents: 5 });
		const up = await run("swarm_scale", { targetSize: 3 });
		expect(up).toMatchObject({ before: 0, agents: 3, removed: [] });
		const [busy, ...idle] = up.spawned;
		const taskId = await task("under way");
		await services().tasks.claim(ada, taskId, busy);
		const down = await run("swarm_scale", { targetSize: 1 });
		expect(down).toMatchObject({ before: 3, agents: 1, putBack: [] });
		expect([...down.removed].sort()).toEqual([...idle].sort());
		expect(await run("swarm_scale", { targetSize: 0 })).toMatchObject({ agents: 0, removed: [busy], putBack: [taskId] });
		expect(await services().tasks.get(ada, taskId)).toMatchObject({ status: "pending", assignedAgent: null });
		expect(await refusalOf(run("swarm_scale", { targetSize: 6 }))).toMatch(/^CONFLICT: the swarm may have 5 agents/);
		expect(await refusalOf(run("swarm_scale", { targetSize: 1e9 }))).toMatch(/^INVALID: targetSize is a whole number/);
		expect(await refusalOf(run("swarm_scale", {}))).toMatch(/^INVALID: targetSize is missing/);
	});

	it("chooses a topology by the agents there are, and by tasks that are handed on", async () => {
		await run("swarm_init", { topology: "hierarchical", maxAgents: 100 });
		await run("swarm_scale", { targetSize: 2 });
		expect(await run("topology_optimize")).toMatchObject({ before: "hierarchical", topology: "mesh", changed: true });
		expect((await services().swarm.current(ada))?.topology).toBe("mesh");
		expect(await run("topology_optimize")).toMatchObject({ before: "mesh", topology: "mesh", changed: false });
		await run("swarm_scale", { targetSize: 8 });
		expect((await run("topology_optimize")).topology).toBe("star");
		await run("swarm_scale", { targetSize: 13 });
		expect((await run("topology_optimize")).topology).toBe("hierarchical");
		const one = await task("one");
		const two = await task("two", { dependencies: [one] });
		await task("three", { dependencies: [two] });
		expect((await run("topology_optimize")).topology).toBe("ring");
		expect(await activities()).toContain("topology_changed");
	});

	it("puts right what agents say of themselves, and tasks of agents that are gone", async () => {
		await run("swarm_init");
		const [agentId, taskId] = [await spawn(), await task("x")];
		await services().tasks.claim(ada, taskId, agentId);
		await services().agents.report(ada, agentId, { status: "idle" });
		expect(await run("coordination_sync")).toMatchObject({ agentsCorrected: [agentId], tasksPutBack: [] });
		expect((await services().agents.list(ada))[0]).toMatchObject({ status: "busy", currentTask: taskId });
		expect(await run("coordination_sync")).toMatchObject({ agentsCorrected: [], tasksPutBack: [] });
		await tools.rig.edge.database.write([], (client) =>
			client.query({ name: "test-lose-agents", text: "delete from agents where workspace = $1", values: [ada.workspace] }),
		);
		expect(await run("coordination_sync")).toMatchObject({ agentsCorrected: [], tasksPutBack: [taskId] });
	});

	it("watches a swarm for as long as it is told, and no longer than a minute", async () => {
		await run("swarm_init");
		const watching = run("swarm_monitor", { interval: 1.5 });
		const agentId = await spawn();
		const { before, now, changes } = await watching;
		expect(changes.agents.added.concat(changes.events === 0 ? [agentId] : [])).toEqual([agentId]);
		expect(now.seq - before.seq).toBe(changes.events);
		expect((await run("swarm_monitor")).now.agents.total).toBe(1);
		expect(await refusalOf(run("swarm_monitor", { interval: 61 }))).toMatch(/^INVALID: interval is in seconds/);
		const abort = new AbortController();
		const cut = tools.run(ada, "swarm_monitor", { interval: 60 }, { signal: abort.signal });
		abort.abort();
		await expect(cut).rejects.toThrow();
	});

	it("ends a swarm for an operator alone", async () => {
		const { swarmId } = await run("swarm_init");
		await spawn();
		const member = somebody(ada.workspace);
		expect(await refusalOf(tools.run(member, "swarm_destroy"))).toBe("FORBIDDEN: only an operator may call swarm_destroy");
		expect(await run("swarm_destroy", { swarmId })).toMatchObject({ success: true, swarmId, agents: 1 });
		expect(await services().swarm.current(ada)).toBeNull();
		expect(await services().agents.list(ada)).toEqual([]);
		expect(await refusalOf(run("swarm_destroy"))).toBe("NOT_FOUND: there is no swarm yet; begin one with swarm_init");
	});

	it.each<[string, Readonly<Record<string, unknown>>]>([
		["swarm_init", {}],
		["agent_spawn", { type: "coder" }],
		["task_orchestrate", { task: "once" }],
		["swarm_scale", { targetSize: 3 }],
		["load_balance", {}],
		["topology_optimize", {}],
		["swarm_destroy", {}],
	])("%s, run again after its worker was lost, changes nothing a second time and answers the same", async (tool, args) => {
		await run("swarm_init", { maxAgents: 20 });
		await spawn();
		await task("to be done");
		const job = await tools.begin(ada, tool, args);
		const first = await job.again();
		const after = await services().swarm.snapshot(ada);
		expect(await job.again()).toEqual(first);
		const { timestamp: _, ...again } = await services().swarm.snapshot(ada);
		const { timestamp: __, ...before } = after;
		expect(again).toEqual(before);
	});
});
