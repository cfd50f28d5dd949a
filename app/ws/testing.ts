/**
 * Services in memory, for the tests of this folder: one process, nothing kept, no rules of their own but who sees what.
 * Several workers may share them, as real workers share their stores.
 */
import { randomUUID } from "node:crypto";
import { inMemoryCalls, inMemoryJobs, inMemoryTools, type TestJobs } from "../mcp/jobs.fixture.ts";
import type { Agent, EntityType, MemoryEntry, Principal, Snapshot, Swarm, SyncEvent, Task } from "../model.ts";
import { ServiceError, type Services } from "../ports.ts";

export interface MemoryServices extends Services {
	readonly jobs: TestJobs;
	/** Tokens that are good, and whose they are. */
	readonly tokens: Map<string, Principal>;
	/** Puts an event into a workspace's sequence. */
	publish(workspace: string, event: Partial<SyncEvent> & { readonly entityType: EntityType }): SyncEvent;
	/** Forgets the events up to a position, as a stream does that is cut to a length. */
	trim(workspace: string, upTo: number): void;
	/** Tells the subscribers that events are lost, after losing them. */
	lose(workspace: string, count: number): void;
	/** Ends a credential before its time. */
	end(credentialId: string): void;
	/** Snapshots taken so far. */
	readonly snapshots: () => number;
	/** Live subscriptions to events. */
	readonly subscriptions: () => number;
	/** What every call of these fails with, while it is set. */
	failure: Error | null;
	/** Milliseconds a snapshot takes. */
	snapshotMs: number;
	/** Seconds that {@link Services.limits} asks to wait. */
	waitSeconds: number;
}

interface Workspace {
	swarm: Swarm | null;
	readonly agents: Map<string, Agent>;
	readonly tasks: Map<string, Task>;
	readonly memory: MemoryEntry[];
	events: SyncEvent[];
	seq: number;
	readonly subscribers: Set<{ onEvent: (event: SyncEvent) => void; onGap: (from: number, to: number) => void }>;
}

/** A principal of a workspace. */
export function principalOf(subject: string, workspace = "default", more: Partial<Principal> = {}): Principal {
	return { id: `token:${subject}`, roles: ["member"], workspace, expiresAt: null, credentialId: `credential-${subject}`, ...more };
}

