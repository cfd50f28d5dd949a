/** What a test has threads do. */

export function double(number: number): number {
	return 2 * number;
}

export function environment(): NodeJS.ProcessEnv {
	return { ...process.env };
}

export function spin(): never {
	for (;;);
}

/** Backtracks for longer than anybody lives. */
export function backtrack(): boolean {
	return /^(a+)+$/.test(`${"a".repeat(60)}b`);
}

export function fill(): number {
	const kept: number[][] = [];
	for (;;) kept.push(new Array(1_000_000).fill(kept.length + 0.5));
}

export function fail(): never {
	throw new RangeError("out of range");
}
