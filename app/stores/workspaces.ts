import type { SyncEvent } from "../model.ts";
import type { EventText } from "./event-text.ts";
import type { Queryable, Statement } from "./postgres.ts";

/** A workspace that this transaction alone may change until it ends. */
export interface LockedWorkspace {
	/** Position of its last event. */
	readonly seq: number;
	/** Agents since the swarm began. */
	readonly agentsSpawned: number;
	/** The time of this change, to the microsecond, as PostgreSQL reads it: later than that of every change before. */
	readonly at: string;
}

/**
 * Waits for whoever else changes the workspace; makes it where there is none. Waiting for an advisory lock is first come,
 * first served, where those who wait for a row that keeps changing overtake each other.
 */
export async function lockWorkspace(client: Queryable, workspace: string): Promise<LockedWorkspace> {
	const locked = client.query({
		name: "workspace-lock",
		text: "select pg_advisory_xact_lock(hashtextextended($1, 0))",
		values: [workspace],
	});
	const [, found] = await Promise.all([locked, readLocked(client, workspace)]);
	if (found !== undefined) return found;
	await client.query({
		name: "workspace-create",
		text: "insert into workspaces (workspace, last_change) values ($1, clock_timestamp())",
		values: [workspace],
	});
	return (await readLocked(client, workspace)) as LockedWorkspace;
}

async function readLocked(client: Queryable, workspace: string): Promise<LockedWorkspace | undefined> {
	const [row] = await client.query<LockedWorkspace>({
		name: "workspace-read",
		text: `select event_seq as seq, agents_spawned as "agentsSpawned",
				to_char(greatest(clock_timestamp(), last_change + interval '1 microsecond') at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as at
			from workspaces where workspace = $1`,
		values: [workspace],
	});
	return row;
}

/** What one change adds. */
export interface Appended {
	/** The change's time, to the microsecond. */
	readonly at: string;
	readonly events: readonly EventText[];
}

/**
 * Appends to the sequence of events, which the lock keeps in the order of the commits. Those of activities are these too.
 *
 * @param agentsSpawned see {@link LockedWorkspace}
 * @returns the statement
 */
export function appendChanges(workspace: string, changes: readonly Appended[], agentsSpawned: number): Statement {
	const dated = changes.flatMap(({ at, events }) =>
		events.map(({ head, data }) => `${head.slice(0, -1)},"data":${data || null},"at":"${at}"}`),
	);
	return {
		name: "workspace-append",
		text: `with
			event as (
				select seq, "entityType" as entity_type, "entityId" as entity_id, action, nullif(data, 'null') as data, at
				from jsonb_to_recordset($3::jsonb)
					as each (seq bigint, "entityType" text, "entityId" text, action text, data jsonb, at timestamptz)
			),
			moved as (
				update workspaces set event_seq = event_seq + $4, last_change = $2::timestamptz, agents_spawned = $5
				where workspace = $1
			),
			noted as (
				insert into activities (workspace, id, type, message, metadata, "timestamp")
				select $1, entity_id, data->>'type', data->>'message', data->'metadata', at from event where entity_type = 'activity'
			)
			insert into events_outbox (workspace, seq, entity_type, entity_id, action, data, created_at)
			select $1, seq, entity_type, entity_id, action, data, at from event`,
		values: [workspace, changes.at(-1)?.at, `[${dated.join()}]`, dated.length, agentsSpawned],
	};
}

/** Events after a position, oldest first. A number left out means that the partition it was in has been dropped. */
export async function eventsAfter(client: Queryable, workspace: string, seq: number, limit: number): Promise<SyncEvent[]> {
	return await client.query<SyncEvent>({
		name: "events-after",
		text: `select seq, entity_type as "entityType", entity_id as "entityId", action, data, created_at as "timestamp"
			from events_outbox where workspace = $1 and seq > $2 order by seq limit $3`,
		values: [workspace, seq, limit],
	});
}

/** Position of the workspace's last event; 0 where there is none. */
export async function lastSeq(client: Queryable, workspace: string): Promise<number> {
	const [row] = await client.query<{ seq: number }>({
		name: "events-last",
		text: "select event_seq as seq from workspaces where workspace = $1",
		values: [workspace],
	});
	return row?.seq ?? 0;
}
