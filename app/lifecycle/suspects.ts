import { type ChildProcess, fork } from "node:child_process";
import path from "node:path";
import type { JobQueue } from "../stores/job-queue.ts";

/** Milliseconds between two looks. */
const LOOK_EVERY = 2_000;

/**
 * Has jobs that have cost workers run in a process of their own, one at a time: whichever of them is to blame takes no other
 * along. There is such a process only while there are such jobs.
 *
 * @returns the way to stop
 */
export function keepSuspectsApart(queue: JobQueue, problem: (what: string, error: unknown) => void): () => Promise<void> {
	let child: ChildProcess | null = null;
	let stopping = false;
	const look = async () => {
		if (child !== null || stopping || (await queue.waiting("suspects")) === 0 || stopping) return;
		child = fork(path.join(import.meta.dirname, "../main.ts"), ["suspects"], { stdio: ["ignore", "inherit", "inherit", "ipc"] });
		child.once("error", (error) => problem("the process for suspect jobs cannot be started", error));
		child.once("close", () => {
			child = null;
		});
	};
	const timer = setInterval(() => void look().catch((error) => problem("suspect jobs cannot be looked for", error)), LOOK_EVERY).unref();
	return async () => {
		stopping = true;
		clearInterval(timer);
		const last = child;
		if (last === null) return;
		const closed = new Promise<void>((resolve) => last.once("close", () => resolve()));
		last.kill("SIGTERM");
		await closed;
	};
}
