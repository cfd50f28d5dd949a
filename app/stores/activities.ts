import type { Activity } from "../model.ts";
import type { Queryable } from "./postgres.ts";

/**
 * Newest first. The bound leaves out the months that are yet to come; it is a day away, because the clock of a replica
 * may be behind that of the primary. The months before the one that fills the limit are not opened either.
 */
export async function listActivities(client: Queryable, workspace: string, limit: number): Promise<Activity[]> {
	return await client.query<Activity>({
		name: "activities-list",
		text: `select id, type, message, metadata, "timestamp" from activities
			where workspace = $1 and "timestamp" < now() + interval '1 day' order by "timestamp" desc, id desc limit $2`,
		values: [workspace, limit],
	});
}
