import type { ActivityService } from "../ports.ts";
import { listActivities } from "../stores/activities.ts";
import type { Database } from "../stores/postgres.ts";

/** Activities that one listing has at most. */
const LISTED = 1_000;

export function activityService(database: Database): ActivityService {
	return {
		list: (principal, limit) =>
			database.read(principal.id, (client) => listActivities(client, principal.workspace, Math.min(limit, LISTED))),
	};
}
