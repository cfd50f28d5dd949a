import type { SyncEvent } from "../../model.ts";
import { single, type Update } from "../conflate.ts";
import type { Feed, FeedListener } from "../feed.ts";
import { textFrame } from "../frame.ts";
import type { SocketObserver } from "../settings.ts";
import { framesOf, Group, type Prepared, prepare, type SyncSocket } from "./group.ts";
import { Ring } from "./ring.ts";
import type { States } from "./state.ts";

/** Begins to bring a socket up to date with its hub, from where it stands. */
export type CatchUp = (socket: SyncSocket, start: Start) => void;

export type Start =
	/** With a snapshot of at least this position; `missedFrom` is the first position the client can not be sent any more, if any. */
	| { readonly kind: "state"; readonly atLeast: number; readonly missedFrom: number | null }
	/** With the updates after this position. */
	| { readonly kind: "resume"; readonly after: number };

/** For so long a worker writes to sockets before others have a turn, milliseconds; and to so many before it looks at the clock. */
const TURN_MS = 2;
const AT_ONCE = 16;

/** The sockets of one workspace on this worker. */
export class Hub implements FeedListener {
	readonly workspace: string;
	readonly states: States;
	/** Sockets that hold it. */
	users = 0;
	readonly ready: Promise<void>;
	feed: Feed | null = null;
	readonly #groups = new Map<string, Group>();
	/** The groups that have subscribed to a key. */
	readonly #byKey = new Map<string, Set<Group>>();
	readonly #ring = new Ring();
	readonly #bufferedBytes: number;
	readonly #catchUp: CatchUp;
	readonly #observe: SocketObserver;
	/** Live sockets that are owed something, and the first of them that still is. */
	#owing: SyncSocket[] = [];
	#next = 0;
	#waiting: { readonly position: number; readonly resolve: () => void }[] = [];

	constructor(
		workspace: string,
		feed: Promise<Feed>,
		states: States,
		settings: { readonly bufferedBytes: number },
		catchUp: CatchUp,
		observe: SocketObserver,
	) {
		this.workspace = workspace;
		this.states = states;
		this.#bufferedBytes = settings.bufferedBytes;
		this.#catchUp = catchUp;
		this.#observe = observe;
		this.ready = feed.then((arrived) => {
			this.feed = arrived;
			arrived.listeners.add(this);
			this.#ring.restart(arrived.position);
		});
	}

	/** Every live socket has been written all it wants up to here, or is before anything else is. */
	get position(): number {
		return this.feed?.position ?? 0;
	}

	/** What the socket gets from now on. A live one stays live. */
	assign(socket: SyncSocket, signature: string): void {
		const wasLive = socket.live;
		this.leave(socket);
		let group = this.#groups.get(signature);
		if (group === undefined) {
			group = new Group(signature, this.position);
			this.#groups.set(signature, group);
			for (const key of group.keys) this.#index(key).add(group);
		}
		group.members += 1;
		socket.group = group;
		if (wasLive) this.join(socket);
	}

	/** The socket has been written everything up to {@link position}: it goes on with its group. */
	join(socket: SyncSocket): void {
		const group = socket.group as Group;
		if (group.sockets.size === 0) group.sent = socket.told;
		// The group has been written something that this client did not want when it came by, or that it got by another way.
		if (group.sent > socket.told) {
			socket.told = this.position;
			socket.put(textFrame(JSON.stringify({ type: "position", seq: this.position })));
		}
		socket.live = true;
		group.sockets.add(socket);
	}

	/** The socket gets nothing for a while. */
	pause(socket: SyncSocket): void {
		if (!socket.live || socket.group === null) return;
		socket.pay();
		socket.live = false;
		socket.group.sockets.delete(socket);
		socket.told = Math.max(socket.told, socket.group.sent);
	}

	/** The socket is of no group any more. */
	leave(socket: SyncSocket): void {
		this.pause(socket);
		const { group } = socket;
		if (group === null) return;
		socket.group = null;
		group.members -= 1;
		if (group.members > 0) return;
		this.#groups.delete(group.signature);
		for (const key of group.keys) {
			const groups = this.#index(key);
			groups.delete(group);
			if (groups.size === 0) this.#byKey.delete(key);
		}
	}

	/** The events after a position, if they are still in memory. */
	after(position: number): Prepared[] | null {
		return this.#ring.after(position);
	}

