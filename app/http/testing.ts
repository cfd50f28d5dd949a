/**
 * The services in memory, for tests of the edge: they do what ports.ts promises, in one process and without PostgreSQL or
 * Redis. What they leave out: silent claims never expire, and nothing is shared between two of them.
 */
import { createHash, randomBytes, randomUUID } from "node:crypto";
import type { FastifyInstance } from "fastify";
import { inMemoryCalls, inMemoryJobs, inMemoryTools, type TestJobs } from "../mcp/jobs.fixture.ts";
import type { Activity, Agent, MemoryEntry, Principal, Role, Swarm, SyncEvent, Task } from "../model.ts";
import {
	type AgentService,
	type CachedBody,
	type CacheService,
	type IdentityService,
	type LimitService,
	type MemoryService,
	PUBLIC_NAMESPACE,
	publishedKey,
	ServiceError,
	type Services,
	type TaskService,
} from "../ports.ts";
import { buildApp } from "./app.ts";
import type { HttpObserver, HttpSettings, Refusal } from "./settings.ts";

/** The state of one workspace. */
class Workspace {
	swarm: Swarm | null = null;
	readonly agents = new Map<string, Agent>();
	readonly tasks = new Map<string, Task>();
	readonly memory = new Map<string, MemoryEntry>();
	activities: Activity[] = [];
	readonly events: SyncEvent[] = [];

	note(type: string, message: string, event: Pick<SyncEvent, "entityType" | "entityId" | "action" | "data">): void {
		const timestamp = Date.now();
		this.activities.unshift({ id: randomUUID(), type, message, metadata: {}, timestamp });
		this.events.push({ ...event, seq: this.events.length + 1, timestamp });
	}

	agent(id: string): Agent {
		return this.agents.get(id) ?? missing("agent");
	}

	task(id: string): Task {
		return this.tasks.get(id) ?? missing("task");
	}

	putAgent(agent: Agent, action: "created" | "updated" = "updated"): Agent {
		this.agents.set(agent.id, agent);
		this.note("agent", `Agent ${agent.name} ${action}`, { entityType: "agent", entityId: agent.id, action, data: agent });
		return agent;
	}

	putTask(task: Task, action: "created" | "updated" = "updated"): Task {
		this.tasks.set(task.id, task);
		this.note("task", `Task ${task.id} ${task.status}`, { entityType: "task", entityId: task.id, action, data: task });
		return task;
	}
}

function absent(): never {
	throw new ServiceError("NOT_IMPLEMENTED", "Not part of these services.");
}

/** Services whose dependencies a test can take away. */
export interface TestServices extends Services {
	readonly jobs: TestJobs;
	/** Names of dependencies that are away. */
	readonly away: Set<string>;
}

export function inMemoryServices(): TestServices {
	const workspaces = new Map<string, Workspace>();
	const of = ({ workspace }: Principal): Workspace => {
		const known = workspaces.get(workspace) ?? new Workspace();
		workspaces.set(workspace, known);
		return known;
	};
	const away = new Set<string>();
	const since = Date.now();
	const cache = cacheService();
	return {
		swarm: {
			current: async (principal) => of(principal).swarm,
			async initialise(principal, settings) {
				const space = of(principal);
				if (space.swarm !== null && !principal.roles.includes("operator"))
					throw new ServiceError("FORBIDDEN", "This needs the role operator");
				space.agents.clear();
				space.tasks.clear();
				space.activities = [];
				space.swarm = { swarmId: `swarm-${randomUUID()}`, ...settings, createdAt: Date.now() };
				space.note("swarm", "Swarm initialised", {
					entityType: "swarm",
					entityId: space.swarm.swarmId,
					action: "reset",
					data: space.swarm,
				});
				return space.swarm;
			},
			async snapshot(principal) {
				const space = of(principal);
				const namespaces = Map.groupBy(alive(space), (entry) => entry.namespace);
				return {
					seq: space.events.length,
					swarms: space.swarm === null ? [] : [space.swarm],
					agents: [...space.agents.values()],
					tasks: [...space.tasks.values()],
					memory: [...namespaces].map(([namespace, entries]) => ({ namespace, entries: entries.length })),
					timestamp: Date.now(),
				};
			},
		},
		agents: agentService(of),
		tasks: taskService(of),
		activities: { list: async (principal, limit) => of(principal).activities.slice(0, limit) },
		memory: memoryService(of, (workspace) => alive(workspaces.get(workspace) ?? new Workspace()), cache),
		// Nothing was imported.
		history: { hive: async () => ({ kinds: [], agents: [], tasks: [], sessions: [], config: null, entries: [], total: 0 }) },
		events: {
			subscribe: async () => () => {},
			since: async (workspace, seq, limit) => (workspaces.get(workspace)?.events ?? []).slice(seq, seq + limit),
			head: async (workspace) => workspaces.get(workspace)?.events.length ?? 0,
		},
		identity: identityService(),
		cache,
		limits: limitService(),
		terminals: { create: absent, attach: absent, list: async () => [] },
		jobs: inMemoryJobs(),
		tools: inMemoryTools(),
		calls: inMemoryCalls(),
		health: {
			dependencies: () =>
				Object.fromEntries(
					["postgres", "redis"].map((name) => [name, { status: away.has(name) ? "down" : "up", since, detail: "10.0.0.1:1234" }] as const),
				),
		},
		away,
	};
}

