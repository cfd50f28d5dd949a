import { randomBytes } from "node:crypto";
import type { Redis, Result } from "ioredis";
import { redisKeys } from "../contract.ts";

const PREFIX = `${redisKeys.all}cache:`;

/** Everything's version has the empty name. */
const EVERYTHING = "";

/** Milliseconds a version is kept: when it is gone, what was kept under it is not used any more. */
const VERSION_MS = 3_600_000;

/** Milliseconds for which a Redis that failed is left alone. */
const PAUSE_MS = 1_000;

/** Characters of an ETag's hash, before the body in what is kept. */
const ETAG_LENGTH = 22;

/**
 * An entry begins with the versions of all that it belongs to, as they were before it was loaded; it counts while they are
 * the same. So does a lease: one taken before a change is not waited for.
 */
const VERSIONS = `
local versions = ""
for i = 3, #KEYS do
	local version = redis.call("get", KEYS[i])
	if not version then
		version = ARGV[1]
		redis.call("set", KEYS[i], version, "px", ARGV[2])
	end
	versions = versions .. version
end`;

const LOOK = `${VERSIONS}
local kept = redis.call("get", KEYS[1])
local left = kept and redis.call("pttl", KEYS[1]) or 0
if kept and left > tonumber(ARGV[5]) and string.sub(kept, 1, #versions) == versions then
	return { versions, left, 0, string.sub(kept, #versions + 1) }
end
local lease = redis.call("get", KEYS[2])
if lease and string.sub(lease, 1, #versions) == versions then return { versions, 0, 0 } end
redis.call("set", KEYS[2], versions .. ARGV[3], "px", ARGV[4])
return { versions, 0, 1 }`;

const KEEP = `${VERSIONS}
if versions == ARGV[4] and ARGV[5] ~= "" then redis.call("set", KEYS[1], versions .. ARGV[5], "px", ARGV[6]) end
if redis.call("get", KEYS[2]) == ARGV[4] .. ARGV[3] then redis.call("del", KEYS[2]) end
return 1`;

declare module "ioredis" {
	interface RedisCommander<Context> {
		afCacheLookBuffer(keyCount: number, ...keysAndArguments: (string | number)[]): Result<[Buffer, number, number, Buffer?], Context>;
		afCacheKeep(keyCount: number, ...keysAndArguments: (string | number | Buffer)[]): Result<number, Context>;
	}
}

/** What a look at the shared cache says. */
export interface Look {
	readonly versions: Buffer;
	/** Null where there is nothing that counts. */
	readonly found: (Entry & { readonly leftMs: number }) | null;
	/** The caller is the one to load it, and to say so with {@link SharedCache.keep} or {@link SharedCache.release}. */
	readonly leased: boolean;
}

/** A key, and what it belongs to: to be outdated together with each of them. */
export interface SharedKey {
	readonly name: string;
	readonly groups: readonly string[];
}

/**
 * Bodies that all workers share, in the cache group. Nothing here fails: where Redis is away it answers null at once, and
 * is asked again after a while.
 */
export class SharedCache {
	readonly #redis: Redis;
	readonly #onProblem: (error: unknown) => void;
	#pausedUntil = 0;
	/** A change could not be written: nothing found here counts before everything has a new version. */
	#missedChange = false;

	/** @param redis answers within a short time or fails: without an offline queue, with a command timeout */
	constructor(redis: Redis, onProblem: (error: unknown) => void) {
		this.#redis = redis;
		this.#onProblem = onProblem;
		redis.defineCommand("afCacheLook", { lua: LOOK });
		redis.defineCommand("afCacheKeep", { lua: KEEP });
	}

	/** @param olderThanMs what has less time left than this is not found */
	async look(key: SharedKey, lease: { readonly token: string; readonly ms: number }, olderThanMs: number): Promise<Look | null> {
		return await this.#ask(async () => {
			if (this.#missedChange) await this.#outdateEverything();
			const keys = keysOf(key);
			const answer = await this.#redis.afCacheLookBuffer(
				keys.length,
				...keys,
				newVersion(),
				VERSION_MS,
				lease.token,
				lease.ms,
				olderThanMs,
			);
			const [versions, leftMs, leased, kept] = answer;
			return { versions, found: kept === undefined ? null : { ...unpack(kept), leftMs }, leased: leased === 1 };
		});
	}

	/** Keeps what was loaded after a look, unless something has changed since, and ends the lease. */
	async keep(key: SharedKey, { versions }: Look, leaseToken: string, entry: Entry, keptMs: number): Promise<void> {
		await this.#end(key, versions, leaseToken, pack(entry), keptMs);
	}

	/** Ends the lease, with nothing to keep. */
	async release(key: SharedKey, { versions }: Look, leaseToken: string): Promise<void> {
		await this.#end(key, versions, leaseToken, "", 1);
	}

	/**
	 * Everything of the group that was loaded before is of no use any more.
	 *
	 * @returns false where that could not be written
	 */
	async outdate(group: string, version: string): Promise<boolean> {
		const written = await this.#ask(() => this.#setVersion(group, version));
		if (written === null) this.#missedChange = true;
		return written !== null;
	}

	async #outdateEverything(): Promise<void> {
		// Before it is done: commands keep their order, and another change may be missed meanwhile.
		this.#missedChange = false;
		try {
			await this.#setVersion(EVERYTHING, newVersion());
		} catch (error) {
			this.#missedChange = true;
			throw error;
		}
	}

	async #setVersion(group: string, version: string): Promise<true> {
		await this.#redis.set(versionKey(group), version, "PX", VERSION_MS);
		return true;
	}

	async #end(key: SharedKey, versions: Buffer, leaseToken: string, kept: Buffer | string, keptMs: number): Promise<void> {
		const keys = keysOf(key);
		await this.#ask(() =>
			this.#redis.afCacheKeep(keys.length, ...keys, newVersion(), VERSION_MS, leaseToken, versions, kept, Math.max(1, Math.floor(keptMs))),
		);
	}

	async #ask<T>(work: () => Promise<T>): Promise<T | null> {
		const now = performance.now();
		if (now < this.#pausedUntil) return null;
		// Whoever asks first after a pause tries it out; the others do not wait for that.
		if (this.#pausedUntil > 0) this.#pausedUntil = now + PAUSE_MS;
		try {
			const answer = await work();
			this.#pausedUntil = 0;
			return answer;
		} catch (error) {
			this.#pausedUntil = performance.now() + PAUSE_MS;
			this.#onProblem(error);
			return null;
		}
	}
}

interface Entry {
	readonly body: Buffer;
	/** Strong, with its quotation marks. */
	readonly etag: string;
}

/** The hash in the ETag, then the body. */
function pack({ body, etag }: Entry): Buffer {
	return Buffer.concat([Buffer.from(etag.slice(1, -1), "latin1"), body]);
}

function unpack(kept: Buffer): Entry {
	// A copy: what was read is a piece of something larger, which would be kept with it.
	return { etag: `"${kept.toString("latin1", 0, ETAG_LENGTH)}"`, body: Buffer.from(kept.subarray(ETAG_LENGTH)) };
}

/** Of a length of its own, so that the versions of several groups in a row can be told apart. */
export function newVersion(): string {
	return randomBytes(9).toString("base64url");
}

function keysOf({ name, groups }: SharedKey): string[] {
	return [`${PREFIX}entry:${name}`, `${PREFIX}lease:${name}`, versionKey(EVERYTHING), ...groups.map(versionKey)];
}

function versionKey(group: string): string {
	return `${PREFIX}version:${group}`;
}
