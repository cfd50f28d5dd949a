import type { Redis } from "ioredis";
import { redisKeys } from "../contract.ts";
import type { Job } from "../model.ts";
import type { Channels, Listening } from "../stores/channels.ts";

/** What is said of a job while it runs, and that it is over. It may be lost: how a job is, PostgreSQL knows. */
export type JobMessage =
	| { readonly kind: "progress"; readonly percent: number; readonly message: string | null }
	| { readonly kind: "output"; readonly stream: "stdout" | "stderr"; readonly data: string }
	/** With the job as it is then, unless it is too long to be told. */
	| { readonly kind: "over"; readonly job?: Job };

/** Whose a job is. */
export interface JobOwner {
	readonly workspace: string;
	readonly principal: string;
}

/** On which every job worker is told the id of a job that it is to let go of. */
export const CANCEL_CHANNEL = `${redisKeys.all}jobs-cancel`;

/** Characters of a job's id, before each message. */
const ID = 36;

/** For how long a principal's channel is still listened to after its last job, milliseconds: most have more than one. */
const LINGER_MS = 30_000;

/** One for all jobs of a principal: one for each would have to be subscribed to, and left, for each. */
function channelOf({ workspace, principal }: JobOwner): string {
	return `${redisKeys.all}jobs-of:${workspace}\n${principal}`;
}

/** Tells whoever listens; that it may be lost is no failure. */
export async function say(redis: Redis, owner: JobOwner, id: string, message: JobMessage): Promise<void> {
	await redis.publish(channelOf(owner), id + JSON.stringify(message)).catch(() => {});
}

interface Talk {
	readonly listening: Listening;
	readonly listeners: Map<string, Set<(message: JobMessage) => void>>;
	leaving: NodeJS.Timeout | undefined;
}

/** Hears what is said of jobs. */
export class JobTalk {
	readonly #channels: Channels;
	readonly #talks = new Map<string, Talk>();

	constructor(channels: Channels) {
		this.#channels = channels;
	}

	listen(owner: JobOwner, id: string, onMessage: (message: JobMessage) => void): Listening {
		const channel = channelOf(owner);
		const talk = this.#talks.get(channel) ?? this.#join(channel);
		clearTimeout(talk.leaving);
		const listeners = talk.listeners.get(id) ?? new Set();
		talk.listeners.set(id, listeners);
		// The same function twice is two listeners.
		const listener = (message: JobMessage) => onMessage(message);
		listeners.add(listener);
		const stop = () => {
			if (!listeners.delete(listener) || listeners.size > 0) return;
			talk.listeners.delete(id);
			if (talk.listeners.size === 0) talk.leaving = setTimeout(() => this.#leave(channel), LINGER_MS).unref();
		};
		return { confirmed: talk.listening.confirmed, stop };
	}

	#join(channel: string): Talk {
		const listeners: Talk["listeners"] = new Map();
		const listening = this.#channels.listen(channel, (text) => {
			const told = listeners.get(text.slice(0, ID));
			if (told === undefined) return;
			const message = JSON.parse(text.slice(ID)) as JobMessage;
			for (const listener of told) listener(message);
		});
		const talk = { listening, listeners, leaving: undefined };
		this.#talks.set(channel, talk);
		return talk;
	}

	#leave(channel: string): void {
		this.#talks.get(channel)?.listening.stop();
		this.#talks.delete(channel);
	}
}
