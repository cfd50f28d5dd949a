import { rmSync } from "node:fs";
import { gone } from "../../local/processes.ts";
import type { Told } from "../../local/supervisor.ts";
import { command, exitCodes } from "../command.ts";
import { ask, type Place, placeOf, progress, whichOption } from "../local.ts";

export const downCommand = command({
	name: "down",
	summary: "stop everything that up has started, and only that",
	details: ["Data, secrets and logs stay for the next up, unless --volumes deletes the data and the secrets."],
	args: [],
	options: { ...whichOption, volumes: { type: "boolean", short: "v", summary: "delete what is stored as well" } },
	async run({ options, io }) {
		const [{ presence }, { endLeftovers, removeState }] = await Promise.all([
			import("../../local/client.ts"),
			import("../../local/state.ts"),
		]);
		const place = await placeOf(options.port, io);
		const { layout } = place;
		const volumes = options.volumes ?? false;
		const is = await presence(layout);
		const { tell, done } = progress(io);
		try {
			if (is === "there") await askDown(place, volumes, tell);
			else if (is === "gone")
				await endLeftovers(layout, (name) => tell({ service: name, state: "stopped", ms: null, why: "its supervisor was gone" }));
		} finally {
			done();
		}
		if (is !== "there") {
			removeState(layout);
			if (volumes) for (const folder of layout.data) rmSync(folder, { recursive: true, force: true });
		}
		io.stderr.write(is === "nothing" ? "Nothing is up.\n" : "Everything is stopped.\n");
		return exitCodes.done;
	},
});

/** Waits for the supervisor's own end as well. */
async function askDown(place: Place, volumes: boolean, tell: (told: Told) => void): Promise<void> {
	const { readState } = await import("../../local/state.ts");
	const supervisor = readState(place.layout)?.supervisor;
	await ask(place, "down", { volumes }, tell);
	if (supervisor) await gone([supervisor], 5_000);
}
