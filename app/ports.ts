/**
 * What the edge (http/, ws/) may ask of the services. Every call names its principal and sees that principal's
 * workspace alone; what is another's does not exist for it.
 *
 * Errors: {@link ServiceError} with a code the edge turns into a status. Anything else thrown is a fault of the server's.
 */
import type {
	Activity,
	Agent,
	Job,
	JobState,
	MemoryEntry,
	MemorySystem,
	Principal,
	Role,
	Snapshot,
	Swarm,
	SyncEvent,
	Task,
	TaskPriority,
} from "./model.ts";
import type { TerminalDescription, TerminalEnd, TerminalSize } from "./terminals/messages.ts";

export type ServiceErrorCode =
	/** 400: the request makes no sense. */
	| "INVALID"
	/** 401: no credential, or one that is not valid any more. */
	| "UNAUTHENTICATED"
	/** 403: a role is missing. */
	| "FORBIDDEN"
	/** 404: not there, or another's. */
	| "NOT_FOUND"
	/** 409: not in this state. */
	| "CONFLICT"
	/** 429, with retryAfterSeconds. */
	| "RATE_LIMITED"
	/** 503, with retryAfterSeconds: a dependency is away, or the worker has too much to do. */
	| "UNAVAILABLE"
	/** 501: part of the contract, not of this build. */
	| "NOT_IMPLEMENTED";

/** An expected failure; the message is for the client. */
export class ServiceError extends Error {
	readonly code: ServiceErrorCode;
	/** Seconds after which trying again makes sense. */
	readonly retryAfterSeconds: number | undefined;

	constructor(code: ServiceErrorCode, message: string, retryAfterSeconds?: number) {
		super(message);
		this.name = "ServiceError";
		this.code = code;
		this.retryAfterSeconds = retryAfterSeconds;
	}
}

export interface SwarmService {
	/** The workspace's swarm; null before the first initialisation. */
	current(principal: Principal): Promise<Swarm | null>;
	/** Begins anew: agents, tasks and activities are gone. Needs the role `operator` where there is a swarm already. */
	initialise(
		principal: Principal,
		settings: { name: string; topology: string; maxAgents: number | null; strategy: string | null },
	): Promise<Swarm>;
	/** Everything, and the position in the event sequence that it stands for: consistent, so nothing between is missed. */
	snapshot(principal: Principal): Promise<Snapshot>;
}

export interface AgentService {
	list(principal: Principal): Promise<Agent[]>;
	spawn(principal: Principal, settings: { type: string; name: string | null; capabilities: readonly string[] }): Promise<Agent>;
	/** What an agent reports of itself; what it leaves out stays. */
	report(
		principal: Principal,
		agentId: string,
		figures: { performance?: number; memory?: string; cpu?: number; status?: "idle" | "busy" | "offline" },
	): Promise<Agent>;
	remove(principal: Principal, agentId: string): Promise<void>;
}

export interface TaskService {
	list(principal: Principal): Promise<Task[]>;
	get(principal: Principal, taskId: string): Promise<Task>;
	create(
		principal: Principal,
		settings: { description: string; priority: TaskPriority; strategy: string | null; dependencies: readonly string[] },
	): Promise<Task>;
	/** pending -> in_progress, by an agent. CONFLICT where another has it. */
	claim(principal: Principal, taskId: string, agentId: string): Promise<Task>;
	progress(principal: Principal, taskId: string, percent: number): Promise<Task>;
	complete(principal: Principal, taskId: string, result: unknown): Promise<Task>;
	fail(principal: Principal, taskId: string, error: string): Promise<Task>;
	cancel(principal: Principal, taskId: string): Promise<Task>;
	/** Puts claims that have been silent for too long back to pending; run by one process at a time. Returns how many. */
	expireClaims(): Promise<number>;
}

export interface ActivityService {
	/** Newest first. */
	list(principal: Principal, limit: number): Promise<Activity[]>;
}

