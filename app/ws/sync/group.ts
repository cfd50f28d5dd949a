import { ClientSocket } from "../client-socket.ts";
import type { Update } from "../conflate.ts";
import { headerLength, writeTextHeader } from "../frame.ts";
import type { Hub } from "./hub.ts";
import { keysOf, updateHead, updateTail } from "./messages.ts";

/** A socket of /sync. */
export class SyncSocket extends ClientSocket {
	hub: Hub | null = null;
	/** Its group; it is a member only while it is `live`. */
	group: Group | null = null;
	live = false;
	/** The highest position it was told when it last became live. */
	told = 0;
	/** Counts up at each beginning of catching up, so that the one before stops. */
	attempt = 0;
	/** Frames of the last tick that are still to be written to it, before anything else is. */
	owed: Owed | null = null;

	/** Whole frames, in order with everything else. */
	override put(frames: Buffer): void {
		this.pay();
		super.put(frames);
	}

	pay(): void {
		const { owed } = this;
		this.owed = null;
		if (owed !== null) super.put(owed.frames);
	}

	override end(code: number, reason: string): void {
		if (this.readyState !== SyncSocket.OPEN) return;
		this.attempt += 1;
		this.hub?.pause(this);
		super.end(code, reason);
	}
}

/** What a tick brings a group. */
export interface Owed {
	readonly frames: Buffer;
	/** The position before the tick. */
	readonly from: number;
}

/** An event ready to be written, but for what differs from client to client. The event itself is not kept with it. */
export interface Prepared {
	readonly seq: number;
	/** See {@link keysOf}. */
	readonly keys: readonly [string, string] | null;
	readonly count: number;
	/** What is written of it begins here in the bytes of all that were prepared together, and is so long. */
	readonly heads: Buffer;
	readonly at: number;
	readonly length: number;
}

export function prepare(updates: readonly Update[]): Prepared[] {
	const texts = updates.map(({ event, action }) => updateHead(event, action));
	const text = texts.join("");
	const heads = Buffer.from(text);
	// Mostly there are as many bytes as characters.
	const isAscii = heads.length === text.length;
	let end = 0;
	return updates.map(({ event, count }, index) => {
		const at = end;
		const head = texts[index] as string;
		const length = isAscii ? head.length : Buffer.byteLength(head);
		end += length;
		return { seq: event.seq, keys: keysOf(event), count, heads, at, length };
	});
}

/** Sockets that get the same bytes: those of one workspace with the same subscriptions. */
export class Group {
	readonly keys: ReadonlySet<string>;
	readonly signature: string;
	readonly sockets = new Set<SyncSocket>();
	/** Sockets that are in it or on their way. */
	members = 0;
	/** The position of the last update written to it. */
	sent: number;
	/** What this tick brings. */
	batch: Prepared[] = [];
	readonly wantsPerformance: boolean;

	constructor(signature: string, sent: number) {
		this.signature = signature;
		this.keys = new Set(signature === "" ? [] : signature.split("\n"));
		this.sent = sent;
		this.wantsPerformance = this.keys.size === 0 || this.keys.has("performance:all");
	}

	/** True of an event that the group's clients want to hear of. */
	wants(keys: readonly [string, string] | null): boolean {
		return this.keys.size === 0 || keys === null || this.keys.has(keys[0]) || this.keys.has(keys[1]);
	}
}

/** The frames of some updates, one after another. @param prev the position of the update before them */
export function framesOf(updates: readonly Prepared[], prev: number): Buffer {
	const tails: string[] = [];
	let size = 0;
	let before = prev;
	for (const { seq, length, count } of updates) {
		const tail = updateTail(count, before);
		tails.push(tail);
		const payload = length + tail.length;
		size += headerLength(payload) + payload;
		before = seq;
	}
	const frames = Buffer.allocUnsafe(size);
	let at = 0;
	for (const [index, update] of updates.entries()) {
		const tail = tails[index] as string;
		at = writeTextHeader(frames, at, update.length + tail.length);
		at += update.heads.copy(frames, at, update.at, update.at + update.length);
		at += frames.write(tail, at, "latin1");
	}
	return frames;
}
