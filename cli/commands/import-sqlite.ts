import { spawn } from "node:child_process";
import { once } from "node:events";
import { command } from "../command.ts";
import { ask, placeOf, whichOption } from "../local.ts";

export const importSqliteCommand = command({
	name: "import-sqlite",
	summary: "bring in what the original server kept in SQLite and JSON files",
	details: [
		"Reads each file from a private copy and never changes it. Each is imported as a whole or not at all;\none that cannot be is named, with the reason, and the others go on: then the exit code is 1.\nRun it again whenever you like: the newest of each key stays.",
		"What goes where, and how to run it in a cluster: docs/import.md.",
	],
	args: [{ name: "path", summary: "a file of the original's, or the folder it ran in", repeated: true }],
	options: {
		...whichOption,
		workspace: { type: "string", value: "NAME", summary: "where it goes (default)" },
		"dry-run": { type: "boolean", summary: "read everything, write nothing, and say what would be done" },
		json: { type: "boolean", summary: "for tools: every count, checksum and clash" },
		"keep-expired": { type: "boolean", summary: "take entries whose time is over, too, and for good" },
		system: { type: "string", value: "NAME", summary: "swarm or hivemind for all entries, wherever they were" },
		publish: { type: "boolean", summary: 'take entries of the namespace "published", which anybody may read' },
		again: { type: "boolean", summary: "take files, too, that were imported before" },
	},
	async run({ args, options: { port, ...options }, io }) {
		const { program, args: server, env } = await ask(await placeOf(port, io), "command", { role: "import" });
		const words = Object.entries(options).flatMap(([name, value]) =>
			value === undefined ? [] : value === true ? [`--${name}`] : [`--${name}`, String(value)],
		);
		const child = spawn(program, [...server, ...words, "--", ...args], {
			cwd: io.cwd,
			env: { PATH: io.env.PATH, TMPDIR: io.env.TMPDIR, ...env },
			// It looks for itself whether somebody watches its progress.
			stdio: ["ignore", "pipe", io.stderr.isTTY ? "inherit" : "pipe"],
		});
		child.stdout?.on("data", (data) => io.stdout.write(String(data)));
		child.stderr?.on("data", (data) => io.stderr.write(String(data)));
		const [code] = (await once(child, "close")) as [number | null];
		return code ?? 1;
	},
});
