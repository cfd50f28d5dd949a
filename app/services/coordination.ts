/** What is done to a swarm as a whole. Each is one change: all of it happens, or nothing, and nobody changes anything in between. */
import type { Agent, Principal, Swarm, Task } from "../model.ts";
import { ServiceError } from "../ports.ts";
import { alignWithTasks, deleteAgent, insertAgent, listAgents, takeUp } from "../stores/agents.ts";
import type { Queryable } from "../stores/postgres.ts";
import { deleteSwarm, findSwarm, setTopology } from "../stores/swarms.ts";
import { listTasks, orphanedClaims, putBack, startTask, statesOf } from "../stores/tasks.ts";
import { MAX_AGENTS } from "./agents.ts";
import type { Change, Changer } from "./changes.ts";
import { type Assignment, assignments, fittingTopology, type Skipped, toRemove } from "./plans.ts";
import { clear } from "./swarm.ts";
import { LISTED_TASKS } from "./tasks.ts";

/** Agents that one change spawns or removes, so that others need not wait long for theirs. */
const AT_ONCE = 200;

export interface CoordinationService {
	/** Gives the swarm the topology that fits it. @throws ServiceError NOT_FOUND where there is no swarm */
	optimise(principal: Principal): Promise<{ swarm: Swarm; before: string; reason: string }>;
	/** Assigns tasks to idle agents. @param taskIds null for all that can be begun */
	spread(
		principal: Principal,
		taskIds: readonly string[] | null,
	): Promise<{ assigned: Assignment[]; skipped: Skipped[]; idleAgents: number }>;
	/** What agents say of themselves follows the tasks; tasks whose agent is gone go back. */
	align(principal: Principal): Promise<{ agents: Agent[]; tasks: Task[] }>;
	/** Spawns or removes agents. @throws ServiceError INVALID, or CONFLICT beyond the swarm's maximum */
	scale(principal: Principal, targetSize: number): Promise<{ before: number; spawned: Agent[]; removed: string[]; putBack: string[] }>;
	/** Ends the swarm; agents, tasks and activities go. Needs the role `operator`. @throws ServiceError NOT_FOUND */
	destroy(principal: Principal): Promise<{ swarm: Swarm; agents: number }>;
}

