/** What the tables say of a workspace's work. Times that are asked for are milliseconds since 1970; durations are milliseconds. */
import type { TaskStatus } from "../model.ts";
import type { Queryable } from "./postgres.ts";

/** Of one tool, within a time. What has not happened yet has no duration: null. */
export interface ToolFigures {
	readonly tool: string;
	readonly calls: number;
	readonly completed: number;
	/** Those given up among them. */
	readonly failed: number;
	readonly cancelled: number;
	readonly open: number;
	readonly medianMs: number | null;
	readonly p95Ms: number | null;
	readonly waitP95Ms: number | null;
}

const DURATION = "extract(epoch from ended_at - started_at)::double precision * 1000";
const WAIT = "extract(epoch from started_at - created_at)::double precision * 1000";

/** Most called first. */
export async function toolFigures(client: Queryable, workspace: string, since: number): Promise<ToolFigures[]> {
	return await client.query<ToolFigures>({
		name: "reports-tools",
		text: `select tool, count(*) as calls,
				count(*) filter (where state = 'completed') as completed,
				count(*) filter (where state in ('failed', 'dead')) as failed,
				count(*) filter (where state = 'cancelled') as cancelled,
				count(*) filter (where state in ('queued', 'active')) as open,
				percentile_cont(0.5) within group (order by ${DURATION}) filter (where state = 'completed') as "medianMs",
				percentile_cont(0.95) within group (order by ${DURATION}) filter (where state = 'completed') as "p95Ms",
				percentile_cont(0.95) within group (order by ${WAIT}) filter (where started_at is not null) as "waitP95Ms"
			from jobs where workspace = $1 and id >= uuid_at(to_timestamp($2::double precision / 1000))
			group by tool order by calls desc, tool`,
		values: [workspace, since],
	});
}

export interface TaskFigures {
	readonly created: number;
	readonly completed: number;
	readonly failed: number;
	readonly cancelled: number;
	/** Now, whenever they were created. */
	readonly pending: number;
	readonly inProgress: number;
	readonly medianMs: number | null;
	readonly p95Ms: number | null;
	readonly oldestPendingAt: number | null;
}

export async function taskFigures(client: Queryable, workspace: string, since: number): Promise<TaskFigures> {
	const [row] = await client.query<TaskFigures>({
		name: "reports-tasks",
		text: `select
				count(*) filter (where created_at >= since) as created,
				count(*) filter (where status = 'completed' and ended_at >= since) as completed,
				count(*) filter (where status = 'failed' and ended_at >= since) as failed,
				count(*) filter (where status = 'cancelled' and ended_at >= since) as cancelled,
				count(*) filter (where status = 'pending') as pending,
				count(*) filter (where status = 'in_progress') as "inProgress",
				percentile_cont(0.5) within group (order by ${DURATION}) filter (where status = 'completed' and ended_at >= since) as "medianMs",
				percentile_cont(0.95) within group (order by ${DURATION}) filter (where status = 'completed' and ended_at >= since) as "p95Ms",
				min(created_at) filter (where status = 'pending') as "oldestPendingAt"
			from (select *, to_timestamp($2::double precision / 1000) as since from tasks where workspace = $1) as each`,
		values: [workspace, since],
	});
	return row as TaskFigures;
}

/** How many tasks are in each state; those that none is in are left out. */
export async function taskCounts(client: Queryable, workspace: string): Promise<{ status: TaskStatus; count: number }[]> {
	return await client.query({
		name: "reports-task-counts",
		text: "select status, count(*) as count from tasks where workspace = $1 group by status",
		values: [workspace],
	});
}

/** A task that nobody can begin, and what it waits for that will not come. */
export interface BlockedTask {
	readonly taskId: string;
	readonly dependency: string;
	readonly status: string;
}

export async function blockedTasks(client: Queryable, workspace: string): Promise<BlockedTask[]> {
	return await client.query<BlockedTask>({
		name: "reports-blocked",
		text: `select waiting.id as "taskId", needed.id as dependency, needed.status
			from tasks as waiting join tasks as needed on needed.workspace = waiting.workspace and needed.id = any(waiting.dependencies)
			where waiting.workspace = $1 and waiting.status = 'pending' and needed.status in ('failed', 'cancelled')
			order by waiting.created_at, needed.id limit 100`,
		values: [workspace],
	});
}

/** Failures that have all but their time in common. */
export interface Failure {
	readonly source: "job" | "task";
	/** Of a job. */
	readonly tool: string | null;
	readonly code: string | null;
	readonly message: string | null;
	readonly count: number;
	readonly last: number;
}

