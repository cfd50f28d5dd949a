import { describe, expect, it } from "vitest";
import { readTokenCommand, TokenMistake } from "./token-command.ts";

const read = (line: string) => readTokenCommand(line.split(" ").filter(Boolean));

function mistakeOf(line: string): string {
	try {
		return JSON.stringify(read(line));
	} catch (error) {
		if (error instanceof TokenMistake) return error.message;
		throw error;
	}
}

describe("the command token", () => {
	it.each([
		["issue --subject ada", { name: "issue", subject: "ada", roles: ["member"], workspace: "default", days: null }],
		[
			"issue --subject=ci --role member,operator --workspace alpha --days 30",
			{ name: "issue", subject: "ci", roles: ["member", "operator"], workspace: "alpha", days: 30 },
		],
		["list", { name: "list" }],
		["revoke 0123", { name: "revoke", credentialId: "0123" }],
		["login --token-id 0123", { name: "login", credentialId: "0123" }],
		["help", { name: "help" }],
		["issue --help", { name: "help" }],
	])("is understood: %s", (line, command) => {
		expect(read(line)).toEqual(command);
	});

	it.each([
		["", "no command is given", "the commands are issue, list, revoke, login"],
		["isue", 'there is no command "isue"', "the commands are issue, list, revoke, login"],
		["issue", "--subject is missing", "a token says whose it is"],
		["issue --subject a --role admin", '--role has "admin"', "the roles are member and operator"],
		["issue --subject a --days 0", '--days is "0", not a whole number from 1 to 3650', "the token ends after so many days"],
		["issue --subject a --days soon", '--days is "soon", not a whole number from 1 to 3650', "the token ends after so many days"],
		["issue --subjct a", "Unknown option '--subjct'", "the command cannot be read"],
		["issue --subject a b", '"b" is one word too many', "the command cannot be read"],
		["list --subject a", "list takes no option --subject", "the command cannot be read"],
		["revoke", "the token's id is missing", "an id says which token is meant, and is no secret"],
		["login", "the token's id is missing", "an id says which token is meant, and is no secret"],
	])("says what is wrong, why, and how to mend it: %s", (line, what, why) => {
		const [first, second, third, ...more] = mistakeOf(line).split("\n");
		expect([first, second, more]).toEqual([`token: ${what}`, `  why: ${why}`, []]);
		expect(third).toMatch(/^ {2}fix: /);
	});
});
