/** Everything a HAProxy configuration is made of. Complete: nothing below this has a default. */
export interface HaproxySettings {
	readonly process: {
		/** Threads of the one process. HAProxy counts a node's processors, not a container's share, so it is told. */
		readonly threads: number;
		/**
		 * Client connections at most, tunnels included. Each needs two file descriptors, so the process asks for a
		 * little over twice as many and refuses to start where the limit is lower.
		 */
		readonly maxConnections: number;
		/**
		 * Milliseconds from SIGUSR1 to the closing of the listeners: everything is still served, only the monitor fails.
		 * 0 where a new process takes the old one's ports over: with a delay they would both hold them.
		 */
		readonly drainMs: number;
		/** Milliseconds from the closing of the listeners to the end of the process, whoever is still connected. */
		readonly hardStopMs: number;
		/** `problems` leaves out the requests that went well. */
		readonly log: "all" | "problems";
	};
	/** Where clients come in. */
	readonly binds: readonly HaproxyBind[];
	/** Where only the platform comes in. */
	readonly admin: {
		readonly address: string;
		readonly port: number;
		/** Answers 200 while the listeners are open, drained or not. */
		readonly readyPath: string;
		/** Prometheus metrics. Server slots without a server are left out unless the query says otherwise. */
		readonly metricsPath: string;
	};
	/** On every bind: 200 while new clients are welcome, 503 while draining or with no worker left. */
	readonly monitorPath: string;
	readonly client: HaproxyClient;
	/** Bytes a request body may announce. */
	readonly maxBodyBytes: number;
	readonly sticky: {
		/** Name of the cookie by which a client stays with its worker. */
		readonly cookie: string;
		/** Every HAProxy and every worker of a system has the same. */
		readonly key: string;
		/** Whether browsers may send the cookie over TLS only. */
		readonly secure: boolean;
	};
	/** Engine.IO's session ids are `<sticky cookie of the worker><separator><random>`: clients without cookies are routed by them. */
	readonly engine: {
		readonly path: string;
		readonly sessionParam: string;
		readonly separator: string;
	};
	/** Paths of long-lived connections, with everything below them. What asks for an upgrade to WebSocket needs no entry. */
	readonly tunnelPaths: readonly string[];
	readonly cache: {
		/** What may be kept for a second if the response says it is public. An entry that ends in `/` is a prefix, but for `/` itself. */
		readonly paths: readonly string[];
		readonly totalMib: number;
		/** Bytes of one response, headers included; at most half of the whole. */
		readonly maxObjectBytes: number;
		/** Requests for it under way at one worker, from this HAProxy. Further ones go to the next. */
		readonly maxPerWorker: number;
	};
	readonly http: {
		/** Requests under way at one worker, from this HAProxy. The rest waits here, where it can still go elsewhere. */
		readonly maxPerWorker: number;
		/** Requests that wait for one worker because of its cookie; further ones break the stickiness. */
		readonly maxQueuePerWorker: number;
	};
	readonly tunnels: {
		/** Long-lived connections at one worker, from this HAProxy. */
		readonly maxPerWorker: number;
	};
	readonly check: {
		/** Answers 200 while the worker takes new clients. */
		readonly path: string;
		readonly intervalMs: number;
		/** Interval while a worker changes between up and down. */
		readonly fastIntervalMs: number;
		/** Interval while a worker is down. */
		readonly downIntervalMs: number;
		readonly timeoutMs: number;
		/** Good checks that bring a worker back. */
		readonly rise: number;
		/** Bad checks that take it out. */
		readonly fall: number;
	};
	readonly timeouts: {
		readonly connectMs: number;
		/** Silence of a client in the middle of something. */
		readonly clientMs: number;
		/** Silence of a worker that owes an answer to a plain request. */
		readonly serverMs: number;
		/** Silence of a worker on a long-lived path: a long poll is answered after a ping interval at the latest. */
		readonly pollMs: number;
		/** Silence of both ends of a WebSocket. */
		readonly tunnelMs: number;
		/** A request's headers, and the beginning of its body, must have arrived. */
		readonly requestMs: number;
		/** Between two requests of one connection. */
		readonly keepAliveMs: number;
		/** Waiting for a free place at a worker. */
		readonly queueMs: number;
		/** A client that has closed its half. */
		readonly clientFinMs: number;
	};
	readonly workers: HaproxyWorkers;
}

/** An address and port on which clients are served. */
export interface HaproxyBind {
	/** `127.0.0.1`, or `*` for all of IPv4. */
	readonly address: string;
	readonly port: number;
	/** PEM file with certificate and key. HTTP/2 is offered where there is TLS. */
	readonly tls: { readonly certificate: string } | null;
	/** Path under which this port's `/` is found on all others (`/sync`), or null where it is `/` itself. */
	readonly mount: string | null;
}

/** Whom HAProxy believes about a client's address and protocol. Workers get only what was believed. */
export type HaproxyClient =
	/** A load balancer in front: the last address of X-Forwarded-For, which it wrote itself, and its X-Forwarded-Proto. */
	| { readonly kind: "lastForwardedHop" }
	/** Clients connect directly. */
	| { readonly kind: "connection" };

/** Where the workers are. */
export type HaproxyWorkers =
	| {
			/** A headless Service's SRV records, asked for again all the time. */
			readonly kind: "dns";
			readonly service: string;
			/** `<namespace>.svc.cluster.local` */
			readonly domain: string;
			/** Named ports of the Service: the first worker of every pod, the second, ... */
			readonly portNames: readonly string[];
			/** Pods there is room for. */
			readonly slots: number;
			/** `"resolvConf"` for the system's own resolvers. */
			readonly nameservers: "resolvConf" | readonly { readonly host: string; readonly port: number }[];
			readonly resolveIntervalMs: number;
			readonly retryMs: number;
			readonly retries: number;
			/** How long what was known stays in use after an answer of each kind. */
			readonly holdMs: {
				/** A record that is no longer in the answers. */
				readonly obsolete: number;
				readonly nx: number;
				readonly refused: number;
				readonly timeout: number;
				readonly other: number;
			};
	  }
	| {
			readonly kind: "addresses";
			/** Host is an IPv4 address: the sticky cookie is made of it. */
			readonly servers: readonly { readonly name: string; readonly host: string; readonly port: number }[];
	  };
