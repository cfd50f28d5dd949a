/** Schemas of what goes over the wire. Named ones are components of the OpenAPI document. */
import { z } from "zod";
import type { Failure } from "./errors.ts";

/** Text from a path or a query, where a NUL can be written as `%00`. In bodies parseBody sees to it. */
const words = (max: number) =>
	z
		.string()
		.max(max)
		.refine((text) => !text.includes("\0"), "must not contain NUL characters");

/** Where the original took anything that is not there, empty or null for "nothing said". */
const said = (max: number) =>
	z
		.string()
		.trim()
		.max(max)
		.nullish()
		.transform((text) => text || null);

export const Id = words(200);

const Timestamp = z.string().meta({ format: "date-time" });

/** What every failed request is answered with. */
export const FailureSchema: z.ZodType<Failure> = z
	.object({
		success: z.literal(false),
		error: z.string(),
		message: z.string().meta({ description: "The same with method and path." }),
		timestamp: Timestamp,
	})
	.meta({ id: "Failure" });

export const success = z.literal(true);

/** Fields of the second envelope, which some routes have. */
export const envelope = { success, timestamp: Timestamp };

// --- Agents

export const AgentStatus = z.enum(["idle", "busy", "offline"]);

export const AgentView = z
	.object({
		id: z.string(),
		name: z.string(),
		type: z.string(),
		status: AgentStatus,
		capabilities: z.array(z.string()),
		tasks: z.int().meta({ description: "Tasks assigned so far." }),
		completedTasks: z.int(),
		performance: z.number().nullable().meta({ description: "As the agent reported it; null until it does." }),
		memory: z.string().nullable().meta({ description: "As the agent reported it, such as `29MB`; null until it does." }),
		memoryUsage: z.number().nullable().meta({ description: "The same in KiB." }),
		cpu: z.number().nullable().meta({ description: "Per cent, as the agent reported it; null until it does." }),
		currentTask: z.string().nullable(),
		messageCount: z.int(),
		createdAt: z.int().meta({ description: "Milliseconds since 1970." }),
		lastActive: Timestamp,
	})
	.meta({ id: "Agent" });

export const SpawnAgent = z
	.object({
		type: said(100),
		name: said(200),
		capabilities: z.array(z.string().max(200)).max(100).nullish(),
		autoAssign: z.unknown().optional().meta({ description: "Accepted and without effect: agents claim their tasks." }),
	})
	.meta({ id: "SpawnAgent" });

export const AgentReport = z
	.object({
		performance: z.number().min(0).max(100).optional(),
		memory: z
			.string()
			.regex(/^\d{1,9}(\.\d{1,3})?(KB|MB|GB)$/)
			.optional(),
		cpu: z.number().min(0).max(100_000).optional(),
		status: AgentStatus.optional(),
	})
	.meta({ id: "AgentReport", description: "What is left out stays as it is." });

// --- Tasks

export const TaskStatus = z.enum(["pending", "in_progress", "completed", "failed", "cancelled"]);

export const TaskPriority = z.enum(["low", "medium", "high", "critical"]);

export const TaskView = z
	.object({
		id: z.string(),
		description: z.string(),
		status: TaskStatus,
		priority: TaskPriority,
		strategy: z.string().nullable(),
		progress: z.number().meta({ description: "0 to 100." }),
		assignedAgent: z.string().nullable(),
		assignedTo: z.string().nullable().meta({ description: "The same agent, under the other name clients use." }),
		dependencies: z.array(z.string()),
		result: z.unknown(),
		error: z.string().nullable(),
		createdAt: z.int().meta({ description: "Milliseconds since 1970." }),
		startTime: Timestamp.nullable(),
		endTime: Timestamp.nullable(),
	})
	.meta({ id: "Task" });

const dependencies = z.array(Id).max(100).nullish();

