import { z } from "zod";
import type { Principal } from "../../model.ts";
import { type MemoryService, ServiceError, type Services } from "../../ports.ts";
import { type Endpoint, endpoint } from "../endpoint.ts";
import {
	EntryParams,
	EntryQuery,
	envelope,
	HivemindMemory,
	MemoryRecord,
	MemoryRow,
	RetrievedMemory,
	RetrieveMemory,
	SearchMemory,
	StoredMemory,
	StoreMemory,
	SwarmMemory,
} from "../schemas.ts";
import { agentView, memoryRecord, memoryRow, now, storedValue, taskView } from "../views.ts";

/** Rows of a table that a listing shows. */
const ROWS = 20;

const COLUMNS = Object.keys(MemoryRow.shape);

/** What swarms remember: a value for each system, namespace and key. */
export function memoryEndpoints({ memory, history, agents, tasks }: Services): Endpoint[] {
	return [
		endpoint({
			method: "GET",
			path: "/api/memory/swarm",
			kind: "list",
			tag: "memory",
			summary: "The newest entries of the system `swarm`.",
			answer: SwarmMemory,
			keptAs: () => "memory-swarm",
			handle: async ({ principal }) => {
				const { entries, total } = await memory.list(principal, "swarm", 100);
				const data = entries.slice(0, ROWS).map(memoryRow);
				return {
					tables: ["memory_entries"],
					tableData: { memory_entries: { count: total, data, columns: data.length === 0 ? [] : COLUMNS } },
					path: null,
					entries: entries.map(memoryRow).map((row) => ({
						key: row.key,
						value: storedValue(row.value),
						namespace: row.namespace,
						created_at: row.created_at,
						updated_at: row.updated_at,
					})),
					total,
				};
			},
		}),
		endpoint({
			method: "GET",
			path: "/api/memory/hivemind",
			kind: "list",
			tag: "memory",
			summary: "The newest entries of the system `hivemind`, with some agents and tasks, and what was imported of the original's.",
			answer: HivemindMemory,
			keptAs: () => "memory-hivemind",
			handle: async ({ principal }) => {
				const [listed, allAgents, allTasks, imported] = await Promise.all([
					memory.list(principal, "hivemind", 50),
					agents.list(principal),
					tasks.list(principal),
					history.hive(principal),
				]);
				return {
					memory: { entries: listed.entries.map(memoryRow), total: listed.total },
					hive: {
						entries: imported.entries.map(memoryRow),
						total: imported.total,
						tables: [...new Set(["agents", "tasks", ...imported.kinds.map(({ kind }) => kind)])],
						agents: [...allAgents.slice(0, ROWS).map(agentView), ...imported.agents].slice(0, ROWS),
						tasks: [...allTasks.slice(0, ROWS).map(taskView), ...imported.tasks].slice(0, ROWS),
					},
					config: imported.config,
					sessions: [...imported.sessions],
				};
			},
		}),
		endpoint({
			method: "POST",
			path: "/api/memory/store",
			kind: "write",
			tag: "memory",
			summary: "Stores a value, as JSON.",
			body: StoreMemory,
			answer: StoredMemory,
			handle: async ({ principal, body }) => await store(memory, principal, body, JSON.stringify(body.value)),
		}),
		endpoint({
			method: "POST",
			path: "/api/memory",
			kind: "write",
			tag: "memory",
			summary: "Stores a value. Text is stored as it is: clients of this route have made JSON of it.",
			body: StoreMemory,
			answer: StoredMemory,
			handle: async ({ principal, body }) =>
				await store(memory, principal, body, typeof body.value === "string" ? body.value : JSON.stringify(body.value)),
		}),
		endpoint({
			method: "GET",
			path: "/api/memory/retrieve",
			kind: "read",
			tag: "memory",
			summary: "A value by its key. What is not there is found: false.",
			query: RetrieveMemory,
			answer: RetrievedMemory,
			handle: async ({ principal, query }) => {
				const entry = await memory.get(principal, query.system, query.namespace, query.key);
				return {
					success: true as const,
					key: query.key,
					namespace: query.namespace,
					value: entry === null ? null : storedValue(entry.value),
					found: entry !== null,
					timestamp: now(),
				};
			},
		}),
		endpoint({
			method: "GET",
			path: "/api/memory/search",
			kind: "read",
			tag: "memory",
			summary: "Entries that fit a pattern, in which `*` is anything. Newest first.",
			query: SearchMemory,
			answer: z.array(MemoryRecord),
			handle: async ({ principal, query }) => (await memory.search(principal, query)).map(memoryRecord),
		}),
		endpoint({
			method: "GET",
			path: "/api/memory/:namespace/*",
			kind: "read",
			tag: "memory",
			summary: "An entry by its namespace and key.",
			params: EntryParams,
			query: EntryQuery,
			answer: MemoryRecord,
			handle: async ({ principal, params, query }) => {
				const entry = await memory.get(principal, query.system, params.namespace, params["*"]);
				if (entry === null) throw nothing();
				return memoryRecord(entry);
			},
		}),
		endpoint({
			method: "DELETE",
			path: "/api/memory/:namespace/*",
			kind: "write",
			tag: "memory",
			summary: "Removes an entry.",
			params: EntryParams,
			query: EntryQuery,
			answer: z.object({ ...envelope, key: z.string(), namespace: z.string() }),
			handle: async ({ principal, params, query }) => {
				const key = params["*"];
				if (!(await memory.remove(principal, query.system, params.namespace, key))) throw nothing();
				return { success: true as const, key, namespace: params.namespace, timestamp: now() };
			},
		}),
	];
}

/** @param value as it is to be stored */
async function store(
	memory: MemoryService,
	principal: Principal,
	{ key, namespace, system, ttl, metadata }: z.output<typeof StoreMemory>,
	value: string,
): Promise<z.input<typeof StoredMemory>> {
	await memory.store(principal, { system, namespace, key, value, metadata: metadata ?? undefined, ttlSeconds: ttl });
	return { success: true, key, namespace, system, timestamp: now() };
}

function nothing(): ServiceError {
	return new ServiceError("NOT_FOUND", "There is no such entry");
}
