import { describe, expect, it } from "vitest";
import { groupLines } from "./log-groups.ts";

describe("lines of a log", () => {
	it("are grouped by what they have in common, errors first", () => {
		const { lines, byLevel, groups } = groupLines([
			"2026-01-02T03:04:05.678Z INFO request 17 took 20.5 ms",
			"2026-01-02T03:04:06Z ERROR connection to 10.0.0.1:5432 failed",
			"2026-01-02T03:04:07Z ERROR connection to 10.0.0.2:5432 failed",
			"2026-01-02T03:04:08Z INFO request 18 took 3 ms",
			"2026-01-02T03:04:09Z WARN slow query 'select 1'",
			{ level: "fatal", message: "out of memory" },
			{ msg: "TypeError: x is not a function" },
			{ other: "record" },
			7,
			null,
		]);
		expect(lines).toBe(10);
		expect(byLevel).toEqual({ fatal: 1, error: 3, warning: 1, other: 5 });
		expect(groups.map(({ pattern, count }) => [pattern, count])).toEqual([
			["fatal: out of memory", 1],
			["<time> ERROR connection to <n>.<n>:<n> failed", 2],
			["TypeError: x is not a function", 1],
			["<time> WARN slow query <text>", 1],
			["<time> INFO request <n> took <n> ms", 2],
			["{<text>:<text>}", 1],
			["<n>", 1],
			["null", 1],
		]);
		expect(groups[1]).toMatchObject({ first: 1, last: 2, example: "2026-01-02T03:04:06Z ERROR connection to 10.0.0.1:5432 failed" });
	});

	it("with ids and hexadecimal numbers are one group", () => {
		const { groups } = groupLines([
			"task 0190aaaa-bbbb-7ccc-8ddd-eeeeffff0000 at 0xDEADBEEF commit 27e00ec86f0975847464",
			"task 0190aaaa-bbbb-7ccc-8ddd-eeeeffff1111 at 0x1 commit 9fcdc1386f0975847464",
		]);
		expect(groups).toMatchObject([{ pattern: "task <id> at <hex> commit <hex>", count: 2 }]);
	});

	it("are looked through in no time, however they are made", () => {
		const nasty = [
			'"'.repeat(4_001),
			"0".repeat(9_000),
			"deadbeef".repeat(1_000),
			"a1".repeat(4_000),
			"x".repeat(9_000),
			"1.".repeat(4_000),
		];
		const before = process.cpuUsage();
		groupLines(Array.from({ length: 600 }, (_, index) => nasty[index % nasty.length]));
		// Of the processor's time: others may want it too.
		expect(process.cpuUsage(before).user / 1_000).toBeLessThan(5_000);
	});

	it("are named up to a number of groups", () => {
		const { groups, more } = groupLines(Array.from({ length: 200 }, (_, index) => "x".repeat(index + 1)));
		expect([groups.length, more]).toEqual([50, 150]);
	});

	it("of which there are none are none", () => {
		expect(groupLines([])).toEqual({ lines: 0, byLevel: { fatal: 0, error: 0, warning: 0, other: 0 }, groups: [], more: 0 });
	});
});
