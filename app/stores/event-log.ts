import type { Redis, Result } from "ioredis";
import { redisKeys } from "../contract.ts";
import type { SyncEvent } from "../model.ts";
import { announcementsIn, type EventText, isWhole, mentionOf, messageOf } from "./event-text.ts";
import type { Database, Queryable } from "./postgres.ts";
import { eventsAfter } from "./workspaces.ts";

/** `af:events:<workspace>` is both the stream of a workspace's last events and the channel of its new ones. */
const PREFIX = `${redisKeys.all}events:`;

/** Whose worker looks after a workspace's stream for the moment. */
const LEASE_PREFIX = `${redisKeys.all}events-lease:`;

/** Events a stream keeps, about: Redis trims whole blocks. */
const KEPT = 10_000;

/** Milliseconds after which the stream of a workspace where nothing happens is dropped. */
const KEPT_MS = 86_400_000;

/** Characters of an event's JSON that Redis carries; of a longer one only the number, and readers find it in PostgreSQL. */
const LONGEST = 16_384;

/** Characters after which the events of one transaction go on in another message. */
const MESSAGE = 65_536;

/** Entries of a stream that are read at once, at most. */
const ENTRIES = 64;

/**
 * An entry of the stream is a message on the channel: events that were added together, under the number of the last one. Both
 * cost about the same, however much is in it. One whose number is there already, or lies before the last one, is refused: the
 * stream stays in order. What was left out for being late is a hole, and what was mended meanwhile may be there twice: readers
 * go by the numbers.
 */
const APPEND = `
for i = 2, #ARGV, 3 do
	local added = redis.pcall("xadd", KEYS[1], "minid", "~", ARGV[i], ARGV[i + 1], "e", ARGV[i + 2])
	if type(added) == "table" and added.err and not string.find(added.err, "equal or smaller", 1, true) then return added end
	redis.call("publish", KEYS[1], ARGV[i + 2])
end
redis.call("pexpire", KEYS[1], ARGV[1])
return 1`;

/** For each workspace the number of its last event in the stream, and whether the caller is the one to look after it. */
const LOOK = `
local answer = {}
for i = 1, #KEYS, 2 do
	local last = redis.call("xrevrange", KEYS[i], "+", "-", "count", 1)[1]
	answer[i] = last and tonumber(string.match(last[1], "^%d+")) or 0
	answer[i + 1] = ARGV[1] ~= "0" and redis.call("set", KEYS[i + 1], 1, "nx", "px", ARGV[1]) and 1 or 0
end
return answer`;

declare module "ioredis" {
	interface RedisCommander<Context> {
		afEventsAppend(key: string, keptMs: number, ...oldestsIdsAndTexts: string[]): Result<number, Context>;
		afEventsLook(keyCount: number, ...keysAndArguments: (string | number)[]): Result<number[], Context>;
	}
}

/** The next events after a position. */
export interface Page {
	/** In order and without a hole, from the position on. */
	readonly events: readonly SyncEvent[];
	/** Where there are none: the events up to this one are not to be had any more; null where nothing is missing. */
	readonly lostTo: number | null;
	/** The last position that PostgreSQL knows of; null where it was not asked. */
	readonly head: number | null;
}

/** The sequence of each workspace's events: all of it in PostgreSQL, the end of it in Redis. */
export class EventLog {
	readonly #redis: Redis;
	readonly #database: Database;

	/** @param redis in the state group */
	constructor(redis: Redis, database: Database) {
		this.#redis = redis;
		this.#database = database;
		redis.defineCommand("afEventsAppend", { numberOfKeys: 1, lua: APPEND });
		redis.defineCommand("afEventsLook", { lua: LOOK });
	}

	/** The channel on which a workspace's events are announced. */
	channelOf(workspace: string): string {
		return PREFIX + workspace;
	}

	/** Adds committed events, which follow on each other, to the stream and announces them. May be done again, and by several. */
	async append(workspace: string, events: readonly EventText[]): Promise<void> {
		const parts = messagesOf(events).flatMap(({ last, text }) => [`${Math.max(0, last - KEPT)}-0`, `${last}-0`, text]);
		await this.#redis.afEventsAppend(PREFIX + workspace, KEPT_MS, ...parts);
	}

