import type { Job, JobErrorCode, JobState, TaskPriority } from "../model.ts";
import type { Queryable } from "./postgres.ts";

/** Priorities in the order in which they are served; a job has its place in it. */
const priorities = ["critical", "high", "medium", "low"] as const satisfies readonly TaskPriority[];

export function rankOf(priority: TaskPriority): number {
	return priorities.indexOf(priority);
}

/** A job with whose it is. */
export interface JobRecord extends Job {
	readonly workspace: string;
	readonly principal: string;
	readonly roles: readonly string[];
	/** Which worker waits for it for somebody; null where nobody does. */
	readonly waiter: string | null;
}

/** A job that is to be put into the queue. */
export interface Delivery {
	readonly id: string;
	/** Part of its name in the queue. */
	readonly deliveries: number;
	/** Place in the order of priorities. */
	readonly rank: number;
	/** Workers lost over it: one that has cost some is run apart from the others. */
	readonly losses: number;
	/** It only looks something up, and is delivered for the first time: see {@link lookAtJobs}. */
	readonly looksUp?: boolean;
}

/** A job begun by this worker. */
export interface Claimed extends JobRecord {
	/** Attempts that failed in a way that may pass. */
	readonly failures: number;
	readonly losses: number;
}

/** A job as its next attempt would have it; there is none unless it is still queued. */
export interface Found extends Claimed {
	/** Whether its principal may have another one at once. */
	readonly room: boolean;
}

/** How an attempt ended: `queued` where there is to be another. */
export interface Outcome {
	readonly id: string;
	/** Which attempt it was; of another one the outcome counts no more. */
	readonly attempt: number;
	/** Under which delivery it was begun where it was not claimed, and then; null where it was. */
	readonly unclaimed: { readonly deliveries: number; readonly startedAt: number } | null;
	readonly state: Exclude<JobState, "active">;
	/** JSON text; null for none. */
	readonly result: string | null;
	readonly error: { readonly code: JobErrorCode; readonly message: string } | null;
}

const DELIVERY = "id, deliveries, priority as rank, losses";

const COLUMNS = `id, workspace, principal, roles, tool, arguments, state, priority, attempts, failures, max_attempts as "maxAttempts", losses,
	progress, message, result, error_code as "errorCode", error, created_at as "createdAt", started_at as "startedAt", ended_at as "endedAt", waiter`;

interface Row extends Omit<Claimed, "priority" | "error"> {
	readonly priority: number;
	readonly errorCode: JobErrorCode | null;
	readonly error: string | null;
}

function recordOf({ priority, errorCode, error, ...row }: Row): Claimed {
	return {
		...row,
		priority: priorities[priority] as TaskPriority,
		error: errorCode === null ? null : { code: errorCode, message: error ?? "" },
	};
}

/** What of it is for its principal. */
export function jobOf(record: Job): Job {
	const { id, tool, arguments: args, state, priority, attempts, maxAttempts, progress, message, result, error } = record;
	const { createdAt, startedAt, endedAt } = record;
	return {
		id,
		tool,
		arguments: args,
		state,
		priority,
		attempts,
		maxAttempts,
		progress,
		message,
		result,
		error,
		createdAt,
		startedAt,
		endedAt,
	};
}

export interface NewJob {
	readonly id: string;
	readonly workspace: string;
	readonly principal: string;
	readonly roles: readonly string[];
	readonly tool: string;
	/** JSON text. */
	readonly arguments: string;
	readonly priority: TaskPriority;
	readonly maxAttempts: number;
	readonly waiter: string | null;
	/** It goes to the queue while it is being inserted: {@link lookAtJobs} waits for it. */
	readonly early: boolean;
}

