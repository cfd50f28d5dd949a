import type { Principal } from "../model.ts";
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
	taskFigures,
	toolFigures,
	trend,
} from "../stores/reports.ts";

/** What the database says of a workspace's work. `since`, `from` and `to` are milliseconds since 1970. */
export interface ReportService {
	tools(principal: Principal, since: number): Promise<ToolFigures[]>;
	tasks(principal: Principal, since: number): Promise<TaskFigures>;
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
		blocked: ({ id, workspace }) => database.read(id, (client) => blockedTasks(client, workspace)),
		failures: ({ id, workspace }, since) => database.read(id, (client) => failures(client, workspace, id, since)),
		trend: ({ id, workspace }, metric, from, to, parts) => database.read(id, (client) => trend(client, workspace, metric, from, to, parts)),
		stored: ({ id, workspace }) => database.read(id, (client) => stored(client, workspace)),
		databaseVersion: () => database.readPrimary(serverVersion),
	};
}
