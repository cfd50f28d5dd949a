/** A figure of several runs. */
export interface Spread {
	readonly median: number;
	readonly min: number;
	readonly max: number;
	readonly runs: number;
}

export function spreadOf(values: readonly number[]): Spread {
	const sorted = values.toSorted((a, b) => a - b);
	return { median: quantile(sorted, 0.5), min: sorted[0] ?? Number.NaN, max: sorted.at(-1) ?? Number.NaN, runs: sorted.length };
}

/** Between the two nearest. @param sorted ascending */
export function quantile(sorted: ArrayLike<number>, share: number): number {
	if (sorted.length === 0) return Number.NaN;
	const at = (sorted.length - 1) * share;
	const low = sorted[Math.floor(at)] as number;
	return low + ((sorted[Math.ceil(at)] as number) - low) * (at - Math.floor(at));
}

/** Milliseconds. */
export interface Latency {
	readonly p50: number;
	readonly p95: number;
	readonly p99: number;
	readonly max: number;
}

export function latencyOf(milliseconds: readonly number[] | Float64Array): Latency {
	const sorted = Float64Array.from(milliseconds).sort();
	const at = (share: number) => quantile(sorted, share);
	return { p50: at(0.5), p95: at(0.95), p99: at(0.99), max: at(1) };
}
