import type { Redis, RedisOptions, Result } from "ioredis";
import { LRUCache } from "lru-cache";
import { fromSortableLsn, type LsnKeeper, sortableLsn } from "./lsn.ts";

/** Keys: `af:lsn:<principal>`. */
const PREFIX = "af:lsn:";

/** What the keeper's connection is like: it answers soon or not at all, and many questions at once go in one packet. */
export const lsnConnection: Partial<RedisOptions> = { commandTimeout: 300, enableOfflineQueue: false, enableAutoPipelining: true };

/** Principals a worker remembers by itself. */
const REMEMBERED = 10_000;

/** Two workers may note in the other order than they wrote; the time to live is that of the position that stays. */
const KEEP_THE_LATER = `
local kept = redis.call("get", KEYS[1])
if not kept or kept < ARGV[1] then redis.call("set", KEYS[1], ARGV[1], "px", ARGV[2]) end
return 1`;

declare module "ioredis" {
	interface RedisCommander<Context> {
		afKeepLsn(key: string, lsn: string, ttlMs: number): Result<number, Context>;
	}
}

/**
 * Keeps positions in Redis, and this worker's own in memory as well.
 *
 * @param redis in the state group, made with {@link lsnConnection}
 * @param ttlMs longer than a replica may lag and still be read
 */
export function redisLsnKeeper(redis: Redis, ttlMs: number): LsnKeeper {
	const own = new LRUCache<string, bigint>({ max: REMEMBERED, ttl: ttlMs });
	let reachableSince = redis.status === "ready" ? performance.now() : null;
	redis.on("ready", () => {
		reachableSince = performance.now();
	});
	redis.on("close", () => {
		reachableSince = null;
	});
	redis.defineCommand("afKeepLsn", { numberOfKeys: 1, lua: KEEP_THE_LATER });

	function demandReady(): void {
		if (reachableSince === null) throw new Error("Redis is away");
	}

	return {
		get reachableSince() {
			return reachableSince;
		},
		async keep(principalId, lsn) {
			if (lsn > (own.get(principalId) ?? 0n)) own.set(principalId, lsn);
			demandReady();
			await redis.afKeepLsn(PREFIX + principalId, sortableLsn(lsn), ttlMs);
		},
		async kept(principalId) {
			demandReady();
			const text = await redis.get(PREFIX + principalId);
			const mine = own.get(principalId) ?? null;
			if (text === null) return mine;
			const theirs = fromSortableLsn(text);
			return mine !== null && mine > theirs ? mine : theirs;
		},
	};
}
