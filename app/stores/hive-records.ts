import type { MemoryEntry } from "../model.ts";
import { ENTRY_COLUMNS, LISTED_BYTES } from "./memory.ts";
import type { Queryable } from "./postgres.ts";

/** A row of the original's, by the original's names. */
export type HiveRecord = Readonly<Record<string, unknown>>;

/** How many records of each kind were imported. */
export async function countRecords(client: Queryable, workspace: string): Promise<{ kind: string; count: number }[]> {
	return await client.query({
		name: "hive-records-count",
		text: "select kind, count(*) as count from hive_records where workspace = $1 group by kind order by kind",
		values: [workspace],
	});
}

/** The newest records of a kind. */
export async function listRecords(client: Queryable, workspace: string, kind: string, limit: number): Promise<HiveRecord[]> {
	const rows = await client.query<{ data: HiveRecord }>({
		name: "hive-records-list",
		text: `select data from (
				select data, updated_at, id, sum(octet_length(data::text)) over (order by updated_at desc, id) as bytes
				from (select * from hive_records where workspace = $1 and kind = $2 order by updated_at desc, id limit $3) as newest
			) as counted where bytes <= ${LISTED_BYTES} order by updated_at desc, id`,
		values: [workspace, kind, limit],
	});
	return rows.map(({ data }) => data);
}

/** Whether an entry is one that a swarm of the original's remembered together. */
const COLLECTIVE = "workspace = $1 and system = 'hivemind' and metadata ? 'swarm_id' and (expires_at is null or expires_at > now())";

/** The newest entries that swarms remembered together. */
export async function listCollective(client: Queryable, workspace: string, limit: number): Promise<MemoryEntry[]> {
	return await client.query<MemoryEntry>({
		name: "memory-collective",
		text: `select ${ENTRY_COLUMNS} from memory_entries
			where ${COLLECTIVE} and octet_length(value) <= ${LISTED_BYTES} / 20 order by updated_at desc, namespace, key limit $2`,
		values: [workspace, limit],
	});
}

export async function countCollective(client: Queryable, workspace: string): Promise<number> {
	const [row] = await client.query<{ count: number }>({
		name: "memory-collective-count",
		text: `select count(*) as count from memory_entries where ${COLLECTIVE}`,
		values: [workspace],
	});
	return row?.count ?? 0;
}
