import type { Socket } from "socket.io";
import * as z from "zod";
import type { Principal } from "../../model.ts";
import { ServiceError, type Services } from "../../ports.ts";
import { ownerOf } from "../gate.ts";
import type { SocketObserver, SocketSettings } from "../settings.ts";
import { entityRoom, type RoomKind, workspaceRoom } from "./rooms.ts";
import { SocketTerminals, terminalEvents } from "./terminals.ts";
import { SocketTools, toolEvents } from "./tools.ts";

/** What events reach. */
export interface Reach {
	readonly services: Services;
	readonly settings: SocketSettings;
	readonly observe: SocketObserver;
}

/**
 * Who sends events: a socket that has come in. There are thousands that never say anything, so what it needs for its
 * terminals and its executions is made when it asks for the first of them.
 */
export class Caller {
	readonly socket: Socket;
	readonly principal: Principal;
	readonly #reach: Reach;
	#terminals: SocketTerminals | null = null;
	#tools: SocketTools | null = null;

	constructor(socket: Socket, principal: Principal, reach: Reach) {
		this.socket = socket;
		this.principal = principal;
		this.#reach = reach;
	}

	get services(): Services {
		return this.#reach.services;
	}

	get settings(): SocketSettings {
		return this.#reach.settings;
	}

	get observe(): SocketObserver {
		return this.#reach.observe;
	}

	get terminals(): SocketTerminals {
		this.#terminals ??= new SocketTerminals(this);
		return this.#terminals;
	}

	get tools(): SocketTools {
		this.#tools ??= new SocketTools(this);
		return this.#tools;
	}

	/** An event of the contract. What fails is answered with `error {message, error, timestamp}`; others are nobody's business. */
	hear(name: string, payload: unknown): void {
		handlers.get(name)?.(this, payload);
	}

	/** The socket is gone. */
	leave(): void {
		this.#terminals?.leave();
		this.#tools?.leave();
	}
}

/** As in the rest of the contract. */
export function stamp(): string {
	return new Date().toISOString();
}

interface Event {
	readonly schema: z.ZodType;
	handle(caller: Caller, payload: unknown): void | Promise<void>;
}

function event<Schema extends z.ZodType>(
	schema: Schema,
	handle: (caller: Caller, payload: z.infer<Schema>) => void | Promise<void>,
): Event {
	return { schema, handle: (caller, payload) => handle(caller, payload as z.infer<Schema>) };
}

/** One that costs a query. */
function query<Schema extends z.ZodType>(schema: Schema, handle: (caller: Caller, payload: z.infer<Schema>) => Promise<void>): Event {
	return event(schema, async (caller, payload) => {
		const { services, principal, settings } = caller;
		const seconds = services.limits.take(`sockets:${ownerOf(principal)}`, 1, settings.limits.queries);
		if (seconds > 0) throw new ServiceError("RATE_LIMITED", `Too many requests. Try again in ${Math.ceil(seconds)} s.`, seconds);
		await handle(caller, payload);
	});
}

const id = z.string().min(1).max(256);
const name = z.string().min(1).max(200);
const anything = z.unknown();

const events: Record<string, Event> = {
	"subscribe:swarm": query(z.object({ swarmId: id }), (caller, { swarmId }) => subscribe(caller, "swarm", swarmId)),
	"subscribe:agent": query(z.object({ agentId: id }), (caller, { agentId }) => subscribe(caller, "agent", agentId)),
	"subscribe:task": query(z.object({ taskId: id }), (caller, { taskId }) => subscribe(caller, "task", taskId)),
	"unsubscribe:swarm": event(z.object({ swarmId: id }), (caller, { swarmId }) => unsubscribe(caller, "swarm", swarmId)),
	"unsubscribe:agent": event(z.object({ agentId: id }), (caller, { agentId }) => unsubscribe(caller, "agent", agentId)),
	"unsubscribe:task": event(z.object({ taskId: id }), (caller, { taskId }) => unsubscribe(caller, "task", taskId)),

	"get:system-status": query(anything, async ({ socket, principal, services, settings }) => {
		const [swarm, agents, tasks] = await Promise.all([
			services.swarm.current(principal),
			services.agents.list(principal),
			services.tasks.list(principal),
		]);
		const dependencies = services.health.dependencies();
		const degraded = Object.values(dependencies).some(({ status }) => status === "down");
		socket.emit("system:status", {
			status: degraded ? "degraded" : "ok",
			version: settings.version,
			uptime: process.uptime(),
			swarm,
			agents: agents.length,
			tasks: tasks.length,
			dependencies,
			timestamp: stamp(),
		});
	}),
	"get:agents": query(anything, async ({ socket, principal, services }) => {
		socket.emit("agents:list", { hive: await services.agents.list(principal), mastra: [], timestamp: stamp() });
	}),
	"get:performance": event(anything, ({ socket, settings }) => {
		socket.emit("performance:report", { report: settings.performance(), timestamp: stamp() });
	}),

	"action:init-swarm": query(
		z.object({
			name: name.default("UI-Swarm"),
			topology: name.default("hierarchical"),
			maxAgents: z.int().min(1).max(10_000).nullable().default(null),
			strategy: name.nullable().default(null),
		}),
		async (caller, settings) => {
			const swarm = await caller.services.swarm.initialise(caller.principal, settings);
			await join(caller, "swarm", swarm.swarmId);
			announce(caller, "swarm:initialized", { ...swarm });
		},
	),
	"action:spawn-agent": query(
		z.object({ type: name, name: name.nullable().default(null), capabilities: z.array(name).max(100).default([]) }),
		async (caller, settings) => {
			const agent = await caller.services.agents.spawn(caller.principal, settings);
			await join(caller, "agent", agent.id);
			announce(caller, "agent:spawned", { agentId: agent.id, ...agent });
		},
	),
	"action:orchestrate-task": query(
		z.object({
			task: z.string().min(1).max(100_000),
			strategy: name.default("parallel"),
			priority: z.enum(["low", "medium", "high", "critical"]).default("medium"),
			dependencies: z.array(id).max(1_000).default([]),
		}),
		async (caller, { task: description, strategy, priority, dependencies }) => {
			const task = await caller.services.tasks.create(caller.principal, { description, strategy, priority, dependencies });
			await join(caller, "task", task.id);
			announce(caller, "task:orchestrated", { taskId: task.id, task: description, ...task });
		},
	),

	// Of the contract, but not of this build: an answer, and no pretence.
	"action:run-mastra-agent": event(anything, notHere),
	"action:run-mastra-workflow": event(anything, notHere),
};

