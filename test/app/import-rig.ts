/** Files as the original left them, in a folder of their own, and the command that imports them. */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { DatabaseSync, type SQLInputValue } from "node:sqlite";
import type { SourceResult } from "../../app/import/import.ts";
import type { Rig } from "./stores-rig.ts";

const main = path.join(import.meta.dirname, "..", "..", "app", "main.ts");

/** The tables of the original's servers and tools. */
export const schemas = {
	memory_entries: `create table memory_entries (id integer primary key autoincrement, key text not null, value text not null,
		namespace text not null default 'default', metadata text, created_at integer, updated_at integer, accessed_at integer,
		access_count integer default 0, ttl integer, expires_at integer, unique (key, namespace))`,
	memory:
		"create table memory (key text primary key, value text not null, namespace text default 'default', created_at text, updated_at text)",
	memories: `create table memories (id integer primary key autoincrement, namespace text not null, key text not null, value text,
		type text default 'knowledge', timestamp integer, created_at text default current_timestamp, unique (namespace, key))`,
	collective_memory: `create table collective_memory (id text primary key, swarm_id text, key text not null, value blob, type text default 'knowledge',
		confidence real default 1.0, created_by text, created_at datetime, accessed_at datetime, access_count integer, compressed integer, size integer)`,
	rich_memory: `create table memory (key text not null, namespace text not null, value text, ttl integer, access_count integer, last_accessed_at text,
		created_at text, expires_at text, metadata text, primary key (key, namespace))`,
	memory_store: `create table memory_store (key text, namespace text, value text, type text, metadata text, created_at integer, updated_at integer,
		accessed_at integer, access_count integer, ttl integer, expires_at integer, compressed integer, size integer, primary key (key, namespace))`,
	swarms:
		"create table swarms (id text primary key, name text not null, objective text, status text, queen_type text, created_at datetime, updated_at datetime)",
	agents: `create table agents (id text primary key, swarm_id text references swarms (id), name text not null, type text not null, role text,
		status text, capabilities text, created_at datetime)`,
	tasks: `create table tasks (id text primary key, swarm_id text, agent_id text, description text, status text, priority integer default 5, result text,
		created_at datetime, completed_at datetime)`,
	rich_tasks: `create table tasks (id text primary key, swarm_id text, description text, priority text check (priority in ('low', 'high')), status text,
		progress integer check (progress between 0 and 100), assigned_agents text, created_at text)`,
	session_logs:
		"create table session_logs (id integer primary key autoincrement, session_id text, log_level text, message text, timestamp datetime)",
} as const;

export class Files {
	readonly folder = mkdtempSync(path.join(tmpdir(), "af-import-"));

	path(name: string): string {
		return path.join(this.folder, name);
	}

	write(name: string, bytes: string | Buffer): string {
		mkdirSync(path.dirname(this.path(name)), { recursive: true });
		writeFileSync(this.path(name), bytes);
		return this.path(name);
	}

	/** An open database; whoever opens it closes it. */
	open(name: string, ...statements: string[]): DatabaseSync {
		mkdirSync(path.dirname(this.path(name)), { recursive: true });
		const database = new DatabaseSync(this.path(name), { enableForeignKeyConstraints: false });
		for (const statement of statements) database.exec(statement);
		return database;
	}

	/** A database with rows, by table. */
	database(
		name: string,
		statements: readonly string[],
		rows: Readonly<Record<string, readonly Record<string, SQLInputValue>[]>> = {},
	): string {
		const database = this.open(name, ...statements);
		for (const [table, list] of Object.entries(rows))
			for (const row of list) {
				const columns = Object.keys(row);
				const insert = `insert into ${table} (${columns.join(", ")}) values (${columns.map(() => "?").join(", ")})`;
				database.prepare(insert).run(...Object.values(row));
			}
		database.close();
		return this.path(name);
	}

	remove(): void {
		rmSync(this.folder, { recursive: true, force: true });
	}
}

/** Every file below a folder and its bytes' hash. */
export function hashesOf(folder: string): Record<string, string> {
	const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
	const hash = (file: string) => createHash("sha256").update(readFileSync(file)).digest("hex");
	return Object.fromEntries(files.map(({ parentPath, name }) => [path.join(parentPath, name), hash(path.join(parentPath, name))]));
}

export interface Ran {
	readonly code: number;
	readonly stdout: string;
	readonly stderr: string;
}

/** Where the command makes its private copies: a folder of this rig's alone. */
export function scratchOf({ secrets }: Rig): string {
	return path.dirname(secrets.postgres);
}

/** The command `import`, as an image has it. @param signal sends SIGTERM */
export function runImport(
	rig: Rig,
	words: readonly string[],
	more: Readonly<Record<string, string>> = {},
	signal?: AbortSignal,
): Promise<Ran> {
	const env = {
		PATH: process.env.PATH ?? "",
		POSTGRES_PRIMARY: `${rig.postgres.host}:${rig.postgres.port}`,
		POSTGRES_DATABASE: rig.postgres.database,
		POSTGRES_TLS: "false",
		SECRETS_DIR: path.dirname(rig.secrets.postgres),
		TMPDIR: scratchOf(rig),
		...more,
	};
	return new Promise((resolve) => {
		execFile(process.execPath, [main, "import", ...words], { env, maxBuffer: 1 << 26, signal }, (error, stdout, stderr) =>
			resolve({ code: Number(error?.code ?? 0), stdout, stderr }),
		);
	});
}

/** What `--json` says of each file, by its base name. */
export async function importJson(rig: Rig, words: readonly string[]): Promise<{ code: number; of: Record<string, SourceResult> }> {
	const { code, stdout, stderr } = await runImport(rig, [...words, "--json"]);
	if (stdout === "") throw new Error(stderr);
	const { sources } = JSON.parse(stdout) as { sources: SourceResult[] };
	return { code, of: Object.fromEntries(sources.map((source) => [path.basename(source.source), source])) };
}
