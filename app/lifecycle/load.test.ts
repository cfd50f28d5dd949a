import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it, vi } from "vitest";
import { Load, monitorLoad } from "./load.ts";

const samples = (load: Load, times: number, delayMs: number, utilization: number) => {
	for (let index = 0; index < times; index++) load.sample(delayMs, utilization);
};

/** How often the monitor comes round in an idle process. */
async function roundsIn(ms: number): Promise<number> {
	let rounds = 0;
	const setTimer = globalThis.setTimeout;
	const counting = vi.spyOn(globalThis, "setTimeout").mockImplementation(((run: () => void, delay?: number) => {
		rounds += 1;
		return setTimer(run, delay);
	}) as typeof setTimeout);
	const monitor = monitorLoad(50);
	try {
		await sleep(ms);
		return rounds;
	} finally {
		monitor.stop();
		counting.mockRestore();
	}
}

describe("the load of a worker", () => {
	it("is judged by how late a busy event loop is", () => {
		const levels = [20, 60, 120, 250].map((delayMs) => {
			const load = new Load(50);
			samples(load, 30, delayMs, 1);
			return load.level;
		});
		expect(levels).toEqual([0, 1, 2, 3]);
	});

	it("is not raised by one garbage collection, nor by a loop that is late because others have the processor", () => {
		const collected = new Load(50);
		samples(collected, 30, 5, 0.9);
		collected.sample(140, 1);
		expect(collected.level).toBe(0);
		const starved = new Load(50);
		samples(starved, 30, 300, 0.4);
		expect(starved.level).toBe(0);
	});

	it("is left later than it is entered, and within a second of quiet", () => {
		const load = new Load(50);
		samples(load, 30, 110, 1);
		samples(load, 30, 80, 1);
		expect(load.level).toBe(2);
		samples(load, 10, 2, 0.2);
		expect(load.level).toBe(0);
	});

	it("is measured on this very process", async () => {
		const monitor = monitorLoad(50);
		try {
			await sleep(300);
			expect(monitor.level()).toBe(0);
			expect(monitor.delayP99Ms).toBeLessThan(50);
			const end = Date.now() + 3_000;
			let highest = 0;
			while (Date.now() < end && highest < 2) {
				const block = Date.now() + 150;
				while (Date.now() < block);
				await sleep(0);
				highest = Math.max(highest, monitor.level());
			}
			expect(highest).toBeGreaterThanOrEqual(2);
			expect(monitor.utilization).toBeGreaterThan(0.5);
		} finally {
			monitor.stop();
		}
	});

	it("wakes a process that has nothing to do ten times a second, not fifty", async () => {
		const timers = await roundsIn(1_000);
		expect(timers).toBeGreaterThanOrEqual(5);
		expect(timers).toBeLessThanOrEqual(16);
	});

	it("says that the loop stood still", () => {
		const load = new Load(50);
		load.sample(3_000, 1);
		expect(load.stalled).toBe(true);
		samples(load, 20, 1, 0.1);
		expect(load.stalled).toBe(false);
	});
});