type Handler = (caller: Caller, payload: unknown) => void;

const handlers: ReadonlyMap<string, Handler> = new Map<string, Handler>([
	...Object.entries(events).map(([name, { schema, handle }]): [string, Handler] => [
		name,
		(caller, payload) => {
			const read = schema.safeParse(payload ?? {});
			if (read.success) run(caller, name, () => handle(caller, read.data));
			else answerError(caller, name, read.error.issues.map(({ path, message }) => `${path.join(".") || "payload"}: ${message}`).join("; "));
		},
	]),
	...Object.entries(terminalEvents).map(([name, handle]): [string, Handler] => [
		name,
		(caller, payload) => handle(caller.terminals, payload),
	]),
	...Object.entries(toolEvents).map(([name, handle]): [string, Handler] => [name, (caller, payload) => handle(caller.tools, payload)]),
]);

/** All that a client may send. */
export const eventNames: readonly string[] = [...handlers.keys()];

const NOT_HERE = "Not part of this build.";

function notHere(): never {
	throw new ServiceError("NOT_IMPLEMENTED", NOT_HERE);
}

async function subscribe(caller: Caller, kind: RoomKind, entityId: string): Promise<void> {
	const { principal, services, socket } = caller;
	if (kind === "swarm" && (await services.swarm.current(principal))?.swarmId !== entityId) throw notFound(kind);
	if (kind === "agent" && !(await services.agents.list(principal)).some((agent) => agent.id === entityId)) throw notFound(kind);
	if (kind === "task") await services.tasks.get(principal, entityId);
	await join(caller, kind, entityId);
	socket.emit("subscribed", { type: kind, id: entityId, timestamp: stamp() });
}

async function unsubscribe({ socket, principal }: Caller, kind: RoomKind, entityId: string): Promise<void> {
	await socket.leave(entityRoom(principal.workspace, kind, entityId));
	socket.emit("unsubscribed", { type: kind, id: entityId, timestamp: stamp() });
}

async function join({ socket, principal, settings }: Caller, kind: RoomKind, entityId: string): Promise<void> {
	// Two more are its own and its workspace's.
	if (socket.rooms.size - 2 >= settings.limits.subscriptions) throw new ServiceError("RATE_LIMITED", "Too many subscriptions.");
	await socket.join(entityRoom(principal.workspace, kind, entityId));
}

/** One answer to the caller, and the same to everybody else of its workspace, on every worker. */
function announce({ socket, principal }: Caller, name: string, payload: object): void {
	const stamped = { ...payload, timestamp: stamp() };
	socket.emit(name, stamped);
	socket.to(workspaceRoom(principal.workspace)).emit(name, stamped);
}

function notFound(kind: RoomKind): ServiceError {
	return new ServiceError("NOT_FOUND", `No such ${kind}.`);
}

function run(caller: Caller, name: string, work: () => void | Promise<void>): void {
	new Promise<void>((resolve) => resolve(work())).catch((error: unknown) => {
		if (!(error instanceof ServiceError)) caller.observe.fault(`socket-io ${name}`, error);
		answerError(caller, name, error instanceof ServiceError ? error.message : "Internal error.");
	});
}

function answerError({ socket }: Caller, name: string, error: string): void {
	socket.emit("error", { message: `${name} failed.`, error, timestamp: stamp() });
}
