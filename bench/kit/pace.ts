/** How often something can be done that is to leave room beside it. */
const TRIES = 3;

/**
 * The pace that takes a share of the processors. Processors that are all busy do not say how much more was wanted: so it takes
 * some tries.
 *
 * @param most a second
 * @param share of the processors
 * @param used goes at a pace for a while, and says what share that took
 * @returns how often a second
 */
export async function paceThatTakes(share: number, most: number, used: (pace: number) => Promise<number>): Promise<number> {
	let pace = most;
	for (let time = 0; time < TRIES; time += 1) pace = Math.min(most, (pace * share) / (await used(pace)));
	return pace;
}
