/** zod's issues in the words a user needs: where, their own value, what is allowed, what the setting is for. */
import { z } from "zod";
import type { Fault } from "../core/errors.ts";
import { nearest } from "../core/nearest.ts";

type Issue = z.core.$ZodIssue;
type JsonSchema = z.core.JSONSchema.BaseSchema;

/** The faults of one section's value. `at` is the path of the section itself. */
export function faultsOf(at: string, section: z.ZodType, value: unknown, issues: readonly Issue[]): Fault[] {
	const schema = z.toJSONSchema(section, { io: "input", unrepresentable: "any" });
	return issues.flatMap((issue) => {
		if (issue.code === "unrecognized_keys") {
			const known = Object.keys(schemaAt(schema, issue.path)?.properties ?? {});
			return issue.keys.map((key) => unknownSetting(pathOf(at, [...issue.path, key]), key, known));
		}
		const given = valueAt(value, issue.path);
		const here = schemaAt(schema, issue.path);
		return [
			{
				at: pathOf(at, issue.path),
				what: given === undefined ? "is missing" : `${shown(given)} is not allowed`,
				why: here?.description,
				fix: `${meantWord(given, here)}give ${allowed(issue, here)}`,
			},
		];
	});
}

/** A key that is no setting, with the one that was probably meant. */
export function unknownSetting(at: string, key: string, known: readonly string[]): Fault {
	const meant = nearest(key, known);
	return {
		at,
		what: "is not a setting",
		why: "a misspelt setting would silently leave its default in force",
		fix: `${meant ? `did you mean "${meant}"? ` : ""}known here: ${[...known].sort().join(", ")}`,
	};
}

/** `postgres`, ["replicas"] -> `postgres.replicas`; numbers are indexes. */
export function pathOf(at: string, path: readonly PropertyKey[]): string {
	return path.reduce<string>((text, key) => (typeof key === "number" ? `${text}[${key}]` : `${text}.${String(key)}`), at);
}

/** The user's value on one line, cut where it is long. */
export function shown(value: unknown): string {
	// JSON knows no .nan and no .inf.
	const text = typeof value === "number" ? String(value) : (JSON.stringify(value) ?? String(value));
	return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

function allowed(issue: Issue, schema: JsonSchema | undefined): string {
	if (issue.code === "invalid_value") return oneOf(issue.values.map(shown));
	// A form of our own words; zod's own begin so.
	if (!/^(Invalid|Too) /.test(issue.message)) return issue.message;
	if (schema?.enum) return oneOf(schema.enum.map(shown));
	const { type, minimum, maximum, minItems, maxItems, minLength, maxLength, format } = schema ?? {};
	const range = (unit: string, min: number | undefined, max: number | undefined) =>
		min === undefined && max === undefined ? "" : ` of ${min ?? 0}${max === undefined ? " or more" : ` to ${max}`} ${unit}`;
	switch (type) {
		case "integer":
			return `a whole number from ${minimum} to ${maximum}`;
		case "boolean":
			return "true or false, without quotes";
		case "array":
			return `a list${range("entries", minItems, maxItems)}`;
		case "object":
			return "a group of settings, one on each line, indented";
		case "string":
			if (format === "cidrv4") return "an IPv4 block, e.g. 203.0.113.0/24";
			return `${format ? `a ${format}` : "text"}${range("characters", minLength, maxLength)}`;
		default:
			return issue.message;
	}
}

/** The word on the list that was probably meant, as the beginning of a sentence. */
function meantWord(given: unknown, schema: JsonSchema | undefined): string {
	const words = (schema?.enum ?? []).filter((word) => typeof word === "string");
	const meant = typeof given === "string" ? nearest(given, words) : undefined;
	return meant ? `did you mean ${shown(meant)}? ` : "";
}

function oneOf(words: readonly string[]): string {
	return words.length === 1 ? (words[0] as string) : `one of ${words.join(", ")}`;
}

function schemaAt(schema: JsonSchema, path: readonly PropertyKey[]): JsonSchema | undefined {
	let here: JsonSchema | undefined = schema;
	for (const key of path) {
		const next: unknown = typeof key === "number" ? here?.items : (here?.properties?.[String(key)] ?? here?.additionalProperties);
		here = typeof next === "object" && next !== null ? (next as JsonSchema) : undefined;
	}
	return here;
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
	return path.reduce<unknown>(
		(here, key) => (typeof here === "object" && here !== null ? (here as Record<PropertyKey, unknown>)[key] : undefined),
		value,
	);
}
