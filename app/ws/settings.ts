import type { IncomingMessage } from "node:http";
import type { Redis } from "ioredis";
import type { Principal } from "../model.ts";

/** What the sockets of a worker need to know. */
export interface SocketSettings {
	/** Told to Socket.IO clients. */
	readonly version: string;
	/** Names this worker to the balancers in Engine.IO's session ids: see sticky-cookie.ts. */
	readonly worker: { readonly stickyKey: string; readonly address: string; readonly port: number };
	/** The names the server answers to and the origins whose pages may connect, the same as for plain requests. */
	readonly origins: {
		isOurs(host: string | undefined): boolean;
		/** What sends no Origin is no browser, and is not asked about. */
		isAllowed(origin: string): boolean;
	};
	/** Who comes in without a credential: `legacy:local` where that is wanted, else null. */
	readonly legacy: Principal | null;
	/** The session's id in a request's signed cookie; null where there is none or its signature is wrong. */
	readonly sessionOf: (request: IncomingMessage) => string | null;
	/** The client's address, as the last trusted proxy says. */
	readonly addressOf: (request: IncomingMessage) => string;
	/** Carries Socket.IO's broadcasts between workers. Not closed here. Null keeps them on this worker. */
	readonly redis: Redis | null;
	/** True figures of this worker, for `performance-update` and `performance:report`; null where nothing is measured. */
	readonly performance: () => Readonly<Record<string, unknown>> | null;
	/** Milliseconds between two pings of an idle socket, and for the answer to one. */
	readonly pingMs: number;
	readonly pingTimeoutMs: number;
	readonly limits: SocketLimits;
}

/** What one client, one socket or one worker may have. */
export interface SocketLimits {
	readonly connectionsPerPrincipal: number;
	readonly connectionsPerAddress: number;
	/** New connections a worker lets in; the rest is asked to come again. */
	readonly admission: { readonly perSecond: number; readonly burst: number };
	/** Messages of a socket in a second, pings among them. */
	readonly messagesPerSecond: number;
	/** Messages that make no sense, before a socket is closed. */
	readonly faults: number;
	/** Of one socket. */
	readonly subscriptions: number;
	/** What costs a query (a snapshot, an action), for each principal. */
	readonly queries: { readonly perSecond: number; readonly burst: number };
	readonly syncMessageBytes: number;
	readonly socketIoMessageBytes: number;
	readonly mcpMessageBytes: number;
	/** Calls of tools that a socket may wait for at once. */
	readonly mcpCalls: number;
	/** Milliseconds a socket has to say who it is. */
	readonly authMs: number;
	/** Milliseconds over which the updates of a socket are gathered into one write. */
	readonly tickMs: number;
	/** Bytes that may wait for a slow reader. */
	readonly bufferedBytes: number;
	/** Milliseconds a slow reader has to take what waits for it. */
	readonly slowReaderMs: number;
	/** Events a resuming client is sent one by one; who missed more gets a snapshot. */
	readonly replayEvents: number;
}

/** What a worker of a production stack allows. */
export const socketLimits: SocketLimits = {
	connectionsPerPrincipal: 2_000,
	connectionsPerAddress: 20_000,
	admission: { perSecond: 1_000, burst: 2_000 },
	messagesPerSecond: 100,
	faults: 10,
	subscriptions: 256,
	queries: { perSecond: 10, burst: 50 },
	syncMessageBytes: 64 * 1_024,
	socketIoMessageBytes: 1_000_000,
	mcpMessageBytes: 1_024 * 1_024,
	mcpCalls: 32,
	authMs: 5_000,
	tickMs: 20,
	bufferedBytes: 1_024 * 1_024,
	slowReaderMs: 30_000,
	replayEvents: 10_000,
};

export type Protocol = "sync" | "socket-io" | "mcp";

export type RefusalReason = "draining" | "path" | "host" | "origin" | "storm" | "address" | "principal" | "credential" | "malformed";

/** Told what happens, for metrics and logs. Nothing here may throw. */
export interface SocketObserver {
	opened(protocol: Protocol): void;
	/**
	 * @param code the close code the server gave, or the client where that was first: 3000 for all codes of clients' own.
	 *   Socket.IO has none: 0, or what the server would have given
	 */
	closed(protocol: Protocol, code: number): void;
	/** A connection that never became one. */
	refused(reason: RefusalReason): void;
	/** One tick of one group of /sync sockets. */
	delivered(sockets: number, updates: number): void;
	/** Events a resuming client was sent. */
	resumed(events: number): void;
	/** A client that could not have every update, and was told so. */
	gap(): void;
	/** Something that should not happen. */
	fault(where: string, error: unknown): void;
}
