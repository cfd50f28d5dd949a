/** What has to be done now and then by one worker, whichever it is. */
import type { Redis } from "ioredis";
import { redisKeys } from "../contract.ts";

export interface Chore {
	readonly name: string;
	/** All workers together do it once in so many milliseconds. Twice, or at once on two workers, must do no harm. */
	readonly everyMs: number;
	readonly work: () => Promise<void>;
}

/** How often a worker asks whether a chore's time has come, for each time it is done. */
const LOOKS = 4;

/**
 * Does chores in turn with the other workers, as Redis keeps the time. Where it is away nobody does them.
 *
 * @returns the way to stop
 */
export function startHousekeeping(redis: Redis, chores: readonly Chore[], problem: (what: string, error: unknown) => void): () => void {
	const timers = chores.map(({ name, everyMs, work }) => {
		const key = `${redisKeys.all}chore:${name}`;
		let busy = false;
		const look = async () => {
			if (busy) return;
			busy = true;
			try {
				// Whoever sets the key does it; when the key is gone it is time again.
				if ((await redis.set(key, process.pid, "PX", everyMs, "NX")) === "OK") await work();
			} catch (error) {
				problem(`a chore was not done: ${name}`, error);
			} finally {
				busy = false;
			}
		};
		return setInterval(look, everyMs / LOOKS).unref();
	});
	return () => {
		for (const timer of timers) clearInterval(timer);
	};
}
