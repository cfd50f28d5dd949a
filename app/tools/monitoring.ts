/** Tools that look at a swarm, and that put it in order. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Agent, Snapshot, Task } from "../model.ts";
import type { TaskCounts } from "../services/reports.ts";
import { namedSwarm } from "./coordination.ts";
import { neededText, text, texts } from "./read.ts";
import { type Tool, ToolError } from "./tool.ts";

/** Seconds that a swarm is watched at most. */
const LONGEST_WATCH = 60;

export const monitoringTools: Readonly<Record<string, Tool>> = {
	async swarm_status(args, run) {
		const swarm = await namedSwarm(run, text(args, "swarmId"));
		const [agents, tasks] = await Promise.all([run.services.agents.list(run.principal), run.services.reports.taskCounts(run.principal)]);
		return { success: true, swarm, agents, agentsByStatus: agentCounts(agents), tasks };
	},

	async agent_list(args, run) {
		const swarm = await namedSwarm(run, text(args, "swarmId"));
		const agents = await run.services.agents.list(run.principal);
		return { success: true, swarmId: swarm?.swarmId ?? null, agents, total: agents.length };
	},

	async agent_metrics(args, { services, principal }) {
		const agentId = text(args, "agentId");
		const agents = await services.agents.list(principal);
		const wanted = agentId === null ? agents : agents.filter(({ id }) => id === agentId);
		if (agentId !== null && wanted.length === 0) throw new ToolError("NOT_FOUND", `there is no agent ${agentId}`);
		return { success: true, metrics: wanted.map(metricsOf), unmeasured: "null: the agent has not reported it" };
	},

	async swarm_monitor(args, run) {
		const seconds = watchSeconds(args.interval);
		const swarm = await namedSwarm(run, text(args, "swarmId"));
		const look = async () => {
			const { services, principal } = run;
			const [snapshot, tasks] = await Promise.all([services.swarm.snapshot(principal), services.reports.taskCounts(principal)]);
			return { ...snapshot, summary: summary(snapshot, tasks) };
		};
		const before = await look();
		if (seconds === 0) return { success: true, swarm, now: before.summary };
		await sleep(seconds * 1_000, undefined, { signal: run.signal });
		const after = await look();
		return {
			success: true,
			swarm: after.swarms[0] ?? null,
			seconds,
			before: before.summary,
			now: after.summary,
			changes: {
				events: after.seq - before.seq,
				agents: differences(before.agents, after.agents),
				tasks: differences(before.tasks, after.tasks),
			},
		};
	},

	async task_status(args, { services, principal }) {
		const taskId = text(args, "taskId");
		if (taskId === null) {
			const [tasks, counts] = await Promise.all([services.tasks.list(principal), services.reports.taskCounts(principal)]);
			return { success: true, tasks: tasks.map(statusOf), counts };
		}
		return { success: true, ...statusOf(await services.tasks.get(principal, taskId)) };
	},

	async task_results(args, { services, principal }) {
		const { id, status, result, error, startTime, endTime } = await services.tasks.get(principal, neededText(args, "taskId"));
		const durationMs = startTime === null || endTime === null ? null : endTime - startTime;
		return { success: true, taskId: id, status, completed: status === "completed", result: result ?? null, error, durationMs };
	},

	async topology_optimize(args, run) {
		await namedSwarm(run, text(args, "swarmId"));
		const { swarm, before, reason } = await run.services.coordination.optimise(run.principal);
		return { success: true, swarmId: swarm.swarmId, before, topology: swarm.topology, changed: before !== swarm.topology, reason };
	},

	async load_balance(args, run) {
		await namedSwarm(run, text(args, "swarmId"));
		return { success: true, ...(await run.services.coordination.spread(run.principal, texts(args, "tasks"))) };
	},

	async coordination_sync(args, run) {
		const swarm = await namedSwarm(run, text(args, "swarmId"));
		const { agents, tasks } = await run.services.coordination.align(run.principal);
		return {
			success: true,
			swarmId: swarm?.swarmId ?? null,
			agentsCorrected: agents.map(({ id }) => id),
			tasksPutBack: tasks.map(({ id }) => id),
		};
	},

	async swarm_scale(args, run) {
		if (args.targetSize === undefined) throw new ToolError("INVALID", "targetSize is missing: how many agents there are to be");
		const swarm = await namedSwarm(run, text(args, "swarmId"));
		const scaled = await run.services.coordination.scale(run.principal, args.targetSize as number);
		const spawned = scaled.spawned.map(({ id }) => id);
		return {
			success: true,
			swarmId: swarm?.swarmId ?? null,
			...scaled,
			spawned,
			agents: scaled.before + spawned.length - scaled.removed.length,
		};
	},

	async swarm_destroy(args, run) {
		// A job that is run again finds the swarm gone that it has ended itself, so what it means is decided once.
		const swarmId = await run.step("swarm", async () => (await namedSwarm(run, text(args, "swarmId")))?.swarmId ?? null);
		const { agents } = await run.services.coordination.destroy(run.principal);
		return { success: true, swarmId, destroyed: true, agents };
	},
};

function watchSeconds(interval: unknown): number {
	if (interval === undefined) return 0;
	if (typeof interval === "number" && interval >= 0 && interval <= LONGEST_WATCH) return interval;
	throw new ToolError("INVALID", `interval is in seconds, from 0 to ${LONGEST_WATCH}; it is ${interval}`);
}

function summary({ seq, agents, memory, timestamp }: Snapshot, tasks: TaskCounts) {
	const entries = memory.reduce((sum, each) => sum + each.entries, 0);
	return { timestamp, seq, agents: agentCounts(agents), tasks, memoryEntries: entries };
}

/** Ids of what has come, gone, or got into another state. */
function differences(before: readonly (Agent | Task)[], after: readonly (Agent | Task)[]) {
	const earlier = new Map(before.map((each) => [each.id, each]));
	const later = new Set(after.map(({ id }) => id));
	return {
		added: after.filter(({ id }) => !earlier.has(id)).map(({ id }) => id),
		removed: before.filter(({ id }) => !later.has(id)).map(({ id }) => id),
		changed: after.flatMap(({ id, status }) => {
			const was = earlier.get(id)?.status;
			return was === undefined || was === status ? [] : [{ id, from: was, to: status }];
		}),
	};
}

function agentCounts(agents: readonly Agent[]): Record<Agent["status"], number> & { total: number } {
	const count = (status: Agent["status"]) => agents.filter((agent) => agent.status === status).length;
	return { total: agents.length, idle: count("idle"), busy: count("busy"), offline: count("offline") };
}

function metricsOf(agent: Agent) {
	const { id, name, type, status, tasks, completedTasks, performance, memory, cpu, messageCount, lastActive } = agent;
	return { agentId: id, name, type, status, tasks, completedTasks, performance, memory, cpu, messageCount, lastActive };
}

function statusOf({
	id,
	description,
	status,
	priority,
	progress,
	assignedAgent,
	dependencies,
	createdAt,
	startTime,
	endTime,
	error,
}: Task) {
	return { taskId: id, description, status, priority, progress, assignedAgent, dependencies, createdAt, startTime, endTime, error };
}
