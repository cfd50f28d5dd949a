import { once } from "node:events";
import type { SyncEvent } from "../../model.ts";
import { type EventService, ServiceError } from "../../ports.ts";
import { single } from "../conflate.ts";
import { textFrame } from "../frame.ts";
import type { SocketLimits, SocketObserver } from "../settings.ts";
import { framesOf, type Prepared, prepare, SyncSocket } from "./group.ts";
import type { Start } from "./hub.ts";

export interface CatchUpContext {
	readonly events: EventService;
	readonly limits: SocketLimits;
	readonly observe: SocketObserver;
}

/**
 * Brings a socket to where its hub is, and into its group: by a snapshot, or by every event it has missed, from the hub's
 * memory or from the stream; with a word about what can not be had. A later call for the same socket ends this one.
 */
export async function catchUp(socket: SyncSocket, start: Start, context: CatchUpContext): Promise<void> {
	socket.attempt += 1;
	try {
		await new Attempt(socket, start, context).run();
	} catch (error) {
		const expected = error instanceof ServiceError;
		if (!expected) context.observe.fault("sync", error);
		if (expected && error.code === "UNAVAILABLE") socket.end(1013, "Not available at the moment.");
		else if (expected) socket.end(1008, error.message.slice(0, 100));
		else socket.end(1011, "Internal error.");
	}
}

/** Waits until a socket has taken what was written to it, for as long as a slow reader may take. */
async function drained(socket: SyncSocket, limits: SocketLimits): Promise<void> {
	const { raw } = socket;
	if (raw === null || raw.writableLength <= limits.bufferedBytes / 2) return;
	socket.deadline = Date.now() + limits.slowReaderMs;
	const ended = new AbortController();
	const { signal } = ended;
	// The one that does not come must not be waited for.
	await Promise.race([once(raw, "drain", { signal }), once(raw, "close", { signal })]).catch(() => {});
	ended.abort();
	socket.deadline = 0;
}

class Attempt {
	readonly #socket: SyncSocket;
	readonly #context: CatchUpContext;
	readonly #number: number;
	/** What it goes on from, for as long as that is possible; null where it begins with a snapshot. */
	#resumeAfter: number | null;
	/** Where the socket stands; null where it needs a snapshot. */
	#position: number | null = null;
	#atLeast = 0;
	#missedFrom: number | null = null;
	#snapshots = 0;
	#replayed = 0;
	#pauses = 0;

	constructor(socket: SyncSocket, start: Start, context: CatchUpContext) {
		this.#socket = socket;
		this.#context = context;
		this.#number = socket.attempt;
		this.#resumeAfter = start.kind === "resume" ? start.after : null;
		if (start.kind === "resume") {
			this.#position = start.after;
			socket.told = start.after;
		} else {
			this.#atLeast = start.atLeast;
			this.#missedFrom = start.missedFrom;
		}
	}

	async run(): Promise<void> {
		const socket = this.#socket;
		const hub = socket.hub;
		if (hub === null) return;
		await hub.ready;
		if (this.#resumeAfter !== null) await this.#checkFuture(this.#resumeAfter);
		while (!this.#isOver() && this.#position !== hub.position) {
			if (this.#position === null) await this.#snapshot();
			else if (this.#position < hub.position) await this.#replay(this.#position);
			else await hub.reached(this.#position);
			await drained(socket, this.#context.limits);
		}
		if (!this.#isOver()) this.#finish();
	}

	#isOver(): boolean {
		return this.#socket.attempt !== this.#number || this.#socket.readyState !== SyncSocket.OPEN;
	}

	/** A position nobody has got to yet is one of another sequence. */
	async #checkFuture(after: number): Promise<void> {
		const hub = this.#socket.hub;
		if (hub === null || after <= hub.position) return;
		if (after > (await this.#context.events.head(hub.workspace))) this.#giveUp(1);
	}

	#giveUp(missedFrom: number): void {
		this.#position = null;
		this.#resumeAfter = null;
		this.#missedFrom = missedFrom;
	}

	async #snapshot(): Promise<void> {
		const socket = this.#socket;
		if (socket.hub === null || socket.principal === null) return;
		this.#snapshots += 1;
		if (this.#snapshots > MOST_SNAPSHOTS) throw new ServiceError("UNAVAILABLE", "The events are ahead of their snapshots.");
		const state = await socket.hub.states.get(socket.principal, this.#atLeast);
		if (this.#isOver()) return;
		if (this.#missedFrom !== null) {
			this.#context.observe.gap();
			socket.put(textFrame(JSON.stringify({ type: "gap", from: this.#missedFrom, to: state.seq })));
			this.#missedFrom = null;
		}
		socket.put(state.frame);
		socket.told = state.seq;
		this.#position = state.seq;
	}

	/** The next events after a position: all that are in memory, or a page of the stream. */
	async #replay(after: number): Promise<void> {
		const hub = this.#socket.hub;
		if (hub === null) return;
		const known = hub.after(after);
		if (known !== null) {
			this.#send(known);
			this.#position = hub.position;
			return;
		}
		const events = await this.#context.events.since(hub.workspace, after, PAGE);
		if (this.#isOver()) return;
		if (events?.length === 0 && this.#pauses < MOST_PAUSES) {
			// The hub has heard of more than the stream has shown yet.
			this.#pauses += 1;
			await new Promise((resolve) => setTimeout(resolve, this.#context.limits.tickMs));
			return;
		}
		this.#replayed += events?.length ?? 0;
		if (events === null || !follows(events, after) || this.#replayed > this.#context.limits.replayEvents) {
			this.#giveUp(after + 1);
			return;
		}
		this.#send(prepare(events.map(single)));
		this.#position = (events.at(-1) as SyncEvent).seq;
	}

	#send(events: readonly Prepared[]): void {
		const socket = this.#socket;
		const wanted = events.filter(({ keys }) => socket.group?.wants(keys));
		const last = wanted.at(-1);
		if (last === undefined) return;
		socket.put(framesOf(wanted, socket.told));
		socket.told = last.seq;
		if (this.#resumeAfter !== null) this.#context.observe.resumed(wanted.length);
	}

	#finish(): void {
		const socket = this.#socket;
		const hub = socket.hub;
		if (hub === null) return;
		if (this.#resumeAfter !== null) {
			socket.put(textFrame(JSON.stringify({ type: "resumed", from: this.#resumeAfter, seq: hub.position })));
			socket.told = hub.position;
		}
		hub.join(socket);
	}
}

function follows(events: readonly SyncEvent[], after: number): boolean {
	return events[0]?.seq === after + 1;
}

const PAGE = 500;

/** Ticks to wait, all in all, for events that are known of and not there. */
const MOST_PAUSES = 100;

/** Where snapshots stay behind the oldest event there is, something is wrong, and more of them do not help. */
const MOST_SNAPSHOTS = 3;
