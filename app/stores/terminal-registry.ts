/** Which terminal hosts there are, and which terminals: in the state Redis, for as long as their host says so. */
import { createHash } from "node:crypto";
import type { Redis, Result } from "ioredis";
import { redisKeys } from "../contract.ts";
import type { TerminalDescription } from "../terminals/messages.ts";

const PREFIX = redisKeys.terminals;
const HOSTS = `${PREFIX}hosts`;
const hostKey = (host: string) => `${PREFIX}host:${host}`;
const sessionKey = (sessionId: string) => `${PREFIX}session:${sessionId}`;

/** A sorted set of an owner's terminals, each with the time until which it is believed in. */
const ownerKey = (owner: string) => `${PREFIX}owner:${createHash("sha256").update(owner).digest("hex")}`;

/** How often a host says that it is there, and for how long it is believed, milliseconds. */
export const heartbeat = { everyMs: 1_000, believedMs: 5_000 } as const;

/** How often a host says of its terminals that they are there, and for how long that is believed, milliseconds. */
export const upkeep = { everyMs: 10_000, believedMs: 60_000 } as const;

/** Key of the mailbox that a host reads. */
export function hostMailbox(host: string): string {
	return `${PREFIX}in:${host}`;
}

/** Key of the mailbox that a worker reads. */
export function workerMailbox(worker: string): string {
	return `${PREFIX}out:${worker}`;
}

export interface HostLoad {
	readonly host: string;
	readonly sessions: number;
	/** Terminals it would have at most: 0 while it stops. */
	readonly capacity: number;
}

/** A terminal as it is written down. */
export interface RegisteredTerminal extends TerminalDescription {
	readonly host: string;
	readonly owner: string;
}

/** Takes a place among an owner's terminals where there is one; time is Redis' own. */
const RESERVE = `
local time = redis.call("time")
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call("zremrangebyscore", KEYS[1], 0, now)
if redis.call("zcard", KEYS[1]) >= tonumber(ARGV[1]) then return 0 end
redis.call("zadd", KEYS[1], now + ARGV[2], ARGV[3])
redis.call("pexpire", KEYS[1], ARGV[2])
return 1`;

/** Says of an owner's terminals that they are there still. */
const KEEP = `
local time = redis.call("time")
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for i = 2, #ARGV do redis.call("zadd", KEYS[1], now + ARGV[1], ARGV[i]) end
redis.call("pexpire", KEYS[1], ARGV[1])
return 1`;

declare module "ioredis" {
	interface RedisCommander<Context> {
		afTerminalReserve(owner: string, most: number, believedMs: number, sessionId: string): Result<number, Context>;
		afTerminalKeep(owner: string, believedMs: number, ...sessionIds: string[]): Result<number, Context>;
	}
}

export class TerminalRegistry {
	readonly #redis: Redis;

	constructor(redis: Redis) {
		this.#redis = redis;
		redis.defineCommand("afTerminalReserve", { numberOfKeys: 1, lua: RESERVE });
		redis.defineCommand("afTerminalKeep", { numberOfKeys: 1, lua: KEEP });
	}

	/** Says that a host is there, and how much it has to do. */
	async beat({ host, ...load }: HostLoad): Promise<void> {
		await Promise.all([this.#redis.set(hostKey(host), JSON.stringify(load), "PX", heartbeat.believedMs), this.#redis.sadd(HOSTS, host)]);
	}

	async forgetHost(host: string): Promise<void> {
		await this.#redis.del(hostKey(host));
		await this.#redis.srem(HOSTS, host);
	}

	/** Those that are there, the one with the most room first. */
	async hosts(): Promise<HostLoad[]> {
		const names = await this.#redis.smembers(HOSTS);
		if (names.length === 0) return [];
		const loads = await this.#redis.mget(names.map(hostKey));
		const gone = names.filter((_, index) => loads[index] === null);
		if (gone.length > 0) await this.#redis.srem(HOSTS, ...gone);
		const share = ({ sessions, capacity }: HostLoad) => sessions / capacity;
		return names
			.flatMap((host, index) => (loads[index] ? [{ host, ...JSON.parse(loads[index]) } as HostLoad] : []))
			.sort((one, other) => share(one) - share(other));
	}

	/** @returns for each whether it is there */
	async areThere(hosts: readonly string[]): Promise<boolean[]> {
		if (hosts.length === 0) return [];
		return (await this.#redis.mget(hosts.map(hostKey))).map((load) => load !== null);
	}

	/** @returns false where the owner has as many as it may */
	async reserve(owner: string, sessionId: string, most: number): Promise<boolean> {
		return (await this.#redis.afTerminalReserve(ownerKey(owner), most, upkeep.believedMs, sessionId)) === 1;
	}

	/** Gives a reserved place back, or one of a terminal that is over. */
	async release(owner: string, sessionId: string): Promise<void> {
		await Promise.all([this.#redis.zrem(ownerKey(owner), sessionId), this.#redis.del(sessionKey(sessionId))]);
	}

	/** Takes one that is over out of its owner's. For a while it can still be found by who asks for it. */
	async leave(owner: string, sessionId: string): Promise<void> {
		await this.#redis.zrem(ownerKey(owner), sessionId);
	}

	/** Writes terminals down, and says that they are there still. */
	async keep(terminals: readonly RegisteredTerminal[]): Promise<void> {
		const owners = Map.groupBy(terminals, ({ owner }) => owner);
		await Promise.all([
			...terminals.map((terminal) => this.#redis.set(sessionKey(terminal.sessionId), JSON.stringify(terminal), "PX", upkeep.believedMs)),
			...[...owners].map(([owner, own]) =>
				this.#redis.afTerminalKeep(ownerKey(owner), upkeep.believedMs, ...own.map(({ sessionId }) => sessionId)),
			),
		]);
	}

	async find(sessionId: string): Promise<RegisteredTerminal | null> {
		const found = await this.#redis.get(sessionKey(sessionId));
		return found === null ? null : (JSON.parse(found) as RegisteredTerminal);
	}

	async ofOwner(owner: string): Promise<RegisteredTerminal[]> {
		const ids = await this.#redis.zrange(ownerKey(owner), "0", "-1");
		if (ids.length === 0) return [];
		const found = await this.#redis.mget(ids.map(sessionKey));
		return found.flatMap((text) => (text === null ? [] : [JSON.parse(text) as RegisteredTerminal]));
	}
}
