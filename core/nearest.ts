/** The known word most like the given one, or undefined where none is close enough to be meant. */
export function nearest(word: string, known: readonly string[]): string | undefined {
	// Of two as near, the one with the same first letter: that is the letter people get right.
	const ranked = known.map((candidate) => ({
		candidate,
		distance: editDistance(word.toLowerCase(), candidate.toLowerCase()),
		tie: word[0] === candidate[0] ? 0 : 1,
	}));
	const [best] = ranked.sort((a, b) => a.distance - b.distance || a.tie - b.tie);
	return best && best.distance <= Math.max(2, Math.floor(word.length / 3)) ? best.candidate : undefined;
}

/** Insertions, deletions and replacements that lead from one word to the other (Levenshtein). */
function editDistance(from: string, to: string): number {
	let previous = Array.from({ length: to.length + 1 }, (_, index) => index);
	for (const [row, letter] of [...from].entries()) {
		const current = [row + 1];
		for (const [column, other] of [...to].entries()) {
			const replaced = (previous[column] as number) + (letter === other ? 0 : 1);
			current.push(Math.min(replaced, (previous[column + 1] as number) + 1, (current[column] as number) + 1));
		}
		previous = current;
	}
	return previous[to.length] as number;
}