export function coordinationService(change: Changer): CoordinationService {
	return {
		optimise(principal) {
			return change(
				principal,
				(client) => loadSwarm(client, principal.workspace),
				async ([found, agents, tasks], { client, workspace, happened, noted }) => {
					const before = demandSwarm(found);
					const { topology, reason } = fittingTopology(agents.length, tasks);
					if (topology === before.topology) return { swarm: before, before: before.topology, reason };
					const swarm = await setTopology(client, workspace, topology);
					happened("swarm", swarm.swarmId, "updated", swarm);
					noted("topology_changed", `Topology ${before.topology} becomes ${topology}: ${reason}`, { swarmId: swarm.swarmId });
					return { swarm, before: before.topology, reason };
				},
			);
		},

		spread(principal, taskIds) {
			return change(
				principal,
				(client) => loadSwarm(client, principal.workspace),
				async ([, agents, tasks], open) => {
					const idle = agents.filter(({ status }) => status === "idle").slice(0, AT_ONCE);
					const states = await statesOf(open.client, open.workspace, [...new Set(tasks.flatMap(({ dependencies }) => dependencies))]);
					const completed = new Set([...states].filter(([, status]) => status === "completed").map(([id]) => id));
					const { assigned, skipped } = assignments(idle, tasks, taskIds, completed);
					for (const { taskId, agentId } of assigned) await assign(open, taskId, agentId);
					if (assigned.length > 0) open.noted("tasks_assigned", `${assigned.length} tasks were assigned to idle agents`, { assigned });
					return { assigned, skipped, idleAgents: idle.length - assigned.length };
				},
			);
		},

		align(principal) {
			return change(
				principal,
				(client) => orphanedClaims(client, principal.workspace),
				async (orphans, open) => {
					const { client, workspace, happened, noted } = open;
					const tasks = orphans.length === 0 ? [] : await putBack(client, workspace, orphans);
					const agents = await alignWithTasks(client, workspace);
					for (const task of tasks) happened("task", task.id, "updated", task);
					for (const agent of agents) happened("agent", agent.id, "updated", agent);
					if (tasks.length + agents.length > 0)
						noted("agents_aligned", "Agents were brought into line with their tasks", { agents: agents.length, tasks: tasks.length });
					return { agents, tasks };
				},
			);
		},

		scale(principal, targetSize) {
			if (!Number.isInteger(targetSize) || targetSize < 0 || targetSize > MAX_AGENTS) {
				throw new ServiceError("INVALID", `targetSize is a whole number from 0 to ${MAX_AGENTS}`);
			}
			return change(
				principal,
				(client) => loadSwarm(client, principal.workspace),
				async ([swarm, agents, tasks], open) => {
					const most = Math.min(swarm?.maxAgents ?? MAX_AGENTS, MAX_AGENTS);
					if (targetSize > most && targetSize > agents.length) {
						throw new ServiceError("CONFLICT", `the swarm may have ${most} agents; begin one with a larger maxAgents for ${targetSize}`);
					}
					if (Math.abs(targetSize - agents.length) > AT_ONCE) {
						throw new ServiceError("CONFLICT", `there are ${agents.length} agents; one call spawns or removes at most ${AT_ONCE}`);
					}
					const spawned = await spawnWorkers(open, targetSize - agents.length);
					const removed = toRemove(agents, agents.length - targetSize);
					const claims = tasks.filter(({ status, assignedAgent }) => status === "in_progress" && removed.includes(assignedAgent ?? ""));
					const back = await removeAgents(open, removed, claims);
					if (spawned.length + removed.length > 0) {
						open.noted("swarm_scaled", `The swarm has ${targetSize} agents, it had ${agents.length}`, {
							before: agents.length,
							after: targetSize,
						});
					}
					return { before: agents.length, spawned, removed, putBack: back };
				},
			);
		},

		destroy(principal) {
			if (!principal.roles.includes("operator")) throw new ServiceError("FORBIDDEN", "only an operator may end a swarm");
			return change(
				principal,
				(client) => Promise.all([findSwarm(client, principal.workspace), listAgents(client, principal.workspace)]),
				async ([found, agents], open) => {
					const { client, workspace, happened, noted } = open;
					const swarm = demandSwarm(found);
					await clear(open);
					await deleteSwarm(client, workspace);
					happened("swarm", null, "reset", null);
					noted("swarm_destroyed", `Swarm ${swarm.name} has ended`, { swarmId: swarm.swarmId, agents: agents.length });
					return { swarm, agents: agents.length };
				},
			);
		},
	};
}

function loadSwarm(client: Queryable, workspace: string) {
	return Promise.all([findSwarm(client, workspace), listAgents(client, workspace), listTasks(client, workspace, LISTED_TASKS)]);
}

function demandSwarm(swarm: Swarm | null): Swarm {
	if (swarm === null) throw new ServiceError("NOT_FOUND", "there is no swarm yet; begin one with swarm_init");
	return swarm;
}

async function assign({ client, workspace, at, happened }: Change, taskId: string, agentId: string): Promise<void> {
	const [task, agent] = await Promise.all([
		startTask(client, workspace, taskId, agentId, at),
		takeUp(client, workspace, agentId, taskId, at),
	]);
	happened("task", taskId, "updated", task);
	happened("agent", agentId, "updated", agent);
}

/** Of the type that does whatever comes. */
async function spawnWorkers(
	{ client, workspace, agentsSpawned, at, newId, happened, countAgents }: Change,
	count: number,
): Promise<Agent[]> {
	const spawned: Agent[] = [];
	for (let number = agentsSpawned + 1; number <= agentsSpawned + count; number += 1) {
		const type = "specialist";
		const agent = await insertAgent(client, workspace, { id: newId("agent"), name: `${type}-${number}`, type, capabilities: [] }, at);
		happened("agent", agent.id, "created", agent);
		spawned.push(agent);
	}
	countAgents(agentsSpawned + spawned.length);
	return spawned;
}

async function removeAgents({ client, workspace, happened }: Change, ids: readonly string[], claims: readonly Task[]): Promise<string[]> {
	const back = claims.map(({ id }) => id);
	for (const task of back.length === 0 ? [] : await putBack(client, workspace, back)) happened("task", task.id, "updated", task);
	for (const id of ids) {
		await deleteAgent(client, workspace, id);
		happened("agent", id, "deleted", { id });
	}
	return back;
}
