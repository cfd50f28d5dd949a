import type { StackRecord } from "../../core/record.ts";
import { diff, isSame } from "../../preview/diff.ts";
import { readSaved } from "../../preview/read-saved.ts";
import { command, exitCodes } from "../command.ts";
import { readText } from "../files.ts";
import type { Io } from "../io.ts";
import { printDiff } from "../print/diff.ts";
import { paintFor } from "../print/paint.ts";
import { recordStack } from "../run-stack.ts";

export const diffCommand = command({
	name: "diff",
	summary: "what differs between two stacks, or two saved previews",
	details: [
		"A side is a stack, or a file that `flowctl preview <stack> --json --out FILE` wrote:\nits path ends in .json or has a slash in it.",
		"Resources are the same when their URNs are, the stack's name aside.",
	],
	args: [
		{ name: "a", summary: "the earlier side: a stack or a file" },
		{ name: "b", summary: "the later side: a stack or a file" },
	],
	options: {
		names: { type: "boolean", summary: "list values that differ only by the stack's name, too" },
		json: { type: "boolean", summary: "everything that differs, for tools; docs/preview-json.md describes it" },
		"expect-no-changes": { type: "boolean", summary: "exit with 3 if anything differs" },
	},
	async run({ args: [a = "", b = ""], options, io }) {
		const before = await readSide(a, io);
		const after = a === b ? before : await readSide(b, io);
		const found = diff(before, after);
		const paint = paintFor(io.stdout, io);
		io.stdout.write(options.json ? `${JSON.stringify(found, null, 2)}\n` : printDiff(found, { names: options.names ?? false, paint }));
		return options["expect-no-changes"] && !isSame(found) ? exitCodes.differs : exitCodes.done;
	},
});

async function readSide(side: string, io: Io): Promise<StackRecord> {
	const isFile = side.endsWith(".json") || /[/\\]/.test(side);
	return isFile ? readSaved(readText(side, io.cwd), side) : recordStack(side, io);
}
