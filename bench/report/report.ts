import type { MachineDescription } from "../kit/machine.ts";
import type { Findings } from "../kit/result.ts";
import type { Spread } from "../kit/stats.ts";

export interface WorkloadReport extends Findings {
	readonly name: string;
	readonly title: string;
	readonly what: string;
	/** Why it could not be run, or null. */
	readonly failed: string | null;
}

export interface Report {
	readonly mode: "quick" | "full";
	readonly machine: MachineDescription;
	readonly workloads: readonly WorkloadReport[];
}

/** With as many digits as mean something. */
export function digits(value: number): string {
	if (!Number.isFinite(value)) return "-";
	const size = Math.abs(value);
	if (size >= 1_000) return Math.round(value).toLocaleString("en");
	return size >= 100 ? value.toFixed(0) : size >= 10 ? value.toFixed(1) : value.toFixed(2);
}

/** The least and the most of several runs; nothing for a single figure. */
export function extremes(value: number | Spread): string {
	return typeof value === "number" || value.runs < 2 ? "" : `${digits(value.min)} .. ${digits(value.max)}`;
}
