import { setTimeout as sleep } from "node:timers/promises";
import type { SyncEvent } from "../model.ts";
import type { EventService } from "../ports.ts";
import type { Channels } from "../stores/channels.ts";
import type { EventLog, Page } from "../stores/event-log.ts";
import { announcementsIn, type EventText, isWhole, textOf } from "../stores/event-text.ts";
import type { EventPublisher } from "./changes.ts";
import { soonest } from "./patience.ts";

/** Milliseconds. */
const ms = {
	/** How long an event may come later than its successor before it is looked for: two writers need not announce in order. */
	late: 20,
	/** How often a worker compares what it has with what there is; about, so that workers do not all ask at once. */
	look: 1_000,
	/** For so long one worker alone asks PostgreSQL for a workspace, and mends the stream where its writer has died. */
	lease: 900,
	/** What a writer may need from its commit to its announcement. */
	announcement: 100,
	/** For so long a first subscription waits for Redis before it goes on without. */
	confirmation: 500,
} as const;

/** Events read at a time. */
const PAGE = 500;

/** Events of a workspace that are kept while one before them is looked for; others are read again. */
const HELD = 10_000;

/** Events put into the stream again where it has lost them; who needs earlier ones finds them in PostgreSQL. */
const MENDED = 1_000;

/** Told what happens; must not throw. */
export interface EventObserver {
	/** Events that somebody committed and did not announce, found and announced by this worker. */
	eventsMended(events: number): void;
	/** Events that did not come live, and were read. */
	eventsRefilled(events: number): void;
	/** Events that are not to be had any more. */
	eventsLost(events: number): void;
	/** For the log: trouble that no caller sees. */
	problem(what: string, error: unknown): void;
}

export interface RunningEventService extends EventService, EventPublisher {
	/**
	 * See {@link EventService.since}. Whoever puts these before the live events subscribes first, and leaves out what comes
	 * twice: with a subscription on this worker, nothing lies between the two.
	 */
	since: EventService["since"];
	close(): void;
}

/**
 * Live events come by pub/sub and are put in order here. What is missing is read from the stream in Redis, else from
 * PostgreSQL, which has everything. Every second the sequence is compared with what was received, so that neither a broken
 * connection nor a writer that died between its commit and its announcement leaves anybody behind.
 */
export function eventService(log: EventLog, channels: Channels, observe: EventObserver): RunningEventService {
	return new Events(log, channels, observe);
}

class Events implements RunningEventService {
	readonly #log: EventLog;
	readonly #channels: Channels;
	readonly #observe: EventObserver;
	readonly #feeds = new Map<string, Feed>();
	#asked: { readonly workspaces: Set<string>; readonly heads: Promise<ReadonlyMap<string, number>> } | null = null;
	#timer: NodeJS.Timeout | undefined;
	#closed = false;

	constructor(log: EventLog, channels: Channels, observe: EventObserver) {
		this.#log = log;
		this.#channels = channels;
		this.#observe = observe;
		channels.onRestored(() => void this.#askDatabase([...this.#feeds.keys()]));
		this.#lookLater();
	}

	publish(workspace: string, events: readonly EventText[]): void {
		this.#log.append(workspace, events).catch((error) => this.#observe.problem("events were not announced", error));
	}

	async subscribe(workspace: string, onEvent: (event: SyncEvent) => void, onGap: (from: number, to: number) => void): Promise<() => void> {
		let feed = this.#feeds.get(workspace);
		if (feed === undefined) {
			feed = new Feed(workspace, this.#log, this.#channels, this.#observe, () => this.head(workspace));
			this.#feeds.set(workspace, feed);
		}
		const follower = { onEvent, onGap };
		feed.followers.add(follower);
		const stop = () => {
			if (feed.followers.delete(follower) && feed.followers.size === 0) this.#end(feed);
		};
		try {
			await feed.started;
			return stop;
		} catch (error) {
			// The next one begins anew.
			this.#end(feed);
			throw error;
		}
	}

	async since(workspace: string, seq: number, limit: number): Promise<SyncEvent[] | null> {
		let needed = this.#feeds.get(workspace)?.last ?? null;
		if (needed === null || needed < seq) needed = await this.head(workspace);
		if (seq > needed) return null;
		if (seq === needed) return [];
		const { events, lostTo } = await this.#log.after(workspace, seq, limit, needed);
		return lostTo === null ? [...events] : null;
	}

	/** From PostgreSQL, all that ask at the same time with one statement; where it is away, what Redis knows. */
	async head(workspace: string): Promise<number> {
		const seen = this.#feeds.get(workspace)?.last ?? 0;
		const head = await this.#headOf(workspace).catch(async (error) => {
			const [streamed] = await this.#log.streamHeads([workspace], 0).catch(() => []);
			if (streamed === undefined || streamed.head === 0) throw error;
			return streamed.head;
		});
		return Math.max(head, seen);
	}

