/**
 * What /sync speaks: one JSON object a text message, each with a `type`.
 *
 * From the server, in the sequence of the workspace (`seq`: 1, 2, 3, ... one an event):
 * - `initial-state` `{data: {swarms, agents, tasks, memory, performance, timestamp, seq}, seq}`: everything, as of `seq`.
 * - `swarm-update`, `agent-update`, `task-update`, `memory-update`, `log-update` `{data: {action, data}, timestamp, seq, count, prev}`.
 *   Within one tick the latest state of a swarm, agent or task wins: such an update carries its last `seq`, and `count` says
 *   how many events it stands for. `prev` is the `seq` of the update before it in this client's stream.
 * - `gap` `{from, to}`: the updates of these positions are not to be had; an `initial-state` follows.
 * - `resumed` `{from, seq}`: every update after `from` has been sent, up to `seq`.
 * - `position` `{seq}`: nothing that the client subscribes to has happened up to `seq`.
 *
 * So a client that keeps the highest `seq` it was told knows that nothing is missing for as long as `prev <= seq` at every
 * update; one without subscriptions may also add up the counts. After a reconnect it goes on with `?since=<seq>` in the URL
 * or `{type: "resume", seq}` as its first message, on any worker.
 *
 * Beside the sequence: `performance-update`, `command-result`, `pong`, `subscribed`, `unsubscribed`, `reconnect`, `error`.
 *
 * Commands: `get-state`; `call-tool {tool, arguments}`, answered with the job once it is over, or after 25 s as it is then;
 * `get-job {jobId}` and `cancel-job {jobId}`. A job outlives its socket.
 *
 * From the client: `auth`, `resume`, `subscribe`, `unsubscribe`, `command`, `ping`. A client with no subscription gets every
 * update, one with any gets what matches.
 *
 * Close codes: 1002 broken frame, 1003 binary, 1007 not UTF-8 or not JSON, 1008 not allowed, 1009 too long, 1011 our fault,
 * 1012 this worker is going away, 1013 try again later.
 */
import * as z from "zod";
import type { EntityType, Snapshot, Swarm, SyncEvent } from "../../model.ts";

/** What a client may subscribe to. */
export const topics = ["swarm", "agent", "task", "memory", "log", "performance", "system"] as const;

export type Topic = (typeof topics)[number];

const id = z.string().min(1).max(256);
const position = z.int().min(0);

const clientMessage = z.discriminatedUnion("type", [
	z.object({ type: z.literal("auth"), token: z.string(), since: position.optional() }),
	z.object({ type: z.literal("resume"), seq: position }),
	z.object({
		type: z.enum(["subscribe", "unsubscribe"]),
		// `activity` is what the API calls a line of the log.
		entityType: z.enum([...topics, "activity"]).transform((topic): Topic => (topic === "activity" ? "log" : topic)),
		entityId: id.nullish(),
		requestId: id.optional(),
	}),
	z.object({
		type: z.literal("command"),
		command: z.string().max(256),
		requestId: id.optional(),
		// Of the commands about tools and jobs.
		tool: z.string().max(256).optional(),
		arguments: z.record(z.string(), z.unknown()).optional(),
		jobId: id.optional(),
	}),
	z.object({ type: z.literal("ping") }),
]);

/** All that a client may send. */
export const messageTypes: readonly string[] = clientMessage.options.flatMap(({ shape: { type } }) =>
	type instanceof z.ZodEnum ? type.options : [type.value],
);

export type ClientMessage = z.infer<typeof clientMessage>;

/** @returns undefined for JSON that is no message of the protocol */
export function readMessage(json: unknown): ClientMessage | undefined {
	return clientMessage.safeParse(json).data;
}

/** `agent:<id>`, or `agent:all`. */
export function subscriptionKey(topic: Topic, entityId: string | null | undefined): string {
	return `${topic}:${entityId ?? "all"}`;
}

const topicOf: Record<EntityType, Topic> = { swarm: "swarm", agent: "agent", task: "task", memory: "memory", activity: "log" };

const allKey = Object.fromEntries(topics.map((topic) => [topic, subscriptionKey(topic, null)])) as Record<Topic, string>;

/** The keys of those who want to hear of an event; null where it concerns everybody. */
export function keysOf({ entityType, entityId, action }: SyncEvent): readonly [string, string] | null {
	if (entityId === null || action === "reset") return null;
	const topic = topicOf[entityType];
	return [allKey[topic], subscriptionKey(topic, entityId)];
}

/** An update but for its last two fields, which differ from client to client: {@link updateTail}. */
export function updateHead(event: SyncEvent, action: SyncEvent["action"]): string {
	return `{"type":"${topicOf[event.entityType]}-update","data":${updateData(event, action)},"timestamp":${event.timestamp},"seq":${event.seq}`;
}

export function updateTail(count: number, prev: number): string {
	return `,"count":${count},"prev":${prev}}`;
}

/** As JSON, in which what came as JSON is not made anew. */
function updateData(event: SyncEvent, action: SyncEvent["action"]): string {
	const { entityType, json = JSON.stringify(event.data) } = event;
	if (entityType === "swarm") return JSON.stringify({ action, data: withId(event.data) });
	const fields = `{"action":"${action}"${member("data", json)}`;
	if (entityType === "activity") return `${fields},${JSON.stringify(logLine(event)).slice(1)}`;
	if (entityType === "memory") return `${fields}${member("namespace", JSON.stringify(field(event.data, "namespace")))}}`;
	return `${fields}}`;
}

/** Nothing where the value is nothing, as `JSON.stringify` has it. */
function member(name: string, json: string | undefined): string {
	return json === undefined ? "" : `,"${name}":${json}`;
}

/** The user interface finds entities by `id`. */
function withId(swarm: unknown): unknown {
	const swarmId = field(swarm, "swarmId");
	return swarmId === undefined ? swarm : { id: swarmId, ...(swarm as Swarm) };
}

/** The user interface shows a log as lines of files. */
function logLine({ data, timestamp }: SyncEvent): object {
	return { filename: field(data, "type"), line: field(data, "message"), timestamp };
}

function field(value: unknown, name: string): unknown {
	return typeof value === "object" && value !== null ? (value as Record<string, unknown>)[name] : undefined;
}

/** What `initial-state` and `command-result` carry. `performance` is no part of the sequence: see `performance-update`. */
export function stateOf(snapshot: Snapshot): string {
	const { seq, swarms, agents, tasks, memory, timestamp } = snapshot;
	return JSON.stringify({ swarms: swarms.map(withId), agents, tasks, memory, performance: null, timestamp, seq });
}

/** @param state what {@link stateOf} has written */
export function initialState(state: string, seq: number, timestamp: number): string {
	return `{"type":"initial-state","data":${state},"timestamp":${timestamp},"seq":${seq}}`;
}

export function commandResult(state: string, seq: number, requestId: string | undefined): string {
	return `{"type":"command-result","requestId":${JSON.stringify(requestId ?? null)},"data":${state},"timestamp":${Date.now()},"seq":${seq}}`;
}