export interface MemoryService {
	store(
		principal: Principal,
		entry: {
			system: MemorySystem;
			namespace: string;
			key: string;
			value: string;
			metadata?: Readonly<Record<string, unknown>>;
			ttlSeconds?: number;
		},
	): Promise<MemoryEntry>;
	get(principal: Principal, system: MemorySystem, namespace: string, key: string): Promise<MemoryEntry | null>;
	/** `pattern` is text with `*` for anything. Newest first. */
	search(
		principal: Principal,
		query: { system?: MemorySystem; namespace?: string; pattern: string; limit: number },
	): Promise<MemoryEntry[]>;
	/** The newest entries of a system, and how many there are. */
	list(principal: Principal, system: MemorySystem, limit: number): Promise<{ entries: MemoryEntry[]; total: number }>;
	remove(principal: Principal, system: MemorySystem, namespace: string, key: string): Promise<boolean>;
	/** An entry of the system `swarm` in the namespace {@link PUBLIC_NAMESPACE}: for everybody, so as it is after every change so far. */
	published(workspace: string, key: string): Promise<MemoryEntry | null>;
}

/** What was imported of the original's hive, which nobody works with any more. */
export interface HistoryService {
	/** The newest rows, by the original's own names. */
	hive(principal: Principal): Promise<{
		/** The original's tables, and how many rows each has. */
		readonly kinds: readonly { readonly kind: string; readonly count: number }[];
		readonly agents: readonly Readonly<Record<string, unknown>>[];
		readonly tasks: readonly Readonly<Record<string, unknown>>[];
		readonly sessions: readonly Readonly<Record<string, unknown>>[];
		readonly config: Readonly<Record<string, unknown>> | null;
		/** What swarms remembered together: entries of the system `hivemind`. */
		readonly entries: readonly MemoryEntry[];
		readonly total: number;
	}>;
}

/**
 * What is stored in this namespace anybody may read who knows the workspace and the key. Not a name that somebody has used
 * without meaning it.
 */
export const PUBLIC_NAMESPACE = "published";

/**
 * The cache's name for a published entry. It belongs to no workspace's: most changes of a workspace leave it as it is. What is
 * kept for a principal has its name, encoded, in the last place but one: that is never an `@`.
 */
export function publishedKey(workspace: string, key: string): string {
	return `${publishedPrefix(workspace)}@:${encodeURIComponent(key.toWellFormed())}`;
}

/** What the names of a workspace's published entries begin with. */
export function publishedPrefix(workspace: string): string {
	return `@published:${encodeURIComponent(workspace.toWellFormed())}:`;
}

/** The sequence of a workspace's events, the same for every worker. */
export interface EventService {
	/** Live events of a workspace, in order, none twice, none left out: what pub/sub lost is read again from the stream. Returns the way to stop. */
	subscribe(workspace: string, onEvent: (event: SyncEvent) => void, onGap: (from: number, to: number) => void): Promise<() => void>;
	/** Events after a position, at most `limit`; null where the stream no longer reaches back so far. */
	since(workspace: string, seq: number, limit: number): Promise<SyncEvent[] | null>;
	/** The last position. */
	head(workspace: string): Promise<number>;
}

/** Issues tokens, and ends them. */
export interface TokenService {
	/** A token's secret is shown once, here, and kept only as a hash. */
	issue(settings: {
		subject: string;
		roles: readonly Role[];
		workspace: string;
		expiresAt: number | null;
	}): Promise<{ token: string; credentialId: string }>;
	/** @returns false where there is none, or it has been revoked already */
	revoke(credentialId: string): Promise<boolean>;
	list(): Promise<
		{
			credentialId: string;
			subject: string;
			roles: readonly string[];
			workspace: string;
			createdAt: number;
			expiresAt: number | null;
			revokedAt: number | null;
		}[]
	>;
	/**
	 * A code that begins a session for a token's holder once, and soon: its browser never sees the token.
	 *
	 * @throws ServiceError NOT_FOUND where the token is none, or is over
	 */
	loginCode(credentialId: string): Promise<{ code: string; expiresAt: number }>;
}

export interface IdentityService extends TokenService {
	/** @throws ServiceError UNAUTHENTICATED, always with the same message. */
	fromToken(token: string): Promise<Principal>;
	fromSession(sessionId: string): Promise<Principal>;
	/** Of {@link fromToken} what needs nobody to be asked; null also for a token that is no good. */
	known(token: string): Principal | null;
	/** A browser's session for a token's holder; a new id at every login. */
	login(token: string): Promise<Login>;
	/** The same with a code of {@link loginCode}, which is used up by it. */
	loginWithCode(code: string): Promise<Login>;
	logout(sessionId: string): Promise<void>;
	/** Told at once, on every worker, when a credential ends before its time. Returns the way to stop. */
	onRevoked(listener: (credentialId: string) => void): () => void;
}

