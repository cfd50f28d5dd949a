/** What follows for a swarm from its agents and tasks: rules without a database. */
import type { Agent, Task, TaskPriority } from "../model.ts";

export interface Assignment {
	readonly taskId: string;
	readonly agentId: string;
}

export interface Skipped {
	readonly taskId: string;
	readonly why: string;
}

/** Agents among which everybody may talk to everybody: 15 links. */
const MESH_MOST = 6;

/** Agents that one in the middle can look after. */
const STAR_MOST = 12;

/**
 * The topology for so many agents and the tasks that are not over: a ring for work that is handed on, else a mesh, a star
 * or a hierarchy by how many links there would be.
 */
export function fittingTopology(agents: number, tasks: readonly Task[]): { topology: string; reason: string } {
	const open = tasks.filter(isOpen);
	if (open.length >= 3 && isChain(open))
		return { topology: "ring", reason: `its ${open.length} open tasks are each handed on to the next` };
	if (agents <= MESH_MOST)
		return { topology: "mesh", reason: `${agents} agents need at most ${(agents * (agents - 1)) / 2} links for each to reach all` };
	if (agents <= STAR_MOST)
		return {
			topology: "star",
			reason: `${agents} agents would need ${(agents * (agents - 1)) / 2} links in a mesh; one can look after them`,
		};
	return { topology: "hierarchical", reason: `${agents} agents are more than the ${STAR_MOST} that one can look after` };
}

/** Each but one waits for exactly one other of them, and nobody for the same one. */
function isChain(open: readonly Task[]): boolean {
	const ids = new Set(open.map(({ id }) => id));
	const awaited = open.map(({ dependencies }) => dependencies.filter((id) => ids.has(id)));
	const all = awaited.flat();
	return awaited.every((each) => each.length <= 1) && all.length === open.length - 1 && new Set(all).size === all.length;
}

const urgency: readonly TaskPriority[] = ["critical", "high", "medium", "low"];

/**
 * The most urgent tasks that can be begun, the oldest of each urgency first, to the agents with the fewest tasks so far.
 *
 * @param wanted null for all
 * @param completed those of the tasks' dependencies that are
 */
export function assignments(
	idle: readonly Agent[],
	tasks: readonly Task[],
	wanted: readonly string[] | null,
	completed: ReadonlySet<string>,
): { assigned: Assignment[]; skipped: Skipped[] } {
	const byId = new Map(tasks.map((task) => [task.id, task]));
	const chosen =
		wanted === null ? tasks.filter(({ status }) => status === "pending") : [...new Set(wanted)].map((id) => byId.get(id) ?? id);
	const skipped: Skipped[] = [];
	const ready: Task[] = [];
	for (const task of chosen) {
		const why = typeof task === "string" ? "there is no such task that is open" : whyNot(task, completed);
		if (why === null) ready.push(task as Task);
		else skipped.push({ taskId: typeof task === "string" ? task : task.id, why });
	}
	ready.sort((one, other) => urgency.indexOf(one.priority) - urgency.indexOf(other.priority) || one.createdAt - other.createdAt);
	const resting = [...idle].sort((one, other) => one.tasks - other.tasks || one.createdAt - other.createdAt);
	const assigned: Assignment[] = [];
	for (const [index, { id }] of ready.entries()) {
		const agent = resting[index];
		if (agent === undefined) skipped.push({ taskId: id, why: "no agent is idle" });
		else assigned.push({ taskId: id, agentId: agent.id });
	}
	return { assigned, skipped };
}

function whyNot({ status, dependencies }: Task, completed: ReadonlySet<string>): string | null {
	if (status !== "pending") return `it is ${status}`;
	const waiting = dependencies.filter((id) => !completed.has(id));
	return waiting.length === 0 ? null : `it waits for ${waiting.join(", ")}`;
}

const stays: readonly Agent["status"][] = ["idle", "offline", "busy"];

/** The agents to do without: those at rest before those at work, and the newest of them first. */
export function toRemove(agents: readonly Agent[], count: number): string[] {
	const order = [...agents].sort(
		(one, other) =>
			stays.indexOf(one.status) - stays.indexOf(other.status) || other.createdAt - one.createdAt || other.id.localeCompare(one.id),
	);
	return order.slice(0, Math.max(0, count)).map(({ id }) => id);
}

export function isOpen({ status }: Task): boolean {
	return status === "pending" || status === "in_progress";
}
