import type { MemoryEntry, MemorySystem } from "../model.ts";
import type { Queryable } from "./postgres.ts";

export const ENTRY_COLUMNS = `system, namespace, key, value, metadata, created_at as "createdAt", updated_at as "updatedAt",
	access_count as "accessCount", expires_at as "expiresAt"`;

const ALIVE = "(expires_at is null or expires_at > now())";

/** Bytes of values that one listing holds: it ends before the entry that goes beyond, and is without one that is larger by itself. */
export const LISTED_BYTES = 8 * 1024 * 1024;

export interface EntryKey {
	readonly system: MemorySystem;
	readonly namespace: string;
	readonly key: string;
}

/**
 * Writes an entry; one that is there keeps its time of creation and its count, unless it has expired.
 *
 * @param ttlSeconds null for never
 */
export async function putEntry(
	client: Queryable,
	workspace: string,
	entry: EntryKey & { readonly value: string; readonly metadata: string | null; readonly ttlSeconds: number | null },
): Promise<{ entry: MemoryEntry; created: boolean }> {
	const [row] = await client.query<MemoryEntry & { created: boolean }>({
		name: "memory-put",
		text: `insert into memory_entries as old (workspace, system, namespace, key, value, metadata, created_at, updated_at, expires_at)
			values ($1, $2, $3, $4, $5, $6, statement_timestamp(), statement_timestamp(), statement_timestamp() + $7 * interval '1 second')
			on conflict (workspace, system, namespace, key) do update set
				value = excluded.value, metadata = excluded.metadata, updated_at = excluded.updated_at, expires_at = excluded.expires_at,
				created_at = case when old.expires_at <= excluded.updated_at then excluded.created_at else old.created_at end,
				access_count = case when old.expires_at <= excluded.updated_at then 0 else old.access_count end
			returning ${ENTRY_COLUMNS}, created_at = updated_at as created`,
		values: [workspace, entry.system, entry.namespace, entry.key, entry.value, entry.metadata, entry.ttlSeconds],
	});
	const { created, ...stored } = row as MemoryEntry & { created: boolean };
	return { entry: stored, created };
}

export async function findEntry(client: Queryable, workspace: string, { system, namespace, key }: EntryKey): Promise<MemoryEntry | null> {
	const [row] = await client.query<MemoryEntry>({
		name: "memory-find",
		text: `select ${ENTRY_COLUMNS} from memory_entries where workspace = $1 and system = $2 and namespace = $3 and key = $4 and ${ALIVE}`,
		values: [workspace, system, namespace, key],
	});
	return row ?? null;
}

/** @returns whether there was one that had not expired */
export async function deleteEntry(client: Queryable, workspace: string, { system, namespace, key }: EntryKey): Promise<boolean> {
	const [row] = await client.query<{ alive: boolean }>({
		name: "memory-delete",
		text: `delete from memory_entries where workspace = $1 and system = $2 and namespace = $3 and key = $4 returning ${ALIVE} as alive`,
		values: [workspace, system, namespace, key],
	});
	return row?.alive ?? false;
}

/** What a listing is about; null for all. `like` is a pattern of SQL's, with `\` before what is meant as itself. */
export interface EntryFilter {
	readonly system: MemorySystem | null;
	readonly namespace: string | null;
	readonly like: string | null;
}

/** Newest first. */
export async function listEntries(client: Queryable, workspace: string, filter: EntryFilter, limit: number): Promise<MemoryEntry[]> {
	return await client.query<MemoryEntry>({
		name: "memory-list",
		text: `with newest as (${newestOf("swarm")} union all ${newestOf("hivemind")}), counted as (
				select *, sum(octet_length(value)) over (order by updated_at desc, system, namespace, key) as bytes from newest
			)
			select ${ENTRY_COLUMNS} from counted where bytes <= ${LISTED_BYTES} order by updated_at desc, system, namespace, key limit $5`,
		values: [workspace, filter.system, filter.namespace, filter.like, limit],
	});
}

/** One system at a time can be read in the order of its index. */
function newestOf(system: MemorySystem): string {
	return `(select * from memory_entries
		where workspace = $1 and system = '${system}' and ($2::text is null or $2 = '${system}')
			and ($3::text is null or namespace = $3) and ($4::text is null or key ilike $4 or value ilike $4) and ${ALIVE}
			and octet_length(value) <= ${LISTED_BYTES}
		order by updated_at desc limit $5)`;
}

export async function countEntries(client: Queryable, workspace: string, system: MemorySystem): Promise<number> {
	const [row] = await client.query<{ count: number }>({
		name: "memory-count",
		text: `select count(*) from memory_entries where workspace = $1 and system = $2 and ${ALIVE}`,
		values: [workspace, system],
	});
	return row?.count ?? 0;
}

/** How many entries each namespace has, those of both systems together. */
export async function countByNamespace(client: Queryable, workspace: string): Promise<{ namespace: string; entries: number }[]> {
	return await client.query({
		name: "memory-namespaces",
		text: `select namespace, count(*) as entries from memory_entries where workspace = $1 and ${ALIVE} group by namespace order by namespace`,
		values: [workspace],
	});
}

/** Reads of an entry that are still to be counted. */
export interface Reads extends EntryKey {
	readonly workspace: string;
	readonly reads: number;
}

/** Locks in the order of the keys, so that two workers do not wait for each other. */
export async function addReads(client: Queryable, reads: readonly Reads[]): Promise<void> {
	await client.query({
		name: "memory-add-reads",
		text: `with counted as (
				select workspace, system, namespace, key, each.reads
				from jsonb_to_recordset($1::jsonb) as each (workspace text, system text, namespace text, key text, reads bigint)
				join memory_entries as entry using (workspace, system, namespace, key)
				order by workspace, system, namespace, key for update of entry
			)
			update memory_entries as entry set access_count = access_count + reads from counted
			where (entry.workspace, entry.system, entry.namespace, entry.key)
				= (counted.workspace, counted.system, counted.namespace, counted.key)`,
		values: [JSON.stringify(reads)],
	});
}
