import type { Redis, Result } from "ioredis";
import { redisKeys } from "../contract.ts";

const PREFIX = `${redisKeys.all}limit:`;

/** Workers, with the time each was last heard of. */
const WORKERS = `${redisKeys.all}limit-workers`;

/** Milliseconds of silence after which a worker does not count. */
const SILENT_MS = 15_000;

/** Buckets settled with one call: Redis does nothing else meanwhile. */
const PER_CALL = 200;

/** A balance may be below nothing: what was spent on credit is paid back first. A full bucket needs no key. */
const SETTLE = `
local time = redis.call("time")
local now = time[1] * 1000 + time[2] / 1000
local answer = {}
for i, key in ipairs(KEYS) do
	local spent, rate, burst = tonumber(ARGV[3 * i - 2]), tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i])
	local kept = redis.call("hmget", key, "balance", "at")
	local balance = burst
	if kept[1] then balance = math.min(burst, kept[1] + math.max(0, now - kept[2]) * rate / 1000) end
	balance = balance - spent
	redis.call("hset", key, "balance", string.format("%.17g", balance), "at", string.format("%.17g", now))
	redis.call("pexpire", key, math.ceil((burst - balance) / rate * 1000) + 1000)
	answer[i] = string.format("%.17g", balance)
end
return answer`;

const COUNT = `
local time = redis.call("time")
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call("zadd", KEYS[1], now, ARGV[1])
redis.call("zremrangebyscore", KEYS[1], "-inf", now - ARGV[2])
redis.call("pexpire", KEYS[1], ARGV[2])
return redis.call("zcard", KEYS[1])`;

declare module "ioredis" {
	interface RedisCommander<Context> {
		afLimitSettle(keyCount: number, ...keysAndArguments: (string | number)[]): Result<string[], Context>;
		afLimitCount(key: string, worker: string, silentMs: number): Result<number, Context>;
	}
}

/** What a worker has spent of a bucket since it last said so. */
export interface Spending {
	readonly bucket: string;
	readonly spent: number;
	/** Above 0. */
	readonly perSecond: number;
	readonly burst: number;
}

/** The token buckets that all workers share, in the state group. */
export class Buckets {
	readonly #redis: Redis;

	/** @param redis answers within a short time or fails: without an offline queue, with a command timeout */
	constructor(redis: Redis) {
		this.#redis = redis;
		redis.defineCommand("afLimitSettle", { lua: SETTLE });
		redis.defineCommand("afLimitCount", { numberOfKeys: 1, lua: COUNT });
	}

	/** @returns what is left of each bucket; below 0 where more was spent than there was */
	async settle(spendings: readonly Spending[]): Promise<number[]> {
		const calls: Promise<string[]>[] = [];
		for (let at = 0; at < spendings.length; at += PER_CALL) {
			const part = spendings.slice(at, at + PER_CALL);
			const keys = part.map(({ bucket }) => PREFIX + bucket);
			const settings = part.flatMap(({ spent, perSecond, burst }) => [spent, perSecond, burst]);
			calls.push(this.#redis.afLimitSettle(keys.length, ...keys, ...settings));
		}
		return (await Promise.all(calls)).flat().map(Number);
	}

	/** Counts a worker in. @returns how many there are */
	async countIn(worker: string): Promise<number> {
		return await this.#redis.afLimitCount(WORKERS, worker, SILENT_MS);
	}
}