	close(): void {
		this.#closed = true;
		clearTimeout(this.#timer);
		for (const feed of this.#feeds.values()) feed.close();
		this.#feeds.clear();
	}

	#end(feed: Feed): void {
		feed.close();
		if (this.#feeds.get(feed.workspace) === feed) this.#feeds.delete(feed.workspace);
	}

	async #headOf(workspace: string): Promise<number> {
		if (this.#asked === null) {
			const workspaces = new Set<string>();
			// Whoever asks before the statement is sent may share it.
			const heads = new Promise<void>((resolve) => setImmediate(resolve)).then(() => {
				this.#asked = null;
				return this.#log.heads([...workspaces]);
			});
			this.#asked = { workspaces, heads };
		}
		const { workspaces, heads } = this.#asked;
		workspaces.add(workspace);
		return (await heads).get(workspace) as number;
	}

	#lookLater(): void {
		if (this.#closed) return;
		const delay = ms.look * (0.8 + 0.4 * Math.random());
		this.#timer = setTimeout(() => void this.#look().finally(() => this.#lookLater()), delay).unref();
	}

	/** Compares every feed with the stream, and those that are this worker's to look after with PostgreSQL. */
	async #look(): Promise<void> {
		const workspaces = [...this.#feeds.keys()];
		if (workspaces.length === 0) return;
		const streamed = await this.#log.streamHeads(workspaces, ms.lease).catch(() => null);
		if (streamed === null) {
			await this.#askDatabase(workspaces);
			return;
		}
		const mine: string[] = [];
		for (const [index, workspace] of workspaces.entries()) {
			const { head, lookAfter } = streamed[index] as { head: number; lookAfter: boolean };
			this.#feeds.get(workspace)?.learn(head);
			if (lookAfter) mine.push(workspace);
		}
		const heads = await this.#askDatabase(mine);
		for (const [index, workspace] of workspaces.entries()) {
			const head = heads.get(workspace);
			if (head !== undefined && head !== streamed[index]?.head) await this.#mend(workspace, head);
		}
	}

	async #askDatabase(workspaces: readonly string[]): Promise<ReadonlyMap<string, number>> {
		if (workspaces.length === 0) return new Map();
		try {
			const heads = await this.#log.heads(workspaces);
			for (const [workspace, head] of heads) this.#feeds.get(workspace)?.learn(head);
			return heads;
		} catch (error) {
			this.#observe.problem("the sequence of events cannot be checked", error);
			return new Map();
		}
	}

	/** Brings the stream to where PostgreSQL was a moment ago. */
	async #mend(workspace: string, head: number): Promise<void> {
		try {
			await sleep(ms.announcement, undefined, { ref: false });
			const [streamed] = await this.#log.streamHeads([workspace], 0);
			if (streamed === undefined) return;
			let position = Math.max(streamed.head, head - MENDED);
			while (position < head && !this.#closed) {
				const events = await this.#log.committed(workspace, position, PAGE);
				const last = events.at(-1);
				if (last === undefined) return;
				await this.#log.append(workspace, events.map(textOf));
				this.#observe.eventsMended(events.length);
				position = last.seq;
			}
			if (streamed.head > head) await this.#dropStranger(workspace, streamed.head);
		} catch (error) {
			this.#observe.problem("the stream of events cannot be mended", error);
		}
	}

	/** A stream that is ahead of PostgreSQL is from before the database was set back to an earlier time. */
	async #dropStranger(workspace: string, streamed: number): Promise<void> {
		const heads = await this.#log.heads([workspace]);
		if (streamed > (heads.get(workspace) as number)) await this.#log.dropStream(workspace);
	}
}

interface Follower {
	readonly onEvent: (event: SyncEvent) => void;
	readonly onGap: (from: number, to: number) => void;
}

