import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { Redis } from "ioredis";
import { LRUCache } from "lru-cache";
import { redisKeys } from "../contract.ts";
import type { CachedBody, CacheService } from "../ports.ts";
import type { Channels } from "../stores/channels.ts";
import { type Look, newVersion, type SharedCache, type SharedKey } from "../stores/shared-cache.ts";
import { soonest } from "./patience.ts";

/** Where workers tell each other what is outdated. */
const CHANNEL = `${redisKeys.all}cache-outdated`;

/** Between the parts of a key: what belongs to the workspace `default` begins with `default:`. */
const SEPARATOR = ":";

/** Parts of a key that can be outdated by themselves; those after it only with the key. */
const MOST_PARTS = 6;

/** Changes a worker remembers; then it takes everything loaded before for outdated. */
const MOST_CHANGES = 10_000;

/** Milliseconds. */
const ms = {
	/** A lease ends by itself, should its holder have died. */
	lease: 5_000,
	/** For so long a worker waits for the one that is loading, and then loads by itself. */
	wait: 250,
	/** How often it looks meanwhile. */
	poll: 20,
	/** What a change waits for the other workers to be told, at most. */
	announcement: 300,
} as const;

export interface CacheSettings {
	/** Bytes of bodies and keys in the memory of this worker. */
	readonly memoryBytes: number;
	/** Bytes of the largest body that is kept. */
	readonly largestBytes: number;
}

/** What a cache works with. */
export interface CacheParts {
	readonly shared: SharedCache;
	/** Publishes what is outdated, which {@link channels} hear. */
	readonly state: Redis;
	readonly channels: Channels;
	readonly observe: CacheObserver;
}

/** Told what happens; must not throw. */
export interface CacheObserver {
	/** Where an answer came from. `stale` is from memory, while it is read anew. */
	cacheAnswered(from: "memory" | "stale" | "redis" | "load"): void;
	/** For the log: trouble that no caller sees. */
	problem(what: string, error: unknown): void;
}

/**
 * Keys are parts with colons between them; {@link CacheService.invalidate} takes the first parts of a key, with or without
 * the colon at the end. Once its promise is fulfilled, nothing loaded before is answered to whoever asks this worker, and
 * other workers have been told.
 *
 * `load` must see everything that was committed before it is called: what it returns is for everybody.
 */
export function cacheService(parts: CacheParts, settings: CacheSettings): CacheService {
	return new TwoLevelCache(parts, settings);
}

/** What is loaded or kept for a key. */
interface Kept extends CachedBody {
	readonly key: SharedKey;
	/** Its place among loads and changes: a change with a later one makes it worthless. */
	readonly order: number;
	/** When its load began: `performance.now()`. */
	readonly at: number;
	/** When it ends by itself, in the same way. */
	readonly endsAt: number;
}

interface Request {
	readonly key: SharedKey;
	readonly freshMs: number;
	readonly staleMs: number;
	readonly load: () => Promise<unknown>;
	readonly endsAt: () => number | null;
}

/** That a group is outdated, on its way to the other workers. */
interface Announcement {
	readonly done: Promise<void>;
	/** What changes from now on needs another one. */
	begun: boolean;
}

interface Flight {
	readonly order: number;
	readonly kept: Promise<Kept>;
}

class TwoLevelCache implements CacheService {
	readonly #shared: SharedCache;
	readonly #state: Redis;
	readonly #channels: Channels;
	readonly #observe: CacheObserver;
	readonly #largest: number;
	readonly #memory: LRUCache<string, Kept>;
	readonly #flights = new Map<string, Flight>();
	readonly #changes = new Changes();
	/** The last one of each group, until it is done. */
	readonly #announcements = new Map<string, Announcement>();
	/** Tells this worker's own messages from the others'. */
	readonly #name = newVersion();
	#turn: Promise<void> | null = null;

