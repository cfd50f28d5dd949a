import { randomUUID } from "node:crypto";
import { LRUCache } from "lru-cache";
import type { LimitService } from "../ports.ts";
import type { Buckets } from "../stores/buckets.ts";

/** Milliseconds. */
const ms = {
	/** How long spending is gathered before it is settled with Redis, where there is much of it; and where there is little. */
	settle: 20,
	gather: 500,
	/** For how long a Redis that failed is not asked. */
	pause: 1_000,
	/** How often a worker says that it is there. */
	count: 5_000,
} as const;

/** Buckets a worker remembers; one that is forgotten begins full here and is corrected by Redis. */
const MOST_BUCKETS = 20_000;

export interface LimitSettings {
	/** How many workers there are, before Redis has said so: while it is away each takes its share. */
	readonly workers: number;
}

/** Told what happens; must not throw. */
export interface LimitObserver {
	/** Redis is away, or back: each worker by itself, or all together. */
	limitsShared(together: boolean): void;
}

export interface RunningLimitService extends LimitService {
	close(): void;
}

/**
 * Each worker takes from its own idea of a bucket, and from time to time settles with Redis what it has taken from all of
 * them, in one batch, the sooner the more it is: so a request waits for nobody. Redis lets a balance fall below nothing, so that in the long run all
 * workers together give out `perSecond` exactly. At once they give out at most `burst`, and on credit, before they hear of
 * each other, another half of it each.
 */
export function limitService(buckets: Buckets, settings: LimitSettings, observe: LimitObserver): RunningLimitService {
	return new Limits(buckets, settings, observe);
}

interface Bucket {
	readonly name: string;
	/** As far as this worker knows; what it has spent itself is taken off. */
	balance: number;
	/** Of {@link balance}: `performance.now()`. */
	at: number;
	/** Not yet settled. */
	spent: number;
	perSecond: number;
	burst: number;
}

class Limits implements RunningLimitService {
	readonly #buckets: Buckets;
	readonly #observe: LimitObserver;
	readonly #known = new LRUCache<string, Bucket>({ max: MOST_BUCKETS });
	readonly #name = randomUUID();
	readonly #counting: NodeJS.Timeout;
	#spending = new Set<Bucket>();
	#timer: NodeJS.Timeout | undefined;
	/** The timer is for much. */
	#hurried = false;
	#settling = false;
	#workers: number;
	#together = true;
	#pausedUntil = 0;

	constructor(buckets: Buckets, { workers }: LimitSettings, observe: LimitObserver) {
		this.#buckets = buckets;
		this.#observe = observe;
		this.#workers = workers;
		this.#counting = setInterval(() => void this.#count(), ms.count).unref();
		void this.#count();
	}

	take(name: string, cost: number, limit: { perSecond: number; burst: number }): number {
		const share = this.#together ? 1 : 1 / this.#workers;
		const perSecond = limit.perSecond * share;
		const burst = Math.max(1, limit.burst * share);
		const bucket = this.#upToDate(name, perSecond, burst);
		const price = Math.min(cost, burst);
		if (bucket.balance < price - ROUNDING) return (price - bucket.balance) / perSecond;
		if (this.#together && bucket.spent > 0 && bucket.spent + price > creditOf(limit)) return ms.settle / 1_000;
		bucket.balance -= price;
		bucket.spent += price;
		bucket.perSecond = limit.perSecond;
		bucket.burst = limit.burst;
		this.#spending.add(bucket);
		this.#settleLater(isMuch(bucket));
		return 0;
	}

	close(): void {
		clearInterval(this.#counting);
		clearTimeout(this.#timer);
	}

	#upToDate(name: string, perSecond: number, burst: number): Bucket {
		const now = performance.now();
		const known = this.#known.get(name);
		if (known === undefined) {
			const bucket = { name, balance: burst, at: now, spent: 0, perSecond, burst };
			this.#known.set(name, bucket);
			return bucket;
		}
		known.balance = Math.min(burst, known.balance + ((now - known.at) / 1_000) * perSecond);
		known.at = now;
		return known;
	}

	/** One batch after the other, or a balance would leave out what is on its way. */
	#settleLater(much: boolean): void {
		if (this.#settling || (this.#timer !== undefined && (this.#hurried || !much))) return;
		clearTimeout(this.#timer);
		this.#hurried = much;
		this.#timer = setTimeout(() => void this.#settleNow(), much ? ms.settle : ms.gather).unref();
	}

	async #settleNow(): Promise<void> {
		this.#timer = undefined;
		this.#settling = true;
		await this.#settle();
		this.#settling = false;
		if (this.#spending.size > 0) this.#settleLater([...this.#spending].some(isMuch));
	}

	async #settle(): Promise<void> {
		const spending = [...this.#spending];
		this.#spending = new Set();
		const spendings = spending.map(({ name, spent, perSecond, burst }) => ({ bucket: name, spent, perSecond, burst }));
		for (const bucket of spending) bucket.spent = 0;
		// While Redis is away every worker keeps to its share, and nobody is asked to pay twice.
		if (performance.now() < this.#pausedUntil) return;
		try {
			const balances = await this.#buckets.settle(spendings);
			const now = performance.now();
			for (const [index, bucket] of spending.entries()) {
				bucket.balance = (balances[index] as number) - bucket.spent;
				bucket.at = now;
			}
			this.#setTogether(true);
		} catch {
			this.#pausedUntil = performance.now() + ms.pause;
			this.#setTogether(false);
		}
	}

	#setTogether(together: boolean): void {
		if (this.#together === together) return;
		this.#together = together;
		this.#observe.limitsShared(together);
	}

	async #count(): Promise<void> {
		// Without an answer the last one stands.
		this.#workers = await this.#buckets.countIn(this.#name).catch(() => this.#workers);
	}
}

/** A balance that has just been refilled to a price may be less by so much. */
const ROUNDING = 1e-6;

/** Whether others should hear of it soon: much is gone of the bucket, or is given of what one may give out on credit. */
function isMuch(bucket: Bucket): boolean {
	return bucket.balance < 0.8 * bucket.burst || bucket.spent > creditOf(bucket) / 8;
}

/** What one worker may give out before it hears of the others. */
function creditOf({ perSecond, burst }: { perSecond: number; burst: number }): number {
	return Math.max(burst / 2, (perSecond * 2 * ms.settle) / 1_000);
}
