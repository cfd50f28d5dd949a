import type { Redis, Result } from "ioredis";
import { redisKeys } from "../contract.ts";
import type { SyncEvent } from "../model.ts";
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

/**
 * A number that is there already, or lies before the last one, is refused: the stream stays in order and has nothing twice,
 * whoever adds to it. What was left out for being late is a hole, which readers see. A message costs every worker that
 * listens about the same, however much is in it: what is added together is told together.
 */
const APPEND = `
local told, length = {}, 0
local function tell()
	if #told > 0 then redis.call("publish", KEYS[1], "[" .. table.concat(told, ",") .. "]") end
	told, length = {}, 0
end
for i = 4, #ARGV, 2 do
	local added = redis.pcall("xadd", KEYS[1], "maxlen", "~", ARGV[1], ARGV[i] .. "-0", "e", ARGV[i + 1])
	if type(added) == "table" and added.err and not string.find(added.err, "equal or smaller", 1, true) then
		tell()
		return added
	end
	told[#told + 1] = ARGV[i + 1] ~= "" and ARGV[i + 1] or '{"seq":' .. ARGV[i] .. '}'
	length = length + #ARGV[i + 1]
	if length > tonumber(ARGV[3]) then tell() end
end
tell()
redis.call("pexpire", KEYS[1], ARGV[2])
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
		afEventsAppend(
			key: string,
			kept: number,
			keptMs: number,
			message: number,
			...seqsAndTexts: (string | number)[]
		): Result<number, Context>;
		afEventsLook(keyCount: number, ...keysAndArguments: (string | number)[]): Result<number[], Context>;
	}
}

/** What is said on a workspace's channel of an event: all of it, or only that there is one of this number. */
type Announcement = SyncEvent | { readonly seq: number };

/** What a message on a workspace's channel says. */
export function announcementsIn(message: string): readonly Announcement[] {
	return JSON.parse(message);
}

export function isWhole(announcement: Announcement): announcement is SyncEvent {
	return "action" in announcement;
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

	/** Adds committed events to the stream and announces them. May be done again, and by several. */
	async append(workspace: string, events: readonly SyncEvent[]): Promise<void> {
		const parts = events.flatMap((event) => {
			const text = JSON.stringify(event);
			return [event.seq, text.length > LONGEST ? "" : text];
		});
		await this.#redis.afEventsAppend(PREFIX + workspace, KEPT, KEPT_MS, MESSAGE, ...parts);
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
		const entries = await this.#redis.xrange(PREFIX + workspace, `${position + 1}-0`, "+", "COUNT", limit);
		const events: SyncEvent[] = [];
		for (const [id, [, text]] of entries) {
			if (text === undefined || text === "" || Number.parseInt(id, 10) !== position + events.length + 1) break;
			events.push(JSON.parse(text));
		}
		return events;
	}
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