function agentService(of: (principal: Principal) => Workspace): AgentService {
	return {
		list: async (principal) => [...of(principal).agents.values()],
		async spawn(principal, { type, name, capabilities }) {
			const space = of(principal);
			const now = Date.now();
			const agent: Agent = {
				id: `agent-${randomUUID()}`,
				name: name ?? `${type}-${space.agents.size + 1}`,
				type,
				status: "idle",
				capabilities,
				tasks: 0,
				completedTasks: 0,
				performance: null,
				memory: null,
				cpu: null,
				currentTask: null,
				messageCount: 0,
				createdAt: now,
				lastActive: now,
			};
			return space.putAgent(agent, "created");
		},
		async report(principal, agentId, figures) {
			const space = of(principal);
			return space.putAgent({ ...space.agent(agentId), ...figures, lastActive: Date.now() });
		},
		async remove(principal, agentId) {
			const space = of(principal);
			space.agent(agentId);
			space.agents.delete(agentId);
		},
	};
}

function taskService(of: (principal: Principal) => Workspace): TaskService {
	/** Ends a task and frees its agent. */
	function end(principal: Principal, taskId: string, from: readonly Task["status"][], outcome: Partial<Task>): Task {
		const space = of(principal);
		const task = space.task(taskId);
		if (!from.includes(task.status)) throw new ServiceError("CONFLICT", `The task is ${task.status}`);
		const agent = task.assignedAgent === null ? undefined : space.agents.get(task.assignedAgent);
		if (agent !== undefined) {
			const completedTasks = agent.completedTasks + (outcome.status === "completed" ? 1 : 0);
			space.putAgent({ ...agent, status: "idle", currentTask: null, completedTasks });
		}
		return space.putTask({ ...task, ...outcome, endTime: Date.now() });
	}

	return {
		list: async (principal) => [...of(principal).tasks.values()],
		get: async (principal, taskId) => of(principal).task(taskId),
		async create(principal, settings) {
			const task: Task = {
				id: `task-${randomUUID()}`,
				...settings,
				status: "pending",
				progress: 0,
				assignedAgent: null,
				result: null,
				error: null,
				createdAt: Date.now(),
				startTime: null,
				endTime: null,
			};
			return of(principal).putTask(task, "created");
		},
		async claim(principal, taskId, agentId) {
			const space = of(principal);
			const task = space.task(taskId);
			const agent = space.agent(agentId);
			if (task.status !== "pending") throw new ServiceError("CONFLICT", `The task is ${task.status}`);
			space.putAgent({ ...agent, status: "busy", currentTask: task.description, tasks: agent.tasks + 1 });
			return space.putTask({ ...task, status: "in_progress", assignedAgent: agentId, startTime: Date.now() });
		},
		async progress(principal, taskId, percent) {
			const space = of(principal);
			const task = space.task(taskId);
			if (task.status !== "in_progress") throw new ServiceError("CONFLICT", `The task is ${task.status}`);
			return space.putTask({ ...task, progress: percent });
		},
		complete: async (principal, taskId, result) => end(principal, taskId, ["in_progress"], { status: "completed", progress: 100, result }),
		fail: async (principal, taskId, error) => end(principal, taskId, ["in_progress"], { status: "failed", error }),
		cancel: async (principal, taskId) => end(principal, taskId, ["pending", "in_progress"], { status: "cancelled" }),
		expireClaims: async () => 0,
	};
}

