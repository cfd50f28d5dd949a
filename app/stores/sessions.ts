import type { Redis, Result } from "ioredis";
import { redisKeys } from "../contract.ts";
import { ServiceError } from "../ports.ts";

const PREFIX = `${redisKeys.all}session:`;

/** Sessions that were ended, with the time. */
const ENDED = `${redisKeys.all}sessions-ended`;

/** Milliseconds for which {@link ENDED} has a session. */
const ENDED_MS = 600_000;

/** All by the clock of Redis: those of the workers may differ. */
const NOW = `
local time = redis.call("time")
local now = time[1] * 1000 + math.floor(time[2] / 1000)`;

const BEGIN = `${NOW}
redis.call("hset", KEYS[1], "credential", ARGV[1], "ends", now + ARGV[2])
redis.call("pexpire", KEYS[1], math.min(ARGV[2], ARGV[3]))
return 1`;

const USE = `${NOW}
local session = redis.call("hmget", KEYS[1], "credential", "ends")
if not session[1] then return false end
local left = session[2] - now
if left <= 0 then return false end
redis.call("pexpire", KEYS[1], math.min(left, ARGV[1]))
return { session[1], left }`;

const END = `${NOW}
redis.call("zadd", KEYS[2], now, ARGV[1])
redis.call("zremrangebyscore", KEYS[2], "-inf", now - ARGV[2])
redis.call("pexpire", KEYS[2], ARGV[2])
return redis.call("del", KEYS[1])`;

const ENDED_WITHIN = `${NOW}
return redis.call("zrangebyscore", KEYS[1], now - ARGV[1], "+inf")`;

declare module "ioredis" {
	interface RedisCommander<Context> {
		afSessionBegin(key: string, credentialId: string, longestMs: number, idleMs: number): Result<number, Context>;
		afSessionUse(key: string, idleMs: number): Result<[string, number] | null, Context>;
		afSessionEnd(key: string, ended: string, id: string, keptMs: number): Result<number, Context>;
		afSessionsEndedWithin(ended: string, milliseconds: number): Result<string[], Context>;
	}
}

/** For how long a session lasts, milliseconds. */
export interface SessionLife {
	/** Unused. */
	readonly idleMs: number;
	/** However much it is used. */
	readonly longestMs: number;
}

export interface SessionRecord {
	/** The token it was begun with. */
	readonly credentialId: string;
	/** Milliseconds it can still last. */
	readonly leftMs: number;
}

/** Browsers' sessions in the state Redis, under a hash of their ids. All methods throw {@link ServiceError} UNAVAILABLE where it is away. */
export class SessionStore {
	readonly #redis: Redis;
	readonly #life: SessionLife;

	constructor(redis: Redis, life: SessionLife) {
		this.#redis = redis;
		this.#life = life;
		redis.defineCommand("afSessionBegin", { numberOfKeys: 1, lua: BEGIN });
		redis.defineCommand("afSessionUse", { numberOfKeys: 1, lua: USE });
		redis.defineCommand("afSessionEnd", { numberOfKeys: 2, lua: END });
		redis.defineCommand("afSessionsEndedWithin", { numberOfKeys: 1, lua: ENDED_WITHIN });
	}

	/** @param longestMs shorter than a session's longest life where its token ends before */
	async begin(hash: string, credentialId: string, longestMs: number): Promise<void> {
		await available(this.#redis.afSessionBegin(PREFIX + hash, credentialId, Math.floor(longestMs), this.#life.idleMs));
	}

	/** A session that is used lives on. */
	async use(hash: string): Promise<SessionRecord | null> {
		const found = await available(this.#redis.afSessionUse(PREFIX + hash, this.#life.idleMs));
		return found === null ? null : { credentialId: found[0], leftMs: found[1] };
	}

	async end(hash: string): Promise<void> {
		await available(this.#redis.afSessionEnd(PREFIX + hash, ENDED, hash, ENDED_MS));
	}

	/** The sessions ended during the last milliseconds, at most ten minutes. */
	async endedWithin(milliseconds: number): Promise<string[]> {
		return await available(this.#redis.afSessionsEndedWithin(ENDED, Math.ceil(milliseconds)));
	}
}

/** @throws ServiceError UNAVAILABLE where Redis does not answer */
export async function available<T>(answer: Promise<T>): Promise<T> {
	try {
		return await answer;
	} catch (error) {
		const unavailable = new ServiceError("UNAVAILABLE", "sessions cannot be reached", 1);
		unavailable.cause = error;
		throw unavailable;
	}
}
