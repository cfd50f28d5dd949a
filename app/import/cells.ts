/** What SQLite holds in one place, and what PostgreSQL makes of it. Whatever it cannot hold as it is is kept in a way that says so. */
import { isUtf8 } from "node:buffer";
import { unzipSync } from "node:zlib";

/** TEXT as its bytes, where they may be no UTF-8: SQLite does not check it. */
export class Text {
	readonly bytes: Uint8Array;

	constructor(bytes: Uint8Array) {
		this.bytes = bytes;
	}
}

/** A string is text that was read without loss. */
export type Cell = null | bigint | number | string | Text | Uint8Array;

/** Bytes of the largest value that is taken, as text. */
export const LARGEST_VALUE = 16 * 1_024 * 1_024;

/** A value as it is to be stored, and what to note with it where that is another form than it had. */
export interface Stored {
	readonly value: string | Uint8Array;
	readonly mark: Readonly<Record<string, unknown>> | null;
}

/**
 * A value as text. Numbers are written out, null is JSON's. Text with a NUL becomes a JSON string, in which it is escaped;
 * what is no text becomes base64. What is flagged as compressed is unpacked where that is possible.
 */
export function storedOf(cell: Cell, compressed: boolean): Stored {
	if (cell === null) return { value: "null", mark: null };
	if (typeof cell === "bigint" || typeof cell === "number") return { value: String(cell), mark: null };
	if (compressed) {
		const unpacked = unpack(cell);
		const { value, mark } = unpacked === null ? storedOf(cell, false) : storedOf(isUtf8(unpacked) ? new Text(unpacked) : unpacked, false);
		return { value, mark: { ...mark, compressed: unpacked === null ? "still" : "unpacked" } };
	}
	if (typeof cell === "string") return cell.includes("\0") ? asJson(cell) : { value: cell, mark: null };
	if (cell instanceof Text) return storedText(cell.bytes);
	// Bytes that could be typed are taken for text: the original's tools put JSON into either.
	return isUtf8(cell) && !hasControls(cell) ? { value: cell, mark: { from: "blob" } } : base64(cell);
}

function storedText(bytes: Uint8Array): Stored {
	if (!isUtf8(bytes)) return base64(bytes);
	return bytes.includes(0) ? asJson(decoded(bytes)) : { value: bytes, mark: null };
}

function asJson(text: string): Stored {
	return { value: JSON.stringify(text), mark: { encoding: "json" } };
}

function base64(bytes: Uint8Array): Stored {
	return { value: bufferOf(bytes).toString("base64"), mark: { encoding: "base64" } };
}

/** Packed by zlib or gzip, as it is or written as base64; null where it is neither. */
function unpack(cell: string | Text | Uint8Array): Uint8Array | null {
	try {
		const bytes = cell instanceof Text ? decoded(cell.bytes) : cell;
		return unzipSync(typeof bytes === "string" ? Buffer.from(bytes, "base64") : bytes, { maxOutputLength: LARGEST_VALUE });
	} catch {
		return null;
	}
}

/** Names and ids: text, or a number written out; null for what is neither, or what PostgreSQL cannot hold. */
export function wordOf(cell: Cell): string | Uint8Array | null {
	if (typeof cell === "bigint" || typeof cell === "number") return String(cell);
	if (typeof cell === "string") return cell.includes("\0") ? null : cell;
	const bytes = cell instanceof Text ? cell.bytes : cell;
	return bytes !== null && isUtf8(bytes) && !bytes.includes(0) ? bytes : null;
}

/** As JSON holds it. What an integer, a text or bytes would lose there is written in another way. */
export function jsonOf(cell: Cell): unknown {
	if (typeof cell === "bigint") return Number.isSafeInteger(Number(cell)) ? Number(cell) : String(cell);
	if (typeof cell === "number") return Number.isFinite(cell) ? cell : String(cell);
	if (cell === null || (typeof cell === "string" && !cell.includes("\0"))) return cell;
	const bytes = cell instanceof Text ? cell.bytes : typeof cell === "string" ? Buffer.from(cell) : cell;
	if (cell instanceof Text && isUtf8(bytes) && !bytes.includes(0)) return decoded(bytes);
	return { base64: bufferOf(bytes).toString("base64") };
}

/** A day: clocks differ, and no more than that. */
const AHEAD_MS = 86_400_000;

/** The last time that can be written with four digits for the year. */
const LAST_MS = Date.UTC(9_999, 11, 31);

/**
 * A time of the past, however it was written: seconds, milliseconds or microseconds since 1970, UTC as SQL writes it, ISO 8601.
 *
 * @returns milliseconds since 1970; null for none, undefined for one that makes no sense
 */
export function timeOf(cell: Cell, now: number): number | null | undefined {
	const ms = anyTimeOf(cell);
	return typeof ms === "number" && ms > now + AHEAD_MS ? undefined : ms;
}

/** The same of any time; one that nobody will see is undefined, too. */
export function anyTimeOf(cell: Cell): number | null | undefined {
	if (cell === null) return null;
	if (typeof cell === "bigint" || typeof cell === "number") return fromNumber(Number(cell));
	const text = (typeof cell === "string" ? cell : decoded(cell instanceof Text ? cell.bytes : cell)).trim();
	if (text === "") return null;
	if (/^-?\d+(\.\d+)?$/.test(text)) return fromNumber(Number(text));
	const [, day, time = "00:00", zone = "Z"] =
		/^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d+)?)?) ?(Z|[+-]\d\d:?\d\d)?)?$/.exec(text) ?? [];
	if (day === undefined) return undefined;
	return withinReason(Date.parse(`${day}T${time}${zone.replace(/^([+-]\d\d)(\d\d)$/, "$1:$2")}`));
}

/** Milliseconds are what seconds would be in the year 5138 and later. */
function fromNumber(value: number): number | undefined {
	if (value < 1e11) return withinReason(value * 1e3);
	if (value < 1e14) return withinReason(value);
	return withinReason(value / 1e3);
}

function withinReason(ms: number): number | undefined {
	return ms > 0 && ms <= LAST_MS ? Math.floor(ms) : undefined;
}

/** More than anything was ever read, and still to be added to. */
const LARGEST_COUNT = 10n ** 15n;

/** A count; 0 for what is none. */
export function countOf(cell: Cell): bigint {
	const count = typeof cell === "bigint" ? cell : typeof cell === "number" && Number.isSafeInteger(cell) ? BigInt(cell) : 0n;
	if (count < 0n) return 0n;
	return count > LARGEST_COUNT ? LARGEST_COUNT : count;
}

/** As SQL has it: a number that is not 0. */
export function isSet(cell: Cell): boolean {
	return (typeof cell === "bigint" || typeof cell === "number") && Number(cell) !== 0;
}

export function decoded(bytes: Uint8Array): string {
	return bufferOf(bytes).toString("utf8");
}

function bufferOf(bytes: Uint8Array): Buffer {
	return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Control characters that no text has: all but tab and line breaks. */
function hasControls(bytes: Uint8Array): boolean {
	return bytes.some((byte) => (byte < 32 && byte !== 9 && byte !== 10 && byte !== 13) || byte === 127);
}
