import { ServiceError } from "../ports.ts";

/** Runs work under a key. @throws ServiceError UNAVAILABLE where too many wait already */
export type TakeTurns = <T>(key: string, work: () => Promise<T>) => Promise<T>;

/**
 * Bounds what runs at the same time under each key, first come, first served.
 *
 * @param limits for each key: how many run, and how many wait at most
 */
export function turns(limits: { readonly running: number; readonly waiting: number }): TakeTurns {
	const lines = new Map<string, { running: number; readonly waiting: (() => void)[] }>();
	return async function takeTurns(key, work) {
		const line = lines.get(key) ?? { running: 0, waiting: [] };
		if (line.running < limits.running) {
			line.running += 1;
			lines.set(key, line);
		} else {
			if (line.waiting.length >= limits.waiting) throw new ServiceError("UNAVAILABLE", "too many changes at once", 1);
			await new Promise<void>((go) => line.waiting.push(go));
		}
		try {
			return await work();
		} finally {
			const next = line.waiting.shift();
			if (next === undefined) line.running -= 1;
			else next();
			if (line.running === 0) lines.delete(key);
		}
	};
}

/**
 * Hands on what comes under each key: at once, or, while that is under way, all that has come meanwhile together.
 *
 * @param limits for each key: how many together, and how many wait at most
 * @param handle must not fail. `late` takes what has come since, as many as there may still be together: whoever takes it handles it
 * @returns takes one item; throws ServiceError UNAVAILABLE where too many wait already
 */
export function gather<T>(
	limits: { readonly together: number; readonly waiting: number },
	handle: (key: string, items: readonly T[], late: () => readonly T[]) => Promise<void>,
): (key: string, item: T) => void {
	const lines = new Map<string, T[]>();
	async function work(key: string, line: T[]): Promise<void> {
		while (line.length > 0) {
			const items = line.splice(0, limits.together);
			let room = limits.together - items.length;
			const late = () => {
				const taken = line.splice(0, room);
				room -= taken.length;
				return taken;
			};
			await handle(key, items, late);
		}
		lines.delete(key);
	}
	return function take(key, item) {
		const line = lines.get(key);
		if (line === undefined) {
			const begun = [item];
			lines.set(key, begun);
			void work(key, begun);
		} else if (line.length < limits.waiting) line.push(item);
		else throw new ServiceError("UNAVAILABLE", "too many changes at once", 1);
	};
}
