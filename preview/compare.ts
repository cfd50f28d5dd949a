/** What differs between two recorded values, property by property. */
import { isDeepStrictEqual } from "node:util";
import { isSecretMark, isUnknownMark, type RecordedValue } from "../core/record.ts";
import { pathTo } from "./paths.ts";

/** One property that differs. Without `before` it is new; without `after` it is gone. */
export interface Change {
	readonly path: string;
	readonly before?: RecordedValue;
	readonly after?: RecordedValue;
}

type RecordedObject = { readonly [key: string]: RecordedValue };

/**
 * Every difference between two values, at the deepest property where it shows. Items of two lists are matched by their
 * `name` where all have one of their own, as Kubernetes' lists do, else by position. Texts that hold JSON are compared
 * by what they hold.
 */
export function compare(before: RecordedValue | undefined, after: RecordedValue | undefined, path = ""): Change[] {
	if (before === undefined || after === undefined) {
		if (before === after) return [];
		return [{ path, ...(before === undefined ? { after } : { before }) } as Change];
	}
	if (Array.isArray(before) && Array.isArray(after)) return compareLists(before, after, path);
	if (isPlainObject(before) && isPlainObject(after)) return compareObjects(before, after, path);
	if (isDeepStrictEqual(before, after)) return [];
	const held = [jsonIn(before), jsonIn(after)];
	if (held[0] !== undefined && held[1] !== undefined) {
		const inside = compare(held[0], held[1], `${path}(JSON)`);
		if (inside.length > 0) return inside;
	}
	return [{ path, before, after }];
}

function compareObjects(before: RecordedObject, after: RecordedObject, path: string): Change[] {
	const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])].sort();
	return keys.flatMap((key) => compare(own(before, key), own(after, key), pathTo(path, key)));
}

function compareLists(before: readonly RecordedValue[], after: readonly RecordedValue[], path: string): Change[] {
	const named = [namesIn(before), namesIn(after)];
	const [old, now] = named;
	if (!old || !now) {
		const length = Math.max(before.length, after.length);
		return Array.from({ length }, (_, index) => compare(before[index], after[index], pathTo(path, index))).flat();
	}
	const names = [...old.keys(), ...[...now.keys()].filter((name) => !old.has(name))];
	const changes = names.flatMap((name) => compare(old.get(name), now.get(name), pathTo(path, { name })));
	const shared = [[...old.keys()].filter((name) => now.has(name)), [...now.keys()].filter((name) => old.has(name))] as const;
	return isDeepStrictEqual(...shared) ? changes : [...changes, { path: `${path}(order)`, before: shared[0], after: shared[1] }];
}

/** The items by name; undefined where one has none or two share one. An empty list fits to anything. */
function namesIn(list: readonly RecordedValue[]): Map<string, RecordedValue> | undefined {
	const byName = new Map<string, RecordedValue>();
	for (const item of list) {
		const name = isPlainObject(item) ? own(item, "name") : undefined;
		if (typeof name !== "string" || byName.has(name)) return undefined;
		byName.set(name, item);
	}
	return byName;
}

/** The object or list that a text holds as JSON, as policies do. */
export function jsonIn(value: RecordedValue): RecordedObject | readonly RecordedValue[] | undefined {
	if (typeof value !== "string" || !/^\s*[{[]/.test(value)) return undefined;
	try {
		const held: unknown = JSON.parse(value);
		return typeof held === "object" && held !== null ? (held as RecordedObject) : undefined;
	} catch {
		return undefined;
	}
}

/** What a value is, in words of its own; `unknown` and `secret` are marks, not types. */
export function typeOf(value: RecordedValue): "null" | "boolean" | "number" | "text" | "list" | "object" | "unknown" | "secret" {
	if (value === null) return "null";
	if (Array.isArray(value)) return "list";
	if (isUnknownMark(value)) return "unknown";
	if (isSecretMark(value)) return "secret";
	return typeof value === "string" ? "text" : (typeof value as "boolean" | "number" | "object");
}

function isPlainObject(value: RecordedValue): value is RecordedObject {
	return typeOf(value) === "object";
}

/** An object's own property: inputs are data, and data may be called `constructor`. */
function own(object: RecordedObject, key: string): RecordedValue | undefined {
	return Object.hasOwn(object, key) ? object[key] : undefined;
}
