import type { Principal, TaskStatus } from "../model.ts";
import type { Database } from "../stores/postgres.ts";
import {
	type BlockedTask,
	blockedTasks,
	type Failure,
	failures,
	type Metric,
	type Stored,
	serverVersion,
	stored,
	type TaskFigures,
	type ToolFigures,
	taskCounts,
	taskFigures,
	toolFigures,
	trend,
} from "../stores/reports.ts";

export type TaskCounts = Readonly<Record<TaskStatus | "total", number>>;

/** What the database says of a workspace's work. `since`, `from` and `to` are milliseconds since 1970. */
export interface ReportService {
	tools(principal: Principal, since: number): Promise<ToolFigures[]>;
	tasks(principal: Principal, since: number): Promise<TaskFigures>;
	/** In each state, all of them together as `total`. */
	taskCounts(principal: Principal): Promise<TaskCounts>;
	blocked(principal: Principal): Promise<BlockedTask[]>;
	/** Of the workspace's tasks, and of the principal's own jobs. */
	failures(principal: Principal, since: number): Promise<Failure[]>;
	trend(principal: Principal, metric: Metric, from: number, to: number, parts: number): Promise<{ part: number; value: number }[]>;
	stored(principal: Principal): Promise<Stored>;
	/** Asks the primary. @returns the version of PostgreSQL */
	databaseVersion(): Promise<string>;
}

export function reportService(database: Database): ReportService {
	return {
		tools: ({ id, workspace }, since) => database.read(id, (client) => toolFigures(client, workspace, since)),
		tasks: ({ id, workspace }, since) => database.read(id, (client) => taskFigures(client, workspace, since)),
		async taskCounts({ id, workspace }) {
			const rows = await database.read(id, (client) => taskCounts(client, workspace));
			const counts = { total: 0, pending: 0, in_progress: 0, completed: 0, failed: 0, cancelled: 0 };
			for (const { status, count } of rows) {
				counts[status] = count;
				counts.total += count;
			}
			return counts;
		},
		blocked: ({ id, workspace }) => database.read(id, (client) => blockedTasks(client, workspace)),
		failures: ({ id, workspace }, since) => database.read(id, (client) => failures(client, workspace, id, since)),
		trend: ({ id, workspace }, metric, from, to, parts) => database.read(id, (client) => trend(client, workspace, metric, from, to, parts)),
		stored: ({ id, workspace }) => database.read(id, (client) => stored(client, workspace)),
		databaseVersion: () => database.readPrimary(serverVersion),
	};
}
