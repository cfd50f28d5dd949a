import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { recognise } from "./patterns.ts";

const data = ["agent-1 began", "Agent-22 failed: timeout", "all is well", "a*b"];

describe("patterns", () => {
	it.each<[string, number[]]>([
		["agent", [0, 1]],
		["/^agent-\\d+ /", [0]],
		["/^agent-\\d+ /i", [0, 1]],
		["agent*", [0, 1]],
		["*timeout", [1]],
		["*timeout*", [1]],
		["agent*began", [0]],
		["agent*b*an*", [0]],
		["*l*l*", [2]],
		["ab*", []],
		["a*b", [3]],
		["/", []],
		["//", []],
		["*", [0, 1, 2, 3]],
	])("%s is in %j", (pattern, items) => {
		const { patterns } = recognise({ data, patterns: [pattern] });
		expect(patterns[0]).toMatchObject({ pattern, count: items.length, items });
	});

	it("of text with stars are what an expression with .* says", () => {
		const letters = (more: string) => fc.string({ unit: fc.constantFrom("a", "B", ...more), maxLength: 8 });
		fc.assert(
			fc.property(letters("*"), letters(""), (pattern, item) => {
				fc.pre(pattern.includes("*"));
				const { patterns } = recognise({ data: [item], patterns: [pattern] });
				expect(patterns[0]?.count === 1).toBe(new RegExp(`^${pattern.replaceAll("*", ".*")}$`, "i").test(item));
			}),
			{ numRuns: 2_000 },
		);
	});

	it("count what has none of them", () => {
		expect(recognise({ data, patterns: ["agent", "well"] }).unmatched).toBe(1);
		expect(recognise({ data, patterns: [] })).toEqual({ patterns: [], unmatched: 4 });
	});

	it("name no more places than can be read", () => {
		const [found] = recognise({ data: Array(5_000).fill("x"), patterns: ["x"] }).patterns;
		expect([found?.count, found?.items.length, found?.examples.length]).toEqual([5_000, 1_000, 3]);
	});

	it("of text take no longer the more stars they have", () => {
		const before = process.cpuUsage();
		recognise({ data: ["a".repeat(100_000)], patterns: [`${"a*".repeat(400)}b`] });
		// Of the processor's time: others may want it too.
		expect(process.cpuUsage(before).user / 1_000).toBeLessThan(2_000);
	});
});
