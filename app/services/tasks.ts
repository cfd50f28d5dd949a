import type { Principal, Task } from "../model.ts";
import { ServiceError, type TaskService } from "../ports.ts";
import { putDown, takeUp } from "../stores/agents.ts";
import type { Database, Queryable } from "../stores/postgres.ts";
import {
	endTask,
	findTask,
	hearOfTask,
	insertTasks,
	listTasks,
	openDependencies,
	putBack,
	silentClaims,
	startTask,
	statesOf,
	taskOf,
	workspacesWithSilentClaims,
} from "../stores/tasks.ts";
import { demandAgent } from "./agents.ts";
import type { Change, Changer } from "./changes.ts";
import { demandLength } from "./demand.ts";

/** Tasks that a listing has at most: all that are to be done come before any that is over. */
export const LISTED_TASKS = 1_000;

/** What a request may ask for, and bytes of a result's JSON. */
const limits = { description: 16_384, strategy: 100, dependencies: 100, error: 16_384, resultBytes: 262_144 } as const;

/** Bytes of a result's JSON that an event still carries; of a longer one it says that it was left out. */
const EVENT_RESULT_BYTES = 4_096;

/** Who expires claims. */
const HOUSEKEEPER = "system:claims";

/**
 * @param settings `claimSilenceMs`: how long neither a claimed task nor its agent may be silent
 */
export function taskService(database: Database, change: Changer, settings: { readonly claimSilenceMs: number }): TaskService {
	/** A step of a task that there is. */
	function step(principal: Principal, taskId: string, make: (task: Task, change: Change) => Promise<Task>): Promise<Task> {
		return change(
			principal,
			(client) => findTask(client, principal.workspace, taskId),
			(task, open) => make(demandTask(task, taskId), open),
		);
	}

	/** The end of a task, and what it means to the agent that had it. */
	function end(
		principal: Principal,
		taskId: string,
		verb: string,
		outcome: { status: "completed" | "failed"; result: string | null; error: string | null },
	): Promise<Task> {
		return step(principal, taskId, async (task, open) => {
			demandInProgress(task, verb);
			const ended = await endTask(open.client, open.workspace, taskId, outcome, open.at);
			taskHappened(open, ended);
			await release(open, ended, outcome.status === "completed" ? "completed" : "ended");
			open.noted(`task_${outcome.status}`, `Task ${outcome.status}: ${headOf(task)}`, { taskId, agentId: task.assignedAgent });
			return ended;
		});
	}

	return {
		list: (principal) => database.read(principal.id, (client) => listTasks(client, principal.workspace, LISTED_TASKS)),

		async get(principal, taskId) {
			return demandTask(await database.read(principal.id, (client) => findTask(client, principal.workspace, taskId)), taskId);
		},

		create(principal, { description, priority, strategy, dependencies }) {
			demandLength("description", description, limits.description);
			demandLength("strategy", strategy ?? "", limits.strategy);
			if (dependencies.length > limits.dependencies) throw new ServiceError("INVALID", `at most ${limits.dependencies} dependencies`);
			const needed = [...new Set(dependencies)];
			return change(
				principal,
				(client) => statesOf(client, principal.workspace, needed),
				async (states, open) => {
					const unknown = needed.filter((id) => !states.has(id));
					if (unknown.length > 0) throw new ServiceError("INVALID", `there is no task ${unknown.join(", ")} to depend on`);
					const id = open.newId("task");
					const asked = { id, description, priority, strategy, dependencies: needed, at: open.at };
					open.add(insertTasks, asked);
					const task = taskOf(asked);
					open.happened("task", id, "created", task);
					open.noted("task_created", `Task created: ${headOf(task)}`, { taskId: id, priority });
					return task;
				},
				// But whether there are such tasks, and nobody knows of one that is not committed.
				"nothing",
			);
		},

		/** The agent that has it already may claim it again: a sign of life. */
		claim(principal, taskId, agentId) {
			return change(
				principal,
				(client) => loadClaim(client, principal.workspace, taskId),
				async ([found, open], { client, workspace, at, ...rest }) => {
					const task = demandTask(found, taskId);
					if (task.status === "in_progress" && task.assignedAgent === agentId) return await hearOfTask(client, workspace, taskId, null, at);
					demandClaimable(task, open);
					const [started, agent] = await Promise.all([
						startTask(client, workspace, taskId, agentId, at),
						takeUp(client, workspace, agentId, taskId, at),
					]);
					const { name } = demandAgent(agent, agentId);
					taskHappened(rest, started);
					rest.happened("agent", agentId, "updated", agent);
					rest.noted("task_claimed", `Agent ${name} began: ${headOf(task)}`, { taskId, agentId });
					return started;
				},
			);
		},

		progress(principal, taskId, percent) {
			if (!(percent >= 0 && percent <= 100)) throw new ServiceError("INVALID", "progress is a number from 0 to 100");
			return step(principal, taskId, async (task, open) => {
				demandInProgress(task, "report progress of");
				const heard = await hearOfTask(open.client, open.workspace, taskId, percent, open.at);
				taskHappened(open, heard);
				return heard;
			});
		},

		complete(principal, taskId, result) {
			const json = JSON.stringify(result) ?? null;
			if (json !== null && Buffer.byteLength(json) > limits.resultBytes) {
				throw new ServiceError("INVALID", `the result has more than ${limits.resultBytes} bytes`);
			}
			return end(principal, taskId, "complete", { status: "completed", result: json, error: null });
		},

		fail(principal, taskId, error) {
			demandLength("error", error, limits.error);
			return end(principal, taskId, "fail", { status: "failed", result: null, error });
		},

		cancel(principal, taskId) {
			return step(principal, taskId, async (task, open) => {
				if (task.status === "cancelled") return task;
				if (task.status === "completed" || task.status === "failed") throw conflict(task, "cancel");
				const cancelled = await endTask(open.client, open.workspace, taskId, { status: "cancelled", result: null, error: null }, open.at);
				taskHappened(open, cancelled);
				if (task.status === "in_progress") await release(open, cancelled, "ended");
				open.noted("task_cancelled", `Task cancelled: ${headOf(task)}`, { taskId, agentId: task.assignedAgent });
				return cancelled;
			});
		},

		async expireClaims() {
			const { claimSilenceMs } = settings;
			const workspaces = await database.readPrimary((client) => workspacesWithSilentClaims(client, claimSilenceMs));
			let expired = 0;
			for (const workspace of workspaces) {
				expired += await change(
					{ id: HOUSEKEEPER, roles: [], workspace, expiresAt: null, credentialId: HOUSEKEEPER },
					(client) => silentClaims(client, workspace, claimSilenceMs),
					async (claims, open) => {
						const ids = claims.map(({ id }) => id);
						for (const task of await putBack(open.client, workspace, ids)) taskHappened(open, task);
						for (const agentId of new Set(claims.map(({ assignedAgent }) => assignedAgent))) {
							const agent = await putDown(open.client, workspace, agentId, "silent", open.at);
							if (agent !== undefined) open.happened("agent", agentId, "updated", agent);
						}
						for (const { id, assignedAgent } of claims) {
							open.noted("task_expired", "Nothing was heard of a claimed task: back to pending", { taskId: id, agentId: assignedAgent });
						}
						return claims.length;
					},
				);
			}
			return expired;
		},
	};
}