function memoryService(
	of: (principal: Principal) => Workspace,
	entriesIn: (workspace: string) => MemoryEntry[],
	cache: CacheService,
): MemoryService {
	const keyOf = (system: string, namespace: string, key: string) => JSON.stringify([system, namespace, key]);
	const find = (principal: Principal, key: string) =>
		alive(of(principal)).find((entry) => keyOf(entry.system, entry.namespace, entry.key) === key);
	return {
		async store(principal, { system, namespace, key, value, metadata, ttlSeconds }) {
			const space = of(principal);
			const now = Date.now();
			const entry: MemoryEntry = {
				system,
				namespace,
				key,
				value,
				metadata: metadata ?? null,
				createdAt: find(principal, keyOf(system, namespace, key))?.createdAt ?? now,
				updatedAt: now,
				accessCount: 0,
				expiresAt: ttlSeconds === undefined ? null : now + ttlSeconds * 1_000,
			};
			space.memory.delete(keyOf(system, namespace, key));
			space.memory.set(keyOf(system, namespace, key), entry);
			space.note("memory", `Memory ${key} stored`, { entityType: "memory", entityId: key, action: "created", data: entry });
			await cache.invalidate(publishedKey(principal.workspace, key));
			return entry;
		},
		get: async (principal, system, namespace, key) => find(principal, keyOf(system, namespace, key)) ?? null,
		async search(principal, { system, namespace, pattern, limit }) {
			const parts = pattern.split("*").map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
			const wanted = new RegExp(parts.join(".*"), "is");
			return alive(of(principal))
				.filter((entry) => (system ?? entry.system) === entry.system && (namespace ?? entry.namespace) === entry.namespace)
				.filter((entry) => wanted.test(entry.key) || wanted.test(entry.value))
				.slice(0, limit);
		},
		async list(principal, system, limit) {
			const entries = alive(of(principal)).filter((entry) => entry.system === system);
			return { entries: entries.slice(0, limit), total: entries.length };
		},
		async remove(principal, system, namespace, key) {
			await cache.invalidate(publishedKey(principal.workspace, key));
			return find(principal, keyOf(system, namespace, key)) !== undefined && of(principal).memory.delete(keyOf(system, namespace, key));
		},
		published: async (workspace, key) =>
			entriesIn(workspace).find((entry) => entry.system === "swarm" && entry.namespace === PUBLIC_NAMESPACE && entry.key === key) ?? null,
	};
}

/** Newest first. */
function alive(space: Workspace): MemoryEntry[] {
	return [...space.memory.values()].filter((entry) => entry.expiresAt === null || entry.expiresAt > Date.now()).reverse();
}

