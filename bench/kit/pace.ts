/** Tasks that everybody is told of, beside something else that is measured: a second at most, and the share of the processors. */
const MOST = 20;
const SHARE = 0.6;

const TRIES = 3;

/**
 * The pace at which telling of tasks takes 60 % of the processors, 20 a second at most: what waits for a processor waits for
 * nothing else. Processors that are all busy do not say how much more was wanted, so it takes some tries.
 *
 * @param used tells at a pace for a while, and says what share that took
 * @returns tasks a second
 */
export async function paceOfTelling(used: (pace: number) => Promise<number>): Promise<number> {
	let pace = MOST;
	for (let time = 0; time < TRIES; time += 1) pace = Math.min(MOST, (pace * SHARE) / (await used(pace)));
	return pace;
}
