import { isUtf8 } from "node:buffer";
import { HttpError } from "./errors.ts";

/** Objects and arrays inside each other. */
const DEPTH = 64;

/** Values, and so memory: an empty object of two bytes takes some thirty. */
const VALUES = 200_000;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
const LOWER_U = 0x75;

/**
 * Parses a request body. It is looked through before it is parsed, because the parser would follow any depth, and what
 * comes after it would not.
 *
 * @param what it is called to its sender
 * @returns undefined for an empty body
 * @throws HttpError 400 for what is no JSON, is too deep or has too many values, names `__proto__` or
 * `constructor.prototype`, or holds text that PostgreSQL cannot store (NUL, half a surrogate pair)
 */
export function parseBody(body: Buffer, what = "request body"): unknown {
	if (body.length === 0) return undefined;
	if (!isUtf8(body)) throw new HttpError(400, `The ${what} is not valid UTF-8`);
	inspect(body, what);
	const text = body.toString("utf8");
	const value = parse(text, what);
	if (POISON.test(text)) demandUnpoisoned(value, what);
	return value;
}

function parse(text: string, what: string): unknown {
	try {
		return JSON.parse(text);
	} catch {
		throw new HttpError(400, `The ${what} is not valid JSON`);
	}
}

/** One pass over the bytes. What is not JSON may come through: the parser says so. */
function inspect(body: Buffer, what: string): void {
	let depth = 0;
	let values = 1;
	let inString = false;
	for (let at = 0; at < body.length; at += 1) {
		const byte = body[at];
		if (inString) {
			if (byte === QUOTE) inString = false;
			else if (byte === BACKSLASH) at = endOfEscape(body, at);
			continue;
		}
		if (byte === QUOTE) inString = true;
		else if (byte === COMMA) values += 1;
		else if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) {
			depth += 1;
			values += 1;
			if (depth > DEPTH) throw new HttpError(400, `The ${what} is nested more than ${DEPTH} deep`);
		} else if (byte === CLOSE_OBJECT || byte === CLOSE_ARRAY) depth -= 1;
		if (values > VALUES) throw new HttpError(400, `The ${what} has more than ${VALUES} values`);
	}
}

/** Position of the last byte of the escape that begins at `at`. */
function endOfEscape(body: Buffer, at: number): number {
	if (body[at + 1] !== LOWER_U) return at + 1;
	const unit = codeUnit(body, at);
	if (unit === 0) throw new HttpError(400, "Text must not contain NUL characters");
	if (unit >= 0xd800 && unit <= 0xdbff) {
		const low = codeUnit(body, at + 6);
		if (low >= 0xdc00 && low <= 0xdfff) return at + 11;
	}
	if (unit >= 0xd800 && unit <= 0xdfff) throw new HttpError(400, "Text must not contain half of a surrogate pair");
	return at + 5;
}

/** Of an escape such as `\u00e9`; NaN where there is none. */
function codeUnit(body: Buffer, at: number): number {
	if (body[at] !== BACKSLASH || body[at + 1] !== LOWER_U) return Number.NaN;
	const digits = body.toString("latin1", at + 2, at + 6);
	return /^[0-9a-fA-F]{4}$/.test(digits) ? Number.parseInt(digits, 16) : Number.NaN;
}

/** Whether it is worth looking; escapes can spell a name in many ways. */
const POISON = /__proto__|constructor|\\u00(?:5[fF]|6|7)/;

/** Such keys are harmless here and may not be so to whoever copies the value. */
function demandUnpoisoned(root: unknown, what: string): void {
	const found = [root];
	for (const value of found) {
		if (typeof value !== "object" || value === null) continue;
		const named: unknown = Object.hasOwn(value, "constructor") ? (value as { constructor: unknown }).constructor : null;
		if (Object.hasOwn(value, "__proto__") || (typeof named === "object" && named !== null && Object.hasOwn(named, "prototype"))) {
			throw new HttpError(400, `The ${what} has a forbidden key`);
		}
		for (const inner of Object.values(value)) found.push(inner);
	}
}
