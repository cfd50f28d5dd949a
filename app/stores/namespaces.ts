/** Memory by the namespace instead of by the key. */
import type { MemorySystem } from "../model.ts";
import type { Queryable } from "./postgres.ts";

/** What a namespace of a system has in it. */
export interface NamespaceFigures {
	readonly system: MemorySystem;
	readonly namespace: string;
	readonly entries: number;
	/** Of the values, as text. */
	readonly bytes: number;
	/** Of the values, as the database keeps them: it compresses long ones. */
	readonly storedBytes: number;
	/** Entries that have expired and are still to be deleted. */
	readonly expired: number;
	readonly reads: number;
	/** Created, and created or changed, since the time that was asked for. */
	readonly created: number;
	readonly written: number;
	readonly lastWrite: number;
}

/** Namespaces of a listing, at most. */
export const LISTED_NAMESPACES = 1_000;

/** Largest first. @param namespace null for all; @param since milliseconds since 1970 */
export async function namespaceFigures(
	client: Queryable,
	workspace: string,
	namespace: string | null,
	since: number,
): Promise<NamespaceFigures[]> {
	return await client.query<NamespaceFigures>({
		name: "namespaces-figures",
		text: `select system, namespace,
				count(*) filter (where alive) as entries,
				coalesce(sum(octet_length(value)) filter (where alive), 0)::bigint as bytes,
				coalesce(sum(pg_column_size(value)), 0)::bigint as "storedBytes",
				count(*) filter (where not alive) as expired,
				coalesce(sum(access_count) filter (where alive), 0)::bigint as reads,
				count(*) filter (where alive and created_at >= since) as created,
				count(*) filter (where alive and updated_at >= since) as written,
				max(updated_at) as "lastWrite"
			from (select *, expires_at is null or expires_at > now() as alive, to_timestamp($3::double precision / 1000) as since from memory_entries
				where workspace = $1 and ($2::text is null or namespace = $2)) as each
			group by system, namespace order by bytes desc, system, namespace limit ${LISTED_NAMESPACES}`,
		values: [workspace, namespace, since],
	});
}

/** Rows that one statement deletes, to stay well within its time-out. */
const BATCH = 10_000;

/** @returns how many there were */
export async function clearNamespace(client: Queryable, workspace: string, system: MemorySystem, namespace: string): Promise<number> {
	let cleared = 0;
	for (;;) {
		const [row] = await client.query<{ count: number }>({
			name: "namespaces-clear",
			text: `with gone as (
					delete from memory_entries where ctid = any(array(
						select ctid from memory_entries where workspace = $1 and system = $2 and namespace = $3 limit ${BATCH}))
					returning 1
				)
				select count(*) from gone`,
			values: [workspace, system, namespace],
		});
		const count = row?.count ?? 0;
		cleared += count;
		// Until there are none: a row whose reads are counted at this moment is somewhere else when it is looked for.
		if (count === 0) return cleared;
	}
}

/** @param namespace null for all. @returns how many there were */
export async function deleteExpired(client: Queryable, workspace: string, namespace: string | null): Promise<number> {
	const [row] = await client.query<{ count: number }>({
		name: "namespaces-delete-expired",
		text: `with gone as (
				delete from memory_entries where workspace = $1 and ($2::text is null or namespace = $2) and expires_at <= now() returning 1
			)
			select count(*) from gone`,
		values: [workspace, namespace],
	});
	return row?.count ?? 0;
}

/** Copies a system's entries to the other one, where that does not have a newer one. @returns how many were written */
export async function copySystem(client: Queryable, workspace: string, from: MemorySystem, to: MemorySystem): Promise<number> {
	const [row] = await client.query<{ count: number }>({
		name: "namespaces-copy",
		text: `with copied as (
				insert into memory_entries as old (workspace, system, namespace, key, value, metadata, created_at, updated_at, expires_at)
				select workspace, $3, namespace, key, value, metadata, created_at, updated_at, expires_at from memory_entries
				where workspace = $1 and system = $2 and (expires_at is null or expires_at > now())
				on conflict (workspace, system, namespace, key) do update set value = excluded.value, metadata = excluded.metadata,
					updated_at = excluded.updated_at, expires_at = excluded.expires_at
				where old.updated_at < excluded.updated_at
				returning 1
			)
			select count(*) from copied`,
		values: [workspace, from, to],
	});
	return row?.count ?? 0;
}