/** Most frequent first: of the workspace's tasks, and of those jobs that the principal asked for. */
export async function failures(client: Queryable, workspace: string, principal: string, since: number): Promise<Failure[]> {
	return await client.query<Failure>({
		name: "reports-failures",
		text: `select 'job' as source, tool, error_code as code, error as message, count(*) as count, max(ended_at) as last
			from jobs where workspace = $1 and principal = $2 and state in ('failed', 'dead') and id >= uuid_at(to_timestamp($3::double precision / 1000))
			group by tool, error_code, error
			union all
			select 'task', null, null, left(error, 1000), count(*), max(ended_at)
			from tasks where workspace = $1 and status = 'failed' and ended_at >= to_timestamp($3::double precision / 1000) group by left(error, 1000)
			order by count desc, last desc limit 50`,
		values: [workspace, principal, since],
	});
}

/** What can be looked at over time: how many, or how long on average. */
const series = {
	tasks_created: { table: "tasks", time: "created_at", value: "count(*)", where: "true" },
	tasks_completed: { table: "tasks", time: "ended_at", value: "count(*)", where: "status = 'completed'" },
	tasks_failed: { table: "tasks", time: "ended_at", value: "count(*)", where: "status = 'failed'" },
	task_duration: { table: "tasks", time: "ended_at", value: `avg(${DURATION})`, where: "status = 'completed'" },
	jobs: { table: "jobs", time: "created_at", value: "count(*)", where: "true" },
	jobs_failed: { table: "jobs", time: "ended_at", value: "count(*)", where: "state in ('failed', 'dead')" },
	job_duration: { table: "jobs", time: "ended_at", value: `avg(${DURATION})`, where: "state = 'completed'" },
	job_wait: { table: "jobs", time: "started_at", value: `avg(${WAIT})`, where: "true" },
	agents_spawned: { table: "activities", time: '"timestamp"', value: "count(*)", where: "type = 'agent_spawned'" },
	activities: { table: "activities", time: '"timestamp"', value: "count(*)", where: "true" },
	memory_writes: { table: "memory_entries", time: "updated_at", value: "count(*)", where: "true" },
} as const;

export type Metric = keyof typeof series;

export const metrics = Object.keys(series) as readonly Metric[];

/** Whether it is how many, so that nothing is none, and not how long. */
export function isCount(metric: Metric): boolean {
	return series[metric].value === "count(*)";
}

/** @returns the value in each part of the time that has one; parts are counted from 1 */
export async function trend(
	client: Queryable,
	workspace: string,
	metric: Metric,
	from: number,
	to: number,
	parts: number,
): Promise<{ part: number; value: number }[]> {
	const { table, time, value, where } = series[metric];
	return await client.query({
		name: `reports-trend-${metric}`,
		text: `select width_bucket(extract(epoch from ${time})::double precision * 1000, $2::double precision, $3::double precision, $4) as part,
				(${value})::double precision as value
			from ${table} where workspace = $1 and ${where}
				and ${time} >= to_timestamp($2::double precision / 1000) and ${time} < to_timestamp($3::double precision / 1000)
			group by part order by part`,
		values: [workspace, from, to, parts],
	});
}

/** How much there is in the workspace. */
export interface Stored {
	readonly agents: number;
	readonly tasks: number;
	readonly memoryEntries: number;
	readonly memoryBytes: number;
	readonly savedStates: number;
	readonly savedBytes: number;
	readonly workflows: number;
	readonly activities: number;
	/** Changes of the workspace so far. */
	readonly events: number;
}

export async function stored(client: Queryable, workspace: string): Promise<Stored> {
	const [row] = await client.query<Stored>({
		name: "reports-stored",
		text: `select
				(select count(*) from agents where workspace = $1) as agents,
				(select count(*) from tasks where workspace = $1) as tasks,
				memory.count as "memoryEntries", memory.bytes as "memoryBytes",
				saved.count as "savedStates", saved.bytes as "savedBytes",
				(select count(*) from workflows where workspace = $1) as workflows,
				(select count(*) from activities where workspace = $1) as activities,
				coalesce((select event_seq from workspaces where workspace = $1), 0) as events
			from (select count(*), coalesce(sum(octet_length(value)), 0)::bigint as bytes from memory_entries
					where workspace = $1 and (expires_at is null or expires_at > now())) as memory,
				(select count(*), coalesce(sum(bytes), 0)::bigint as bytes from saved_states where workspace = $1) as saved`,
		values: [workspace],
	});
	return row as Stored;
}

/** Of PostgreSQL. */
export async function serverVersion(client: Queryable): Promise<string> {
	const [row] = await client.query<{ version: string }>({
		name: "reports-version",
		text: "select current_setting('server_version') as version",
		values: [],
	});
	return row?.version ?? "unknown";
}
