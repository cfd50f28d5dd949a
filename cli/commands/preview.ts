import { command, exitCodes } from "../command.ts";
import { writeText } from "../files.ts";
import { paintFor, plain } from "../print/paint.ts";
import { printStack } from "../print/tree.ts";
import { recordStack } from "../run-stack.ts";

export const previewCommand = command({
	name: "preview",
	summary: "the whole stack, offline: every resource with its inputs, counts and outputs",
	details: [
		"Runs the very program that `pulumi up` runs, with no cloud, cluster, state or Pulumi\ninstalled. Two runs of one program print the same bytes.",
		"docs/offline-differences.md lists what an offline preview cannot know.",
	],
	args: [{ name: "stack", summary: "the stack, as in Pulumi.<stack>.yaml" }],
	options: {
		summary: { type: "boolean", summary: "leave the inputs out: the tree, counts and outputs only" },
		json: { type: "boolean", summary: "for tools; docs/preview-json.md describes it. diff reads it back" },
		out: { type: "string", value: "FILE", summary: "write to a file instead of the terminal" },
	},
	async run({ args: [stack = ""], options, io }) {
		const recorded = await recordStack(stack, io);
		const paint = options.out ? plain : paintFor(io.stdout, io);
		const text = options.json ? `${JSON.stringify(recorded, null, 2)}\n` : printStack(recorded, { inputs: !options.summary, paint });
		if (!options.out) {
			io.stdout.write(text);
			return exitCodes.done;
		}
		writeText(options.out, text, io.cwd);
		io.stderr.write(`wrote the preview of ${stack} to ${options.out}\n`);
		return exitCodes.done;
	},
});
