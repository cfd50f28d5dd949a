import { createHash, type Hash } from "node:crypto";
import { createReadStream, createWriteStream, readFileSync } from "node:fs";
import { stat } from "node:fs/promises";
import path from "node:path";
import { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { Refused } from "./rows.ts";

/** What SQLite keeps beside a database: changes that are not in it yet, and what undoes a change that was cut off. */
const COMPANIONS = ["", "-wal", "-journal"] as const;

/** Whoever writes may be done soon. */
const TRIES = 5;
const BETWEEN_TRIES_MS = 400;

/** A database in a folder of its own, as it was at one moment. */
export interface PrivateCopy {
	readonly file: string;
	/** Of the database and what is beside it, one after the other. */
	readonly sha256: string;
	readonly bytes: number;
	/** When the last of them was written, milliseconds since 1970. */
	readonly writtenAt: number;
}

/**
 * Copies a database and what belongs to it, and only reads: SQLite itself would write beside it, even to read. Looked at again
 * afterwards, so that a copy made in the middle of a change is made again.
 *
 * @param folder must exist, be empty, and be nobody else's
 * @throws Refused where somebody writes to it all the time; the file system's errors
 */
export async function copyDatabase(source: string, folder: string): Promise<PrivateCopy> {
	const file = path.join(folder, "copy.db");
	let why = "";
	for (let attempt = 1; attempt <= TRIES; attempt += 1) {
		if (attempt > 1) await sleep(BETWEEN_TRIES_MS);
		const writer = await writerOf(source);
		why = writer === null ? "it was written to while it was copied" : `process ${writer} has it locked for writing`;
		if (writer !== null) continue;
		const copied = await passOver(source, file);
		const again = await passOver(source, null);
		if (copied.sha256 === again.sha256) return { file, ...copied };
	}
	throw new Refused("it is in use", why, "stop the old server and whatever else writes to it, then run the import again");
}

/** Reads everything, and copies it where there is somewhere to. */
async function passOver(source: string, to: string | null): Promise<Omit<PrivateCopy, "file">> {
	const hash = createHash("sha256");
	let bytes = 0;
	let writtenAt = 0;
	for (const companion of COMPANIONS) {
		const found = await stat(source + companion).catch((error: NodeJS.ErrnoException) => {
			if (companion !== "" && error.code === "ENOENT") return null;
			throw error;
		});
		if (found === null) continue;
		bytes += found.size;
		writtenAt = Math.max(writtenAt, found.mtimeMs);
		const through = hashing(hash);
		const from = createReadStream(source + companion, { highWaterMark: 1 << 20 });
		if (to === null) await pipeline(from, through, async (chunks) => void (await drained(chunks)));
		else await pipeline(from, through, createWriteStream(to + companion, { mode: 0o600 }));
	}
	return { sha256: hash.digest("hex"), bytes, writtenAt: Math.floor(writtenAt) };
}

function hashing(hash: Hash): Transform {
	return new Transform({
		transform(chunk, _, done) {
			hash.update(chunk);
			done(null, chunk);
		},
	});
}

async function drained(chunks: AsyncIterable<unknown>): Promise<void> {
	for await (const _ of chunks);
}

/** Where in a database SQLite's locks are, first and last byte: https://www.sqlite.org/src/file/src/os.h */
const DATABASE_LOCKS = [0x40000000, 0x40000000 + 511] as const;

/** The lock of whoever writes to the log, in the index beside it: https://www.sqlite.org/walformat.html#walidxfmt */
const LOG_LOCK = [120, 120] as const;

/**
 * Who has a database locked for writing: a process id, null for nobody. Only Linux tells, and only of processes that are seen
 * from here. To ask by opening the file would change what is beside it.
 */
async function writerOf(source: string): Promise<number | null> {
	const inodes = await Promise.all([source, `${source}-shm`].map((file) => stat(file, { bigint: true }).catch(() => null)));
	const locked = [DATABASE_LOCKS, LOG_LOCK];
	for (const line of procLocks().split("\n")) {
		const [, pid, inode, first, last] = /^\d+: \w+ +\w+ +WRITE (\d+) [0-9a-f]+:[0-9a-f]+:(\d+) (\d+) (\d+|EOF)$/.exec(line) ?? [];
		const which = inodes.findIndex((found) => found !== null && String(found.ino) === inode);
		const range = locked[which];
		if (range !== undefined && Number(first) <= range[1] && (last === "EOF" || Number(last) >= range[0])) return Number(pid);
	}
	return null;
}

function procLocks(): string {
	try {
		return readFileSync("/proc/locks", "utf8");
	} catch {
		return "";
	}
}
