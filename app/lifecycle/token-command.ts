/** What the command `token` is told, read. */
import { parseArgs } from "node:util";
import type { Role } from "../model.ts";

export const USAGE = `usage: node main.ts token <command>
  issue --subject NAME [--role member,operator] [--workspace NAME] [--days N]   a new token, shown this once
  list                                                                          all tokens, newest first
  revoke ID                                                                     ends a token, its sessions and its sockets
  login --token-id ID                                                           a code that logs a browser in, once, within ten minutes
Answers are JSON on one line; times are milliseconds since 1970.`;

export type TokenCommand =
	| { readonly name: "help" | "list" }
	| {
			readonly name: "issue";
			readonly subject: string;
			readonly roles: readonly Role[];
			readonly workspace: string;
			readonly days: number | null;
	  }
	| { readonly name: "revoke" | "login"; readonly credentialId: string };

/** A mistake of whoever types: what, why and how to fix it. */
export class TokenMistake extends Error {
	constructor(what: string, why: string, fix: string) {
		super(`token: ${what}\n  why: ${why}\n  fix: ${fix}`);
		this.name = "TokenMistake";
	}
}

const options = {
	subject: { type: "string" },
	role: { type: "string", default: "member" },
	workspace: { type: "string", default: "default" },
	days: { type: "string" },
	"token-id": { type: "string" },
	help: { type: "boolean", short: "h", default: false },
} as const;

type Option = keyof typeof options;

/** The options and the number of words that each command takes. */
const commands = {
	issue: { takes: ["subject", "role", "workspace", "days"], words: 0 },
	list: { takes: [], words: 0 },
	revoke: { takes: [], words: 1 },
	login: { takes: ["token-id"], words: 0 },
} satisfies Record<string, { readonly takes: readonly Option[]; readonly words: number }>;

const roles: readonly Role[] = ["member", "operator"];

/** @throws TokenMistake */
export function readTokenCommand(argv: readonly string[]): TokenCommand {
	const { values, words } = split(argv);
	const [name, ...rest] = words;
	if (values.help || name === "help") return { name: "help" };
	switch (name) {
		case "issue":
			return {
				name,
				subject: subjectOf(values.subject),
				roles: rolesOf(values.role),
				workspace: values.workspace,
				days: daysOf(values.days),
			};
		case "list":
			return { name };
		case "revoke":
			return { name, credentialId: idOf(rest[0], "token revoke ID") };
		case "login":
			return { name, credentialId: idOf(values["token-id"], "token login --token-id ID") };
		default:
			throw new TokenMistake(
				name === undefined ? "no command is given" : `there is no command "${name}"`,
				`the commands are ${Object.keys(commands).join(", ")}`,
				"run `token help` to see what each takes",
			);
	}
}

function split(argv: readonly string[]) {
	try {
		const { values, positionals, tokens } = parseArgs({ args: [...argv], options, allowPositionals: true, tokens: true });
		const name = positionals[0] ?? "";
		const command = Object.hasOwn(commands, name) ? commands[name as keyof typeof commands] : undefined;
		const taken: readonly string[] = [...(command?.takes ?? Object.keys(options)), "help"];
		const foreign = tokens.find((token) => token.kind === "option" && !taken.includes(token.name));
		if (foreign?.kind === "option") throw new Error(`${name} takes no option --${foreign.name}`);
		const surplus = command && positionals[1 + command.words];
		if (surplus !== undefined) throw new Error(`"${surplus}" is one word too many`);
		return { values, words: positionals };
	} catch (error) {
		const [what = ""] = (error as Error).message.split(". ");
		throw new TokenMistake(what, "the command cannot be read", "run `token help` to see what each command takes");
	}
}

function subjectOf(given: string | undefined): string {
	if (given !== undefined) return given;
	throw new TokenMistake("--subject is missing", "a token says whose it is", "name a person or a program, such as --subject ada");
}

function rolesOf(given: string): Role[] {
	const wanted = given.split(",").map((role) => role.trim());
	const unknown = wanted.find((role) => !roles.some((known) => known === role));
	if (unknown === undefined) return wanted as Role[];
	throw new TokenMistake(`--role has "${unknown}"`, `the roles are ${roles.join(" and ")}`, "set --role member, or --role member,operator");
}

function daysOf(given: string | undefined): number | null {
	if (given === undefined) return null;
	if (/^\d{1,4}$/.test(given) && Number(given) >= 1 && Number(given) <= 3_650) return Number(given);
	throw new TokenMistake(
		`--days is "${given}", not a whole number from 1 to 3650`,
		"the token ends after so many days",
		"set a number, or leave it out for a token without an end",
	);
}

function idOf(given: string | undefined, usage: string): string {
	if (given !== undefined && given !== "") return given;
	throw new TokenMistake(
		"the token's id is missing",
		"an id says which token is meant, and is no secret",
		`run \`${usage}\`; \`token list\` shows the ids as credentialId`,
	);
}