function identityService(): IdentityService {
	interface Credential {
		readonly principal: Principal;
		readonly createdAt: number;
		revokedAt: number | null;
	}
	const tokens = new Map<string, Credential>();
	const sessions = new Map<string, Principal>();
	/** Tokens by the codes for them. */
	const codes = new Map<string, string>();
	const listeners = new Set<(credentialId: string) => void>();
	const refused = () => new ServiceError("UNAUTHENTICATED", "Not a valid credential");
	const holder = (token: string): Principal => {
		const credential = tokens.get(token);
		const expiresAt = credential?.principal.expiresAt ?? null;
		if (credential === undefined || credential.revokedAt !== null || (expiresAt !== null && expiresAt <= Date.now())) throw refused();
		return credential.principal;
	};
	const begin = (token: string) => {
		const principal = { ...holder(token), id: holder(token).id.replace("token:", "session:") };
		const sessionId = randomBytes(24).toString("base64url");
		sessions.set(sessionId, principal);
		return { sessionId, principal, maxAgeSeconds: 3_600 };
	};
	return {
		fromToken: async (token) => holder(token),
		known(token) {
			try {
				return holder(token);
			} catch {
				return null;
			}
		},
		async fromSession(sessionId) {
			const principal = sessions.get(sessionId);
			if (principal === undefined) throw refused();
			return principal;
		},
		login: async (token) => begin(token),
		async loginWithCode(code) {
			const token = codes.get(code);
			codes.delete(code);
			if (token === undefined) throw refused();
			return begin(token);
		},
		async loginCode(credentialId) {
			const [token] = [...tokens].find(([, { principal }]) => principal.credentialId === credentialId) ?? missing("token");
			holder(token);
			const code = randomBytes(24).toString("base64url");
			codes.set(code, token);
			return { code, expiresAt: Date.now() + 600_000 };
		},
		async logout(sessionId) {
			sessions.delete(sessionId);
		},
		async issue({ subject, roles, workspace, expiresAt }) {
			const token = randomBytes(24).toString("base64url");
			const credentialId = randomUUID();
			const principal: Principal = { id: `token:${subject}`, roles, workspace, expiresAt, credentialId };
			tokens.set(token, { principal, createdAt: Date.now(), revokedAt: null });
			return { token, credentialId };
		},
		async revoke(credentialId) {
			const credential = [...tokens.values()].find(({ principal }) => principal.credentialId === credentialId);
			if (credential === undefined || credential.revokedAt !== null) return false;
			credential.revokedAt = Date.now();
			for (const [sessionId, principal] of sessions) if (principal.credentialId === credentialId) sessions.delete(sessionId);
			for (const listener of listeners) listener(credentialId);
			return true;
		},
		list: async () =>
			[...tokens.values()].map(({ principal, createdAt, revokedAt }) => ({
				...principal,
				subject: principal.id.slice(6),
				createdAt,
				revokedAt,
			})),
		onRevoked(listener) {
			listeners.add(listener);
			return () => listeners.delete(listener);
		},
	};
}

/** Fresh, stale while it is loaded anew, or loaded; one load at a time, and none that began before an invalidation is kept. */
function cacheService(): CacheService {
	type Kept = { readonly body: CachedBody; readonly at: number; readonly endsAt: number };
	const kept = new Map<string, Kept>();
	const loading = new Map<string, Promise<Kept>>();
	const read = async (load: () => Promise<unknown>, endsAt: () => number | null): Promise<Kept> => {
		const body = Buffer.from(JSON.stringify(await load()));
		const etag = `"${createHash("sha256").update(body).digest("base64url")}"`;
		return { body: { body, etag }, at: Date.now(), endsAt: endsAt() ?? Number.POSITIVE_INFINITY };
	};
	const start = (key: string, load: () => Promise<unknown>, endsAt: () => number | null) => {
		const mine = read(load, endsAt);
		loading.set(key, mine);
		const isLatest = () => loading.get(key) === mine && loading.delete(key);
		mine.then(
			(entry) => isLatest() && kept.set(key, entry),
			() => isLatest(),
		);
		return mine;
	};
	const invalidate = async (prefix: string) => {
		for (const cache of [kept, loading]) for (const key of cache.keys()) if (key.startsWith(prefix)) cache.delete(key);
	};
	const ageOf = (entry: Kept | undefined) =>
		entry === undefined || Date.now() >= entry.endsAt ? Number.POSITIVE_INFINITY : Date.now() - entry.at;
	return {
		async get(key, freshMs, staleMs, load, endsAt = () => null) {
			const entry = kept.get(key);
			const age = ageOf(entry);
			if (entry !== undefined && age < freshMs) return entry.body;
			const under = loading.get(key) ?? start(key, load, endsAt);
			if (entry === undefined || age >= freshMs + staleMs) return (await under).body;
			under.catch(() => {});
			return entry.body;
		},
		atHand(key, freshMs, staleMs) {
			const entry = kept.get(key);
			const age = ageOf(entry);
			return entry !== undefined && age < freshMs + staleMs && (age < freshMs || loading.has(key)) ? entry.body : null;
		},
		invalidate,
		// These services leave it to whoever waits for it.
		announced: invalidate,
	};
}

