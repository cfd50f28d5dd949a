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

/** When to give up, which leaves nothing behind once it is cleared: most jobs are over long before. */
export function deadline(patienceMs: number, signal: AbortSignal | undefined): { readonly giveUp: AbortSignal; clear(): void } {
	const given = new AbortController();
	const end = () => given.abort();
	const timer = setTimeout(end, patienceMs).unref();
	signal?.addEventListener("abort", end, { once: true });
	if (signal?.aborted) end();
	const clear = () => {
		clearTimeout(timer);
		signal?.removeEventListener("abort", end);
	};
	return { giveUp: given.signal, clear };
}
