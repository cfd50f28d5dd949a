import type { Redis } from "ioredis";
import { redisKeys } from "../contract.ts";
import type { Principal } from "../model.ts";
import { type CallRegistry, ServiceError } from "../ports.ts";

const PREFIX = `${redisKeys.all}call:`;

/** Longer than anybody waits for a call. */
const LIFE_SECONDS = 3_600;

/** Between a cancellation and a request that it has overtaken. */
const OVERTAKEN_SECONDS = 60;

/** In the state Redis: a hash for each conversation, with the job of each request. */
export class CallStore implements CallRegistry {
	readonly #redis: Redis;

	constructor(redis: Redis) {
		this.#redis = redis;
	}

	async begin(principal: Principal, conversation: string, request: string, jobId: string): Promise<boolean> {
		const key = keyOf(principal, conversation);
		// Written before it is asked, here and in the other: so one of the two finds out.
		const asked = this.#redis.multi().hset(key, request, jobId).expire(key, LIFE_SECONDS).exists(cancelledKey(key, request));
		return lastOf(await available(asked.exec())) === 0;
	}

	async cancel(principal: Principal, conversation: string, request: string): Promise<string | null> {
		const key = keyOf(principal, conversation);
		const asked = this.#redis.multi().set(cancelledKey(key, request), "", "EX", OVERTAKEN_SECONDS).hget(key, request);
		return lastOf(await available(asked.exec())) as string | null;
	}

	async end(principal: Principal, conversation: string, request: string): Promise<void> {
		await available(this.#redis.hdel(keyOf(principal, conversation), request));
	}

	async close(principal: Principal, conversation: string): Promise<string[]> {
		const key = keyOf(principal, conversation);
		const jobs = await available(this.#redis.hvals(key));
		await available(this.#redis.del(key));
		return jobs;
	}
}

/** @throws Error where the last command of a transaction failed */
function lastOf(answers: [Error | null, unknown][] | null): unknown {
	const [error, answer] = answers?.at(-1) ?? [new Error("Redis dropped a transaction"), null];
	if (error !== null) throw error;
	return answer;
}

function cancelledKey(key: string, request: string): string {
	return `${key}:${encodeURIComponent(request.toWellFormed())}`;
}

function keyOf({ workspace, id }: Principal, conversation: string): string {
	return PREFIX + [workspace, id, conversation].map((part) => encodeURIComponent(part.toWellFormed())).join(":");
}

async function available<T>(answer: Promise<T>): Promise<T> {
	try {
		return await answer;
	} catch (error) {
		throw Object.assign(new ServiceError("UNAVAILABLE", "calls cannot be found at the moment", 1), { cause: error });
	}
}