	/**
	 * Events after a position: from the stream, else from PostgreSQL.
	 *
	 * @param limit how many at most
	 * @param needed the position up to which there are events, as far as the caller knows
	 * @throws where the stream does not have them and PostgreSQL is away
	 */
	async after(workspace: string, position: number, limit: number, needed: number): Promise<Page> {
		const streamed = await this.#streamed(workspace, position, limit).catch(() => []);
		const reached = position + streamed.length;
		if (streamed.length === limit || reached >= needed) return { events: streamed, lostTo: null, head: null };
		// The head first: whatever lies before it is there when the events are asked for, or it is lost.
		const [heads, rows] = await this.#database.readPrimary((client) =>
			Promise.all([headsIn(client, [workspace]), eventsAfter(client, workspace, reached, limit - streamed.length)]),
		);
		const events = [...streamed, ...unbroken(rows, reached)];
		const last = heads.get(workspace) as number;
		const lost = events.length === 0 && last > position;
		return { events, lostTo: lost ? (rows[0]?.seq ?? last + 1) - 1 : null, head: last };
	}

	/** Committed events after a position, whatever Redis has. */
	async committed(workspace: string, position: number, limit: number): Promise<SyncEvent[]> {
		return await this.#database.readPrimary((client) => eventsAfter(client, workspace, position, limit));
	}

	/** The last position of each workspace; 0 where nothing has happened yet. */
	async heads(workspaces: readonly string[]): Promise<Map<string, number>> {
		return await this.#database.readPrimary((client) => headsIn(client, workspaces));
	}

	/**
	 * The last position of each workspace that the stream has; 0 for none.
	 *
	 * @param leaseMs for so long nobody else is told to look after the workspace; 0 for not asking
	 */
	async streamHeads(workspaces: readonly string[], leaseMs: number): Promise<{ head: number; lookAfter: boolean }[]> {
		const keys = workspaces.flatMap((workspace) => [PREFIX + workspace, LEASE_PREFIX + workspace]);
		const answer = await this.#redis.afEventsLook(keys.length, ...keys, leaseMs);
		return workspaces.map((_, index) => ({ head: answer[2 * index] as number, lookAfter: answer[2 * index + 1] === 1 }));
	}

	/** Drops a workspace's stream; PostgreSQL has everything. */
	async dropStream(workspace: string): Promise<void> {
		await this.#redis.unlink(PREFIX + workspace);
	}

	async #streamed(workspace: string, position: number, limit: number): Promise<SyncEvent[]> {
		const events: SyncEvent[] = [];
		for (;;) {
			const reached = position + events.length;
			// None is without an event, so that no more than are wanted are read.
			const count = Math.min(ENTRIES, limit - events.length);
			const entries = await this.#redis.xrange(PREFIX + workspace, `${reached + 1}-0`, "+", "COUNT", count);
			for (const [, [, text]] of entries) {
				for (const announcement of announcementsIn(text as string)) {
					const next = position + events.length + 1;
					if (announcement.seq < next) continue;
					if (announcement.seq > next || !isWhole(announcement)) return events;
					events.push(announcement);
					if (events.length === limit) return events;
				}
			}
			if (entries.length < count || position + events.length === reached) return events;
		}
	}
}

/** What is said of these events, in pieces, each with the number of its last one. */
function messagesOf(events: readonly EventText[]): { readonly last: number; readonly text: string }[] {
	const messages: { last: number; text: string }[] = [];
	let told: EventText[] = [];
	let length = 0;
	for (const [index, event] of events.entries()) {
		const said = lengthOf(event) > LONGEST ? mentionOf(event) : event;
		told.push(said);
		length += lengthOf(said);
		if (length <= MESSAGE && index < events.length - 1) continue;
		messages.push({ last: event.seq, text: messageOf(told) });
		told = [];
		length = 0;
	}
	return messages;
}

function lengthOf({ head, data }: EventText): number {
	return head.length + data.length;
}

/** What of these events follows a position without a hole. */
function unbroken(events: readonly SyncEvent[], position: number): readonly SyncEvent[] {
	const end = events.findIndex(({ seq }, index) => seq !== position + index + 1);
	return end === -1 ? events : events.slice(0, end);
}

async function headsIn(client: Queryable, workspaces: readonly string[]): Promise<Map<string, number>> {
	const rows = await client.query<{ workspace: string; seq: number }>({
		name: "events-heads",
		text: "select workspace, event_seq as seq from workspaces where workspace = any($1)",
		values: [workspaces],
	});
	const found = new Map(rows.map(({ workspace, seq }) => [workspace, seq]));
	return new Map(workspaces.map((workspace) => [workspace, found.get(workspace) ?? 0]));
}