/** A session that has begun. */
export interface Login {
	readonly sessionId: string;
	readonly principal: Principal;
	readonly maxAgeSeconds: number;
}

/** Ready answers for reads that many ask for: memory, then Redis, then `load`; one load at a time for a key. */
export interface CacheService {
	/** @param endsAt asked after a load: when that ends by itself, milliseconds since 1970; null for never */
	get(key: string, freshMs: number, staleMs: number, load: () => Promise<unknown>, endsAt?: () => number | null): Promise<CachedBody>;
	/**
	 * Of {@link get} what this worker has in memory: fresh, or stale while it is read anew, for which somebody has to
	 * {@link get} it; the same object for as long as it is. What was changed before this turn of the event loop may not be
	 * known yet: ask at its end.
	 */
	atHand(key: string, freshMs: number, staleMs: number): CachedBody | null;
	/** On every worker, within one hop of pub/sub. Keys begin with the workspace they are of. */
	invalidate(prefix: string): Promise<void>;
	/** Resolves when what was invalidated so far under this prefix, by whoever, is done with. */
	announced(prefix: string): Promise<void>;
}

/** JSON text, ready to send, with its ETag. */
export interface CachedBody {
	readonly body: Buffer;
	readonly etag: string;
}

/** Token buckets that lease from Redis in batches. Where Redis is away each worker goes on with its own share. */
export interface LimitService {
	/** @returns seconds until there is room again; 0 when the request may go on. No round trip in the common case. */
	take(bucket: string, cost: number, limit: { perSecond: number; burst: number }): number;
}

/** What the worker knows of what it depends on. A dead dependency makes a service degraded, never the worker unready. */
export interface HealthService {
	dependencies(): { readonly [name: string]: { readonly status: "up" | "down"; readonly since: number; readonly detail?: string } };
}

/** What somebody wants done. */
export interface JobRequest {
	/** Name in the catalogue, without a prefix. */
	readonly tool: string;
	/** Checked against the tool's schema already. */
	readonly arguments: Readonly<Record<string, unknown>>;
	readonly priority?: TaskPriority;
	/** The same principal's same key within a day is the same job. */
	readonly idempotencyKey?: string;
}

/** Told of a job while it runs; must not throw. What was said before one listens, or while Redis is away, is not told. */
export interface JobListener {
	progress?(percent: number, message: string | null): void;
	output?(stream: "stdout" | "stderr", data: string): void;
}

/**
 * Work that job workers do. It is in PostgreSQL before its id is given out: whatever fails afterwards, it comes to an end,
 * and what it changes is changed once. A job is its principal's alone: for everybody else there is none (NOT_FOUND).
 */
export interface JobService {
	/** @throws ServiceError CONFLICT where the idempotency key stands for another request; RATE_LIMITED where too many wait */
	submit(principal: Principal, request: JobRequest): Promise<Job>;
	/**
	 * Submits, and waits for the end, at most so long.
	 *
	 * @param signal ends the waiting; the job goes on
	 * @param begun called with the job once it is committed
	 * @returns the job, which may still be queued or active
	 */
	run(
		principal: Principal,
		request: JobRequest,
		wait: { readonly ms: number; readonly signal?: AbortSignal; readonly listener?: JobListener; readonly begun?: (job: Job) => void },
	): Promise<Job>;
	/** As {@link run}, for a job that there is already. */
	wait(
		principal: Principal,
		id: string,
		wait: { readonly ms: number; readonly signal?: AbortSignal; readonly listener?: JobListener },
	): Promise<Job>;
	get(principal: Principal, id: string): Promise<Job>;
	/** Newest first; `before` is the id of the last one of the page before. */
	list(principal: Principal, query: { readonly state?: JobState; readonly limit: number; readonly before?: string }): Promise<Job[]>;
	/** At once where it is queued, as soon as its tool lets go where it is active. One that is over stays as it is. */
	cancel(principal: Principal, id: string): Promise<Job>;
	/** Puts a job that is dead or failed back into the queue, as if it had never failed: what it has changed stays, and is not changed again. CONFLICT for any other. */
	retry(principal: Principal, id: string): Promise<Job>;
	/** Of all workspaces together; what they say is a few seconds old at most. */
	figures(): Promise<JobFigures>;
}

