/** What a workload has found, before anybody makes a table of it. */
import type { Spread } from "./stats.ts";

export interface Figure {
	readonly name: string;
	readonly value: number | Spread;
	/** `x` is a ratio. */
	readonly unit: string;
	readonly goal?: Goal;
	readonly note?: string;
}

export interface Goal {
	readonly is: "atLeast" | "atMost";
	readonly value: number;
}

/** Bars to be drawn beside each other: what, and for each a value with its extremes. */
export interface Chart {
	readonly name: string;
	readonly title: string;
	readonly unit: string;
	readonly bars: readonly { readonly label: string; readonly value: number | Spread; readonly ours: boolean }[];
}

export interface Findings {
	readonly figures: readonly Figure[];
	readonly charts: readonly Chart[];
	/** Answers that were none of the good ones, pairs that were thrown away, runs that do not count. */
	readonly remarks: readonly string[];
	/** Everything measured, for the JSON. */
	readonly raw: unknown;
}

export function typical(value: number | Spread): number {
	return typeof value === "number" ? value : value.median;
}

/** Null for a figure nobody has set a goal for. */
export function isMet({ value, goal }: Figure): boolean | null {
	if (goal === undefined) return null;
	return goal.is === "atLeast" ? typical(value) >= goal.value : typical(value) <= goal.value;
}

export const atLeast = (value: number): Goal => ({ is: "atLeast", value });
export const atMost = (value: number): Goal => ({ is: "atMost", value });
