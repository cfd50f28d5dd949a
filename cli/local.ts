/**
 * What the commands of the local topology have in common: which one is meant, and how its supervisor is asked.
 * As in the commands themselves, what is heavy is loaded where it is needed: help and previews have no use for it.
 */
import os from "node:os";
import path from "node:path";
import { type Fault, OperationFailed, UserError } from "../core/errors.ts";
import { askControl, NoSupervisor, type Operation, type Requests } from "../local/control.ts";
import { type Layout, layout, type Ports, portsFrom } from "../local/place.ts";
import type { Told } from "../local/supervisor.ts";
import type { Options } from "./command.ts";
import type { Io } from "./io.ts";
import { paintFor } from "./print/paint.ts";

/** Which topology: there may be several on one machine, each from a port of its own. */
export const whichOption = {
	port: { type: "string", value: "PORT", summary: "which topology, by its HTTP port (3001)" },
} as const satisfies Options;

export interface Place {
	readonly layout: Layout;
	readonly ports: Ports;
}

/**
 * Where the topology on a port is. `FLOWCTL_STATE` names another folder for all of them.
 *
 * @throws UserError where that is no port
 */
export async function placeOf(port: string | undefined, { env }: Pick<Io, "env">): Promise<Place> {
	const { readSettings } = await import("../local/settings.ts");
	const { settings, faults } = readSettings(port === undefined ? {} : { port });
	if (settings === null) throw new UserError("the command line cannot be used", faults);
	return { layout: layout(path.join(stateFolder(env), String(settings.port))), ports: portsFrom(settings.port) };
}

/** Root's is outside of its home, where PostgreSQL's user cannot go. */
function stateFolder(env: Io["env"]): string {
	if (env.FLOWCTL_STATE) return path.resolve(env.FLOWCTL_STATE);
	if (process.getuid?.() === 0) return "/var/lib/agentic-flow";
	return path.join(env.XDG_STATE_HOME ?? path.join(env.HOME ?? os.homedir(), ".local", "state"), "agentic-flow");
}

/**
 * Asks the supervisor, and passes on what it tells meanwhile.
 *
 * @throws UserError where none is there; OperationFailed
 */
export async function ask<O extends Operation>(
	{ layout }: Place,
	operation: O,
	question: Requests[O]["ask"],
	tell?: (told: Told) => void,
): Promise<Requests[O]["answer"]> {
	try {
		return await askControl(layout.control, operation, question, tell);
	} catch (error) {
		if (!(error instanceof NoSupervisor))
			throw new OperationFailed(
				`${operation} failed`,
				(error as Error).message,
				`${FIX[operation] ?? "flowctl status and flowctl logs say more"}`,
			);
		throw new UserError("nothing is up here", [await nothingUp(layout)]);
	}
}

const FIX: { readonly [O in Operation]?: string } = {
	up: "mend that, then run it again: what had been started was stopped. flowctl doctor looks at the machine",
};

async function nothingUp(layout: Layout): Promise<Fault> {
	const { presence } = await import("../local/client.ts");
	return (await presence(layout)) === "gone"
		? {
				at: layout.folder,
				what: "its supervisor is gone, and left processes behind",
				fix: "flowctl down ends them; flowctl up does so first",
			}
		: { at: layout.folder, what: "no topology runs here", fix: "start one: npm run up" };
}

/** Prints what services tell, a line each; where somebody watches, also what is under way. */
export function progress(io: Io): { tell(told: Told): void; done(): void } {
	const { stderr } = io;
	const paint = paintFor(stderr, io);
	const underWay = new Set<string>();
	const wipe = () => stderr.isTTY && stderr.write("\r\u001b[2K");
	const show = () => stderr.isTTY && underWay.size > 0 && stderr.write(paint.dim(`  ... ${[...underWay].join(", ")}`.slice(0, 100)));
	return {
		tell({ service, state, ms, why }) {
			const over = ms !== null || why !== undefined;
			if (over) underWay.delete(service);
			else underWay.add(service);
			wipe();
			if (over) {
				const colour = state === "failed" ? paint.red : paint.green;
				const time = ms === null ? "" : `${(ms / 1_000).toFixed(1)} s`.padStart(8);
				stderr.write(`  ${service.padEnd(20)} ${colour(state.padEnd(10))}${time}${why ? `  ${paint.dim(why)}` : ""}\n`);
			}
			show();
		},
		done: () => void wipe(),
	};
}