export const CreateTask = z
	.object({
		description: z
			.string()
			.max(100_000)
			.nullish()
			.transform((text) => text ?? ""),
		priority: TaskPriority.nullish().transform((priority) => priority ?? "medium"),
		strategy: said(100),
		dependencies,
		requireConsensus: z.unknown().optional().meta({ description: "Accepted and without effect." }),
		maxAgents: z.unknown().optional().meta({ description: "Accepted and without effect." }),
	})
	.meta({ id: "CreateTask" });

export const TaskAnswer = z.object({ ...envelope, task: TaskView });

export const TaskParams = z.object({ taskId: Id });

export const AgentParams = z.object({ agentId: Id });

export const Claim = z.object({ agentId: Id.min(1) }).meta({ id: "Claim" });

export const Progress = z.object({ progress: z.number().min(0).max(100) }).meta({ id: "Progress" });

export const Completion = z.object({ result: z.unknown().optional() }).meta({ id: "Completion" });

export const TaskFailure = z.object({ error: z.string().min(1).max(100_000) }).meta({ id: "TaskFailure" });

// --- Swarm

export const InitSwarm = z
	.object({
		name: said(200),
		topology: said(100),
		maxAgents: z.int().min(1).max(100_000).nullish(),
		strategy: said(100),
	})
	.meta({ id: "InitSwarm" });

export const SwarmStats = z
	.object({
		totalAgents: z.int(),
		activeAgents: z.int(),
		totalTasks: z.int(),
		pendingTasks: z.int(),
		completedTasks: z.int(),
		failedTasks: z.int(),
		avgTaskCompletion: z.number().nullable().meta({ description: "Mean milliseconds from claim to completion; null while there is none." }),
		messageThroughput: z.null().meta({ description: "Not measured." }),
		consensusSuccessRate: z.null().meta({ description: "Not measured." }),
		memoryHitRate: z.null().meta({ description: "Not measured." }),
		agentUtilization: z.number().meta({ description: "Busy agents of all, 0 to 1." }),
	})
	.meta({ id: "SwarmStats" });

export const SwarmStatus = z
	.object({
		swarmId: z.string().nullable().meta({ description: "Null before the first initialisation." }),
		name: z.string().nullable(),
		topology: z.string().nullable(),
		health: z.enum(["healthy", "idle"]),
		uptime: z.int().meta({ description: "Seconds since the swarm began." }),
		agents: z.array(AgentView),
		tasks: z.array(TaskView),
		stats: SwarmStats,
		warnings: z.array(z.string()),
	})
	.meta({ id: "SwarmStatus" });

export const Performance = z
	.object({
		...SwarmStats.shape,
		inProgressTasks: z.int(),
		cancelledTasks: z.int(),
		successRate: z
			.number()
			.nullable()
			.meta({ description: "Completed of all that ended by themselves, 0 to 1; null while there is none." }),
		agentPerformance: z.number().nullable().meta({ description: "Mean of what agents reported; null where none did." }),
		timestamp: Timestamp,
	})
	.meta({ id: "Performance" });

export const ActivityView = z
	.object({
		id: z.string(),
		type: z.string(),
		message: z.string(),
		metadata: z.record(z.string(), z.unknown()),
		timestamp: z.int().meta({ description: "Milliseconds since 1970." }),
	})
	.meta({ id: "Activity" });

/** Of a query. The original gave all there is for what is no number above 0, and so does this, up to the most there is to give. */
export function limitOf(usual: number, most: number) {
	return z
		.string()
		.max(20)
		.optional()
		.transform((text) => {
			const wanted = text === undefined ? usual : Number(text);
			return Number.isInteger(wanted) && wanted > 0 ? Math.min(wanted, most) : most;
		})
		.meta({ description: `${usual} where nothing is said, ${most} at most and for what is no number above 0.` });
}

/** The workspace has one swarm; whoever names another is told that it is not there. */
export const SwarmQuery = z.object({ swarmId: Id.optional() });

// --- Memory

export const MemorySystem = z.enum(["swarm", "hivemind"]);

const namespace = words(256)
	.nullish()
	.transform((text) => text || "default");

const system = MemorySystem.nullish().transform((given) => given ?? "swarm");

