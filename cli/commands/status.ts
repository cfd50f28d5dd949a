import type { Status } from "../../local/control.ts";
import { command, exitCodes } from "../command.ts";
import { ask, placeOf, whichOption } from "../local.ts";
import { type Paint, paintFor } from "../print/paint.ts";

export const statusCommand = command({
	name: "status",
	summary: "every process: its role, health, lag, sockets and requests a second",
	details: ["Exit code 1 where something is not ready."],
	args: [],
	options: { ...whichOption, json: { type: "boolean", summary: "for tools" } },
	async run({ options, io }) {
		const status = await ask(await placeOf(options.port, io), "status", {});
		io.stdout.write(options.json ? `${JSON.stringify(status, null, 2)}\n` : table(status, paintFor(io.stdout, io)));
		return status.services.every(({ state }) => state === "ready" || state === "done") ? exitCodes.done : exitCodes.broken;
	},
});

function table({ stack, settings, services, urls, sockets, requestsPerSecond }: Status, paint: Paint): string {
	const rows = services.map(({ name, state, pid, seconds, restarts, facts }) => [
		name,
		state,
		pid === null ? "-" : String(pid),
		seconds === null ? "-" : duration(seconds),
		String(restarts),
		Object.entries(facts)
			.map(([fact, value]) => `${fact} ${value ?? "-"}`)
			.join(", "),
	]);
	const titles = ["SERVICE", "STATE", "PID", "UP", "RESTARTS", "FACTS"];
	const widths = titles.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)));
	const line = (row: readonly string[]) =>
		row.map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd(widths[column] as number))).join("  ");
	const colour = (row: readonly string[]) => (row[1] === "ready" || row[1] === "done" ? line(row) : paint.red(line(row)));
	return [
		paint.bold(line(titles)),
		...rows.map(colour),
		"",
		`stack ${stack}, ${settings.nodes} nodes, ${urls.http}: ${sockets} WebSockets, ${requestsPerSecond} requests/s`,
		"",
	].join("\n");
}

function duration(seconds: number): string {
	if (seconds < 120) return `${seconds}s`;
	if (seconds < 7_200) return `${Math.floor(seconds / 60)}m`;
	return `${Math.floor(seconds / 3_600)}h`;
}