/** @param principals whose tokens are good: the token of `ada` is `token-ada` */
export function memoryServices(principals: readonly Principal[]): MemoryServices {
	const workspaces = new Map<string, Workspace>();
	const tokens = new Map(principals.map((principal) => [`token-${principal.id.split(":")[1]}`, principal]));
	const revocations = new Set<(credentialId: string) => void>();
	let snapshots = 0;

	const of = (workspace: string): Workspace => {
		const found = workspaces.get(workspace) ?? {
			swarm: null,
			agents: new Map(),
			tasks: new Map(),
			memory: [],
			events: [],
			seq: 0,
			subscribers: new Set(),
		};
		workspaces.set(workspace, found);
		return found;
	};
	const check = () => {
		if (services.failure !== null) throw services.failure;
	};
	const absent = async (): Promise<never> => {
		throw new ServiceError("NOT_IMPLEMENTED", "Not in memory.");
	};
	const change = <T extends { id: string }>(workspace: string, entityType: EntityType, map: Map<string, T>, entity: T): T => {
		const action = map.has(entity.id) ? "updated" : "created";
		map.set(entity.id, entity);
		services.publish(workspace, { entityType, entityId: entity.id, action, data: entity });
		return entity;
	};
	const taskOf = (principal: Principal, id: string): Task => {
		const task = of(principal.workspace).tasks.get(id);
		if (task === undefined) throw new ServiceError("NOT_FOUND", "No such task.");
		return task;
	};
	const changeTask = async (principal: Principal, id: string, changes: Partial<Task>) =>
		change(principal.workspace, "task", of(principal.workspace).tasks, { ...taskOf(principal, id), ...changes });

	const services: MemoryServices = {
		tokens,
		failure: null,
		snapshotMs: 0,
		waitSeconds: 0,
		snapshots: () => snapshots,
		subscriptions: () => [...workspaces.values()].reduce((sum, { subscribers }) => sum + subscribers.size, 0),
		publish(workspace, event) {
			const space = of(workspace);
			space.seq += 1;
			const full = { entityId: null, action: "updated" as const, data: null, timestamp: 1_700_000_000_000, ...event, seq: space.seq };
			space.events.push(full);
			for (const { onEvent } of space.subscribers) onEvent(full);
			return full;
		},
		trim(workspace, upTo) {
			of(workspace).events = of(workspace).events.filter(({ seq }) => seq > upTo);
		},
		lose(workspace, count) {
			const space = of(workspace);
			const from = space.seq + 1;
			space.seq += count;
			space.events = [];
			for (const { onGap } of space.subscribers) onGap(from, space.seq);
		},
		end(credentialId) {
			for (const listener of revocations) listener(credentialId);
		},
		swarm: {
			async current(principal) {
				check();
				return of(principal.workspace).swarm;
			},
			async initialise(principal, settings) {
				check();
				const space = of(principal.workspace);
				if (space.swarm !== null && !principal.roles.includes("operator")) throw new ServiceError("FORBIDDEN", "Only an operator may.");
				space.swarm = { swarmId: `swarm-${randomUUID()}`, createdAt: Date.now(), ...settings };
				space.agents.clear();
				space.tasks.clear();
				const { swarmId } = space.swarm;
				services.publish(principal.workspace, { entityType: "swarm", entityId: swarmId, action: "reset", data: space.swarm });
				return space.swarm;
			},
			async snapshot(principal): Promise<Snapshot> {
				check();
				snapshots += 1;
				const { seq, swarm, agents, tasks } = of(principal.workspace);
				const taken = {
					seq,
					swarms: swarm ? [swarm] : [],
					agents: [...agents.values()],
					tasks: [...tasks.values()],
					memory: [],
					timestamp: 1,
				};
				if (services.snapshotMs > 0) await new Promise((resolve) => setTimeout(resolve, services.snapshotMs));
				return taken;
			},
		},
		agents: {
			async list(principal) {
				check();
				return [...of(principal.workspace).agents.values()];
			},
			async spawn(principal, { type, name, capabilities }) {
				check();
				const agent: Agent = {
					id: `agent-${randomUUID()}`,
					name: name ?? type,
					type,
					capabilities,
					status: "idle",
					tasks: 0,
					completedTasks: 0,
					performance: null,
					memory: null,
					cpu: null,
					currentTask: null,
					messageCount: 0,
					createdAt: Date.now(),
					lastActive: Date.now(),
				};
				return change(principal.workspace, "agent", of(principal.workspace).agents, agent);
			},
			async report(principal, agentId, figures) {
				const agent = of(principal.workspace).agents.get(agentId);
				if (agent === undefined) throw new ServiceError("NOT_FOUND", "No such agent.");
				return change(principal.workspace, "agent", of(principal.workspace).agents, { ...agent, ...figures });
			},
			async remove(principal, agentId) {
				of(principal.workspace).agents.delete(agentId);
				services.publish(principal.workspace, { entityType: "agent", entityId: agentId, action: "deleted" });
			},
		},
		tasks: {
			list: async (principal) => [...of(principal.workspace).tasks.values()],
			get: async (principal, id) => taskOf(principal, id),
			async create(principal, { description, priority, strategy, dependencies }) {
				check();
				const task: Task = {
					id: `task-${randomUUID()}`,
					description,
					priority,
					strategy,
					dependencies,
					status: "pending",
					progress: 0,
					assignedAgent: null,
					result: null,
					error: null,
					createdAt: Date.now(),
					startTime: null,
					endTime: null,
				};
				return change(principal.workspace, "task", of(principal.workspace).tasks, task);
			},
			claim: (principal, id, agentId) => changeTask(principal, id, { status: "in_progress", assignedAgent: agentId }),
			progress: (principal, id, progress) => changeTask(principal, id, { progress }),
			complete: (principal, id, result) => changeTask(principal, id, { status: "completed", result }),
			fail: (principal, id, error) => changeTask(principal, id, { status: "failed", error }),
			cancel: (principal, id) => changeTask(principal, id, { status: "cancelled" }),
			expireClaims: async () => 0,
		},
		activities: { list: async () => [] },
		memory: {
			store: absent,
			get: async () => null,
			search: async () => [],
			list: async () => ({ entries: [], total: 0 }),
			remove: absent,
			published: absent,
		},
		events: {
			async subscribe(workspace, onEvent, onGap) {
				check();
				const subscriber = { onEvent, onGap };
				of(workspace).subscribers.add(subscriber);
				return () => of(workspace).subscribers.delete(subscriber);
			},
			async since(workspace, seq, limit) {
				check();
				const { events, seq: head } = of(workspace);
				if (seq < head && (events[0]?.seq ?? head + 1) > seq + 1) return null;
				return events.filter((event) => event.seq > seq).slice(0, limit);
			},
			async head(workspace) {
				check();
				return of(workspace).seq;
			},
		},
		identity: {
			async fromToken(token) {
				check();
				const principal = tokens.get(token);
				if (principal === undefined) throw new ServiceError("UNAUTHENTICATED", "A valid credential is needed.");
				return principal;
			},
			known: (token) => tokens.get(token) ?? null,
			async fromSession(sessionId) {
				check();
				const principal = tokens.get(`token-${sessionId}`);
				if (principal === undefined) throw new ServiceError("UNAUTHENTICATED", "A valid credential is needed.");
				return { ...principal, id: `session:${sessionId}` };
			},
			login: absent,
			loginWithCode: absent,
			loginCode: absent,
			logout: absent,
			issue: absent,
			revoke: absent,
			list: async () => [],
			onRevoked(listener) {
				revocations.add(listener);
				return () => revocations.delete(listener);
			},
		},
		history: { hive: absent },
		terminals: { create: absent, attach: absent, list: async () => [] },
		cache: { get: absent, atHand: () => null, invalidate: async () => {}, announced: async () => {} },
		limits: { take: () => services.waitSeconds },
		jobs: inMemoryJobs(),
		tools: inMemoryTools(),
		calls: inMemoryCalls(),
		health: { dependencies: () => ({ postgres: { status: "up", since: 0 } }) },
	};
	return services;
}
