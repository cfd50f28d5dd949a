/** Lets `perSecond` through on average and `burst` at once. */
export class TokenBucket {
	readonly #perSecond: number;
	readonly #burst: number;
	#tokens: number;
	#at: number;

	constructor(limit: { readonly perSecond: number; readonly burst: number }, now: number) {
		this.#perSecond = limit.perSecond;
		this.#burst = limit.burst;
		this.#tokens = limit.burst;
		this.#at = now;
	}

	/**
	 * @param now milliseconds of a clock that does not jump
	 * @returns seconds until there is room; 0 when one has been let through
	 */
	take(now: number): number {
		this.#tokens = Math.min(this.#burst, this.#tokens + ((now - this.#at) / 1_000) * this.#perSecond);
		this.#at = now;
		if (this.#tokens < 1) return (1 - this.#tokens) / this.#perSecond;
		this.#tokens -= 1;
		return 0;
	}
}

/** How many of something each key has, up to a limit. */
export class Tally {
	readonly #counts = new Map<string, number>();
	readonly #limit: number;

	constructor(limit: number) {
		this.#limit = limit;
	}

	/** @returns false where the key has its limit already; nothing is counted then */
	add(key: string): boolean {
		const count = this.#counts.get(key) ?? 0;
		if (count >= this.#limit) return false;
		this.#counts.set(key, count + 1);
		return true;
	}

	remove(key: string): void {
		const count = this.#counts.get(key) ?? 0;
		if (count <= 1) this.#counts.delete(key);
		else this.#counts.set(key, count - 1);
	}

	get keys(): number {
		return this.#counts.size;
	}
}
