import * as fc from "fast-check";
import { expect, it } from "vitest";
import type { SyncEvent } from "../../model.ts";
import { single } from "../conflate.ts";
import { framesOf, prepare } from "./group.ts";
import { Ring } from "./ring.ts";

/** So many events after a position, each with a text of that length. */
function eventsAfter(position: number, count: number, length: number): SyncEvent[] {
	return Array.from({ length: count }, (_, index) => {
		const seq = position + 1 + index;
		return { seq, entityType: "task", entityId: `t"ö\n${seq}`, action: "updated", data: { text: "ü".repeat(length) }, timestamp: seq };
	});
}

function bytesOf(events: readonly SyncEvent[]): number {
	return Buffer.byteLength(JSON.stringify(events));
}

it("keeps the last events, to be written again just as they were, and says so where some are gone", () => {
	const tick = fc.record({ count: fc.integer({ min: 1, max: 400 }), length: fc.integer({ min: 0, max: 3_000 }) });
	fc.assert(
		fc.property(fc.array(tick, { minLength: 1, maxLength: 30 }), fc.integer({ min: 0, max: 1_000 }), (ticks, begin) => {
			const ring = new Ring();
			ring.restart(begin);
			const all: SyncEvent[] = [];
			for (const { count, length } of ticks) {
				const events = eventsAfter(begin + all.length, count, length);
				all.push(...events);
				ring.push(prepare(events.map(single)));
			}
			const head = begin + all.length;
			expect(ring.after(head)).toEqual([]);
			const kept = Array.from({ length: all.length + 1 }, (_, back) => head - back).findLast((position) => ring.after(position) !== null);
			const first = kept as number;
			expect(head - first).toBeLessThanOrEqual(1_024);
			if (all.length <= 1_024 && bytesOf(all) < 700_000) expect(first).toBe(begin);
			for (const position of [first, Math.floor((first + head) / 2), head - 1].filter((each) => each >= first)) {
				const found = ring.after(position) ?? [];
				const expected = prepare(all.slice(position - begin).map(single));
				expect(found.map(({ seq, keys, count }) => ({ seq, keys, count }))).toEqual(
					expected.map(({ seq, keys, count }) => ({ seq, keys, count })),
				);
				expect(framesOf(found, position).equals(framesOf(expected, position))).toBe(true);
			}
			if (first > begin) expect(ring.after(first - 1)).toBeNull();
		}),
		{ numRuns: 60 },
	);
});

it("keeps a tick that it has room for, however full it is, and none that is larger than it may be", () => {
	const ring = new Ring();
	ring.restart(0);
	let position = 0;
	const push = (count: number, length: number) => {
		ring.push(prepare(eventsAfter(position, count, length).map(single)));
		position += count;
	};
	for (let tick = 0; tick < 500; tick++) {
		push(1 + (tick % 7), 20 * (tick % 50));
		expect(ring.after(position - 1)).toHaveLength(1);
	}
	push(1_025, 1);
	expect(ring.after(position)).toEqual([]);
	expect(ring.after(position - 1)).toBeNull();
	push(2, 600_000);
	expect(ring.after(position - 2)).toBeNull();
	push(1, 1);
	expect(ring.after(position - 1)).toHaveLength(1);
});
