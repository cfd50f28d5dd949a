/** Chosen before, so that choosing costs nothing: enough of them that no key's share is far off. */
const CHOICES = 65_536;

/** Every run makes the same choices. */
const SEED = 20_260_601;

/**
 * Picks one of `size` things, the first one most often: the share of the k-th falls with k to the power of `skew`.
 *
 * @param skew 0 for all alike
 */
export function zipf(size: number, skew: number, seed = SEED): () => number {
	if (size === 1) return () => 0;
	const sums: number[] = [];
	let sum = 0;
	for (let rank = 1; rank <= size; rank++) {
		sum += 1 / rank ** skew;
		sums.push(sum);
	}
	const random = mulberry32(seed);
	const choices = Uint32Array.from({ length: CHOICES }, () => firstAbove(sums, random() * sum));
	let at = 0;
	return () => {
		at = (at + 1) % CHOICES;
		return choices[at] as number;
	};
}

function firstAbove(sums: readonly number[], value: number): number {
	let low = 0;
	let high = sums.length - 1;
	while (low < high) {
		const middle = (low + high) >> 1;
		if ((sums[middle] as number) > value) high = middle;
		else low = middle + 1;
	}
	return low;
}

/** https://gist.github.com/tommyettinger/46a874533244883189143505d203312c */
function mulberry32(seed: number): () => number {
	let state = seed;
	return () => {
		state = (state + 0x6d2b79f5) | 0;
		let value = Math.imul(state ^ (state >>> 15), 1 | state);
		value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value;
		return ((value ^ (value >>> 14)) >>> 0) / 4_294_967_296;
	};
}