/** Twice is once. @returns when they were created */
export async function insertJobs(client: Queryable, jobs: readonly NewJob[]): Promise<number> {
	const [row] = await client.query<{ at: number }>({
		name: "jobs-insert",
		text: `with held as (
				select pg_advisory_xact_lock(uuid_hash_extended(id, 0)) from unnest($10::uuid[]) as id
			), added as (
				insert into jobs (id, workspace, principal, roles, tool, arguments, priority, max_attempts, waiter, queued_at, created_at)
				select id, workspace, principal, string_to_array(roles, ','), tool, arguments::json, priority, max_attempts, waiter, now(), now()
				from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::smallint[], $8::integer[], $9::text[])
					as each (id, workspace, principal, roles, tool, arguments, priority, max_attempts, waiter)
				on conflict (id) do nothing
			) select now() as at, (select count(*) from held) as held`,
		values: [
			jobs.map(({ id }) => id),
			jobs.map(({ workspace }) => workspace),
			jobs.map(({ principal }) => principal),
			jobs.map(({ roles }) => roles.join(",")),
			jobs.map(({ tool }) => tool),
			jobs.map((job) => job.arguments),
			jobs.map(({ priority }) => rankOf(priority)),
			jobs.map(({ maxAttempts }) => maxAttempts),
			jobs.map(({ waiter }) => waiter),
			jobs.flatMap(({ id, early }) => (early ? [id] : [])),
		],
	});
	return (row as { at: number }).at;
}

/**
 * Makes the key stand for the job, unless it stands for one already.
 *
 * @param request SHA-256 of what is asked for
 * @returns the job it stands for, and whether that was asked for in the same words
 */
export async function takeKey(
	client: Queryable,
	{ workspace, principal, key, job, request }: { workspace: string; principal: string; key: string; job: string; request: Buffer },
): Promise<{ job: string; same: boolean }> {
	const [row] = await client.query<{ job: string; same: boolean }>({
		name: "job-key-take",
		text: `insert into job_keys as kept (workspace, principal, key, job, request, created_at) values ($1, $2, $3, $4, $5, now())
			on conflict (workspace, principal, key) do update set job = kept.job
			returning job, request = $5 as same`,
		values: [workspace, principal, key, job, request],
	});
	return row as { job: string; same: boolean };
}

export async function findJob(client: Queryable, workspace: string, principal: string, id: string): Promise<JobRecord | undefined> {
	const [row] = await client.query<Row>({
		name: "job-find",
		text: `select ${COLUMNS} from jobs where id = $3 and workspace = $1 and principal = $2`,
		values: [workspace, principal, id],
	});
	return row && recordOf(row);
}

/** Newest first. */
export async function listJobs(
	client: Queryable,
	workspace: string,
	principal: string,
	{ state, before, limit }: { state: JobState | null; before: string | null; limit: number },
): Promise<JobRecord[]> {
	const rows = await client.query<Row>({
		name: "jobs-list",
		text: `select ${COLUMNS} from jobs where workspace = $1 and principal = $2 and ($3::text is null or state = $3) and ($4::uuid is null or id < $4)
			order by id desc limit $5`,
		values: [workspace, principal, state, before, limit],
	});
	return rows.map(recordOf);
}

/** Ends a job that is queued, and asks the worker of one that is active to let go. @returns it as it is then */
export async function cancelJob(client: Queryable, workspace: string, principal: string, id: string): Promise<JobRecord | undefined> {
	const [row] = await client.query<Row>({
		name: "job-cancel",
		text: `update jobs set cancel_asked = state = 'active', parked = false,
				state = case state when 'queued' then 'cancelled' else state end,
				error_code = case state when 'queued' then 'CANCELLED' else error_code end,
				error = case state when 'queued' then 'cancelled before it began' else error end,
				ended_at = case state when 'queued' then now() else ended_at end
			where id = $3 and workspace = $1 and principal = $2 and state in ('queued', 'active') returning ${COLUMNS}`,
		values: [workspace, principal, id],
	});
	return row ? recordOf(row) : await findJob(client, workspace, principal, id);
}

/** Puts a job back that did not succeed. Undefined where there is none of that kind. */
export async function retryJob(client: Queryable, workspace: string, principal: string, id: string): Promise<Delivery | undefined> {
	const [row] = await client.query<Delivery>({
		name: "job-retry",
		text: `update jobs set state = 'queued', failures = 0, losses = 0, deliveries = deliveries + 1, queued_at = now(), ended_at = null,
				progress = 0, message = null, cancel_asked = false
			where id = $3 and workspace = $1 and principal = $2 and state in ('dead', 'failed') returning ${DELIVERY}`,
		values: [workspace, principal, id],
	});
	return row;
}

/**
 * Those that have not been delivered anew since, each once it is committed. Nothing is written: where all that an attempt does
 * is to look something up, and it is done in no time, its beginning and its end can be one change. Until then others may begin it.
 */
