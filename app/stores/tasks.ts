import type { Task, TaskStatus } from "../model.ts";
import type { Queryable, Statement } from "./postgres.ts";

const COLUMNS = `id, description, status, priority, strategy, progress, assigned_agent as "assignedAgent", dependencies, result, error,
	created_at as "createdAt", started_at as "startTime", ended_at as "endTime"`;

/** Bytes of text that one listing holds: it ends before the task that goes beyond. */
const LISTED_BYTES = 8 * 1024 * 1024;

/** What is still to be done first, then what is over; each from the newest. */
export async function listTasks(client: Queryable, workspace: string, limit: number): Promise<Task[]> {
	return await client.query<Task>({
		name: "tasks-list",
		text: `with newest as (
				(select 0 as over, * from tasks where workspace = $1 and status in ('pending', 'in_progress') order by created_at desc limit $2)
				union all
				(select 1 as over, * from tasks where workspace = $1 and status in ('completed', 'failed', 'cancelled') order by created_at desc limit $2)
			), counted as (
				select *, sum(octet_length(description) + coalesce(octet_length(error), 0) + result_bytes)
					over (order by over, created_at desc, id) as bytes
				from newest
			)
			select ${COLUMNS} from counted where bytes <= ${LISTED_BYTES} order by over, created_at desc, id limit $2`,
		values: [workspace, limit],
	});
}

export async function findTask(client: Queryable, workspace: string, id: string): Promise<Task | undefined> {
	const [row] = await client.query<Task>({
		name: "task-find",
		text: `select ${COLUMNS} from tasks where workspace = $1 and id = $2`,
		values: [workspace, id],
	});
	return row;
}

/** The states of those of the tasks that there are. */
export async function statesOf(client: Queryable, workspace: string, ids: readonly string[]): Promise<Map<string, TaskStatus>> {
	// Most tasks depend on none.
	if (ids.length === 0) return new Map();
	const rows = await client.query<{ id: string; status: TaskStatus }>({
		name: "tasks-states",
		text: "select id, status from tasks where workspace = $1 and id = any($2)",
		values: [workspace, ids],
	});
	return new Map(rows.map(({ id, status }) => [id, status]));
}

/** Those the task waits for that are not completed. */
export async function openDependencies(client: Queryable, workspace: string, id: string): Promise<{ id: string; status: TaskStatus }[]> {
	return await client.query({
		name: "task-open-dependencies",
		text: `select needed.id, needed.status from tasks as waiting join tasks as needed
				on needed.workspace = waiting.workspace and needed.id = any(waiting.dependencies)
			where waiting.workspace = $1 and waiting.id = $2 and needed.status <> 'completed' order by needed.id`,
		values: [workspace, id],
	});
}

/** A task that nobody has begun. */
export interface NewTask extends Pick<Task, "id" | "description" | "priority" | "strategy" | "dependencies"> {
	/** When it was asked for, to the microsecond. */
	readonly at: string;
}

/** @returns the statement; what it inserts is {@link taskOf} */
export function insertTasks(workspace: string, tasks: readonly NewTask[]): Statement {
	return {
		name: "tasks-insert",
		text: `insert into tasks (workspace, id, description, status, priority, strategy, dependencies, created_at)
			select $1, id, description, 'pending', priority, strategy, dependencies, at
			from json_to_recordset($2::json) as each (id text, description text, priority text, strategy text, dependencies text[], at timestamptz)`,
		values: [workspace, JSON.stringify(tasks)],
	};
}

/** As it is read when it has been inserted. */
export function taskOf({ at, ...asked }: NewTask): Task {
	return {
		...asked,
		status: "pending",
		progress: 0,
		assignedAgent: null,
		result: null,
		error: null,
		createdAt: Date.parse(at),
		startTime: null,
		endTime: null,
	};
}

export async function startTask(client: Queryable, workspace: string, id: string, agentId: string, at: string): Promise<Task> {
	const [row] = await client.query<Task>({
		name: "task-start",
		text: `update tasks set status = 'in_progress', assigned_agent = $3, progress = 0, started_at = $4, heard_at = $4
			where workspace = $1 and id = $2 returning ${COLUMNS}`,
		values: [workspace, id, agentId, at],
	});
	return row as Task;
}

