/**
 * Waits for something, and no longer than that: how it ended, whoever asked for it knows.
 *
 * @param promise must not fail
 * @param giveUp ends the wait when it is aborted
 */
export async function soonest(promise: Promise<unknown>, patienceMs: number, giveUp?: AbortSignal): Promise<void> {
	const { promise: enough, resolve } = Promise.withResolvers<void>();
	const timer = setTimeout(resolve, patienceMs);
	giveUp?.addEventListener("abort", () => resolve(), { once: true });
	if (giveUp?.aborted) resolve();
	await Promise.race([promise, enough]);
	clearTimeout(timer);
}
