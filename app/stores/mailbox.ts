/** Messages to one process, in a stream of its own in Redis. */
import type { Redis } from "ioredis";

/** Entries that a mailbox nobody empties may hold, about. Those before them are lost. */
const MOST_ENTRIES = 10_000;

/** How long a read waits, milliseconds; a connection for it must not be given up earlier. */
const BLOCK_MS = 5_000;

/** Entries of one read. */
const BATCH = 256;

/** Entries that are read before they are deleted together: a key and its echo are not to wait for that. */
const TRIM = 64;

/** Seconds after which a mailbox is deleted whose reader is gone, and how often one that is there says so, milliseconds. */
const KEPT_SECONDS = 60;
const KEEP_MS = 15_000;

const RETRY_MS = 250;

/** Overrides for the connection that a mailbox is read by. */
export const mailboxOptions = { maxRetriesPerRequest: null, socketTimeout: BLOCK_MS + 5_000 } as const;

/** Sends in order. What Redis does not take is lost, and said so. */
export async function post(redis: Redis, mailbox: string, message: object): Promise<void> {
	await redis.xadd(mailbox, "MAXLEN", "~", MOST_ENTRIES, "*", "m", JSON.stringify(message));
}

/** Reads its mailbox until it is closed: what has been read is deleted. */
export class Mailbox<Message> {
	readonly key: string;
	readonly #reader: Redis;
	readonly #redis: Redis;
	readonly #onMessage: (message: Message) => void;
	readonly #onProblem: (error: unknown) => void;
	readonly #keeping: NodeJS.Timeout;
	#last = "0";
	#untrimmed = 0;
	#closed = false;

	/**
	 * @param reader a connection of its own, made with {@link mailboxOptions}; closed with the mailbox
	 * @param redis another one, for what does not wait; not closed here
	 * @param onMessage must not throw
	 */
	private constructor(
		key: string,
		reader: Redis,
		redis: Redis,
		onMessage: (message: Message) => void,
		onProblem: (error: unknown) => void,
	) {
		this.key = key;
		this.#reader = reader;
		this.#redis = redis;
		this.#onMessage = onMessage;
		this.#onProblem = onProblem;
		this.#keeping = setInterval(() => void this.#keep().catch(onProblem), KEEP_MS).unref();
	}

	/** Settles when what is posted from now on will be read. */
	static async open<Message>(
		...parts: [key: string, reader: Redis, redis: Redis, onMessage: (message: Message) => void, onProblem: (error: unknown) => void]
	): Promise<Mailbox<Message>> {
		const mailbox = new Mailbox<Message>(...parts);
		try {
			await mailbox.#keep();
		} catch (error) {
			mailbox.close();
			throw error;
		}
		void mailbox.#read();
		return mailbox;
	}

	close(): void {
		this.#closed = true;
		clearInterval(this.#keeping);
		this.#reader.disconnect();
	}

	/** A stream that is gone begins anew, with numbers of its own: after a failover, or a reader's long absence. */
	async #keep(): Promise<void> {
		if ((await this.#redis.expire(this.key, KEPT_SECONDS)) === 1) return;
		const first = (await this.#redis.xadd(this.key, "*", "m", "")) as string;
		await this.#redis.expire(this.key, KEPT_SECONDS);
		if (isBefore(first, this.#last)) this.#last = "0";
	}

	async #read(): Promise<void> {
		while (!this.#closed) {
			try {
				const answer = await this.#reader.xread("COUNT", BATCH, "BLOCK", BLOCK_MS, "STREAMS", this.key, this.#last);
				const entries = answer?.[0]?.[1] ?? [];
				for (const [id, [, text]] of entries) {
					this.#last = id;
					if (text) this.#onMessage(JSON.parse(text) as Message);
				}
				this.#untrimmed += entries.length;
				if (this.#untrimmed >= TRIM || entries.length === 0) this.#trim();
			} catch (error) {
				if (this.#closed) return;
				this.#onProblem(error);
				await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
			}
		}
	}

	#trim(): void {
		if (this.#untrimmed === 0) return;
		this.#untrimmed = 0;
		// The one that was read last stays: it costs nothing, and whoever looks sees where the reader is.
		this.#redis.xtrim(this.key, "MINID", this.#last).catch(this.#onProblem);
	}
}

/** Of two ids of entries, `milliseconds-number`. */
function isBefore(one: string, other: string): boolean {
	const [ms = 0, number = 0] = one.split("-").map(Number);
	const [otherMs = 0, otherNumber = 0] = other.split("-").map(Number);
	return ms < otherMs || (ms === otherMs && number < otherNumber);
}
