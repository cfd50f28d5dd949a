import type { Redis } from "ioredis";

/** How often the connection is asked for a sign of life, milliseconds. */
const PING_EVERY = 1_000;

/** Milliseconds after which channels that the server did not accept are asked for again. */
const RETRY_AFTER = 1_000;

/** Overrides for the connection of {@link Channels}: it subscribes again by itself, and a silent server is given up soon. */
export const channelOptions = {
	autoResubscribe: false,
	autoResendUnfulfilledCommands: false,
	enableOfflineQueue: false,
	socketTimeout: 3 * PING_EVERY,
} as const;

/** A channel that somebody listens to. */
export interface Listening {
	/** Once the server sends what is published from then on. Waits for as long as Redis is away. */
	readonly confirmed: Promise<void>;
	stop(): void;
}

interface Channel {
	readonly listeners: Set<(message: string) => void>;
	readonly confirmed: PromiseWithResolvers<void>;
}

/**
 * What is published in a group of Redis servers, heard over one connection. Nobody is told of what was published while the
 * connection was broken: whoever needs to know asks elsewhere when told so.
 */
export class Channels {
	readonly #redis: Redis;
	readonly #onProblem: (error: unknown) => void;
	readonly #channels = new Map<string, Channel>();
	readonly #restored = new Set<() => void>();
	readonly #ping: NodeJS.Timeout;
	#connected = false;

	/** @param redis a connection of its own, made with {@link channelOptions}; whoever made it closes it */
	constructor(redis: Redis, onProblem: (error: unknown) => void) {
		this.#redis = redis;
		this.#onProblem = onProblem;
		redis.on("message", (name: string, message: string) => this.#hear(name, message));
		redis.on("ready", () => void this.#subscribeAll());
		redis.on("close", () => {
			this.#connected = false;
		});
		if (redis.status === "ready") void this.#subscribeAll();
		// A connection that is only listened to would not notice that its server is gone.
		this.#ping = setInterval(() => void redis.ping().catch(() => {}), PING_EVERY).unref();
	}

	/** Whether every channel is heard now, and has been since {@link onRestored} last told. */
	get connected(): boolean {
		return this.#connected;
	}

	listen(name: string, onMessage: (message: string) => void): Listening {
		let channel = this.#channels.get(name);
		if (channel === undefined) {
			channel = { listeners: new Set(), confirmed: Promise.withResolvers() };
			this.#channels.set(name, channel);
			if (this.#redis.status === "ready") void this.#subscribe([name]);
		}
		const { listeners, confirmed } = channel;
		// The same function twice is two listeners.
		const listener = (message: string) => onMessage(message);
		listeners.add(listener);
		const stop = () => {
			if (!listeners.delete(listener) || listeners.size > 0) return;
			this.#channels.delete(name);
			if (this.#redis.status === "ready") this.#redis.unsubscribe(name).catch(() => {});
		};
		return { confirmed: confirmed.promise, stop };
	}

	/** Tells whenever all channels are heard again, after the first connection as after a break. */
	onRestored(listener: () => void): void {
		this.#restored.add(listener);
	}

	close(): void {
		clearInterval(this.#ping);
		this.#channels.clear();
	}

	#hear(name: string, message: string): void {
		for (const listener of this.#channels.get(name)?.listeners ?? []) listener(message);
	}

	async #subscribeAll(): Promise<void> {
		this.#connected = false;
		if (!(await this.#subscribe([...this.#channels.keys()]))) return;
		this.#connected = true;
		for (const listener of this.#restored) listener();
	}

	/** @returns false where the connection broke, or the server refused */
	async #subscribe(names: readonly string[]): Promise<boolean> {
		if (names.length === 0) return true;
		try {
			await this.#redis.subscribe(...names);
		} catch (error) {
			// A broken connection comes back, and with it everything is subscribed again.
			if (this.#redis.status === "ready") {
				this.#onProblem(error);
				setTimeout(() => void this.#subscribeAll(), RETRY_AFTER).unref();
			}
			return false;
		}
		for (const name of names) this.#channels.get(name)?.confirmed.resolve();
		return true;
	}
}