	constructor({ shared, state, channels, observe }: CacheParts, { memoryBytes, largestBytes }: CacheSettings) {
		this.#shared = shared;
		this.#state = state;
		this.#channels = channels;
		this.#observe = observe;
		this.#largest = largestBytes;
		this.#memory = new LRUCache({ maxSize: memoryBytes, sizeCalculation: ({ body }, key) => body.length + 2 * key.length + OVERHEAD });
		channels.listen(CHANNEL, (message) => this.#hear(JSON.parse(message)));
		// What was outdated in between nobody knows.
		channels.onRestored(() => this.#changes.outdateAll());
	}

	async get(
		key: string,
		freshMs: number,
		staleMs: number,
		load: () => Promise<unknown>,
		endsAt: () => number | null = never,
	): Promise<CachedBody> {
		// A change that was announced before this request came in has arrived by the end of this turn of the event loop.
		await this.#endOfTurn();
		const now = performance.now();
		const kept = this.#remembered(key, now);
		if (kept === null || now - kept.at >= freshMs + staleMs) {
			return await this.#fly({ key: sharedKey(key), freshMs, staleMs, load, endsAt }, 0);
		}
		const stale = now - kept.at >= freshMs;
		this.#observe.cacheAnswered(stale ? "stale" : "memory");
		if (stale) this.#refresh({ key: kept.key, freshMs, staleMs, load, endsAt });
		return kept;
	}

	atHand(key: string, freshMs: number, staleMs: number): CachedBody | null {
		const now = performance.now();
		const kept = this.#remembered(key, now);
		if (kept === null || now - kept.at >= freshMs + staleMs) return null;
		const stale = now - kept.at >= freshMs;
		if (stale && !this.#flights.has(key)) return null;
		this.#observe.cacheAnswered(stale ? "stale" : "memory");
		return kept;
	}

	async invalidate(prefix: string): Promise<void> {
		const group = groupOf(prefix);
		this.#changes.outdate(group);
		// Changes of the same turn are announced together.
		const last = this.#announcements.get(group);
		await (last === undefined || last.begun ? this.#announceLater(group) : last.done);
	}

	async announced(prefix: string): Promise<void> {
		await this.#announcements.get(groupOf(prefix))?.done;
	}

	#announceLater(group: string): Promise<void> {
		const done = this.#endOfTurn()
			.then(() => {
				announcement.begun = true;
				return this.#announce(group);
			})
			.finally(() => {
				if (this.#announcements.get(group) === announcement) this.#announcements.delete(group);
			});
		const announcement: Announcement = { done, begun: false };
		this.#announcements.set(group, announcement);
		return done;
	}

	/** First where the bodies are: whoever hears of it looks there next. */
	async #announce(group: string): Promise<void> {
		const version = newVersion();
		// Once more: meanwhile something may have been found in Redis that was still taken for good there.
		this.#changes.outdate(group);
		const written = await this.#shared.outdate(group, version);
		const message = JSON.stringify({ from: this.#name, group, version: written ? null : version } satisfies Outdated);
		// Redis answers whoever publishes before it has written to all who listen; before it answers again it has.
		const published = this.#state
			.publish(CHANNEL, message)
			.then(() => this.#state.ping())
			.catch((error) => this.#observe.problem("a change was not announced", error));
		await soonest(published, ms.announcement);
	}

	#hear({ from, group, version }: Outdated): void {
		if (from === this.#name) return;
		this.#changes.outdate(group);
		// Where the sender could not reach Redis, its workers might.
		if (version !== null) void this.#shared.outdate(group, version);
	}

	/** What is in memory, however old, and has not ended. Without word from the others it may be outdated. */
	#remembered(name: string, now: number): Kept | null {
		const kept = this.#memory.get(name);
		if (kept === undefined || !this.#channels.connected || now >= kept.endsAt) return null;
		return this.#changes.outdated(kept.key, kept.order) ? null : kept;
	}

	#refresh(request: Request): void {
		this.#fly(request, request.staleMs).catch((error) => this.#observe.problem("an answer could not be read anew", error));
	}

	/**
	 * Joins who is at it already, unless what they will bring is outdated.
	 *
	 * @param leftMs how much of its time must be left to what is found
	 */
	#fly(request: Request, leftMs: number): Promise<Kept> {
		const { name } = request.key;
		const current = this.#flights.get(name);
		if (current !== undefined && !this.#changes.outdated(request.key, current.order)) return current.kept;
		const order = this.#changes.next();
		const kept = this.#find(request, order, leftMs).finally(() => {
			if (this.#flights.get(name) === flight) this.#flights.delete(name);
		});
		const flight: Flight = { order, kept };
		this.#flights.set(name, flight);
		return kept;
	}

	/** In Redis, or loaded by this worker or by the one that is at it. */
	async #find(request: Request, order: number, leftMs: number): Promise<Kept> {
		const { key } = request;
		const token = newVersion();
		const until = performance.now() + ms.wait;
		for (;;) {
			const look = await this.#shared.look(key, { token, ms: ms.lease }, leftMs);
			if (look?.found) return this.#found(request, look.found, order);
			if (look === null || look.leased || performance.now() >= until) return await this.#load(request, order, look, token);
			await sleep(ms.poll);
		}
	}

	#found({ key, freshMs, staleMs }: Request, { body, etag, leftMs }: NonNullable<Look["found"]>, order: number): Kept {
		this.#observe.cacheAnswered("redis");
		// What ends sooner than others seems older than it is, and is read anew in time.
		const now = performance.now();
		const kept = { key, body, etag, order, at: now - Math.max(0, freshMs + staleMs - leftMs), endsAt: now + leftMs };
		this.#remember(key, kept);
		return kept;
	}

	async #load({ key, freshMs, staleMs, load, endsAt }: Request, order: number, look: Look | null, token: string): Promise<Kept> {
		const at = performance.now();
		let kept: Kept;
		try {
			const body = Buffer.from(JSON.stringify((await load()) ?? null));
			const end = endsAt();
			const aloneMs = end === null ? Number.POSITIVE_INFINITY : end - Date.now();
			kept = { key, body, etag: etagOf(body), order, at, endsAt: Math.min(at + freshMs + staleMs, performance.now() + aloneMs) };
		} catch (error) {
			if (look !== null) void this.#shared.release(key, look, token);
			throw error;
		}
		this.#observe.cacheAnswered("load");
		this.#remember(key, kept);
		const leftMs = kept.endsAt - performance.now();
		if (look !== null && leftMs > 0 && kept.body.length <= this.#largest) void this.#shared.keep(key, look, token, kept, leftMs);
		else if (look !== null) void this.#shared.release(key, look, token);
		return kept;
	}

	#remember(key: SharedKey, kept: Kept): void {
		if (kept.body.length <= this.#largest && !this.#changes.outdated(key, kept.order)) this.#memory.set(key.name, kept);
	}

	#endOfTurn(): Promise<void> {
		this.#turn ??= new Promise((resolve) => {
			setImmediate(() => {
				this.#turn = null;
				resolve();
			});
		});
		return this.#turn;
	}
}

