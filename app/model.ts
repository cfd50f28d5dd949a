/** What the server is about: the things its clients see. Times are milliseconds since 1970 unless a name says otherwise. */

/** Who is asking, decided once where a request or a socket comes in. */
export interface Principal {
	/** `token:<subject>`, `session:<user>` or `legacy:local`. Everything that belongs to somebody names this. */
	readonly id: string;
	/** `operator` may also re-initialise a swarm; everybody may do the rest. */
	readonly roles: readonly Role[];
	/** The workspace whose swarm this principal sees. */
	readonly workspace: string;
	/** When the credential ends by itself; null for never. A live socket is cut then. */
	readonly expiresAt: number | null;
	/** Which credential this is, for cutting live sockets when it is revoked; never the credential itself. */
	readonly credentialId: string;
}

export type Role = "member" | "operator";

export interface Swarm {
	readonly swarmId: string;
	readonly name: string;
	readonly topology: string;
	readonly maxAgents: number | null;
	readonly strategy: string | null;
	readonly createdAt: number;
}

export type AgentStatus = "idle" | "busy" | "offline";

/** What nobody measures is null: performance, memory and CPU stay null until an agent reports them. */
export interface Agent {
	readonly id: string;
	readonly name: string;
	readonly type: string;
	readonly status: AgentStatus;
	readonly capabilities: readonly string[];
	/** Tasks assigned so far. */
	readonly tasks: number;
	readonly completedTasks: number;
	readonly performance: number | null;
	/** `"29MB"`, as the original writes it. */
	readonly memory: string | null;
	readonly cpu: number | null;
	readonly currentTask: string | null;
	readonly messageCount: number;
	readonly createdAt: number;
	readonly lastActive: number;
}

/** pending -> in_progress (claim) -> completed | failed; any of the first two -> cancelled. A claim that is silent too long goes back to pending. */
export type TaskStatus = "pending" | "in_progress" | "completed" | "failed" | "cancelled";

export type TaskPriority = "low" | "medium" | "high" | "critical";

export interface Task {
	readonly id: string;
	readonly description: string;
	readonly status: TaskStatus;
	readonly priority: TaskPriority;
	readonly strategy: string | null;
	/** 0 to 100. */
	readonly progress: number;
	readonly assignedAgent: string | null;
	readonly dependencies: readonly string[];
	readonly result: unknown;
	readonly error: string | null;
	readonly createdAt: number;
	readonly startTime: number | null;
	readonly endTime: number | null;
}

export interface Activity {
	readonly id: string;
	readonly type: string;
	readonly message: string;
	readonly metadata: Readonly<Record<string, unknown>>;
	readonly timestamp: number;
}

/** A value under (system, namespace, key): the same key in two namespaces is two keys. */
export interface MemoryEntry {
	readonly system: MemorySystem;
	readonly namespace: string;
	readonly key: string;
	/** As it was stored: JSON text, or plain text. */
	readonly value: string;
	readonly metadata: Readonly<Record<string, unknown>> | null;
	readonly createdAt: number;
	readonly updatedAt: number;
	readonly accessCount: number;
	/** Null for never. An entry past it does not exist. */
	readonly expiresAt: number | null;
}

export type MemorySystem = "swarm" | "hivemind";

/** What /sync tells its clients: an entity of a workspace is new, changed or gone. */
export interface SyncEvent {
	/** Position in the workspace's sequence: 1, 2, 3, ... without holes. */
	readonly seq: number;
	readonly entityType: EntityType;
	/** Null for what has no single entity, such as a wipe. */
	readonly entityId: string | null;
	readonly action: "created" | "updated" | "deleted" | "reset";
	readonly data: unknown;
	/** `data` as JSON, where that is at hand. */
	readonly json?: string | undefined;
	readonly timestamp: number;
}

export type EntityType = "swarm" | "agent" | "task" | "memory" | "activity";

/** Everything a client needs to begin with, and the position from which to go on. */
export interface Snapshot {
	readonly seq: number;
	readonly swarms: readonly Swarm[];
	readonly agents: readonly Agent[];
	readonly tasks: readonly Task[];
	readonly memory: readonly { readonly namespace: string; readonly entries: number }[];
	readonly timestamp: number;
}

/**
 * queued -> active -> completed | failed | dead; any of the first two -> cancelled. A job whose worker is lost, or that may
 * succeed another time, goes back to queued; `dead` is one for which that has been tried often enough.
 */
export type JobState = "queued" | "active" | "completed" | "failed" | "cancelled" | "dead";

/** A tool that somebody asked for. It is there from before the answer until its month is dropped. */
export interface Job {
	/** UUIDv7: never used again, and in the order of time. */
	readonly id: string;
	readonly tool: string;
	readonly arguments: Readonly<Record<string, unknown>>;
	readonly state: JobState;
	readonly priority: TaskPriority;
	/** How often it has been begun. */
	readonly attempts: number;
	/** After so many attempts that failed in a way that may pass it is dead; lost workers are counted apart. */
	readonly maxAttempts: number;
	/** 0 to 100. */
	readonly progress: number;
	readonly message: string | null;
	/** Null until it is completed. */
	readonly result: unknown;
	/** Why it did not succeed, or, of one that will be tried again, why it did not the last time. */
	readonly error: JobError | null;
	readonly createdAt: number;
	readonly startedAt: number | null;
	readonly endedAt: number | null;
}

/** Nothing more will become of it. */
export function isOver({ state }: Pick<Job, "state">): boolean {
	return state !== "queued" && state !== "active";
}

export interface JobError {
	readonly code: JobErrorCode;
	readonly message: string;
}

export type JobErrorCode =
	/** The arguments make no sense. */
	| "INVALID"
	| "FORBIDDEN"
	| "NOT_FOUND"
	| "CONFLICT"
	/** Nothing here can run the tool; the message says what is missing. */
	| "TOOL_UNAVAILABLE"
	/** The tool ran and failed. */
	| "TOOL_FAILED"
	| "TIMEOUT"
	/** More output than is kept. */
	| "OUTPUT_LIMIT"
	| "CANCELLED"
	/** Its worker was lost in the middle of what cannot be done twice: whether it took effect is not known. */
	| "INTERRUPTED"
	/** A fault of the server's, or something it needs was away. */
	| "UNAVAILABLE";
