import { readFile, stat } from "node:fs/promises";
import path from "node:path";
import { z } from "zod";
import { anyTimeOf, type Cell, type Stored, timeOf } from "./cells.ts";
import { memoryRow } from "./memory-row.ts";
import { type Contents, type HiveRow, type MemoryRow, type Outcome, type Reading, Refused, type Table } from "./rows.ts";

/** Bytes of the largest file that is read: it is in memory as a whole, several times over. */
const LARGEST_FILE = 64 * 1_024 * 1_024;

/** The text of a file of JSON. @throws Refused where it is too large; the file system's errors */
export async function readJsonFile(file: string): Promise<Buffer> {
	const { size } = await stat(file);
	if (size <= LARGEST_FILE) return await readFile(file);
	throw new Refused(
		"it is too large",
		`it has ${size} bytes, and JSON is read as a whole: ${LARGEST_FILE} at most`,
		"split it: one file for some of its namespaces each",
	);
}

/** Namespaces, each with its entries. */
const Store = z.record(z.string(), z.array(z.looseObject({ key: z.unknown(), value: z.unknown() })));

/** A checkpoint of a session. */
const SessionFile = z.looseObject({ sessionId: z.string(), data: z.unknown() });

/**
 * What is in a file of JSON: a store of entries, a session, or the hive's configuration.
 *
 * @throws Refused where it is none of them
 */
export function jsonContentsOf(bytes: Buffer, file: string, reading: Reading): Contents {
	const { text, json } = parsed(bytes);
	const name = path.basename(file);
	const session = SessionFile.safeParse(json);
	if (session.success) return only(recordTable("session_files", sessionId(session.data, name), text, session.data.timestamp, reading));
	if (name === "config.json" && z.looseObject({}).safeParse(json).success)
		return only(recordTable("config", "config", text, undefined, reading));
	const store = Store.safeParse(json);
	if (store.success) return only(storeTable(store.data, reading));
	throw new Refused(
		"it is none of the original's files",
		"it has neither namespaces with entries, nor a session, nor is it a config.json",
		"leave it out",
	);
}

function only(table: Table): Contents {
	return { tables: [table], unknown: [] };
}

function parsed(bytes: Buffer): { readonly text: string; readonly json: unknown } {
	try {
		const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
		const json: unknown = JSON.parse(text);
		// What cannot be written again, for being nested too deep, is not begun with.
		JSON.stringify(json);
		return { text, json };
	} catch (error) {
		throw new Refused("it is no JSON that can be read", (error as Error).message, "put an undamaged copy in its place, or leave it out");
	}
}

function storeTable(store: z.output<typeof Store>, reading: Reading): Table {
	const entries = Object.entries(store).flatMap(([group, list]) => list.map((entry) => ({ group, entry })));
	return {
		name: "entries",
		target: "memory_entries",
		total: entries.length,
		*rows(): Generator<Outcome<MemoryRow>> {
			for (const { group, entry } of entries) {
				const { key, value, namespace, timestamp, metadata, ...more } = entry;
				const at = timeOf(cellOf(timestamp), reading.now);
				yield memoryRow(
					{
						system: "swarm",
						namespace: wordOf(namespace ?? group),
						key: wordOf(key),
						stored: storedOf(value),
						metadata: metadata === undefined || metadata === null ? null : JSON.stringify(metadata),
						more: { ...more, ...(at === undefined ? { timestamp } : {}) },
						createdAt: at,
						updatedAt: at,
						expiresAt: anyTimeOf(cellOf(entry.expiresAt ?? entry.expires_at)),
						accessCount: 0n,
					},
					reading,
				);
			}
		},
	};
}

/** A file that is one record: kept as it is written. */
function recordTable(kind: string, id: string, text: string, timestamp: unknown, { now, sourceAt }: Reading): Table {
	const at = timeOf(cellOf(timestamp), now) ?? sourceAt;
	const row: HiveRow = { kind, id, swarmId: null, createdAt: at, updatedAt: at, sourceAt, data: text };
	return { name: kind, target: "hive_records", total: 1, rows: () => [{ row }] };
}

/** A session is written anew at every checkpoint. */
function sessionId({ sessionId: session, checkpointId }: Readonly<Record<string, unknown>>, file: string): string {
	const id = [session, checkpointId].filter((part) => typeof part === "string").join("/");
	return wordOf(id) === null || Buffer.byteLength(id) > 1_024 ? file.slice(0, 255) : id;
}

function cellOf(value: unknown): Cell {
	return typeof value === "number" || typeof value === "string" ? value : null;
}

/** Null for what is no text, or none that PostgreSQL can hold. */
function wordOf(value: unknown): string | null {
	if (typeof value === "number") return String(value);
	return typeof value === "string" && isStorable(value) ? value : null;
}

function storedOf(value: unknown): Stored {
	if (typeof value !== "string") return { value: JSON.stringify(value ?? null), mark: null };
	return isStorable(value) ? { value, mark: null } : { value: JSON.stringify(value), mark: { encoding: "json" } };
}

function isStorable(text: string): boolean {
	return !text.includes("\0") && text.isWellFormed();
}