export interface JobFigures {
	readonly queued: number;
	readonly active: number;
	/** Asked for since midnight (UTC) and over. */
	readonly endedToday: number;
	/** Dead in the last day. */
	readonly dead: number;
	/** Seconds the oldest queued one has waited; 0 where there is none. */
	readonly oldestSeconds: number;
}

/**
 * Which job stands behind a request of a conversation that goes on over many workers: for whichever is told that it is not
 * wanted any more. All throw ServiceError UNAVAILABLE where that cannot be known.
 */
export interface CallRegistry {
	/** @returns false where the request has been cancelled already */
	begin(principal: Principal, conversation: string, request: string, jobId: string): Promise<boolean>;
	/** @returns the job to cancel; null where there is none, or none yet: {@link begin} will say so */
	cancel(principal: Principal, conversation: string, request: string): Promise<string | null>;
	/** The request has its answer. */
	end(principal: Principal, conversation: string, request: string): Promise<void>;
	/** @returns the jobs of requests that have no answer yet */
	close(principal: Principal, conversation: string): Promise<string[]>;
}

/** A tool as its callers see it. */
export interface ToolDescription {
	/** Without a prefix. */
	readonly name: string;
	readonly category: string;
	readonly description: string;
	/** A JSON schema, as the original has it. */
	readonly inputSchema: Readonly<Record<string, unknown>>;
}

/** The tools there are. */
export interface ToolCatalogue {
	/** Those that the principal may call, in the catalogue's order. */
	list(principal: Principal): readonly ToolDescription[];
	/** With or without the prefix `mcp__claude-flow__`; undefined for what there is not, or not for this principal. */
	find(principal: Principal, name: string): ToolDescription | undefined;
	/** What is wrong with the arguments, a sentence each; empty where nothing is. Defaults of the schema are not filled in. */
	faults(tool: ToolDescription, args: unknown): string[];
}

/** Told what a terminal does; must not throw. */
export interface TerminalListener {
	/** In order, none twice. `offset`: where it begins in all of the terminal's output, counted in UTF-16 units. */
	output(offset: number, data: string): void;
	/** What lay between two positions is not kept any more. */
	skipped(from: number, to: number): void;
	/** After the last output. It is detached then. */
	ended(end: TerminalEnd): void;
}

/** One client's connection to a terminal. */
export interface Terminal {
	readonly sessionId: string;
	readonly description: TerminalDescription;
	/** Where its output goes on. */
	readonly offset: number;
	/** The client has everything up to here, and can take more: none comes before this is said for the first time. */
	follow(offset: number): void;
	input(data: string): Promise<void>;
	resize(size: TerminalSize): Promise<void>;
	/** Ends the terminal itself. */
	end(): Promise<void>;
	/** Leaves the terminal running, for a while. */
	detach(): void;
}

/** Shells on terminal hosts. A terminal is its principal's alone: for everybody else there is none (NOT_FOUND). */
export interface TerminalService {
	/**
	 * @throws ServiceError NOT_IMPLEMENTED where there are no terminals, FORBIDDEN for clients without a credential,
	 *   RATE_LIMITED where there are too many already, UNAVAILABLE where no host has room
	 */
	create(principal: Principal, settings: TerminalSize & { readonly cwd: string | null }, listener: TerminalListener): Promise<Terminal>;
	/** @param offset what is there already; null for all that is kept */
	attach(principal: Principal, sessionId: string, offset: number | null, listener: TerminalListener): Promise<Terminal>;
	list(principal: Principal): Promise<TerminalDescription[]>;
}

export interface Services {
	readonly swarm: SwarmService;
	readonly agents: AgentService;
	readonly tasks: TaskService;
	readonly activities: ActivityService;
	readonly memory: MemoryService;
	readonly history: HistoryService;
	readonly events: EventService;
	readonly identity: IdentityService;
	readonly cache: CacheService;
	readonly limits: LimitService;
	readonly health: HealthService;
	readonly jobs: JobService;
	readonly tools: ToolCatalogue;
	readonly calls: CallRegistry;
	readonly terminals: TerminalService;
}
