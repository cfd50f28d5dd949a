/** How the things of the model look over the wire. Lists of them are sent as they are made here, so nothing else may get in. */
import type { z } from "zod";
import type { Activity, Agent, MemoryEntry, Swarm, Task } from "../model.ts";
import type { ActivityView, AgentView, MemoryRecord, MemoryRow, Performance, SwarmStats, SwarmStatus, TaskView } from "./schemas.ts";

export function agentView(agent: Agent): z.input<typeof AgentView> {
	return {
		id: agent.id,
		name: agent.name,
		type: agent.type,
		status: agent.status,
		capabilities: [...agent.capabilities],
		tasks: agent.tasks,
		completedTasks: agent.completedTasks,
		performance: agent.performance,
		memory: agent.memory,
		memoryUsage: agent.memory === null ? null : kibibytes(agent.memory),
		cpu: agent.cpu,
		currentTask: agent.currentTask,
		messageCount: agent.messageCount,
		createdAt: agent.createdAt,
		lastActive: iso(agent.lastActive),
	};
}

export function taskView(task: Task): z.input<typeof TaskView> {
	return {
		id: task.id,
		description: task.description,
		status: task.status,
		priority: task.priority,
		strategy: task.strategy,
		progress: task.progress,
		assignedAgent: task.assignedAgent,
		assignedTo: task.assignedAgent,
		dependencies: [...task.dependencies],
		result: task.result ?? null,
		error: task.error,
		createdAt: task.createdAt,
		startTime: task.startTime === null ? null : iso(task.startTime),
		endTime: task.endTime === null ? null : iso(task.endTime),
	};
}

export function activityView(activity: Activity): z.input<typeof ActivityView> {
	const { id, type, message, metadata, timestamp } = activity;
	return { id, type, message, metadata, timestamp };
}

export function statsOf(agents: readonly Agent[], tasks: readonly Task[]): z.input<typeof SwarmStats> {
	const busy = agents.filter((agent) => agent.status === "busy").length;
	const completed = tasks.filter((task) => task.status === "completed");
	return {
		totalAgents: agents.length,
		activeAgents: busy,
		totalTasks: tasks.length,
		pendingTasks: count(tasks, "pending"),
		completedTasks: completed.length,
		failedTasks: count(tasks, "failed"),
		avgTaskCompletion: mean(
			completed.map((task) => (task.startTime === null || task.endTime === null ? null : task.endTime - task.startTime)),
		),
		messageThroughput: null,
		consensusSuccessRate: null,
		memoryHitRate: null,
		agentUtilization: agents.length === 0 ? 0 : busy / agents.length,
	};
}

export function statusView(swarm: Swarm | null, agents: readonly Agent[], tasks: readonly Task[]): z.input<typeof SwarmStatus> {
	return {
		swarmId: swarm?.swarmId ?? null,
		name: swarm?.name ?? null,
		topology: swarm?.topology ?? null,
		health: agents.length > 0 ? "healthy" : "idle",
		uptime: swarm === null ? 0 : Math.max(0, Math.floor((Date.now() - swarm.createdAt) / 1_000)),
		agents: agents.map(agentView),
		tasks: tasks.map(taskView),
		stats: statsOf(agents, tasks),
		warnings: [],
	};
}

export function performanceView(agents: readonly Agent[], tasks: readonly Task[]): z.input<typeof Performance> {
	const stats = statsOf(agents, tasks);
	const ended = stats.completedTasks + stats.failedTasks;
	return {
		...stats,
		inProgressTasks: count(tasks, "in_progress"),
		cancelledTasks: count(tasks, "cancelled"),
		successRate: ended === 0 ? null : stats.completedTasks / ended,
		agentPerformance: mean(agents.map((agent) => agent.performance)),
		timestamp: now(),
	};
}

export function memoryRow(entry: MemoryEntry): z.input<typeof MemoryRow> {
	return {
		key: entry.key,
		value: entry.value,
		namespace: entry.namespace,
		metadata: entry.metadata === null ? null : { ...entry.metadata },
		created_at: iso(entry.createdAt),
		updated_at: iso(entry.updatedAt),
		expires_at: entry.expiresAt === null ? null : iso(entry.expiresAt),
		access_count: entry.accessCount,
	};
}

export function memoryRecord(entry: MemoryEntry): z.input<typeof MemoryRecord> {
	return {
		key: entry.key,
		namespace: entry.namespace,
		system: entry.system,
		value: parsed(entry.value) === undefined ? JSON.stringify(entry.value) : entry.value,
		created_at: iso(entry.createdAt),
		updated_at: iso(entry.updatedAt),
		ttl: entry.expiresAt === null ? null : Math.max(0, Math.ceil((entry.expiresAt - Date.now()) / 1_000)),
	};
}

/** What was stored, as a value: text that is no JSON, or JSON too deep to be sent again, is itself. */
export function storedValue(stored: string): unknown {
	const value = parsed(stored);
	return value === undefined ? stored : value;
}

export function now(): string {
	return new Date().toISOString();
}

/** Reading JSON goes deeper than writing it, which would fail for everything in the same answer. */
const DEEPEST = 1_000;

function parsed(text: string): unknown {
	try {
		const value: unknown = JSON.parse(text);
		return text.length > 2 * DEEPEST && isDeeper(value, DEEPEST) ? undefined : value;
	} catch {
		return undefined;
	}
}

function isDeeper(value: unknown, levels: number): boolean {
	if (typeof value !== "object" || value === null) return false;
	return levels === 0 || Object.values(value).some((each) => isDeeper(each, levels - 1));
}

function count(tasks: readonly Task[], status: Task["status"]): number {
	return tasks.reduce((sum, task) => sum + (task.status === status ? 1 : 0), 0);
}

/** Of those that are known; null where none is. */
function mean(values: readonly (number | null)[]): number | null {
	const known = values.filter((value) => value !== null);
	return known.length === 0 ? null : known.reduce((sum, value) => sum + value, 0) / known.length;
}

const UNITS: Readonly<Record<string, number>> = { KB: 1, MB: 1_024, GB: 1_048_576 };

/** Of `29MB`; null for what is written otherwise. */
function kibibytes(text: string): number | null {
	const [, figure, unit] = /^(\d+(?:\.\d+)?)(KB|MB|GB)$/.exec(text) ?? [];
	return figure === undefined || unit === undefined ? null : Number(figure) * (UNITS[unit] as number);
}

export function iso(milliseconds: number): string {
	return new Date(milliseconds).toISOString();
}
