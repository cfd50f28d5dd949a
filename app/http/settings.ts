import type { IncomingMessage } from "node:http";

/** A token bucket: what it refills to, and how fast. */
export interface RateLimit {
	readonly perSecond: number;
	readonly burst: number;
}

/**
 * How busy the worker is. At 1 what is cheapest to refuse is refused, at 3 everything but health and the completion of tasks.
 */
export interface LoadMonitor {
	level(): 0 | 1 | 2 | 3;
}

/** Where a worker is in its life. It is ready for requests while `ready`; `stalled` is an event loop that hangs. */
export type WorkerState = "starting" | "ready" | "stalled" | "draining";

/** Settings of the HTTP edge. */
export interface HttpSettings {
	/** Version of this build, as health and documentation name it. */
	readonly version: string;
	/** `https://agentic.example.com`: the origin at which browsers find the server. Always an allowed host and origin. */
	readonly publicOrigin: string;
	/** `Host` headers answered beside that of {@link publicOrigin}: exact, with the port where it is not the scheme's own. */
	readonly allowedHosts: readonly string[];
	/** Browser origins allowed beside {@link publicOrigin}: exact. */
	readonly allowedOrigins: readonly string[];
	/** Lets requests without a credential in as one local principal, as the original server did. */
	readonly legacyOpen: boolean;
	/** Believe X-Forwarded-For and X-Forwarded-Proto, which HAProxy sets to one value each. */
	readonly trustProxy: boolean;
	/** Keys that sign session cookies; the first signs, all verify. Asked at every use, so that a rotation needs no restart. */
	readonly sessionKeys: () => readonly string[];
	/** Bytes of a request body. */
	readonly bodyLimitBytes: number;
	/** Bytes of a request's headers. */
	readonly maxHeaderBytes: number;
	/** Milliseconds in which a request's headers must have come. */
	readonly headersTimeoutMs: number;
	/** Milliseconds in which a whole request must have come. */
	readonly requestTimeoutMs: number;
	/** Milliseconds for which an idle connection is kept: longer than the load balancer keeps it. */
	readonly keepAliveTimeoutMs: number;
	readonly limits: {
		/** Of one principal. */
		readonly principal: RateLimit;
		/** Of one client address, whoever asks. A request with a wrong credential counts as several. */
		readonly address: RateLimit;
		/** Of one client address, for logging in. */
		readonly login: RateLimit;
	};
	readonly load: LoadMonitor;
	readonly state: () => WorkerState;
	/** Aborted when the worker goes away: nobody is kept waiting from then on. */
	readonly stopping: AbortSignal;
	/** Open sockets of this worker, by protocol. */
	readonly sockets: () => { readonly sync: number; readonly mcp: number };
}

/** Why a request was refused before anything was done for it. */
export type Refusal = "host" | "origin" | "shed" | "principal-limit" | "address-limit" | "login-limit";

/** Told what happens at the edge; must not throw. Routes are templates (`/api/hive/tasks/:taskId`), never paths. */
export interface HttpObserver {
	/**
	 * Begins a request: runs `next` at once, inside whatever context a trace needs. Null where nobody traces, so that it
	 * costs nothing. The end is {@link answered}, with the same request.
	 */
	readonly begin: ((request: IncomingMessage, route: string, next: () => void) => void) | null;
	/**
	 * Whether {@link begin} will trace the request: asked at most once, and then followed. Null where nobody traces.
	 */
	readonly isTraced: ((request: IncomingMessage) => boolean) | null;
	/**
	 * An answer has been sent.
	 *
	 * @param waited for what job workers did
	 */
	answered(request: IncomingMessage, route: string, status: number, seconds: number, waited: boolean): void;
	refused(route: string, why: Refusal): void;
	/** A fault of the server's. The client was told nothing of it. */
	fault(error: unknown, where: { readonly method: string; readonly route: string; readonly requestId: string | null }): void;
}
