/** Reads arguments whose types have been checked against the tool's schema: what the schema does not say is checked here. */
import { ToolError } from "./tool.ts";

export type Arguments = Readonly<Record<string, unknown>>;

/** An argument that may be left out; empty text counts as left out. */
export function text(args: Arguments, name: string): string | null {
	const value = args[name];
	return typeof value === "string" && value !== "" ? value : null;
}

/** @throws ToolError INVALID where it is left out */
export function neededText(args: Arguments, name: string, hint = ""): string {
	const value = text(args, name);
	if (value === null) throw new ToolError("INVALID", `${name} is missing${hint && `: ${hint}`}`);
	return value;
}

/** @throws ToolError INVALID where it is no whole number between the two */
export function wholeNumber(args: Arguments, name: string, least: number, most: number): number | null {
	const value = args[name];
	if (value === undefined) return null;
	if (Number.isInteger(value) && (value as number) >= least && (value as number) <= most) return value as number;
	throw new ToolError("INVALID", `${name} must be a whole number from ${least} to ${most}; it is ${value}`);
}

export function list(args: Arguments, name: string): readonly unknown[] | null {
	const value = args[name];
	return Array.isArray(value) ? value : null;
}

/** @throws ToolError INVALID where one of them is no text */
export function texts(args: Arguments, name: string): readonly string[] | null {
	const values = list(args, name);
	const wrong = values?.findIndex((value) => typeof value !== "string") ?? -1;
	if (wrong !== -1) throw new ToolError("INVALID", `${name}[${wrong}] must be text`);
	return values as readonly string[] | null;
}

/** @throws ToolError INVALID for any other */
export function oneOf<T extends string>(args: Arguments, name: string, choices: readonly T[], initial: T): T {
	const value = text(args, name);
	const choice = value === null ? initial : choices.find((each) => each === value);
	if (choice !== undefined) return choice;
	throw new ToolError("INVALID", `${name} must be one of ${choices.join(", ")}; it is ${JSON.stringify(value?.slice(0, 60))}`);
}

const UNIT_MS: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };

/** The longest that is looked back, a year. */
const LONGEST_MS = 366 * 86_400_000;

/** Milliseconds of a time frame such as `24h`, `7d`, `30m` or `2w`. @throws ToolError INVALID for what is none, or longer than a year */
export function timeframe(args: Arguments, name: string, initial: string): { readonly name: string; readonly ms: number } {
	const given = text(args, name) ?? initial;
	const [, count, unit] = /^(\d{1,6})\s?([mhdw])$/.exec(given) ?? [];
	const ms = Number(count) * (UNIT_MS[unit ?? ""] ?? Number.NaN);
	if (ms > 0 && ms <= LONGEST_MS) return { name: given, ms };
	throw new ToolError(
		"INVALID",
		`${name} must be a time such as 30m, 24h, 7d or 2w, at most a year; it is ${JSON.stringify(given.slice(0, 60))}`,
	);
}
