/** What the command `import` is told, read. */
import { parseArgs } from "node:util";
import type { ImportOptions } from "../import/import.ts";
import type { MemorySystem } from "../model.ts";

export const IMPORT_USAGE = `usage: node main.ts import PATH... [options]
  PATH               a file of the original server's, or a folder to look through
  --workspace NAME   where it goes (default)
  --dry-run          reads everything, writes nothing, and says what would be done
  --json             the answer as JSON
  --keep-expired     takes entries whose time is over, too, and for good
  --system NAME      swarm or hivemind for all entries, wherever they were
  --publish          takes entries of the namespace "published", which anybody may read
  --again            takes files, too, that were imported before`;

export type ImportCommand =
	| { readonly name: "help" }
	| {
			readonly name: "import";
			readonly paths: readonly string[];
			readonly workspace: string;
			readonly dryRun: boolean;
			readonly json: boolean;
			readonly options: ImportOptions;
	  };

/** A mistake of whoever types: what, why and how to fix it. */
export class ImportMistake extends Error {
	constructor(what: string, why: string, fix: string) {
		super(`import: ${what}\n  why: ${why}\n  fix: ${fix}`);
		this.name = "ImportMistake";
	}
}

const options = {
	workspace: { type: "string", default: "default" },
	"dry-run": { type: "boolean", default: false },
	json: { type: "boolean", default: false },
	"keep-expired": { type: "boolean", default: false },
	system: { type: "string" },
	publish: { type: "boolean", default: false },
	again: { type: "boolean", default: false },
	help: { type: "boolean", short: "h", default: false },
} as const;

/** @throws ImportMistake */
export function readImportCommand(argv: readonly string[]): ImportCommand {
	const { values, positionals } = split(argv);
	if (values.help) return { name: "help" };
	if (positionals.length === 0)
		throw new ImportMistake(
			"no file is named",
			"it imports the files that the original server kept",
			"name them, or the folder it ran in: import /srv/agentic-flow",
		);
	if (positionals.includes(""))
		throw new ImportMistake("a path is empty", "it names neither a file nor a folder", "look at what was to be in its place");
	return {
		name: "import",
		paths: positionals,
		workspace: workspaceOf(values.workspace),
		dryRun: values["dry-run"],
		json: values.json,
		options: {
			system: systemOf(values.system),
			keepExpired: values["keep-expired"],
			publish: values.publish,
			again: values.again,
		},
	};
}

function split(argv: readonly string[]) {
	try {
		return parseArgs({ args: [...argv], options, allowPositionals: true });
	} catch (error) {
		const [what = ""] = (error as Error).message.split(". ");
		throw new ImportMistake(what, "the command cannot be read", "run `import --help` to see what it takes");
	}
}

function workspaceOf(given: string): string {
	if (/^[\w.-]{1,64}$/.test(given)) return given;
	throw new ImportMistake(
		`--workspace is "${given}"`,
		"a workspace is 1 to 64 letters, digits, dots, hyphens and underscores",
		"name the one that those who are to see it have in their tokens; `token list` shows them",
	);
}

const systems: readonly MemorySystem[] = ["swarm", "hivemind"];

function systemOf(given: string | undefined): MemorySystem | null {
	if (given === undefined) return null;
	const system = systems.find((each) => each === given);
	if (system !== undefined) return system;
	throw new ImportMistake(
		`--system is "${given}"`,
		`the systems are ${systems.join(" and ")}`,
		"set one of them, or leave it out: then it follows from where an entry was",
	);
}
