import { open } from "node:fs/promises";
import { DatabaseSync } from "node:sqlite";
import { type Cell, Text } from "./cells.ts";
import { Refused } from "./rows.ts";

/** A table of a database, as it is in there. */
export interface SqliteTable {
	/** In lower case, as SQLite compares names. */
	readonly name: string;
	readonly columns: readonly string[];
	readonly rows: number;
	/** Cells in the order of the columns; null in place of those that are not needed. */
	cells(unneeded?: ReadonlySet<string>): Iterable<readonly Cell[]>;
}

export interface SqliteFile {
	readonly tables: readonly SqliteTable[];
	close(): void;
}

/** https://www.sqlite.org/fileformat.html#magic_header_string */
const MAGIC = "SQLite format 3\0";

/**
 * Opens a copy that is nobody else's: SQLite may write to it, as it must to take up a write-ahead log.
 *
 * @throws Refused where it is no database, or a damaged one
 */
export async function openSqlite(file: string): Promise<SqliteFile> {
	await demandMagic(file);
	let database: DatabaseSync | undefined;
	try {
		// Integers may be larger than a number of JavaScript's.
		database = new DatabaseSync(file, { readBigInts: true, returnArrays: true, enableForeignKeyConstraints: false });
		// What is written in the file must not be run for having looked at it.
		database.exec("pragma trusted_schema = off; pragma cell_size_check = on");
		demandSound(database);
		const opened = database;
		return { tables: tablesOf(opened), close: () => opened.close() };
	} catch (error) {
		database?.close();
		throw asRefused(error);
	}
}

/** What SQLite says of a file it cannot read. @returns the error itself where it is none of SQLite's */
export function asRefused(error: unknown): unknown {
	const { code, message } = error as NodeJS.ErrnoException;
	return code === "ERR_SQLITE_ERROR" ? damaged(message) : error;
}

function damaged(why: string): Refused {
	return new Refused(
		"it is damaged",
		why,
		'put an undamaged copy in its place; what is left of this one, `sqlite3 FILE ".recover"` may get out',
	);
}

async function demandMagic(file: string): Promise<void> {
	const handle = await open(file);
	try {
		const { buffer, bytesRead } = await handle.read(Buffer.alloc(MAGIC.length), 0, MAGIC.length, 0);
		if (buffer.toString("latin1") === MAGIC) return;
		const why = bytesRead === 0 ? "it is empty" : "it does not begin as one, or is encrypted";
		throw new Refused("it is no SQLite database", why, "name the original's own files, or leave this one out");
	} finally {
		await handle.close();
	}
}

/** What the original let into a table against its own rules is still there to be read. */
const BREACH = /^(NULL value in|CHECK constraint failed in|NUMERIC value in|TEXT value in|non-\w+ value in)/;

function demandSound(database: DatabaseSync): void {
	const found = database.prepare("pragma quick_check(100)").all() as unknown as [string][];
	const fault = found.map(([line]) => line).find((line) => line !== "ok" && !BREACH.test(line));
	if (fault !== undefined) throw damaged(fault.split("\n").at(-1) ?? fault);
}

/** Neither views nor virtual tables, which may be anything, nor SQLite's own. */
function tablesOf(database: DatabaseSync): SqliteTable[] {
	const names = database.prepare("select name from pragma_table_list where schema = 'main' and type = 'table' order by name").all();
	const [encoding] = database.prepare("pragma encoding").get() as unknown as [string];
	return (names as unknown as [string][])
		.map(([name]) => name)
		.filter((name) => !name.toLowerCase().startsWith("sqlite_"))
		.map((name) => tableOf(database, name, encoding));
}

function tableOf(database: DatabaseSync, name: string, encoding: string): SqliteTable {
	const found = database.prepare("select name from pragma_table_xinfo(?) where hidden <> 1").all(name) as unknown as [string][];
	const columns = found.map(([column]) => column);
	const lowered = columns.map((column) => column.toLowerCase());
	const [[rows]] = database.prepare(`select count(*) from ${quoted(name)}`).all() as unknown as [[bigint]];
	const rowId = rowIdOf(database, name, lowered);
	const exact = [...columns.map(quoted).map(bytesOf), ...columns.map((column) => `typeof(${quoted(column)}) = 'text'`)].join(", ");

	/** Cells, and for each whether it is text, of which there are the bytes. */
	const exactly = (row: readonly Exclude<Cell, Text>[]): Cell[] =>
		columns.map((_, index) => {
			const cell = row[index] as Exclude<Cell, Text>;
			return row[columns.length + index] === 1n ? textOf(cell as Uint8Array, encoding) : cell;
		});

	return {
		name: name.toLowerCase(),
		columns: lowered,
		rows: Number(rows),
		*cells(unneeded = new Set()) {
			if (rowId === null) {
				for (const row of iterate(database, `select ${exact} from ${quoted(name)}`)) yield exactly(row);
				return;
			}
			const needed = columns.map((column, index) => (unneeded.has(lowered[index] as string) ? "null" : quoted(column)));
			const again = database.prepare(`select ${exact} from ${quoted(name)} where ${rowId} = ?`);
			for (const row of iterate(database, `select ${needed.join(", ")}, ${rowId} from ${quoted(name)}`)) {
				const id = row.pop() as bigint;
				yield row.some(isDoubtful) ? exactly(again.get(id) as unknown as Exclude<Cell, Text>[]) : row;
			}
		},
	};
}

function iterate(database: DatabaseSync, statement: string): Iterable<Exclude<Cell, Text>[]> {
	return database.prepare(statement).iterate() as unknown as Iterable<Exclude<Cell, Text>[]>;
}

/** By which name a table's rows can be found again; null for a table without, or one whose columns have taken them all. */
function rowIdOf(database: DatabaseSync, table: string, columns: readonly string[]): string | null {
	const [withoutRowId] = database.prepare("select wr from pragma_table_list where schema = 'main' and name = ?").get(table) as unknown as [
		bigint,
	];
	if (withoutRowId !== 0n) return null;
	return ["rowid", "oid", "_rowid_"].find((name) => !columns.includes(name)) ?? null;
}

function bytesOf(column: string): string {
	return `iif(typeof(${column}) = 'text', cast(${column} as blob), ${column})`;
}

/** Has the character that stands for what is no UTF-8: it may have been written so, or be what reading has lost. */
function isDoubtful(cell: unknown): boolean {
	return typeof cell === "string" && cell.includes("\ufffd");
}

/** Text by its bytes. @param encoding of the whole database; half of a surrogate pair stays the bytes it is */
function textOf(bytes: Uint8Array, encoding: string): Text | Uint8Array {
	if (encoding === "UTF-8") return new Text(bytes);
	try {
		return new Text(Buffer.from(new TextDecoder(encoding, { fatal: true, ignoreBOM: true }).decode(bytes)));
	} catch {
		return bytes;
	}
}

function quoted(name: string): string {
	return `"${name.replaceAll('"', '""')}"`;
}
