/** What a command is: data that says how it is called, and a handler. */
import { parseArgs } from "node:util";
import { UserError } from "../core/errors.ts";
import { nearest } from "../core/nearest.ts";
import type { Io } from "./io.ts";

export interface Option {
	readonly type: "boolean" | "string";
	/** Stands for the value in the help: `FILE`. Only for a string. */
	readonly value?: string;
	readonly short?: string;
	readonly summary: string;
}

export type Options = Readonly<Record<string, Option>>;

/** What was given for each option. */
export type Values<O extends Options> = { readonly [K in keyof O]?: O[K]["type"] extends "boolean" ? boolean : string };

/** One call of a command. */
export interface Call<O extends Options = Options> {
	/** As many as the command has arguments, fewer where some are optional, more where the last is repeated. */
	readonly args: readonly string[];
	readonly options: Values<O>;
	readonly io: Io;
}

export interface Argument {
	readonly name: string;
	readonly summary: string;
	/** It may be left out, and is undefined then. Only the last one. */
	readonly optional?: true;
	/** There may be more of it. Only the last one. */
	readonly repeated?: true;
}

export interface Command<O extends Options = Options> {
	readonly name: string;
	/** One line, for the list of commands. */
	readonly summary: string;
	/** What more the command's own help says, by paragraph. */
	readonly details: readonly string[];
	readonly args: readonly Argument[];
	readonly options: O;
	/** @returns the exit code. */
	run(call: Call<O>): Promise<number>;
}

/** Gives a command's handler the types of its options. */
export function command<const O extends Options>(definition: Command<O>): Command {
	return definition;
}

export const exitCodes = {
	done: 0,
	/** A fault of ours. */
	broken: 1,
	/** A mistake in settings, files or the command line. */
	mistake: 2,
	/** What was not to differ does. */
	differs: 3,
} as const;

/** Options that every command has. */
export const commonOptions = {
	help: { type: "boolean", short: "h", summary: "this text" },
	verbose: { type: "boolean", summary: "show the stack trace of a fault of ours (or set FLOWCTL_DEBUG=1)" },
} as const satisfies Options;

/**
 * The arguments and options in `argv`.
 *
 * @param usage what to look at after a mistake.
 * @throws UserError for anything that is not of these options.
 */
export function parseOptions<O extends Options>(
	argv: readonly string[],
	options: O,
	usage: string,
): { args: string[]; options: Values<O> } {
	const config = Object.fromEntries(
		Object.entries(options).map(([name, { type, short }]) => [name, { type, ...(short ? { short } : {}) }]),
	);
	// Not strict: its errors do not say which option was meant.
	const { tokens } = parseArgs({ args: [...argv], options: config, strict: false, allowPositionals: true, tokens: true });
	const args: string[] = [];
	const values: Record<string, string | boolean> = {};
	for (const token of tokens) {
		if (token.kind === "positional") args.push(token.value);
		if (token.kind !== "option") continue;
		const { name, rawName, value, inlineValue } = token;
		const option = Object.hasOwn(options, name) ? (options[name] as Option) : undefined;
		const refuse = (what: string, fix: string) => new UserError("the command line cannot be used", [{ at: rawName, what, fix }]);
		if (!option) {
			const meant = rawName.startsWith("--") ? nearest(name, Object.keys(options)) : undefined;
			throw refuse("is not an option", `${meant ? `did you mean --${meant}? ` : ""}see: ${usage}`);
		}
		if (option.type === "boolean" && inlineValue)
			throw refuse(`takes no value, but got ${JSON.stringify(value)}`, `leave it out: ${rawName}`);
		if (option.type === "string" && (!value || (!inlineValue && value.startsWith("-")))) {
			throw refuse(`needs a value: ${option.value}`, `give it: ${rawName} ${option.value}`);
		}
		values[name] = value ?? true;
	}
	return { args, options: values as Values<O> };
}

/** A command and its arguments, as they are typed. */
export function usageOf({ name, args }: Pick<Command, "name" | "args">, program = "flowctl "): string {
	const written = args.map((arg) => `${arg.optional ? `[${arg.name}]` : `<${arg.name}>`}${arg.repeated ? "..." : ""}`);
	return [`${program}${name}`, ...written].join(" ");
}

/** What `flowctl help <command>` prints. */
export function helpOf({ name, summary, details, args, options }: Command): string {
	const usage = `${usageOf({ name, args })} [options]`;
	return [
		usage,
		`  ${summary}`,
		...details.flatMap((paragraph) => ["", ...paragraph.split("\n").map((line) => `  ${line}`)]),
		...(args.length > 0 ? ["", "Arguments", ...columns(args.map((arg) => [`<${arg.name}>`, arg.summary]))] : []),
		"",
		"Options",
		...optionLines({ ...options, ...commonOptions }),
		"",
	].join("\n");
}

/** An option a line, as they are written and what they do. */
export function optionLines(options: Options): string[] {
	return columns(
		Object.entries(options).map(([name, { short, value, summary }]) => [
			[short ? `-${short}, --${name}` : `--${name}`, value].filter(Boolean).join(" "),
			summary,
		]),
	);
}

/** Two columns, the second ones in line. */
export function columns(rows: readonly (readonly [string, string])[]): string[] {
	const width = Math.max(...rows.map(([left]) => left.length));
	return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`.trimEnd());
}
