import { UserError } from "../../core/errors.ts";
import { command, exitCodes } from "../command.ts";
import { ask, placeOf, progress, whichOption } from "../local.ts";

export const scaleCommand = command({
	name: "scale",
	summary: "add or take away nodes while everything goes on",
	details: ["A node that goes drains first: its requests finish, its sockets move."],
	args: [{ name: "nodes", summary: "how many there are to be, 1 to 20" }],
	options: whichOption,
	async run({ args: [nodes], options, io }) {
		const { readSettings } = await import("../../local/settings.ts");
		const { settings, faults } = readSettings({ nodes });
		if (settings === null)
			throw new UserError(
				"the command line cannot be used",
				faults.map((fault) => ({ ...fault, at: "<nodes>" })),
			);
		const { tell, done } = progress(io);
		await ask(await placeOf(options.port, io), "scale", { nodes: settings.nodes }, tell).finally(done);
		io.stderr.write(`There ${settings.nodes === 1 ? "is 1 node" : `are ${settings.nodes} nodes`} now.\n`);
		return exitCodes.done;
	},
});