export async function lookAtJobs(
	client: Queryable,
	delivered: readonly Pick<Delivery, "id" | "deliveries">[],
	atOnce: number,
): Promise<Found[]> {
	const rows = await client.query<Row & { readonly now: number; readonly room: boolean }>({
		name: "jobs-look",
		text: `select ${COLUMNS}, clock_timestamp() as now,
				not parked and $3 > (
					select count(*) from jobs as other
					where other.workspace = jobs.workspace and other.principal = jobs.principal and other.state = 'active'
				) as room
			from look_at_jobs($1, $2) as jobs`,
		values: [delivered.map(({ id }) => id), delivered.map(({ deliveries }) => deliveries), atOnce],
	});
	return rows.map(({ now, room, ...row }) => ({ ...recordOf(row), attempts: row.attempts + 1, startedAt: row.startedAt ?? now, room }));
}

/**
 * Begins those that are still queued, and have not been delivered anew since, up to what each principal may have at once; the others wait until one of theirs ends.
 *
 * @param leaseMs for so long nobody else begins them
 */
export async function claimJobs(
	client: Queryable,
	delivered: readonly Pick<Delivery, "id" | "deliveries">[],
	claim: { readonly worker: string; readonly leaseMs: number; readonly atOnce: number },
): Promise<Claimed[]> {
	const rows = await client.query<Row>({
		name: "jobs-claim",
		text: `select ${COLUMNS} from claim_jobs($1, $2, $3, $4 * interval '1 millisecond', $5)`,
		values: [delivered.map(({ id }) => id), delivered.map(({ deliveries }) => deliveries), claim.worker, claim.leaseMs, claim.atOnce],
	});
	return rows.map(recordOf);
}

/** Where a job is, as its worker knows it. */
export interface Position {
	readonly id: string;
	readonly attempt: number;
	readonly progress: number;
	readonly message: string | null;
}

/** @returns the jobs that are still this worker's, and whether their cancelling is asked for */
export async function renewLeases(
	client: Queryable,
	worker: string,
	leaseMs: number,
	positions: readonly Position[],
): Promise<{ id: string; cancelled: boolean }[]> {
	return await client.query({
		name: "jobs-renew",
		text: `update jobs set lease_until = clock_timestamp() + $2 * interval '1 millisecond', progress = each.progress, message = each.message
			from unnest($3::uuid[], $4::integer[], $5::real[], $6::text[]) as each (id, attempt, progress, message)
			where jobs.id = each.id and jobs.attempts = each.attempt and jobs.worker = $1 and jobs.state = 'active'
			returning jobs.id, jobs.cancel_asked as cancelled`,
		values: [
			worker,
			leaseMs,
			positions.map(({ id }) => id),
			positions.map(({ attempt }) => attempt),
			positions.map(({ progress }) => progress),
			positions.map(({ message }) => message),
		],
	});
}

/** What has become of a job by the end of an attempt. */
export interface Ended extends Delivery, Pick<Job, "state" | "progress" | "message" | "endedAt"> {
	/** Others of its principal's wait for room. */
	readonly crowded: boolean;
}

/**
 * Whether others wait is asked of each by itself: without a limit the plan would be to read all that wait, of everybody.
 *
 * @returns those whose attempt it still was, as they are now
 */
