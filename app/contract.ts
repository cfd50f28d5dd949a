/**
 * What the server and everything that deploys, balances, watches or loads it agree on.
 * The one file of app/ that other folders may read; it imports nothing.
 */

/** What a process of the image can be. The role is the entry point's only argument. */
export type Role = "server" | "jobs" | "terminal-host" | "migrate" | "token" | "import";

/** The container's command for a role. `server` starts PM2 in the foreground and drains its workers together. */
export function commandOf(role: Role): string[] {
	return ["node", "main.ts", role];
}

/** Numeric user and group of the image: above 10,000, so that it is nobody on the host. */
export const IMAGE_USER = 10001;

/** The group of terminal-host's files. Its shells are users of their own, from TERMINAL_FIRST_UID on. */
export const TERMINAL_USER = 10002;

/** TCP ports. */
export const ports = {
	/** What the original server's clients have written into them. On AWS everything is on 443 instead. */
	native: { http: 3001, sync: 3007, mcp: 3008 },
	/** A pod's own health, answered by the entry process: ready while at least one worker is. */
	pod: 3100,
	/** The first worker's port; worker i listens on this + i. Clear of every native port. */
	firstWorker: 3101,
	/** A worker serves its metrics on its own port + this. */
	metricsOffset: 1000,
} as const;

/** Workers a pod (or a local node) may run. */
export const workersPerPod = { min: 1, max: 8 } as const;

/** The ports of a pod's workers, in order. */
export function workerPorts(workers: number): number[] {
	return Array.from({ length: workers }, (_, index) => ports.firstWorker + index);
}

/** HTTP paths that something outside the server relies on. */
export const paths = {
	health: "/health",
	apiHealth: "/api/health",
	live: "/health/live",
	ready: "/health/ready",
	metrics: "/metrics",
	socketIo: "/socket.io/",
	sync: "/sync",
	mcp: "/mcp",
} as const;

/**
 * What is asked at or below these is answered late: by a socket, by a stream, or when a job worker is done. The load balancer
 * counts such requests apart, so that those that wait keep no others out.
 */
export const lateAnswers: readonly string[] = [paths.sync, paths.mcp, "/api/mcp/execute", "/api/mcp/stream", "/api/jobs"];

/**
 * Responses the load balancer may keep for a second: the same for everybody, whoever asks.
 * Nothing that reads a session or a token may ever be on this list. An entry that ends in `/` is a prefix, but for `/` itself.
 */
export const publicPaths: readonly string[] = ["/openapi.json", "/api/docs", "/api/public/", "/", "/page/"];

/** The cookie by which a browser stays with its worker. */
export const STICKY_COOKIE = "agentic_worker";

/** Query parameter in which Engine.IO sends its session id: `<sticky cookie of the worker>.<random>`. */
export const ENGINE_SESSION_PARAM = "sid";

/** Between the worker's sticky cookie and the random part of an Engine.IO session id. */
export const ENGINE_SESSION_SEPARATOR = ".";

/** Environment variables: settings, never secrets. */
export const env = {
	port: "PORT",
	workers: "WORKERS",
	/** Megabytes a worker may use before PM2 replaces it. */
	workerMemoryMib: "WORKER_MEMORY_MIB",
	drainSeconds: "DRAIN_SECONDS",
	/** The address HAProxy reaches this process at; with the port and the key it gives the sticky cookie. */
	podIp: "POD_IP",
	stickyKey: "STICKY_KEY",
	publicOrigin: "PUBLIC_ORIGIN",
	allowedHosts: "ALLOWED_HOSTS",
	allowedOrigins: "ALLOWED_ORIGINS",
	/** How often an idle WebSocket or Engine.IO session is pinged. */
	pingSeconds: "PING_SECONDS",
	/** When a worker closes a silent connection: longer than whatever is in front of it. */
	keepAliveSeconds: "KEEP_ALIVE_SECONDS",
	terminals: "TERMINALS",
	/** Folder for the homes of terminals' shells. */
	terminalHomes: "TERMINAL_HOMES",
	/** The first of a thousand user ids for shells, where their host is root. */
	terminalFirstUid: "TERMINAL_FIRST_UID",
	/** 1024 characters a second that all of a host's terminals may write together. */
	terminalHostOutputKib: "TERMINAL_HOST_OUTPUT_KIB",
	secretsDir: "SECRETS_DIR",
	redisState: "REDIS_STATE",
	redisCache: "REDIS_CACHE",
	redisTls: "REDIS_TLS",
	postgresPrimary: "POSTGRES_PRIMARY",
	/** `host:port`, comma-separated; empty where there are none. */
	postgresReplicas: "POSTGRES_REPLICAS",
	postgresDatabase: "POSTGRES_DATABASE",
	postgresTls: "POSTGRES_TLS",
	poolPrimary: "POSTGRES_POOL_PRIMARY",
	poolReplica: "POSTGRES_POOL_REPLICA",
	jobConcurrency: "JOB_CONCURRENCY",
	retentionMonths: "RETENTION_MONTHS",
	pm2Home: "PM2_HOME",
} as const;

/** Where secret files are mounted unless SECRETS_DIR says otherwise. Read again at every connect. */
export const SECRETS_DIR = "/run/secrets/agentic-flow";

/** Secret files below the secrets folder: one folder a credential. */
export const secretFiles = {
	/**
	 * The database role in use now: `username`, `password`; and `previous-username`, `previous-password`, to be tried where
	 * the first is refused. Two roles alternate, so a rotation cuts nobody off.
	 */
	postgres: "postgres",
	/**
	 * Only for `migrate`: the administrator's `username` and `password`, and those of both application roles as
	 * `current-...` and `previous-...`, which it sets in the database.
	 */
	postgresAdmin: "postgres-admin",
	redisState: "redis-state",
	redisCache: "redis-cache",
	/** Only for `terminal-host`: a Redis user limited to {@link redisKeys.terminals}. */
	redisTerminals: "redis-terminals",
	/** `current` and `previous`: keys that sign session cookies. */
	session: "session",
} as const;

/** Prefixes of the keys and channels in the state Redis. */
export const redisKeys = { all: "af:", terminals: "af:term:" } as const;

/** Seconds. Each stack may set its own drain; these are what the server uses when nothing is said. */
export const seconds = {
	drain: 30,
	/** From the end of the drain to the kill: closing pools, flushing logs. */
	killMargin: 10,
	/** How often an idle WebSocket or Engine.IO session is pinged. */
	ping: 25,
	/** How long the server waits for the answer. */
	pingTimeout: 20,
} as const;
