import { UserError } from "../../core/errors.ts";
import { command, exitCodes } from "../command.ts";
import { placeOf, whichOption } from "../local.ts";
import { paintFor } from "../print/paint.ts";
import { loadConfig } from "../run-stack.ts";

export const doctorCommand = command({
	name: "doctor",
	summary: "whether this machine can run the topology, and what to do where it cannot",
	details: ["Looks at programs and their versions, ports, limits, memory and disk. Exit code 1 where up would not work."],
	args: [],
	options: {
		...whichOption,
		stack: { type: "string", value: "STACK", summary: "whose settings: Pulumi.<stack>.yaml (dev)" },
		nodes: { type: "string", value: "N", summary: "nodes to look for room for (3)" },
		sockets: { type: "string", value: "N", summary: "WebSockets to look for room for" },
	},
	async run({ options: { stack = "dev", port, nodes, sockets }, io }) {
		const [{ presence }, { diagnose }, { readSettings }] = await Promise.all([
			import("../../local/client.ts"),
			import("../../local/doctor.ts"),
			import("../../local/settings.ts"),
		]);
		const place = await placeOf(port, io);
		const given = Object.fromEntries(Object.entries({ port, nodes, sockets }).filter(([, value]) => value !== undefined));
		const { settings, faults } = readSettings(given);
		if (settings === null) throw new UserError("the command line cannot be used", faults);
		const config = await loadConfig(stack, io);
		const { findings, machine } = await diagnose({ config, settings, ...place }, (await presence(place.layout)) !== "nothing");
		const paint = paintFor(io.stdout, io);
		const marks = { good: paint.green("ok  "), poor: paint.yellow("note"), bad: paint.red("BAD ") };
		for (const { at, is, what, fix } of findings) {
			io.stdout.write(`${marks[is]}  ${at.padEnd(14)}${what}\n${fix ? `${" ".repeat(20)}fix: ${fix}\n` : ""}`);
		}
		return machine === null ? exitCodes.broken : exitCodes.done;
	},
});
