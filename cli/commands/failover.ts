import { UserError } from "../../core/errors.ts";
import { nearest } from "../../core/nearest.ts";
import { command, exitCodes } from "../command.ts";
import { ask, placeOf, progress, whichOption } from "../local.ts";

const stores = ["redis", "postgres"] as const;

export const failoverCommand = command({
	name: "failover",
	summary: "let the replica of a store take its primary's place",
	details: [
		"redis: a planned failover through the Sentinel. postgres: the primary is killed, and the\nsynchronous standby, which has every acknowledged commit, takes its place and address.",
	],
	args: [{ name: "store", summary: stores.join(" or ") }],
	options: whichOption,
	async run({ args: [given = ""], options, io }) {
		const what = stores.find((store) => store === given);
		if (what === undefined) {
			const meant = nearest(given, [...stores]);
			const fix = `${meant ? `did you mean "${meant}"? ` : ""}stores: ${stores.join(", ")}`;
			throw new UserError("the command line cannot be used", [{ at: "<store>", what: `is "${given}"`, fix }]);
		}
		const { tell, done } = progress(io);
		const { ms } = await ask(await placeOf(options.port, io), "failover", { what }, tell).finally(done);
		io.stderr.write(`The new primary of ${what} took writes after ${(ms / 1_000).toFixed(1)} s.\n`);
		return exitCodes.done;
	},
});
