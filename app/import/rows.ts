/** Rows of the original, as they are to be stored. Times are milliseconds since 1970. */
import type { MemorySystem } from "../model.ts";

/** Text, or its bytes in UTF-8: what is only passed on is not decoded. */
export type Words = string | Uint8Array;

/** For the table `memory_entries`. */
export interface MemoryRow {
	readonly system: MemorySystem;
	readonly namespace: Words;
	readonly key: Words;
	readonly value: Words;
	/** As the original had it: JSON, if all is well. */
	readonly metadata: Words | null;
	/** JSON of an object: what else the original noted, and in which form the value is kept. */
	readonly more: string | null;
	readonly createdAt: number;
	readonly updatedAt: number;
	readonly accessCount: bigint;
	readonly expiresAt: number | null;
}

/** For the table `hive_records`. */
export interface HiveRow {
	readonly kind: string;
	readonly id: Words;
	readonly swarmId: Words | null;
	readonly createdAt: number;
	readonly updatedAt: number;
	/** When the file was last written. */
	readonly sourceAt: number;
	/** JSON. */
	readonly data: string;
}

/** What becomes of one row of the original. */
export type Outcome<Row> =
	| { readonly row: Row }
	/** Its time was over. */
	| { readonly expired: true }
	/** Why it cannot be taken, the same words for all that share the reason. */
	| { readonly refused: string };

/** Where rows go. */
export type Target = "memory_entries" | "hive_records";

/** A table of the original, or what stands for one in a file of JSON. */
export type Table =
	| { readonly name: string; readonly target: "memory_entries"; readonly total: number; rows(): Iterable<Outcome<MemoryRow>> }
	| { readonly name: string; readonly target: "hive_records"; readonly total: number; rows(): Iterable<Outcome<HiveRow>> };

/** What is known of a file once it is open. */
export interface Contents {
	readonly tables: readonly Table[];
	/** Tables that nobody knows, and how many rows are in them. */
	readonly unknown: readonly { readonly name: string; readonly rows: number }[];
}

/** What whoever runs the import decides of the rows. */
export interface RowOptions {
	/** Instead of the one that follows from where an entry was. */
	readonly system: MemorySystem | null;
	/** Takes entries whose time is over, without an end. */
	readonly keepExpired: boolean;
	/** Takes entries that would be readable by anybody. */
	readonly publish: boolean;
}

/** What rows are read with. */
export interface Reading {
	readonly options: RowOptions;
	/** When the import began. */
	readonly now: number;
	/** When the file was last written: the time of what has none of its own. */
	readonly sourceAt: number;
}

/** A file that cannot be imported: what, why, how to fix it. */
export class Refused extends Error {
	readonly what: string;
	readonly why: string;
	readonly fix: string;

	constructor(what: string, why: string, fix: string) {
		super(`${what}: ${why}`);
		this.name = "Refused";
		this.what = what;
		this.why = why;
		this.fix = fix;
	}
}
