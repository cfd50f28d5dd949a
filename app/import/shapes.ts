/** Which table is which: known by its name and columns, never by its file's name, and read by the columns it has. */
import type { MemorySystem } from "../model.ts";
import { anyTimeOf, type Cell, countOf, decoded, isSet, jsonOf, storedOf, timeOf, wordOf } from "./cells.ts";
import { memoryRow } from "./memory-row.ts";
import type { Contents, HiveRow, MemoryRow, Outcome, Reading, Table, Words } from "./rows.ts";
import type { SqliteTable } from "./sqlite-file.ts";

/** What tells each table of entries; each server and tool of the original had one of its own. */
const memoryShapes: Readonly<Record<string, readonly string[]>> = {
	memory_entries: ["key", "value"],
	memory: ["key", "value"],
	memories: ["key", "value"],
	collective_memory: ["key", "value", "swarm_id"],
	memory_store: ["key", "value"],
};

/** What tells each table of the hive's history. */
const hiveShapes: Readonly<Record<string, readonly string[]>> = {
	swarms: ["id", "name"],
	agents: ["id", "name", "type"],
	tasks: ["id", "description", "status"],
	consensus_decisions: ["id", "topic"],
	consensus: ["id", "swarm_id"],
	sessions: ["id", "swarm_id"],
	session_checkpoints: ["id", "session_id"],
	session_logs: ["id", "session_id"],
	session_history: ["id", "swarm_id"],
	communications: ["id", "swarm_id"],
	neural_patterns: ["id", "swarm_id"],
	performance_metrics: ["id", "swarm_id"],
};

/** What the tools note about their own database. */
const BOOKKEEPING = new Set(["metadata", "migrations", "schema_version"]);

/** Bytes of the longest id: it is part of an index. */
const LONGEST_ID = 1_024;

/** What is in a database. @param path where it was found: the original's servers kept two of the same shape in two folders */
export function contentsOf(tables: readonly SqliteTable[], path: string, reading: Reading): Contents {
	const isHive = /(^|[\\/])\.hive-mind[\\/]/.test(path) || tables.some(({ name }) => name === "memories" || name === "swarms");
	const known: Table[] = [];
	const unknown: { name: string; rows: number }[] = [];
	for (const table of tables) {
		const { name, columns, rows: total } = table;
		if (fits(memoryShapes[name], columns)) {
			const system = systemOf(name, isHive);
			known.push({ name, target: "memory_entries", total, rows: () => memoryRows(table, system, reading) });
		} else if (fits(hiveShapes[name], columns)) {
			known.push({ name, target: "hive_records", total, rows: () => hiveRows(table, reading) });
		} else if (!BOOKKEEPING.has(name)) {
			unknown.push({ name, rows: total });
		}
	}
	return { tables: known, unknown };
}

function fits(needed: readonly string[] | undefined, columns: readonly string[]): boolean {
	return needed?.every((column) => columns.includes(column)) ?? false;
}

/** The servers' own table `memory` was in both of their files. */
function systemOf(table: string, isHive: boolean): MemorySystem {
	if (table === "memories" || table === "collective_memory") return "hivemind";
	return table === "memory" && isHive ? "hivemind" : "swarm";
}

/** Columns that stand for nothing once the row has moved. */
const LEFT = new Set(["id", "accessed_at", "last_accessed_at", "size"]);

/** Those, and columns that become columns again. Whatever else there is goes to the metadata. */
const MOVED = new Set([
	...LEFT,
	"key",
	"value",
	"namespace",
	"metadata",
	"created_at",
	"updated_at",
	"timestamp",
	"access_count",
	"ttl",
	"expires_at",
	"compressed",
]);

