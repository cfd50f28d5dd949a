/** Rows in PostgreSQL's binary format of COPY: https://www.postgresql.org/docs/17/sql-copy.html */
import { createHash } from "node:crypto";
import type { HiveRow, MemoryRow, Words } from "./rows.ts";

/** Bytes sent at a time. */
const CHUNK = 256 * 1_024;

/** PostgreSQL counts from 2000. */
const EPOCH_MS = Date.UTC(2_000, 0, 1);

const SIGNATURE = Buffer.from("PGCOPY\n\xff\r\n\0", "latin1");

/** Fields one after another, in a buffer that is handed out when it is full. */
export class CopyWriter {
	#buffer = Buffer.allocUnsafe(CHUNK * 2);
	#length = 0;

	constructor() {
		SIGNATURE.copy(this.#buffer);
		this.#length = SIGNATURE.length;
		this.#int32(0); // no flags
		this.#int32(0); // no extension of the header
	}

	get full(): boolean {
		return this.#length >= CHUNK;
	}

	/** Where the next byte goes; until the next {@link take}. */
	get length(): number {
		return this.#length;
	}

	/** What is written from there on. */
	since(start: number): Buffer {
		return this.#buffer.subarray(start, this.#length);
	}

	/** Begins a row. */
	row(fields: number): void {
		this.#room(2);
		this.#length = this.#buffer.writeInt16BE(fields, this.#length);
	}

	words(value: Words | null): void {
		if (value === null) this.#int32(-1);
		else if (typeof value === "string") {
			this.#room(4 + value.length * 3);
			const written = this.#buffer.write(value, this.#length + 4);
			this.#int32(written);
			this.#length += written;
		} else {
			this.#int32(value.byteLength);
			this.#room(value.byteLength);
			this.#buffer.set(value, this.#length);
			this.#length += value.byteLength;
		}
	}

	bigint(value: bigint): void {
		this.#int32(8);
		this.#room(8);
		this.#length = this.#buffer.writeBigInt64BE(BigInt.asIntN(64, value), this.#length);
	}

	/** @param ms milliseconds since 1970 */
	time(ms: number | null): void {
		if (ms === null) this.#int32(-1);
		else this.bigint(BigInt(ms - EPOCH_MS) * 1_000n);
	}

	/** What has been written since the last time. */
	take(): Buffer {
		const taken = this.#buffer.subarray(0, this.#length);
		this.#buffer = Buffer.allocUnsafe(CHUNK * 2);
		this.#length = 0;
		return taken;
	}

	/** The end, and what is left. */
	end(): Buffer {
		this.row(-1);
		return this.take();
	}

	#int32(value: number): void {
		this.#room(4);
		this.#length = this.#buffer.writeInt32BE(value, this.#length);
	}

	#room(bytes: number): void {
		if (this.#length + bytes <= this.#buffer.length) return;
		const larger = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.#length + bytes));
		this.#buffer.copy(larger, 0, 0, this.#length);
		this.#buffer = larger;
	}
}

/** Writes rows, and makes a checksum of them. */
export class RowWriter {
	readonly #copy = new CopyWriter();
	readonly #hash = createHash("sha256");
	#rows = 0n;

	get rows(): number {
		return Number(this.#rows);
	}

	get full(): boolean {
		return this.#copy.full;
	}

	/** In the order of the columns of {@link stagedMemory}. */
	memory(row: MemoryRow): void {
		this.#begin(11);
		const start = this.#copy.length;
		for (const words of [row.system, row.namespace, row.key, row.value, row.metadata, row.more]) this.#copy.words(words);
		for (const time of [row.createdAt, row.updatedAt, row.expiresAt]) this.#copy.time(time);
		this.#copy.bigint(row.accessCount);
		this.#hash.update(this.#copy.since(start));
	}

	/** In the order of the columns of {@link stagedHive}. */
	hive(row: HiveRow): void {
		this.#begin(8);
		// It is the file's, not the row's.
		this.#copy.time(row.sourceAt);
		const start = this.#copy.length;
		for (const words of [row.kind, row.id, row.swarmId, row.data]) this.#copy.words(words);
		for (const time of [row.createdAt, row.updatedAt]) this.#copy.time(time);
		this.#hash.update(this.#copy.since(start));
	}

	take(): Buffer {
		return this.#copy.take();
	}

	end(): Buffer {
		return this.#copy.end();
	}

	/** Of all rows, in the order they were read. */
	checksum(): string {
		return this.#hash.digest("hex");
	}

	#begin(fields: number): void {
		this.#copy.row(fields);
		this.#copy.bigint(this.#rows);
		this.#rows += 1n;
	}
}

/** Columns of the table that {@link RowWriter.memory} fills. */
export const stagedMemory = `position bigint, system text, namespace text, key text, value text, metadata text, more text,
	created_at timestamptz, updated_at timestamptz, expires_at timestamptz, access_count bigint`;

/** Columns of the table that {@link RowWriter.hive} fills. */
export const stagedHive = `position bigint, source_at timestamptz, kind text, id text, swarm_id text, data text,
	created_at timestamptz, updated_at timestamptz`;
