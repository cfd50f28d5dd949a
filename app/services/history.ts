import type { HistoryService } from "../ports.ts";
import { countCollective, countRecords, listCollective, listRecords } from "../stores/hive-records.ts";
import type { Database } from "../stores/postgres.ts";

/** As many as the original showed. */
const LISTED = { rows: 20, sessions: 10 } as const;

export function historyService(database: Database): HistoryService {
	return {
		hive: ({ id, workspace }) =>
			database.read(id, async (client) => {
				const list = (kind: string, limit: number) => listRecords(client, workspace, kind, limit);
				const [kinds, agents, tasks, files, sessions, [config = null], entries, total] = await Promise.all([
					countRecords(client, workspace),
					list("agents", LISTED.rows),
					list("tasks", LISTED.rows),
					list("session_files", LISTED.sessions),
					list("sessions", LISTED.sessions),
					list("config", 1),
					listCollective(client, workspace, LISTED.rows),
					countCollective(client, workspace),
				]);
				return { kinds, agents, tasks, sessions: [...files, ...sessions].slice(0, LISTED.sessions), config, entries, total };
			}),
	};
}