export async function endAttempts(client: Queryable, outcomes: readonly Outcome[]): Promise<Ended[]> {
	if (outcomes.length === 0) return [];
	return await client.query<Ended>({
		name: "jobs-end",
		text: `update jobs set state = each.state, result = each.result::json, error_code = each.code, error = each.error,
				progress = case each.state when 'completed' then 100 else progress end,
				ended_at = case each.state when 'queued' then null else clock_timestamp() end,
				queued_at = case each.state when 'queued' then clock_timestamp() else queued_at end,
				deliveries = deliveries + case each.state when 'queued' then 1 else 0 end,
				failures = failures + case when each.state in ('queued', 'dead') then 1 else 0 end,
				worker = null, lease_until = null, attempts = each.attempt,
				started_at = coalesce(started_at, to_timestamp(each.started / 1000))
			from unnest($1::uuid[], $2::integer[], $3::text[], $4::text[], $5::text[], $6::text[], $7::integer[], $8::double precision[])
				as each (id, attempt, state, result, code, error, delivery, started)
			where jobs.id = each.id and case when each.delivery is null
				then jobs.attempts = each.attempt and jobs.state = 'active'
				else jobs.deliveries = each.delivery and jobs.state = 'queued' and not jobs.parked end
			returning jobs.id, jobs.deliveries, jobs.priority as rank, jobs.losses, jobs.state, jobs.progress, jobs.message, jobs.ended_at as "endedAt",
				coalesce((
					select true from jobs as waiting
					where waiting.workspace = jobs.workspace and waiting.principal = jobs.principal and waiting.parked limit 1
				), false) as crowded`,
		values: [
			outcomes.map(({ id }) => id),
			outcomes.map(({ attempt }) => attempt),
			outcomes.map(({ state }) => state),
			outcomes.map(({ result }) => result),
			outcomes.map(({ error }) => error?.code ?? null),
			outcomes.map(({ error }) => error?.message ?? null),
			outcomes.map(({ unclaimed }) => unclaimed?.deliveries ?? null),
			outcomes.map(({ unclaimed }) => unclaimed?.startedAt ?? null),
		],
	});
}

/** Takes back what a worker had begun and cannot end, as if it had never begun. */
export async function giveBack(client: Queryable, jobs: readonly { id: string; attempt: number }[]): Promise<Delivery[]> {
	if (jobs.length === 0) return [];
	return await client.query<Delivery>({
		name: "jobs-give-back",
		text: `update jobs set state = 'queued', deliveries = deliveries + 1, queued_at = clock_timestamp(),
				worker = null, lease_until = null
			from unnest($1::uuid[], $2::integer[]) as each (id, attempt)
			where jobs.id = each.id and jobs.attempts = each.attempt and jobs.state = 'active'
			returning ${DELIVERY.replace("id,", "jobs.id,")}`,
		values: [jobs.map(({ id }) => id), jobs.map(({ attempt }) => attempt)],
	});
}

/** Of those that wait for room, the next of each of these principals, as many as may be begun. */
export async function unpark(
	client: Queryable,
	principals: readonly { workspace: string; principal: string }[],
	atOnce: number,
): Promise<Delivery[]> {
	return await client.query<Delivery>({
		name: "jobs-unpark",
		text: `update jobs set parked = false, deliveries = deliveries + 1, queued_at = clock_timestamp()
			where id = any(array(
				select next.id from unnest($1::text[], $2::text[]) as each (workspace, principal)
				cross join lateral (
					select id from jobs where jobs.workspace = each.workspace and jobs.principal = each.principal and parked
					order by priority, id for update skip locked
					limit greatest(0, $3 - (
						select count(*) from jobs where workspace = each.workspace and principal = each.principal and state = 'active'
					))
				) as next
			)) and parked and state = 'queued' returning ${DELIVERY}`,
		values: [principals.map(({ workspace }) => workspace), principals.map(({ principal }) => principal), atOnce],
	});
}

/** Principals with jobs that wait for room. */
export async function crowdedPrincipals(client: Queryable, limit: number): Promise<{ workspace: string; principal: string }[]> {
	return await client.query({
		name: "jobs-crowded",
		text: "select workspace, principal from jobs where parked group by workspace, principal limit $1",
		values: [limit],
	});
}

/**
 * Takes back the jobs of workers that are not heard of any more.
 *
 * @param mostLosses a job that has cost as many workers is tried no more
 */
export async function takeBackLost(
	client: Queryable,
	mostLosses: number,
	limit: number,
): Promise<(Delivery & Pick<JobRecord, "workspace" | "principal" | "state" | "waiter">)[]> {
	return await client.query({
		name: "jobs-take-back",
		text: `update jobs set losses = losses + 1, worker = null, lease_until = null, deliveries = deliveries + 1, queued_at = clock_timestamp(),
				state = case when cancel_asked then 'cancelled' when losses + 1 >= $1 then 'dead' else 'queued' end,
				error_code = case when cancel_asked then 'CANCELLED' else 'INTERRUPTED' end,
				error = case when cancel_asked then 'cancelled' else 'its worker was lost' end,
				ended_at = case when cancel_asked or losses + 1 >= $1 then clock_timestamp() end
			where id = any(array(select id from jobs where state = 'active' and lease_until < clock_timestamp() limit $2 for update skip locked))
			returning ${DELIVERY}, workspace, principal, state, waiter`,
		values: [mostLosses, limit],
	});
}