function limitService(): LimitService {
	const buckets = new Map<string, { tokens: number; at: number }>();
	return {
		take(name, cost, { perSecond, burst }) {
			const now = performance.now() / 1_000;
			const bucket = buckets.get(name) ?? { tokens: burst, at: now };
			buckets.set(name, bucket);
			bucket.tokens = Math.min(burst, bucket.tokens + (now - bucket.at) * perSecond);
			bucket.at = now;
			if (bucket.tokens < cost) return (cost - bucket.tokens) / perSecond;
			bucket.tokens -= cost;
			return 0;
		},
	};
}

function missing(what: string): never {
	throw new ServiceError("NOT_FOUND", `There is no such ${what}`);
}

/** Settings with which nothing gets in the way. */
export const testSettings: HttpSettings = {
	version: "1.2.3",
	publicOrigin: "https://agentic.example.com",
	allowedHosts: ["localhost:3001"],
	allowedOrigins: ["http://localhost:5173"],
	legacyOpen: false,
	trustProxy: true,
	sessionKeys: () => ["key for tests"],
	bodyLimitBytes: 10 * 1_024 * 1_024,
	maxHeaderBytes: 16_384,
	headersTimeoutMs: 10_000,
	requestTimeoutMs: 30_000,
	keepAliveTimeoutMs: 75_000,
	limits: {
		principal: { perSecond: 100_000, burst: 100_000 },
		address: { perSecond: 100_000, burst: 100_000 },
		login: { perSecond: 100_000, burst: 100_000 },
	},
	load: { level: () => 0 },
	state: () => "ready",
	stopping: new AbortController().signal,
	sockets: () => ({ sync: 0, mcp: 0 }),
};

/** What an observer was told. */
export interface Observed extends HttpObserver {
	readonly answers: { readonly route: string; readonly status: number; readonly seconds: number }[];
	readonly refusals: { readonly route: string; readonly why: Refusal }[];
	readonly faults: { readonly error: unknown; readonly route: string }[];
}

export function recordingObserver(): Observed {
	const answers: Observed["answers"] = [];
	const refusals: Observed["refusals"] = [];
	const faults: Observed["faults"] = [];
	return {
		begin: null,
		isTraced: null,
		answered: (_, route, status, seconds) => answers.push({ route, status, seconds }),
		refused: (route, why) => refusals.push({ route, why }),
		fault: (error, { route }) => faults.push({ error, route }),
		answers,
		refusals,
		faults,
	};
}

/** Calls of one principal. */
export interface Caller {
	(
		method: "GET" | "POST" | "PUT" | "DELETE" | "HEAD" | "OPTIONS",
		url: string,
		body?: unknown,
		headers?: Record<string, string>,
	): Promise<Answer>;
	readonly token: string;
	readonly credentialId: string;
}

export type Answer = Awaited<ReturnType<FastifyInstance["inject"]>>;

/** An app with its services, and tokens for whom a test needs. */
export interface TestApp {
	readonly app: FastifyInstance;
	readonly services: TestServices;
	readonly observed: Observed;
	/** A holder of a new token, who calls the public host from no page. */
	as(subject: string, roles?: readonly Role[], workspace?: string): Promise<Caller>;
	/** Somebody without a credential. */
	readonly anyone: (...call: Parameters<Caller>) => Promise<Answer>;
}

export function testApp(settings: Partial<HttpSettings> = {}, services: TestServices = inMemoryServices()): TestApp {
	const observed = recordingObserver();
	const app = buildApp(services, { ...testSettings, ...settings }, observed);
	const callerWith =
		(own: Record<string, string>) =>
		(...[method, url, body, headers]: Parameters<Caller>): Promise<Answer> =>
			app.inject({ method, url, headers: { host: "agentic.example.com", ...own, ...headers }, payload: body as object });
	return {
		app,
		services,
		observed,
		async as(subject, roles = ["member", "operator"], workspace = "default") {
			const issued = await services.identity.issue({ subject, roles, workspace, expiresAt: null });
			return Object.assign(callerWith({ authorization: `Bearer ${issued.token}` }), issued);
		},
		anyone: callerWith({}),
	};
}
