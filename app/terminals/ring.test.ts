import * as fc from "fast-check";
import { expect, it } from "vitest";
import { Ring } from "./ring.ts";

it("keeps the end of what it was given, and gives any part of it", () => {
	fc.assert(
		fc.property(fc.array(fc.string({ maxLength: 9_000 }), { maxLength: 20 }), fc.nat(), fc.nat(9_000), (pieces, from, most) => {
			const ring = new Ring(10_000);
			let all = "";
			for (const piece of pieces) {
				ring.append(piece);
				all += piece;
				expect(ring.end).toBe(all.length);
				expect(ring.end - ring.start).toBeGreaterThanOrEqual(Math.min(all.length, 10_000));
				expect(ring.end - ring.start).toBeLessThan(10_000 + 9_000);
			}
			const at = ring.start + (from % (ring.end - ring.start + 1));
			expect(ring.read(at, most)).toBe(all.slice(at, at + most));
		}),
		{ numRuns: 200 },
	);
});
