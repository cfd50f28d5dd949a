import type { Redis } from "ioredis";
import { redisKeys } from "../contract.ts";
import { available } from "./sessions.ts";

const PREFIX = `${redisKeys.all}login:`;

/** Codes that log a browser in once, in the state Redis, under a hash. All methods throw {@link ServiceError} UNAVAILABLE where it is away. */
export class LoginCodeStore {
	readonly #redis: Redis;

	constructor(redis: Redis) {
		this.#redis = redis;
	}

	/** @param credentialId the token that the session will be begun with */
	async put(hash: string, credentialId: string, lifeMs: number): Promise<void> {
		await available(this.#redis.set(PREFIX + hash, credentialId, "PX", Math.ceil(lifeMs)));
	}

	/** @returns the token's credential id, to one caller alone; null where there is no such code any more */
	async take(hash: string): Promise<string | null> {
		return await available(this.#redis.getdel(PREFIX + hash));
	}
}