/** A sign of life of whoever is at the task, with how far it is where that is said. */
export async function hearOfTask(client: Queryable, workspace: string, id: string, percent: number | null, at: string): Promise<Task> {
	const [row] = await client.query<Task>({
		name: "task-hear",
		text: `update tasks set progress = coalesce($3, progress), heard_at = $4 where workspace = $1 and id = $2 returning ${COLUMNS}`,
		values: [workspace, id, percent, at],
	});
	return row as Task;
}

/** @param outcome `result` as JSON text; a completed task is at 100 % */
export async function endTask(
	client: Queryable,
	workspace: string,
	id: string,
	outcome: { status: "completed" | "failed" | "cancelled"; result: string | null; error: string | null },
	at: string,
): Promise<Task> {
	const [row] = await client.query<Task>({
		name: "task-end",
		text: `update tasks set status = $3, result = nullif($4::jsonb, 'null'), result_bytes = coalesce(octet_length($4::text), 0), error = $5, ended_at = $6,
				progress = case when $3 = 'completed' then 100 else progress end
			where workspace = $1 and id = $2 returning ${COLUMNS}`,
		values: [workspace, id, outcome.status, outcome.result, outcome.error, at],
	});
	return row as Task;
}

/** Back to be claimed by another. */
export async function putBack(client: Queryable, workspace: string, ids: readonly string[]): Promise<Task[]> {
	return await client.query<Task>({
		name: "tasks-put-back",
		text: `update tasks set status = 'pending', assigned_agent = null, progress = 0, started_at = null, heard_at = null
			where workspace = $1 and id = any($2) returning ${COLUMNS}`,
		values: [workspace, ids],
	});
}

/** What the agent is at. */
export async function claimsOf(client: Queryable, workspace: string, agentId: string): Promise<string[]> {
	const rows = await client.query<{ id: string }>({
		name: "tasks-of-agent",
		text: "select id from tasks where workspace = $1 and assigned_agent = $2 and status = 'in_progress' order by id",
		values: [workspace, agentId],
	});
	return rows.map(({ id }) => id);
}

/** Tasks that agents have who are not there any more. */
export async function orphanedClaims(client: Queryable, workspace: string): Promise<string[]> {
	const rows = await client.query<{ id: string }>({
		name: "tasks-orphaned",
		text: `select id from tasks where workspace = $1 and status = 'in_progress'
			and not exists (select from agents where agents.workspace = $1 and agents.id = assigned_agent) order by id`,
		values: [workspace],
	});
	return rows.map(({ id }) => id);
}

/** A claim of which nothing has been heard for too long: neither of the task nor of its agent. */
export interface SilentClaim {
	readonly workspace: string;
	readonly id: string;
	readonly assignedAgent: string;
}

const SILENT = `select tasks.workspace, tasks.id, assigned_agent as "assignedAgent" from tasks
	left join agents on agents.workspace = tasks.workspace and agents.id = assigned_agent
	where tasks.status = 'in_progress' and heard_at < now() - $1 * interval '1 millisecond'
		and (last_active is null or last_active < now() - $1 * interval '1 millisecond')`;

/** Workspaces that have silent claims. */
export async function workspacesWithSilentClaims(client: Queryable, silentMs: number): Promise<string[]> {
	const rows = await client.query<{ workspace: string }>({
		name: "tasks-silent-workspaces",
		text: `select distinct workspace from (${SILENT}) as silent`,
		values: [silentMs],
	});
	return rows.map(({ workspace }) => workspace);
}

export async function silentClaims(client: Queryable, workspace: string, silentMs: number): Promise<SilentClaim[]> {
	return await client.query<SilentClaim>({
		name: "tasks-silent",
		text: `${SILENT} and tasks.workspace = $2 order by tasks.id`,
		values: [silentMs, workspace],
	});
}
