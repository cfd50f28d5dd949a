import { type Spread, spreadOf } from "./stats.ts";

/** One measurement, as far as pairing it goes. */
export interface Run {
	/** Share of the processors that went to others. */
	readonly foreign: number;
	/** Why it does not count, or null. */
	readonly invalid: string | null;
}

export interface Pair<A, B> {
	readonly subject: A;
	readonly peer: B;
}

export interface Pairs<A, B> {
	readonly kept: readonly Pair<A, B>[];
	readonly remarks: readonly string[];
}

/** More of the machine than this for somebody else, and a pair says nothing. */
const MOST_FOREIGN = 0.1;

/**
 * Measures two things in turns, one first and then the other first (ABBA), so that what changes slowly falls on both alike.
 * A pair that was disturbed is measured again, half as many times again at most; where none was undisturbed, all are kept,
 * with a remark that says so.
 */
export async function inPairs<A extends Run, B extends Run>(
	name: string,
	pairs: number,
	subject: () => Promise<A>,
	peer: () => Promise<B>,
): Promise<Pairs<A, B>> {
	const kept: Pair<A, B>[] = [];
	const discarded: { pair: Pair<A, B>; why: string }[] = [];
	const most = pairs + Math.ceil(pairs / 2);
	let turn = 0;
	for (; kept.length < pairs && turn < most; turn++) {
		let pair: Pair<A, B>;
		if (turn % 2 === 0) pair = { subject: await subject(), peer: await peer() };
		else {
			const first = await peer();
			pair = { subject: await subject(), peer: first };
		}
		const why = disturbance(pair);
		if (why === null) kept.push(pair);
		else discarded.push({ pair, why });
	}
	if (kept.length === 0) {
		const remarks = [`${name}: **no pair was undisturbed**, so all ${discarded.length} were kept; at first, ${discarded[0]?.why}`];
		return { kept: discarded.map(({ pair }) => pair), remarks };
	}
	const remarks =
		discarded.length === 0 ? [] : [`${name}: ${discarded.length} of ${turn} pairs were thrown away; at first, ${discarded[0]?.why}`];
	return { kept, remarks };
}

function disturbance({ subject, peer }: Pair<Run, Run>): string | null {
	const invalid = subject.invalid ?? peer.invalid;
	if (invalid !== null) return invalid;
	const foreign = Math.max(subject.foreign, peer.foreign);
	return foreign > MOST_FOREIGN ? `${(foreign * 100).toFixed(0)} % of the processors went to others` : null;
}

/** The subject's value divided by the peer's, pair by pair. */
export function ratioOf<A, B>({ kept }: Pairs<A, B>, subject: (run: A) => number, peer: (run: B) => number): Spread {
	return spreadOf(kept.map((pair) => subject(pair.subject) / peer(pair.peer)));
}

export function subjectOf<A, B>({ kept }: Pairs<A, B>, value: (run: A) => number): Spread {
	return spreadOf(kept.map(({ subject }) => value(subject)));
}

export function peerOf<A, B>({ kept }: Pairs<A, B>, value: (run: B) => number): Spread {
	return spreadOf(kept.map(({ peer }) => value(peer)));
}
