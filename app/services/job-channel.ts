import { randomUUID } from "node:crypto";
import type { Redis } from "ioredis";
import { redisKeys } from "../contract.ts";
import type { Job } from "../model.ts";
import type { JobListener } from "../ports.ts";
import type { Channels, Listening } from "../stores/channels.ts";
import { soonest } from "./patience.ts";

/** What is said of a job while it runs, and that it is over. It may be lost: how a job is, PostgreSQL knows. */
export type JobMessage =
	| { readonly kind: "progress"; readonly percent: number; readonly message: string | null }
	| { readonly kind: "output"; readonly stream: "stdout" | "stderr"; readonly data: string }
	/** With the job as it is then, unless it is too long to be told. */
	| { readonly kind: "over"; readonly job?: Job };

/** A job, and the worker that waits for it. */
export interface ToldJob {
	readonly id: string;
	/** Name of a {@link JobTalk}; null where nobody waited from the beginning. */
	readonly waiter: string | null;
}

/** On which every job worker is told the id of a job that it is to let go of. */
export const CANCEL_CHANNEL = `${redisKeys.all}jobs-cancel`;

/** Characters of a job's id, before each message. */
const ID = 36;

/** For one who waits for jobs from their beginning: nothing has to be subscribed to for each, and nobody else wakes up. */
function waiterChannel(name: string): string {
	return `${redisKeys.all}jobs-for:${name}`;
}

/** For whoever asks after a job later. */
function jobChannel(id: string): string {
	return `${redisKeys.all}job:${id}`;
}

/**
 * Tells whoever listens; that it may be lost is no failure.
 *
 * @param followed it has been there for long enough that somebody else may ask after it
 */
export async function say(redis: Redis, { id, waiter }: ToldJob, message: JobMessage, followed = true): Promise<void> {
	const text = JSON.stringify(message);
	const told = waiter === null ? [] : [redis.publish(waiterChannel(waiter), id + text)];
	if (followed || waiter === null) told.push(redis.publish(jobChannel(id), text));
	await Promise.allSettled(told);
}

/** Hears what is said of jobs. */
export class JobTalk {
	/** Under which this worker waits for jobs. */
	readonly name: string = randomUUID();
	readonly #channels: Channels;
	readonly #own: Listening;
	readonly #waiting = new Map<string, (message: JobMessage) => void>();

	constructor(channels: Channels) {
		this.#channels = channels;
		this.#own = channels.listen(waiterChannel(this.name), (text) => {
			this.#waiting.get(text.slice(0, ID))?.(JSON.parse(text.slice(ID)) as JobMessage);
		});
	}

	/** For a new job, of which {@link name} is the waiter. */
	waitFor(id: string, onMessage: (message: JobMessage) => void): Listening {
		this.#waiting.set(id, onMessage);
		return { confirmed: this.#own.confirmed, stop: () => void this.#waiting.delete(id) };
	}

	/** For a job that somebody else may have asked for. */
	follow(id: string, onMessage: (message: JobMessage) => void): Listening {
		return this.#channels.listen(jobChannel(id), (text) => onMessage(JSON.parse(text) as JobMessage));
	}
}

/** Hears what is said of one job. */
export class Ears {
	/** The job as it was said to be when it was over. */
	last: Job | null = null;
	isOver = false;
	readonly #over = Promise.withResolvers<void>();
	readonly #listening: Listening;

	constructor(hearing: (hear: (message: JobMessage) => void) => Listening, listener: JobListener | undefined) {
		this.#listening = hearing((said) => {
			if (said.kind === "progress") listener?.progress?.(said.percent, said.message);
			else if (said.kind === "output") listener?.output?.(said.stream, said.data);
			else {
				this.isOver = true;
				this.last = said.job ?? null;
				this.#over.resolve();
			}
		});
	}

	/** Resolves when it can be heard, or it takes too long. */
	ready(patienceMs: number): Promise<void> {
		return soonest(this.#listening.confirmed, patienceMs);
	}

	/** Resolves when the job was said to be over, the time is up, or `giveUp` is aborted. */
	over(patienceMs: number, giveUp: AbortSignal): Promise<void> {
		return soonest(this.#over.promise, patienceMs, giveUp);
	}

	stop(): void {
		this.#listening.stop();
	}
}
