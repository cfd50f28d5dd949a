import { createAdapter } from "@socket.io/redis-streams-adapter";
import type { Redis } from "ioredis";

/** Socket.IO's broadcasts and recoverable sessions, through a stream in Redis. */
export interface ClusterAdapter {
	/** For the server's `adapter` option. */
	readonly create: ReturnType<typeof createAdapter>;
	close(): Promise<void>;
}

/**
 * The redis-streams adapter on connections of its own. Left to itself it leaves rejections to nobody, which ends the
 * process when Redis is away, asks again without a pause when a read fails, and keeps its readers after a close.
 *
 * @param redis says how to connect; it is not used and not closed
 */
export function clusterAdapter(redis: Redis, keyPrefix: string): ClusterAdapter {
	const readers: Redis[] = [];
	let closed = false;
	const publisher = redis.duplicate({ lazyConnect: false });
	publisher.on("error", ignore);
	quiet(publisher, ["set", "publish"]);
	// The adapter connects what says that it is lazy, and does not hear when that fails.
	publisher.options.lazyConnect = false;
	publisher.duplicate = () => {
		const reader = redis.duplicate({ lazyConnect: false, maxRetriesPerRequest: null, socketTimeout: BLOCK_MS + 5_000 });
		reader.on("error", ignore);
		quiet(reader, ["subscribe"]);
		pause(reader, () => closed);
		readers.push(reader);
		return reader;
	};
	const create = createAdapter(publisher, {
		streamName: `${keyPrefix}sio`,
		channelPrefix: `${keyPrefix}sio`,
		sessionKeyPrefix: `${keyPrefix}sio:session:`,
		maxLen: 2_000,
		blockTimeInMs: BLOCK_MS,
	});
	return {
		create,
		async close() {
			closed = true;
			for (const reader of readers) reader.disconnect();
			// The sessions of the last sockets are on their way.
			await Promise.race([publisher.quit().catch(ignore), new Promise((resolve) => setTimeout(resolve, QUIT_MS))]);
			publisher.disconnect();
		},
	};
}

type Command = (...args: unknown[]) => Promise<unknown>;

/** A failure of these is for those who look at the answer. */
function quiet(client: Redis, commands: readonly ("set" | "publish" | "subscribe")[]): void {
	const methods = client as unknown as Record<string, Command>;
	for (const name of commands) {
		const command = (methods[name] as Command).bind(client);
		methods[name] = (...args) => {
			const answer = command(...args);
			answer.catch(ignore);
			return answer;
		};
	}
}

/** A read that fails takes a while to do so. */
function pause(client: Redis, isClosed: () => boolean): void {
	const methods = client as unknown as Record<string, Command>;
	const read = (methods.xread as Command).bind(client);
	methods.xread = async (...args) => {
		try {
			return await read(...args);
		} catch (error) {
			if (!isClosed()) await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
			throw error;
		}
	};
}

function ignore(): void {}

const BLOCK_MS = 5_000;
const PAUSE_MS = 500;
const QUIT_MS = 1_000;
