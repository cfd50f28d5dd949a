import { describe, expect, it } from "vitest";
import { ImportMistake, readImportCommand } from "./import-command.ts";

const read = (line: string) => readImportCommand(line.split(" ").filter(Boolean));

function mistakeOf(line: string): string {
	try {
		return JSON.stringify(read(line));
	} catch (error) {
		if (error instanceof ImportMistake) return error.message;
		throw error;
	}
}

const plain = { system: null, keepExpired: false, publish: false, again: false };

describe("the command import", () => {
	it.each([
		["a.db", { name: "import", paths: ["a.db"], workspace: "default", dryRun: false, json: false, options: plain }],
		[
			"a.db folder --workspace alpha --dry-run --json --keep-expired --system hivemind --publish --again",
			{
				name: "import",
				paths: ["a.db", "folder"],
				workspace: "alpha",
				dryRun: true,
				json: true,
				options: { system: "hivemind", keepExpired: true, publish: true, again: true },
			},
		],
		["-- --odd.db", { name: "import", paths: ["--odd.db"], workspace: "default", dryRun: false, json: false, options: plain }],
		["--help", { name: "help" }],
	])("is understood: %s", (line, command) => {
		expect(read(line)).toEqual(command);
	});

	it.each([
		["", "no file is named", "it imports the files that the original server kept"],
		["a.db --sytem swarm", "Unknown option '--sytem'", "the command cannot be read"],
		["a.db --system other", '--system is "other"', "the systems are swarm and hivemind"],
		["a.db --workspace a/b", '--workspace is "a/b"', "a workspace is 1 to 64 letters, digits, dots, hyphens and underscores"],
	])("says what is wrong, why, and how to mend it: %s", (line, what, why) => {
		const [first, second, third, ...more] = mistakeOf(line).split("\n");
		expect([first, second, more]).toEqual([`import: ${what}`, `  why: ${why}`, []]);
		expect(third).toMatch(/^ {2}fix: /);
	});
});
