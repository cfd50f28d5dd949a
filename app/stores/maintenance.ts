import type { Database } from "./postgres.ts";

/** Rows that one statement deletes. */
const BATCH = 1_000;

/**
 * What has to be done now and then, by whichever process comes first: partitions for the months ahead, those dropped
 * whose time is over, and memory entries deleted that expired.
 *
 * @returns what was done, one line each
 */
export async function maintain(database: Database): Promise<string[]> {
	const partitions = await database.write([], (client) =>
		client.query<{ line: string }>({ name: "partitions", text: "select line from maintain_partitions() as line", values: [] }),
	);
	const expired = await deleteExpired(database);
	return [...partitions.map(({ line }) => line), ...(expired > 0 ? [`deleted ${expired} memory entries that had expired`] : [])];
}

async function deleteExpired(database: Database): Promise<number> {
	for (let total = 0; ; ) {
		const gone = await database.write([], (client) =>
			client.query({
				name: "memory-delete-expired",
				text: `delete from memory_entries where ctid = any(array(
					select ctid from memory_entries where expires_at <= now() limit ${BATCH} for update skip locked)) returning 1`,
				values: [],
			}),
		);
		total += gone.length;
		if (gone.length < BATCH) return total;
	}
}
