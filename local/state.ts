/** What is written down of a running topology, so that another process can end it. */
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { z } from "zod";
import type { Layout } from "./place.ts";
import { isAlive, stop } from "./processes.ts";
import { inReverse, type Running } from "./supervisor.ts";

const identity = { pid: z.int(), startTime: z.string() };
const schema = z.object({
	supervisor: z.object(identity),
	stack: z.string(),
	processes: z.array(
		z.object({
			...identity,
			name: z.string(),
			after: z.array(z.string()),
			stop: z.object({ signal: z.string().transform((name) => name as NodeJS.Signals), graceMs: z.number() }),
		}),
	),
});

export interface SavedState {
	readonly supervisor: { readonly pid: number; readonly startTime: string };
	readonly stack: string;
	readonly processes: readonly Running[];
}

/** Null where there is none, or one that cannot be read: then nothing can be ended by it. */
export function readState({ state }: Layout): SavedState | null {
	try {
		return schema.parse(JSON.parse(readFileSync(state, "utf8")));
	} catch {
		return null;
	}
}

/** Whole or not at all. */
export function writeState({ state }: Layout, saved: SavedState): void {
	mkdirSync(path.dirname(state), { recursive: true });
	writeFileSync(`${state}.new`, JSON.stringify(saved), { mode: 0o600 });
	renameSync(`${state}.new`, state);
}

export function removeState({ state }: Layout): void {
	rmSync(state, { force: true });
}

/**
 * Ends what a supervisor has left behind that is gone itself. Those that need others end first.
 *
 * @param tell is told each name
 * @returns how many there were
 */
export async function endLeftovers(layout: Layout, tell: (name: string) => void): Promise<number> {
	const saved = readState(layout);
	const left = (saved?.processes ?? []).filter(isAlive);
	await inReverse(left, async (running) => {
		await stop(running, running.stop);
		tell(running.name);
	});
	removeState(layout);
	return left.length;
}