	/** Settles when the live sockets have got that far. */
	reached(position: number): Promise<void> {
		return new Promise((resolve) => this.#waiting.push({ position, resolve }));
	}

	onTick(events: readonly SyncEvent[], updates: readonly Update[], from: number, to: number): Promise<void> | undefined {
		this.#payFor(Number.POSITIVE_INFINITY);
		const batch = prepare(updates);
		this.#remember(events, batch);
		for (const group of this.#distribute(batch)) this.#owe(group, from);
		this.#tell(to);
		if (events.some(({ action }) => action === "reset")) {
			// Clients of the first hour know no such thing, but they take a new state for what it is.
			this.#restart({ kind: "state", atLeast: to, missedFrom: null });
		}
		return this.#payFor(TURN_MS) ? undefined : this.#payOn(this.#owing);
	}

	onGap(from: number, to: number): void {
		this.#ring.restart(to);
		this.#restart({ kind: "state", atLeast: to, missedFrom: from });
		this.#tell(to);
	}

	close(): void {
		this.feed?.listeners.delete(this);
	}

	#remember(events: readonly SyncEvent[], batch: readonly Prepared[]): void {
		this.#ring.push(batch.length === events.length ? batch : prepare(events.map(single)));
	}

	/** Gives each group its updates. */
	#distribute(batch: readonly Prepared[]): Set<Group> {
		const touched = new Set<Group>();
		const give = (group: Group, update: Prepared) => {
			if (group.sockets.size === 0 || group.batch.at(-1) === update) return;
			group.batch.push(update);
			touched.add(group);
		};
		const everything = this.#groups.get("");
		for (const update of batch) {
			const { keys } = update;
			if (keys === null) for (const group of this.#groups.values()) give(group, update);
			else {
				if (everything) give(everything, update);
				// Mostly nobody has subscribed to anything, and no key need be looked up.
				if (this.#byKey.size === 0) continue;
				for (const key of keys) for (const group of this.#byKey.get(key) ?? []) give(group, update);
			}
		}
		return touched;
	}

	#owe(group: Group, from: number): void {
		const { batch } = group;
		group.batch = [];
		const owed = { frames: framesOf(batch, group.sent), from };
		this.#observe.delivered(group.sockets.size, batch.length);
		for (const socket of group.sockets) {
			socket.owed = owed;
			this.#owing.push(socket);
		}
		group.sent = (batch.at(-1) as Prepared).seq;
	}

	/** @returns whether all is paid after that time */
	#payFor(milliseconds: number): boolean {
		const until = performance.now() + milliseconds;
		while (this.#next < this.#owing.length) {
			if (this.#next % AT_ONCE === AT_ONCE - 1 && performance.now() > until) return false;
			this.#payNext();
		}
		// Sockets that close meanwhile are not kept for that.
		this.#owing = [];
		this.#next = 0;
		return true;
	}

	/** Whoever else waits for this worker has a turn in between. Another tick ends it, which pays all before it owes anew. */
	async #payOn(owing: readonly SyncSocket[]): Promise<void> {
		for (;;) {
			await new Promise((resolve) => setImmediate(resolve));
			if (this.#owing !== owing || this.#payFor(TURN_MS)) return;
		}
	}

	#payNext(): void {
		const socket = this.#owing[this.#next] as SyncSocket;
		this.#next += 1;
		const { owed } = socket;
		if (owed === null) return;
		if (socket.raw !== null && socket.raw.writableLength > this.#bufferedBytes) {
			socket.owed = null;
			this.pause(socket);
			this.#catchUp(socket, { kind: "state", atLeast: owed.from, missedFrom: owed.from + 1 });
		} else socket.pay();
	}

	#restart(start: Start): void {
		for (const group of [...this.#groups.values()]) {
			for (const socket of [...group.sockets]) {
				this.pause(socket);
				this.#catchUp(socket, start);
			}
		}
	}

	#tell(position: number): void {
		const reached = this.#waiting.filter((waiter) => waiter.position <= position);
		if (reached.length === 0) return;
		this.#waiting = this.#waiting.filter((waiter) => waiter.position > position);
		for (const { resolve } of reached) resolve();
	}

	#index(key: string): Set<Group> {
		let groups = this.#byKey.get(key);
		if (groups === undefined) {
			groups = new Set();
			this.#byKey.set(key, groups);
		}
		return groups;
	}
}
