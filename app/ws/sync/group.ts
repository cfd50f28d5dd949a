import type { Duplex } from "node:stream";
import { type RawData, WebSocket } from "ws";
import type { Principal, SyncEvent } from "../../model.ts";
import type { Place } from "../gate.ts";
import { headerLength, writeTextHeader } from "./frame.ts";
import type { Hub } from "./hub.ts";
import { updateHead, updateTail } from "./messages.ts";

/** Who listens to the sockets: one for all of them, so that none has functions of its own. */
export interface SocketEars {
	received(socket: SyncSocket, data: Buffer, isBinary: boolean): void;
	/** A ping or a pong. */
	heard(socket: SyncSocket): void;
	/** @param code the one that was given first */
	closed(socket: SyncSocket, code: number): void;
}

/** A socket of /sync. What it needs is kept in it, so that there is nothing else for each of thousands. */
export class SyncSocket extends WebSocket {
	/** What the frames are written to, past the sender: nothing compresses, so whole frames never mix. */
	raw: Duplex | null = null;
	place: Place | null = null;
	/** Null until the client has said who it is. */
	principal: Principal | null = null;
	hub: Hub | null = null;
	/** Its group; it is a member only while it is `live`. */
	group: Group | null = null;
	live = false;
	/** The highest position it was told when it last became live. */
	told = 0;
	/** Counts up at each beginning of catching up, so that the one before stops. */
	attempt = 0;
	/** By when it must have said who it is, or taken what waits for it (milliseconds since 1970); 0 for no such thing. */
	deadline = 0;
	/** No answer to the last ping yet. */
	silent = false;
	/** Messages in the second of its last one. */
	second = 0;
	messages = 0;
	faults = 0;
	/** Where the heartbeat finds it. */
	slot = 0;
	/** The close code that the server gave; 0 while it has given none. */
	endCode = 0;
	ears: SocketEars | null = null;

	listen(ears: SocketEars): void {
		this.ears = ears;
		this.on("message", onMessage);
		this.on("ping", onControl);
		this.on("pong", onControl);
		this.on("error", onError);
		this.on("close", onClose);
	}

	/** Whole frames, in order with everything else. */
	put(frames: Buffer): void {
		if (this.readyState === WebSocket.OPEN) this.raw?.write(frames);
	}

	/** Closes it and sends nothing more. */
	end(code: number, reason: string): void {
		if (this.readyState !== WebSocket.OPEN) return;
		this.attempt += 1;
		this.hub?.pause(this);
		this.endCode = code;
		this.close(code, reason);
	}

	cut(): void {
		this.end(1008, "The credential has ended.");
	}
}

function onMessage(this: WebSocket, data: RawData, isBinary: boolean): void {
	const socket = this as SyncSocket;
	socket.ears?.received(socket, data as Buffer, isBinary);
}

function onControl(this: WebSocket): void {
	const socket = this as SyncSocket;
	socket.ears?.heard(socket);
}

/** A frame that breaks the protocol, which has been answered with a close; or a network that does not work. */
function onError(this: WebSocket, error: Error & { readonly code?: string }): void {
	const socket = this as SyncSocket;
	if (socket.endCode === 0 && error.code?.startsWith("WS_ERR_")) socket.endCode = closeCodes[error.code] ?? 1002;
}

const closeCodes: Readonly<Record<string, number>> = {
	WS_ERR_INVALID_UTF8: 1007,
	WS_ERR_TOO_MANY_BUFFERED_PARTS: 1008,
	WS_ERR_UNSUPPORTED_DATA_PAYLOAD_LENGTH: 1009,
	WS_ERR_UNSUPPORTED_MESSAGE_LENGTH: 1009,
};

function onClose(this: WebSocket, code: number): void {
	const socket = this as SyncSocket;
	socket.ears?.closed(socket, socket.endCode || Math.min(code, 3_000));
}

/** An event ready to be written, but for what differs from client to client. */
export interface Prepared {
	readonly event: SyncEvent;
	readonly head: Buffer;
	readonly count: number;
}

export function prepare(event: SyncEvent, action: SyncEvent["action"] = event.action, count = 1): Prepared {
	return { event, head: Buffer.from(updateHead(event, action)), count };
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
	for (const { event, head, count } of updates) {
		const tail = updateTail(count, before);
		tails.push(tail);
		const payload = head.length + tail.length;
		size += headerLength(payload) + payload;
		before = event.seq;
	}
	const frames = Buffer.allocUnsafe(size);
	let at = 0;
	for (const [index, { head }] of updates.entries()) {
		const tail = tails[index] as string;
		at = writeTextHeader(frames, at, head.length + tail.length);
		at += head.copy(frames, at);
		at += frames.write(tail, at, "latin1");
	}
	return frames;
}
