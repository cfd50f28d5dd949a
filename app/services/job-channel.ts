import type { Redis } from "ioredis";
import { redisKeys } from "../contract.ts";
import type { Job } from "../model.ts";

/** What is said of a job while it runs, and that it is over. It may be lost: how a job is, PostgreSQL knows. */
export type JobMessage =
	| { readonly kind: "progress"; readonly percent: number; readonly message: string | null }
	| { readonly kind: "output"; readonly stream: "stdout" | "stderr"; readonly data: string }
	/** With the job as it is then, unless it is too long to be told. */
	| { readonly kind: "over"; readonly job?: Job };

/** On which a job's worker says how it goes. */
export function jobChannel(id: string): string {
	return `${redisKeys.all}job:${id}`;
}

/** On which every job worker is told the id of a job that it is to let go of. */
export const CANCEL_CHANNEL = `${redisKeys.all}jobs-cancel`;

/** Tells whoever listens; that it may be lost is no failure. */
export async function say(redis: Redis, id: string, message: JobMessage): Promise<void> {
	await redis.publish(jobChannel(id), JSON.stringify(message)).catch(() => {});
}