/** One workspace's events on this worker, put in order for all who follow them. */
class Feed {
	readonly workspace: string;
	readonly followers = new Set<Follower>();
	/** Begins at the workspace's last event. */
	readonly started: Promise<void>;
	/** The last event passed on; null before the beginning. */
	last: number | null = null;
	readonly #log: EventLog;
	readonly #observe: EventObserver;
	readonly #stop: () => void;
	/** Events that came before one they follow. */
	readonly #held = new Map<number, SyncEvent>();
	/** The last event known of. */
	#head = 0;
	#filling = false;
	#timer: NodeJS.Timeout | undefined;
	#closed = false;

	constructor(workspace: string, log: EventLog, channels: Channels, observe: EventObserver, head: () => Promise<number>) {
		this.workspace = workspace;
		this.#log = log;
		this.#observe = observe;
		const { confirmed, stop } = channels.listen(log.channelOf(workspace), (message) => this.#receive(message));
		this.#stop = stop;
		this.started = this.#start(confirmed, head);
	}

	/** There are events up to this one. */
	learn(head: number): void {
		this.#head = Math.max(this.#head, head);
		this.#fillLater();
	}

	close(): void {
		this.#closed = true;
		clearTimeout(this.#timer);
		this.#stop();
		this.#held.clear();
	}

	async #start(confirmed: Promise<void>, head: () => Promise<number>): Promise<void> {
		await soonest(confirmed, ms.confirmation);
		this.last = await head();
		for (const seq of this.#held.keys()) if (seq <= this.last) this.#held.delete(seq);
		this.#passOnHeld();
		this.#fillLater();
	}

	#receive(message: string): void {
		for (const announcement of announcementsIn(message)) {
			const { seq } = announcement;
			this.#head = Math.max(this.#head, seq);
			if (!isWhole(announcement) || (this.last !== null && seq <= this.last)) continue;
			if (seq === (this.last ?? Number.NaN) + 1) this.#passOn(announcement);
			else if (this.#held.size < HELD) this.#held.set(seq, announcement);
		}
		this.#passOnHeld();
		this.#fillLater();
	}

	#passOn(event: SyncEvent): void {
		this.last = event.seq;
		for (const { onEvent } of this.followers) this.#tell(() => onEvent(event));
	}

	#passOnHeld(): void {
		while (this.last !== null && this.#held.size > 0) {
			const next = this.#held.get(this.last + 1);
			if (next === undefined) return;
			this.#held.delete(next.seq);
			this.#passOn(next);
		}
	}

	#passOnGap(to: number): void {
		const from = (this.last as number) + 1;
		this.last = to;
		for (const seq of this.#held.keys()) if (seq <= to) this.#held.delete(seq);
		this.#observe.eventsLost(to - from + 1);
		for (const { onGap } of this.followers) this.#tell(() => onGap(from, to));
	}

	#tell(follower: () => void): void {
		try {
			follower();
		} catch (error) {
			this.#observe.problem("a follower of events failed", error);
		}
	}

	#fillLater(): void {
		if (this.last === null || this.last >= this.#head || this.#filling || this.#timer !== undefined || this.#closed) return;
		this.#timer = setTimeout(() => {
			this.#timer = undefined;
			void this.#fill();
		}, ms.late);
	}

	/** Reads what is missing. Where it cannot be read now, what comes next, or the next look, begins anew. */
	async #fill(): Promise<void> {
		this.#filling = true;
		try {
			while (this.last !== null && this.last < this.#head && !this.#closed) {
				const asked = this.last;
				this.#take(await this.#log.after(this.workspace, asked, PAGE, this.#head), asked);
			}
		} catch (error) {
			this.#observe.problem("missing events cannot be read", error);
		} finally {
			this.#filling = false;
		}
	}

	#take({ events, lostTo, head }: Page, asked: number): void {
		if (this.#closed || this.last !== asked) return;
		if (events.length > 0) this.#observe.eventsRefilled(events.length);
		for (const event of events) {
			this.#held.delete(event.seq);
			this.#passOn(event);
		}
		if (lostTo !== null) this.#passOnGap(lostTo);
		this.#passOnHeld();
		if (head === null || this.last !== asked) return;
		// There is nothing after all.
		this.#head = asked;
		this.#held.clear();
	}
}
