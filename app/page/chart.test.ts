import { describe, expect, it } from "vitest";
import { labelsOf, pathOf, Series, topOf } from "./chart.js";

describe("round trips", () => {
	it("are summed up by what was measured, and what did not come back is counted apart", () => {
		const series = new Series();
		expect(series.figures).toBeNull();
		for (const [index, ms] of [10, 30, null, 20].entries()) series.add(ms, index * 1_000);
		expect(series.figures).toEqual({ last: 20, median: 20, p95: 30, lost: 1 });
	});

	it("are forgotten after two minutes", () => {
		const series = new Series();
		series.add(1, 0);
		series.add(2, 121_000);
		expect(series.samples).toEqual([{ at: 121_000, ms: 2 }]);
	});

	it("are a line that breaks where an answer did not come", () => {
		const samples = [5, 10, null, 20].map((ms, index) => ({ at: index * 30_000, ms }));
		expect(pathOf(samples, 120_000, 10, 400)).toBe("M0.0 75.0L100.0 0.0M300.0 0.0");
	});

	it.each([
		[0, 5],
		[5, 5],
		[6, 10],
		[11, 20],
		[21, 50],
		[99, 100],
		[101, 200],
		[300, 500],
	])("of %d ms at most are drawn below %d ms", (most, top) => {
		expect(topOf(most)).toBe(top);
	});

	it.each([
		[5, ["2.5", "5 ms"]],
		[500, ["250", "500 ms"]],
		[1_000, ["0.5", "1 s"]],
		[50_000, ["25", "50 s"]],
	])("up to %d ms are labelled %j", (top, labels) => {
		expect(labelsOf(top)).toEqual(labels);
	});
});