function* memoryRows({ columns, cells }: SqliteTable, system: MemorySystem, reading: Reading): Generator<Outcome<MemoryRow>> {
	const at = placesOf(columns);
	const rest = columns.flatMap((name, index) => (MOVED.has(name) ? [] : [{ name, index }]));
	const space = at("namespace") ?? at("swarm_id");
	const [key, value, metadata, compressed, count] = [at("key"), at("value"), at("metadata"), at("compressed"), at("access_count")];
	const [created, updated, stamped, expires, ttl] = [at("created_at"), at("updated_at"), at("timestamp"), at("expires_at"), at("ttl")];
	const { now } = reading;
	for (const row of cells(LEFT)) {
		const cell = (place: number | undefined): Cell => (place === undefined ? null : (row[place] as Cell));
		const createdAt = timeOf(cell(created), now);
		const updatedAt = timeOf(cell(updated), now) ?? timeOf(cell(stamped), now);
		const namespace = cell(space);
		yield memoryRow(
			{
				system,
				namespace: namespace === null ? "default" : wordOf(namespace),
				key: wordOf(cell(key)),
				stored: storedOf(cell(value), isSet(cell(compressed))),
				metadata: wordsOf(cell(metadata)),
				more: {
					...Object.fromEntries(rest.flatMap(({ name, index }) => (row[index] === null ? [] : [[name, jsonOf(row[index] as Cell)]]))),
					...oddTimes(row, [created, updated, stamped], columns, now),
				},
				createdAt,
				updatedAt,
				expiresAt: endOf(cell(expires), cell(ttl), updatedAt ?? createdAt),
				accessCount: countOf(cell(count)),
			},
			reading,
		);
	}
}

/** Metadata is text; what is not, and what PostgreSQL cannot hold, is kept as JSON's string of it. */
function wordsOf(cell: Cell): Words | null {
	if (cell === null) return null;
	return wordOf(cell) ?? JSON.stringify(jsonOf(cell));
}

/** An entry's end: as it is written, else as its time to live says, in seconds. 0 is none, as it was to the original. */
function endOf(expires: Cell, ttl: Cell, from: number | null | undefined): number | null | undefined {
	if (expires !== null && !isZero(expires)) return anyTimeOf(expires);
	const seconds = typeof ttl === "bigint" || typeof ttl === "number" ? Number(ttl) : 0;
	return seconds > 0 && typeof from === "number" ? anyTimeOf((from + seconds * 1_000) / 1_000) : null;
}

function isZero(cell: Cell): boolean {
	return (typeof cell === "bigint" || typeof cell === "number") && Number(cell) === 0;
}

/** Times that make no sense are kept as they were. */
function oddTimes(row: readonly Cell[], places: readonly (number | undefined)[], columns: readonly string[], now: number): object {
	const odd = places.filter((place) => place !== undefined && timeOf(row[place] as Cell, now) === undefined) as number[];
	return Object.fromEntries(odd.map((place) => [columns[place], jsonOf(row[place] as Cell)]));
}

function* hiveRows({ name: kind, columns, cells }: SqliteTable, { now, sourceAt }: Reading): Generator<Outcome<HiveRow>> {
	const at = placesOf(columns);
	const [idAt, swarmAt, sessionAt] = [at("id") as number, at("swarm_id"), at("session_id")];
	const times = columns.flatMap((name, index) => (/(_at|_time|^timestamp)$/.test(name) ? [index] : []));
	const createdAt = at("created_at") ?? times[0];
	for (const row of cells()) {
		const swarm = swarmAt === undefined ? null : wordOf(row[swarmAt] as Cell);
		const whose = swarm ?? (sessionAt === undefined ? null : wordOf(row[sessionAt] as Cell));
		const id = idOf(row[idAt] as Cell, whose);
		if (id === null) yield { refused: "it has no id that PostgreSQL can hold" };
		else if (Buffer.byteLength(id) > LONGEST_ID) yield { refused: `its id has more than ${LONGEST_ID} bytes` };
		else {
			const known = times.map((index) => timeOf(row[index] as Cell, now)).filter((time) => typeof time === "number");
			const created = (createdAt === undefined ? null : timeOf(row[createdAt] as Cell, now)) ?? known[0] ?? sourceAt;
			const data = JSON.stringify(Object.fromEntries(columns.map((column, index) => [column, jsonOf(row[index] as Cell)])));
			yield { row: { kind, id, swarmId: swarm, createdAt: created, updatedAt: Math.max(created, ...known), sourceAt, data } };
		}
	}
}

/** Rows that were only numbered have the same numbers in every file: they are told apart by whose they are. */
function idOf(cell: Cell, whose: Words | null): Words | null {
	if (typeof cell !== "bigint" && typeof cell !== "number") return wordOf(cell);
	const id = wordOf(cell);
	return id === null || whose === null ? id : `${typeof whose === "string" ? whose : decoded(whose)}/${id}`;
}

function placesOf(columns: readonly string[]): (name: string) => number | undefined {
	return (name) => {
		const index = columns.indexOf(name);
		return index === -1 ? undefined : index;
	};
}