function never(): null {
	return null;
}

/** Bytes of an entry in memory beside body and key, about. */
const OVERHEAD = 300;

/** What workers tell each other. */
interface Outdated {
	/** Which worker it is that tells. */
	readonly from: string;
	readonly group: string;
	/** Where the sender could not write it to Redis: the version to be written there. */
	readonly version: string | null;
}

/** Loads and changes in one order, so that each load is known to have begun before or after each change. */
class Changes {
	readonly #lastOf = new Map<string, number>();
	#order = 0;
	#floor = 0;

	next(): number {
		this.#order += 1;
		return this.#order;
	}

	outdate(group: string): void {
		if (this.#lastOf.size >= MOST_CHANGES) this.outdateAll();
		this.#lastOf.set(group, this.next());
	}

	outdateAll(): void {
		this.#lastOf.clear();
		this.#floor = this.next();
	}

	outdated({ groups }: SharedKey, order: number): boolean {
		return order < this.#floor || groups.some((group) => (this.#lastOf.get(group) ?? 0) > order);
	}
}

function sharedKey(name: string): SharedKey {
	return { name, groups: groupsOf(name) };
}

/** What a prefix of keys is the name of. */
function groupOf(prefix: string): string {
	return prefix.endsWith(SEPARATOR) ? prefix.slice(0, -1) : prefix;
}

/** `a:b:c` belongs to `a`, to `a:b` and to itself. */
export function groupsOf(key: string): string[] {
	const groups: string[] = [];
	for (let at = key.indexOf(SEPARATOR); at !== -1 && groups.length < MOST_PARTS - 1; at = key.indexOf(SEPARATOR, at + 1)) {
		groups.push(key.slice(0, at));
	}
	return [...groups, key];
}

/** Strong: of the bytes that are sent. */
export function etagOf(body: Buffer): string {
	return `"${createHash("sha256").update(body).digest("base64url").slice(0, 22)}"`;
}