/** Jobs that should be in the queue, in the order of their ids. Fresh ones may be on their way to it. */
export async function listQueued(client: Queryable, after: string | null, settledMs: number, limit: number): Promise<Delivery[]> {
	return await client.query<Delivery>({
		name: "jobs-queued",
		text: `select ${DELIVERY} from jobs where state = 'queued' and not parked and queued_at < clock_timestamp() - $2 * interval '1 millisecond'
			and ($1::uuid is null or id > $1) order by id limit $3`,
		values: [after, settledMs, limit],
	});
}

/** How much there is to do, in all workspaces together. */
export interface QueueFigures {
	readonly queued: number;
	readonly active: number;
	readonly dead: number;
	readonly oldestSeconds: number;
	/** Principals with more than their share waiting, as `<workspace>\n<principal>`. */
	readonly full: readonly string[];
}

/** @param share jobs a principal may have waiting */
export async function queueFigures(client: Queryable, share: number): Promise<QueueFigures> {
	const [row] = await client.query<QueueFigures>({
		name: "jobs-figures",
		text: `with waiting as (
				select workspace, principal, count(*) as count, min(queued_at) as oldest from jobs where state = 'queued' group by workspace, principal
			)
			select coalesce((select sum(count)::bigint from waiting), 0) as queued,
				(select count(*) from jobs where state = 'active') as active,
				(select count(*) from jobs where state = 'dead' and ended_at > now() - interval '1 day') as dead,
				coalesce((select extract(epoch from now() - min(oldest))::double precision from waiting), 0) as "oldestSeconds",
				array(select workspace || E'\\n' || principal from waiting where count >= $1) as full`,
		values: [share],
	});
	return row as QueueFigures;
}

/** Jobs asked for since midnight (UTC) that are over. */
export async function countEndedToday(client: Queryable): Promise<number> {
	const [row] = await client.query<{ count: number }>({
		name: "jobs-ended-today",
		text: `select count(*) from jobs where id >= uuid_at(date_trunc('day', now() at time zone 'UTC') at time zone 'UTC')
			and state not in ('queued', 'active')`,
		values: [],
	});
	return row?.count ?? 0;
}

/** A step of a job's attempt. */
export interface Step {
	readonly job: string;
	readonly attempt: number;
	readonly step: string;
}

/**
 * What the step answered when it was done; undefined where it was not. Until the transaction ends nobody takes the job
 * away from this attempt.
 *
 * @returns `mine` is false where the attempt is over
 */
export async function findStep(
	client: Queryable,
	{ job, attempt, step }: Step,
): Promise<{ mine: boolean; done: { result: unknown } | null }> {
	const held = client.query({
		name: "job-hold",
		text: "select 1 from jobs where id = $1 and attempts = $2 and state = 'active' for share",
		values: [job, attempt],
	});
	const found = client.query<{ result: unknown }>({
		name: "job-step-find",
		text: "select result from job_steps where job = $1 and step = $2",
		values: [job, step],
	});
	const [[mine], [done]] = await Promise.all([held, found]);
	return { mine: mine !== undefined, done: done ?? null };
}

/** @param result JSON text */
export async function recordStep(client: Queryable, { job, step }: Step, result: string | null): Promise<void> {
	await client.query({
		name: "job-step-record",
		text: "insert into job_steps (job, step, result) values ($1, $2, $3::json)",
		values: [job, step, result],
	});
}

/** Whoever runs the job again does it again. */
export async function forgetStep(client: Queryable, job: string, step: string): Promise<void> {
	await client.query({ name: "job-step-forget", text: "delete from job_steps where job = $1 and step = $2", values: [job, step] });
}

/** Forgets keys that are older than a day. @returns how many */
export async function forgetKeys(client: Queryable, limit: number): Promise<number> {
	const gone = await client.query({
		name: "job-keys-forget",
		text: `delete from job_keys where ctid = any(array(
			select ctid from job_keys where created_at < now() - interval '1 day' limit $1 for update skip locked)) returning 1`,
		values: [limit],
	});
	return gone.length;
}
