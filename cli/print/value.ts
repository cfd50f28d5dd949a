/** Recorded values as lines that read like YAML. */
import { isSecretMark, isUnknownMark, type RecordedValue } from "../../core/record.ts";
import { jsonIn } from "../../preview/compare.ts";
import type { Paint } from "./paint.ts";

const INDENT = "  ";
const WIDEST_LIST = 100;

/** The lines of `name: value`; what is nested is indented below. */
export function propertyLines(name: string, value: RecordedValue, paint: Paint): string[] {
	const [first = "", ...below] = valueLines(value, paint);
	return [`${paint.cyan(keyText(name))}:${first ? ` ${first}` : ""}`, ...below];
}

/** The first line goes behind a name or a dash, the others below it, indented by one step. */
function valueLines(value: RecordedValue, paint: Paint): string[] {
	const short = inline(value, paint);
	if (short !== undefined) return [short];
	if (typeof value === "string") return textLines(value, paint);
	return ["", ...nestedLines(value, paint).map((line) => INDENT + line)];
}

function textLines(text: string, paint: Paint): string[] {
	const held = jsonIn(text);
	if (held !== undefined) {
		const short = inline(held, paint);
		if (short !== undefined) return [`${paint.dim("(JSON)")} ${short}`];
		return [paint.dim("(JSON)"), ...nestedLines(held, paint).map((line) => INDENT + line)];
	}
	const lines = text.replace(/\n$/, "").split("\n").map(printable);
	return [text.endsWith("\n") ? "|" : "|-", ...lines.map((line) => (line ? INDENT + line : ""))];
}

function nestedLines(value: RecordedValue, paint: Paint): string[] {
	if (Array.isArray(value)) return value.flatMap((item) => itemLines(item, paint));
	return Object.entries(value as { [key: string]: RecordedValue }).flatMap(([key, inner]) => propertyLines(key, inner, paint));
}

/** An item that is an object starts on the line of its dash. */
function itemLines(item: RecordedValue, paint: Paint): string[] {
	const [first = "", ...below] = valueLines(item, paint);
	if (first !== "") return [`- ${first}`, ...below];
	const [start = "", ...rest] = below.map((line) => line.slice(INDENT.length));
	return [`- ${start}`, ...rest.map((line) => INDENT + line)];
}

/** The value on one line; undefined where it takes several. */
function inline(value: RecordedValue, paint: Paint): string | undefined {
	if (isUnknownMark(value)) return paint.yellow("(known after up)");
	if (isSecretMark(value)) return paint.yellow("(secret)");
	if (typeof value === "string") return value.includes("\n") || jsonIn(value) !== undefined ? undefined : scalarText(value);
	if (typeof value !== "object" || value === null) return String(value);
	if (Object.keys(value).length === 0) return Array.isArray(value) ? "[]" : "{}";
	if (!Array.isArray(value) || value.some((item) => isNested(item))) return undefined;
	const items = value.map((item) => inline(item, paint));
	if (items.includes(undefined)) return undefined;
	const text = `[${items.join(", ")}]`;
	return text.length <= WIDEST_LIST ? text : undefined;
}

function isNested(value: RecordedValue): boolean {
	return typeof value === "object" && value !== null && !isUnknownMark(value) && !isSecretMark(value);
}

/** A text as it is, or in quotes where it would read as something else. */
function scalarText(text: string): string {
	const isPlain = /^[\w./(]/.test(text) && !/: |:$| #|\s$|, |[[\]{}]/.test(text) && printable(text) === text && !text.includes("\t");
	const isOther = /^(?:true|false|null|[-+.\d][\d._:eE+-]*)$/i.test(text);
	return isPlain && !isOther ? text : quoted(text);
}

function keyText(key: string): string {
	return /^[\w./@-]+$/.test(key) ? key : quoted(key);
}

/** JSON leaves some control characters as they are. */
function quoted(text: string): string {
	return printable(JSON.stringify(text));
}

/** Without what would steer a terminal; tabs stay. */
export function printable(line: string): string {
	// biome-ignore lint/suspicious/noControlCharactersInRegex: those are what is looked for
	return line.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, escaped);
}

function escaped(character: string): string {
	return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

/** A value on one line, a text in quotes: for `old => new`. */
export function oneLine(value: RecordedValue, paint: Paint): string {
	if (isUnknownMark(value) || isSecretMark(value)) return inline(value, paint) as string;
	if (typeof value !== "object" || value === null) return printable(JSON.stringify(value));
	if (Array.isArray(value)) return `[${value.map((item) => oneLine(item, paint)).join(", ")}]`;
	const entries = Object.entries(value).map(([key, inner]) => `${keyText(key)}: ${oneLine(inner, paint)}`);
	return entries.length > 0 ? `{ ${entries.join(", ")} }` : "{}";
}