function loadClaim(client: Queryable, workspace: string, taskId: string) {
	return Promise.all([findTask(client, workspace, taskId), openDependencies(client, workspace, taskId)]);
}

/** The agent, where there still is one, has this task no more. */
async function release(open: Change, task: Task, end: "completed" | "ended"): Promise<void> {
	if (task.assignedAgent === null) return;
	const agent = await putDown(open.client, open.workspace, task.assignedAgent, end, open.at);
	if (agent !== undefined) open.happened("agent", agent.id, "updated", agent);
}

function taskHappened(change: Pick<Change, "happened">, task: Task): void {
	const long = Buffer.byteLength(JSON.stringify(task.result)) > EVENT_RESULT_BYTES;
	change.happened("task", task.id, "updated", long ? { ...task, result: null, resultOmitted: true } : task);
}

function demandTask(task: Task | undefined, taskId: string): Task {
	if (task === undefined) throw new ServiceError("NOT_FOUND", `there is no task ${taskId}`);
	return task;
}

function demandInProgress(task: Task, verb: string): void {
	if (task.status !== "in_progress") throw conflict(task, verb);
}

function demandClaimable(task: Task, open: readonly { id: string; status: string }[]): void {
	if (task.status === "in_progress") throw new ServiceError("CONFLICT", `agent ${task.assignedAgent} has task ${task.id}`);
	if (task.status !== "pending") throw conflict(task, "claim");
	if (open.length === 0) return;
	const waiting = open.map(({ id, status }) => `${id} (${status})`).join(", ");
	throw new ServiceError("CONFLICT", `task ${task.id} waits for ${waiting}`);
}

function conflict(task: Task, verb: string): ServiceError {
	return new ServiceError("CONFLICT", `cannot ${verb} task ${task.id}: it is ${task.status}`);
}

/** Enough of a description for a line of activity. */
function headOf({ description }: Task): string {
	return description.length > 100 ? `${description.slice(0, 99).toWellFormed()}…` : description;
}
