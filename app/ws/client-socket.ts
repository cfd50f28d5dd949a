import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { type RawData, WebSocket, WebSocketServer } from "ws";
import type { Principal } from "../model.ts";
import { textFrame } from "./frame.ts";
import type { Place } from "./gate.ts";

/** Who listens to the sockets: one for all of them, so that none has functions of its own. */
export interface SocketEars {
	received(socket: ClientSocket, data: Buffer, isBinary: boolean): void;
	/** A ping or a pong. */
	heard(socket: ClientSocket): void;
	/** @param code the one that was given first */
	closed(socket: ClientSocket, code: number): void;
}

/** A client's WebSocket. What it needs is kept in it, so that there is nothing else for each of thousands. */
export class ClientSocket extends WebSocket {
	/** What the frames are written to, past the sender: nothing compresses, so whole frames never mix. */
	raw: Duplex | null = null;
	place: Place | null = null;
	/** Null until the client has said who it is. */
	principal: Principal | null = null;
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

	/** Counts a message or a ping. @returns false where there have been too many: it is closed then */
	count(mostPerSecond: number): boolean {
		const second = Math.floor(Date.now() / 1_000);
		this.silent = false;
		if (this.second !== second) {
			this.second = second;
			this.messages = 0;
		}
		this.messages += 1;
		if (this.messages <= mostPerSecond) return true;
		this.end(1008, "Too many messages.");
		return false;
	}

	/** Whole frames, in order with everything else. */
	put(frames: Buffer): void {
		if (this.readyState === WebSocket.OPEN) this.raw?.write(frames);
	}

	tell(message: object): void {
		this.put(textFrame(JSON.stringify(message)));
	}

	/** Closes it and sends nothing more. */
	end(code: number, reason: string): void {
		if (this.readyState !== WebSocket.OPEN) return;
		this.endCode = code;
		this.close(code, reason);
	}

	cut(): void {
		this.end(1008, "The credential has ended.");
	}
}

function onMessage(this: WebSocket, data: RawData, isBinary: boolean): void {
	const socket = this as ClientSocket;
	socket.ears?.received(socket, data as Buffer, isBinary);
}

function onControl(this: WebSocket): void {
	const socket = this as ClientSocket;
	socket.ears?.heard(socket);
}

/** A frame that breaks the protocol, which has been answered with a close; or a network that does not work. */
function onError(this: WebSocket, error: Error & { readonly code?: string }): void {
	const socket = this as ClientSocket;
	if (socket.endCode === 0 && error.code?.startsWith("WS_ERR_")) socket.endCode = closeCodes[error.code] ?? 1002;
}

const closeCodes: Readonly<Record<string, number>> = {
	WS_ERR_INVALID_UTF8: 1007,
	WS_ERR_TOO_MANY_BUFFERED_PARTS: 1008,
	WS_ERR_UNSUPPORTED_DATA_PAYLOAD_LENGTH: 1009,
	WS_ERR_UNSUPPORTED_MESSAGE_LENGTH: 1009,
};

function onClose(this: WebSocket, code: number): void {
	const socket = this as ClientSocket;
	socket.ears?.closed(socket, socket.endCode || Math.min(code, 3_000));
}

/** Makes sockets of the handshakes that have been let in. Nothing keeps the request after it. */
export interface Acceptor<S> {
	/** @returns false where there is no socket: the place is the caller's to give back */
	accept(request: IncomingMessage, raw: Duplex, head: Buffer, place: Place, opened: (socket: S) => void): boolean;
	close(): void;
}

/** @param messageBytes of the longest message a client may send */
export function acceptor<S extends ClientSocket>(
	Socket: new (...args: ConstructorParameters<typeof WebSocket>) => S,
	messageBytes: number,
): Acceptor<S> {
	const options = {
		noServer: true,
		clientTracking: false,
		perMessageDeflate: false,
		maxPayload: messageBytes,
		closeTimeout: CLOSE_MS,
		// Counted with the messages.
		maxPendingAutoPongs: 0,
		WebSocket: Socket as unknown as typeof ClientSocket,
	};
	const server = new WebSocketServer(options);
	return {
		accept(request, raw, head, place, opened) {
			let isOpen = false;
			server.handleUpgrade(request, raw, head, (accepted) => {
				isOpen = true;
				const socket = accepted as unknown as S;
				socket.raw = raw;
				socket.place = place;
				opened(socket);
			});
			return isOpen;
		},
		close: () => server.close(),
	};
}

/** Milliseconds a peer has to answer a close. */
const CLOSE_MS = 2_000;

/** Lets go of them one after another, spread over a time, so that they do not all come again at once. */
export async function letGo<T>(clients: readonly T[], overMs: number, leave: (client: T) => void): Promise<void> {
	const share = Math.ceil(clients.length / Math.max(1, Math.floor(overMs / STEP_MS)));
	for (let at = 0; at < clients.length; at += share) {
		for (const client of clients.slice(at, at + share)) leave(client);
		if (at + share < clients.length) await new Promise((resolve) => setTimeout(resolve, STEP_MS));
	}
}

const STEP_MS = 50;

/** Milliseconds over which clients that were sent away are asked to come again. */
export const RECONNECT_SPREAD_MS = 1_000;
