/** The supervisor, seen from `flowctl`. */
import { spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync } from "node:fs";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { askControl, NoSupervisor } from "./control.ts";
import { lastLines } from "./files.ts";
import type { Layout } from "./place.ts";
import { isAlive } from "./processes.ts";
import { readState } from "./state.ts";

/** The supervisor's own name among the logs. */
export const SUPERVISOR = "supervisor";

const START_MS = 15_000;

export type Presence =
	/** It answers. */
	| "there"
	/** It does not, and something of what it started still runs. */
	| "gone"
	/** Nothing is there. */
	| "nothing";

export async function presence(layout: Layout): Promise<Presence> {
	try {
		await askControl(layout.control, "status", {});
		return "there";
	} catch (error) {
		// It answered, be it with a fault.
		if (!(error instanceof NoSupervisor)) return "there";
	}
	return readState(layout)?.processes.some(isAlive) ? "gone" : "nothing";
}

/** Starts the supervisor's process, which outlives this one. @throws Error where it does not get to answer */
export async function startSupervisor(layout: Layout): Promise<void> {
	const log = layout.log(SUPERVISOR);
	mkdirSync(layout.logs, { recursive: true });
	const file = openSync(log, "a", 0o600);
	const daemon = path.join(import.meta.dirname, "daemon.ts");
	const child = spawn(process.execPath, [daemon, layout.folder], { cwd: layout.folder, stdio: ["ignore", file, file], detached: true });
	closeSync(file);
	let ended = false;
	child.once("exit", () => {
		ended = true;
	});
	child.unref();
	for (const deadline = Date.now() + START_MS; Date.now() < deadline && !ended; await sleep(30)) {
		if ((await presence(layout)) === "there") return;
	}
	// Two at once: the other one is there, or soon will be.
	for (const deadline = Date.now() + 2_000; Date.now() < deadline; await sleep(100)) {
		if ((await presence(layout)) === "there") return;
	}
	throw new Error(`the supervisor does not start${lastLines(log, 0)}`);
}
