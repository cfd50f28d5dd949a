/** The import of the files that the original server kept, from finding them to noting what became of them. */
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { type FoundFile, findFiles, unreadable } from "./find-files.ts";
import { jsonContentsOf, readJsonFile } from "./json-file.ts";
import type { Loader, TableResult } from "./loader.ts";
import { copyDatabase } from "./private-copy.ts";
import { type Contents, Refused, type RowOptions } from "./rows.ts";
import { contentsOf } from "./shapes.ts";
import { asRefused, openSqlite } from "./sqlite-file.ts";

export interface ImportOptions extends RowOptions {
	/** Also files whose bytes were imported before. */
	readonly again: boolean;
}

/** What became of one file. */
export type SourceResult = { readonly source: string } & (
	| {
			readonly status: "imported";
			readonly bytes: number;
			readonly sha256: string;
			readonly tables: readonly TableResult[];
			/** Tables that nobody knows, left where they are. */
			readonly unknown: Contents["unknown"];
	  }
	/** Its very bytes have been imported before. */
	| {
			readonly status: "unchanged";
			readonly bytes: number;
			readonly sha256: string;
			readonly importedAt: number;
			readonly importedAs: string;
	  }
	| { readonly status: "refused"; readonly what: string; readonly why: string; readonly fix: string }
);

/** Told how far it is; must not throw. */
export interface ImportObserver {
	/** @param total of the table's rows */
	rows(source: string, table: string, read: number, total: number): void;
	done(result: SourceResult): void;
}

/**
 * Imports what is found, one file after another: each as a whole, or not at all. A file that cannot be imported keeps none of
 * the others.
 *
 * @throws PostgreSQL's errors where it is away; what was imported by then stays
 */
export async function importFiles(
	given: readonly string[],
	options: ImportOptions,
	loader: Loader,
	observe: ImportObserver,
): Promise<SourceResult[]> {
	const results: SourceResult[] = [];
	for (const file of await findFiles(given)) {
		const result = "refused" in file ? refusal(file.name, file.refused) : await importFile(file, options, loader, observe);
		observe.done(result);
		results.push(result);
	}
	return results;
}

async function importFile(file: FoundFile, options: ImportOptions, loader: Loader, observe: ImportObserver): Promise<SourceResult> {
	const folder = privateFolder();
	try {
		return await importFrom(folder.path, file, options, loader, observe);
	} catch (error) {
		return refusal(file.name, refusalOf(error));
	} finally {
		folder.remove();
	}
}

async function importFrom(
	folder: string,
	{ name: source, kind }: FoundFile,
	{ again, ...options }: ImportOptions,
	loader: Loader,
	observe: ImportObserver,
): Promise<SourceResult> {
	const now = Date.now();
	const opened = kind === "sqlite" ? await databaseIn(source, folder) : await jsonIn(source);
	const { sha256, bytes, writtenAt } = opened;
	const known = await loader.known(sha256, JSON.stringify(options));
	if (known !== null && !again)
		return { source, status: "unchanged", bytes, sha256, importedAt: known.importedAt, importedAs: known.source };
	const { contents, close } = await opened.read({ options, now, sourceAt: Math.min(writtenAt, now) });
	try {
		if (contents.tables.length === 0) throw foreign(contents);
		const tables = await loader.transaction(async () => {
			const loaded: TableResult[] = [];
			for (const table of contents.tables)
				loaded.push(await loader.load(table, (read) => observe.rows(source, table.name, read, table.total)));
			await loader.record({ sha256, options: JSON.stringify(options), source, bytes, tables: loaded });
			return loaded;
		});
		await loader.announce(tables.reduce((sum, { inserted, updated }) => sum + inserted + updated, 0));
		return { source, status: "imported", bytes, sha256, tables, unknown: contents.unknown };
	} finally {
		close();
	}
}

/** A file whose bytes are known. */
interface OpenedFile {
	readonly sha256: string;
	readonly bytes: number;
	readonly writtenAt: number;
	read(reading: Parameters<typeof jsonContentsOf>[2]): Promise<{ readonly contents: Contents; close(): void }>;
}

async function databaseIn(source: string, folder: string): Promise<OpenedFile> {
	const copy = await copyDatabase(source, folder);
	return {
		...copy,
		async read(reading) {
			const { tables, close } = await openSqlite(copy.file);
			return { contents: contentsOf(tables, path.resolve(source), reading), close };
		},
	};
}

async function jsonIn(source: string): Promise<OpenedFile> {
	const bytes = await readJsonFile(source);
	const { mtimeMs } = await stat(source);
	return {
		sha256: createHash("sha256").update(bytes).digest("hex"),
		bytes: bytes.byteLength,
		writtenAt: Math.floor(mtimeMs),
		read: async (reading) => ({ contents: jsonContentsOf(bytes, source, reading), close() {} }),
	};
}

function foreign({ unknown }: Contents): Refused {
	const tables = unknown.map(({ name }) => name);
	const why =
		tables.length === 0 ? "it has no table" : `its tables are ${tables.slice(0, 8).join(", ")}${tables.length > 8 ? ", ..." : ""}`;
	return new Refused("it has none of the original's tables", why, "leave it out");
}

function refusal(source: string, { what, why, fix }: Refused): SourceResult {
	return { source, status: "refused", what, why, fix };
}

/** Values and limits: https://www.postgresql.org/docs/17/errcodes-appendix.html */
const ROW_TROUBLE = /^(22|23|54)/;

/** @throws what is no matter of this file alone */
function refusalOf(error: unknown): Refused {
	const { code, message } = error as { code?: unknown; message: string };
	if (typeof code === "string" && ROW_TROUBLE.test(code) && code.length === 5)
		return new Refused("PostgreSQL does not take one of its rows", message, "report it to this project: the import is to see to such rows");
	const said = asRefused(error);
	if (said instanceof Refused) return said;
	// The file system's errors have the call that failed.
	if (!("syscall" in (error as object)) || /^E(CONN|PIPE|TIMEDOUT|HOST|NET)/.test(String(code))) throw error;
	return unreadable(error);
}

/** A folder of this user's alone, which is gone at the latest with the process. */
function privateFolder(): { readonly path: string; remove(): void } {
	const folder = mkdtempSync(path.join(tmpdir(), "agentic-flow-import-"));
	const remove = () => rmSync(folder, { recursive: true, force: true });
	process.once("exit", remove);
	return {
		path: folder,
		remove() {
			process.off("exit", remove);
			remove();
		},
	};
}