export const StoreMemory = z
	.object({
		key: words(1_024).min(1),
		value: z.unknown(),
		namespace,
		system,
		ttl: z
			.int()
			.min(0)
			.max(1_000_000_000)
			.nullish()
			.transform((seconds) => seconds || undefined)
			.meta({ description: "Seconds; for ever where there is none." }),
		metadata: z.record(z.string(), z.unknown()).nullish(),
	})
	.meta({ id: "StoreMemory" });

export const StoredMemory = z
	.object({ ...envelope, key: z.string(), namespace: z.string(), system: MemorySystem })
	.meta({ id: "StoredMemory" });

export const RetrieveMemory = z.object({ key: words(1_024).min(1), namespace, system });

export const RetrievedMemory = z.object({
	...envelope,
	key: z.string(),
	namespace: z.string(),
	value: z.unknown().meta({ description: "Parsed where it is JSON; null where nothing is found." }),
	found: z.boolean(),
});

/** `*` is the key: it may have slashes in it. */
export const EntryParams = z.object({ namespace: words(256).min(1), "*": words(1_024).min(1) });

export const EntryQuery = z.object({ system });

export const MemoryRecord = z
	.object({
		key: z.string(),
		namespace: z.string(),
		system: MemorySystem,
		value: z.string().meta({ description: "JSON text." }),
		created_at: Timestamp,
		updated_at: Timestamp,
		ttl: z.int().nullable().meta({ description: "Seconds left; null for ever." }),
	})
	.meta({ id: "MemoryRecord" });

/** `*` is the key: it may have slashes in it. */
export const PublishedParams = z.object({ workspace: words(256).min(1), "*": words(1_024).min(1) });

export const PublishedEntry = z
	.object({ workspace: z.string(), key: z.string(), value: z.unknown(), updated_at: Timestamp })
	.meta({ id: "PublishedEntry" });

export const SearchMemory = z.object({
	pattern: words(1_024).default("*"),
	namespace: words(256).optional(),
	system: MemorySystem.optional(),
	limit: limitOf(10, 100),
});

/** A row as the original's tables had it: `value` as it was stored. */
export const MemoryRow = z
	.object({
		key: z.string(),
		value: z.string(),
		namespace: z.string(),
		metadata: z.record(z.string(), z.unknown()).nullable(),
		created_at: Timestamp,
		updated_at: Timestamp,
		expires_at: Timestamp.nullable(),
		access_count: z.int(),
	})
	.meta({ id: "MemoryRow" });

export const SwarmMemory = z.object({
	tables: z.array(z.string()),
	tableData: z.record(z.string(), z.object({ count: z.int(), data: z.array(MemoryRow), columns: z.array(z.string()) })),
	path: z.null().meta({ description: "There is no file." }),
	entries: z.array(
		z.object({
			key: z.string(),
			value: z.unknown().meta({ description: "Parsed where it is JSON." }),
			namespace: z.string(),
			created_at: Timestamp,
			updated_at: Timestamp,
		}),
	),
	total: z.int(),
});

/** A row of the original's, imported: by the original's own names. */
const ImportedRow = z.record(z.string(), z.unknown()).meta({ id: "ImportedRow" });

export const HivemindMemory = z.object({
	memory: z.object({ entries: z.array(MemoryRow), total: z.int() }),
	hive: z.object({
		entries: z.array(MemoryRow).meta({ description: "What the original's swarms remembered together." }),
		total: z.int(),
		tables: z.array(z.string()),
		agents: z.array(z.union([AgentView, ImportedRow])).meta({ description: "This server's, then imported ones." }),
		tasks: z.array(z.union([TaskView, ImportedRow])).meta({ description: "This server's, then imported ones." }),
	}),
	config: ImportedRow.nullable().meta({ description: "As it was imported." }),
	sessions: z.array(ImportedRow).meta({ description: "As they were imported, newest first." }),
});

// --- Health

export const Dependencies = z.record(z.string(), z.object({ status: z.enum(["up", "down"]), since: Timestamp }));

export const Integrations = z.object({ hive: z.enum(["connected", "disconnected"]), mastra: z.literal("disconnected") });
