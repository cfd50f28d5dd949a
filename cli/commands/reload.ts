import { command, exitCodes } from "../command.ts";
import { ask, placeOf, progress, whichOption } from "../local.ts";

export const reloadCommand = command({
	name: "reload",
	summary: "replace all workers, node after node, without a failed request",
	details: ["Each worker finishes what it is doing and sends its sockets elsewhere, while a new one has its port already."],
	args: [],
	options: whichOption,
	async run({ options, io }) {
		const { tell, done } = progress(io);
		await ask(await placeOf(options.port, io), "reload", {}, tell).finally(done);
		return exitCodes.done;
	},
});
