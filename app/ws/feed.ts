import type { SyncEvent } from "../model.ts";
import type { EventService } from "../ports.ts";
import { conflate, type Update } from "./conflate.ts";

/** Gets a workspace's events, a tick at a time. */
export interface FeedListener {
	/**
	 * Everything after `from` up to and with `to`: each event, and what is left when the latest state of an entity wins.
	 *
	 * @returns when all is written, where that is not at once
	 */
	onTick(events: readonly SyncEvent[], updates: readonly Update[], from: number, to: number): Promise<void> | undefined;
	/** The events of these positions, both included, are not to be had any more. */
	onGap(from: number, to: number): void;
}

/** The live events of one workspace on this worker, for all of its sockets together. */
export class Feed {
	readonly workspace: string;
	readonly listeners = new Set<FeedListener>();
	/** The last position the listeners have been told. */
	position = 0;
	/** Holders; see {@link Feeds}. */
	users = 0;
	/** Since when nobody holds it; null while somebody does. */
	idleSince: number | null = null;
	readonly ready: Promise<void>;
	readonly #onHeard: (feed: Feed) => void;
	#pending: SyncEvent[] = [];
	#head = 0;
	#started = false;
	#stop: (() => void) | undefined;
	#closed = false;

	constructor(workspace: string, events: EventService, onHeard: (feed: Feed) => void) {
		this.workspace = workspace;
		this.#onHeard = onHeard;
		this.ready = this.#start(events);
	}

	/** Events that wait for the next tick. */
	get waiting(): number {
		return this.#pending.length;
	}

	/** Hands over what has come since the last tick. @returns when all is written */
	async flush(): Promise<void> {
		const events = this.#pending;
		if (events.length === 0 || !this.#started) return;
		this.#pending = [];
		const from = this.position;
		this.position = (events.at(-1) as SyncEvent).seq;
		const updates = conflate(events);
		const to = this.position;
		await Promise.all([...this.listeners].map((listener) => listener.onTick(events, updates, from, to)));
	}

	close(): void {
		this.#closed = true;
		this.#stop?.();
		this.listeners.clear();
	}

	async #start(events: EventService): Promise<void> {
		const stop = await events.subscribe(
			this.workspace,
			(event) => this.#onEvent(event),
			(from, to) => this.#onGap(from, to),
		);
		this.#stop = stop;
		if (this.#closed) {
			stop();
			return;
		}
		// Asked after the subscription, so that whatever lies beyond the head comes from that.
		this.#head = await events.head(this.workspace);
		this.position = this.#head;
		this.#started = true;
		const early = this.#pending;
		this.#pending = [];
		for (const event of early) this.#onEvent(event);
	}

	#onEvent(event: SyncEvent): void {
		if (!this.#started) {
			this.#pending.push(event);
			return;
		}
		if (event.seq <= this.#head) return;
		if (event.seq > this.#head + 1) this.#onGap(this.#head + 1, event.seq - 1);
		this.#head = event.seq;
		this.#pending.push(event);
		this.#onHeard(this);
	}

	#onGap(from: number, to: number): void {
		if (!this.#started || to <= this.#head) return;
		void this.flush();
		this.#head = to;
		this.position = to;
		for (const listener of this.listeners) listener.onGap(from, to);
	}
}

/** The feeds of this worker: one a workspace, begun for its first socket and ended some time after its last. */
export class Feeds {
	readonly #feeds = new Map<string, Feed>();
	readonly #due = new Set<Feed>();
	readonly #events: EventService;
	readonly #tickMs: number;
	#timer: NodeJS.Timeout | undefined;
	#ticking = false;
	/** All as `performance.now()`: when the next tick may be, and when the first and the last of what waits for it came. */
	#mayTickAt = 0;
	#firstAt = 0;
	#lastAt = 0;

	constructor(events: EventService, tickMs: number) {
		this.#events = events;
		this.#tickMs = tickMs;
	}

	get size(): number {
		return this.#feeds.size;
	}

	/** The workspace's feed, in step with the sequence. Each call needs a {@link release}. @throws what the event service throws */
	async acquire(workspace: string): Promise<Feed> {
		let feed = this.#feeds.get(workspace);
		if (feed === undefined) {
			feed = new Feed(workspace, this.#events, (heard) => this.#heard(heard));
			this.#feeds.set(workspace, feed);
		}
		feed.users += 1;
		feed.idleSince = null;
		try {
			await feed.ready;
			return feed;
		} catch (error) {
			feed.close();
			if (this.#feeds.get(workspace) === feed) this.#feeds.delete(workspace);
			throw error;
		}
	}

	release(feed: Feed, now: number): void {
		feed.users -= 1;
		if (feed.users === 0) feed.idleSince = now;
	}

	/** Ends what nobody has held for a while: a client that comes back soon costs no new subscription. */
	sweep(now: number): void {
		for (const feed of this.#feeds.values()) {
			if (feed.idleSince === null || now - feed.idleSince < LINGER_MS) continue;
			this.#feeds.delete(feed.workspace);
			feed.close();
		}
	}

	close(): void {
		clearTimeout(this.#timer);
		for (const feed of this.#feeds.values()) feed.close();
		this.#feeds.clear();
	}

	#heard(feed: Feed): void {
		this.#lastAt = performance.now();
		if (this.#due.size === 0) this.#firstAt = this.#lastAt;
		this.#due.add(feed);
		if (!this.#ticking) this.#tickLater();
	}

	/**
	 * Where much comes, more will: a tick waits until nothing has come for as long as a tick, and for two of them at most. What one
	 * change brings waits half as long.
	 */
	get #tickAt(): number {
		const quietMs = this.#waiting > FEW ? this.#tickMs : this.#tickMs / 2;
		return Math.max(this.#mayTickAt, Math.min(this.#lastAt + quietMs, this.#firstAt + 2 * this.#tickMs));
	}

	/** Events of the workspace that has most of them. */
	get #waiting(): number {
		return Math.max(0, ...[...this.#due].map((feed) => feed.waiting));
	}

	#tickLater(): void {
		this.#timer ??= setTimeout(() => {
			this.#timer = undefined;
			// More has come since it was set. Timers count whole milliseconds.
			if (performance.now() + 1 < this.#tickAt) this.#tickLater();
			else void this.#tick();
		}, this.#tickAt - performance.now());
	}

	/**
	 * Where more has come while a tick was writing, the next one is the later the longer this one took and the more that is, and
	 * has more to write at once: a write costs the same, whatever is in it, and requests have their turn between ticks.
	 */
	async #tick(): Promise<void> {
		this.#ticking = true;
		const began = performance.now();
		const due = [...this.#due];
		this.#due.clear();
		for (const feed of due) await feed.flush();
		const ended = performance.now();
		this.#mayTickAt = Math.max(began + this.#tickMs, ended + PAUSE * Math.min(1, this.#waiting / MUCH) * (ended - began));
		this.#ticking = false;
		if (this.#due.size > 0) this.#tickLater();
	}
}

/** So many times as long as a tick took, at most: where so many events of one workspace have come meanwhile. */
const PAUSE = 4;
const MUCH = 32;

/** Events of one workspace that one change brings, at most, but for those of a whole swarm. */
const FEW = 8;

const LINGER_MS = 10_000;
