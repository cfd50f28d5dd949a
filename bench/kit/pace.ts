/** Tasks that everybody is told of, while something is measured: a second at most, the share of the processors, and how near to it. */
const MOST = 20;
const SHARE = 0.6;
const NEAR = 0.05;

const TRIES = 6;

/**
 * Measures while tasks are told of at the pace that takes 60 % of the processors, 20 a second at most: what waits for a processor
 * waits for nothing else. Processors that are all busy do not say how much more was wanted, so it takes some tries; the last one
 * counts, with the share that it took.
 *
 * @param measure at so many tasks a second; says what share of the processors all of it took
 */
export async function atPaceOfTelling<Measured extends { readonly used: number }>(
	measure: (pace: number) => Promise<Measured>,
): Promise<Measured & { readonly pace: number }> {
	let pace = MOST;
	for (let time = 1; ; time += 1) {
		const measured = await measure(pace);
		const { used } = measured;
		const fits = used <= SHARE + NEAR && (pace === MOST || used >= SHARE - NEAR);
		if (fits || time === TRIES) return { ...measured, pace };
		pace = Math.min(MOST, (pace * SHARE) / used);
	}
}
