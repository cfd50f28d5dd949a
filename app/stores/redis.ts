import { type Command, Redis, type RedisOptions } from "ioredis";
import type { Credentials } from "./secrets.ts";

/** How a group of Redis servers is reached. */
export type RedisSettings = RedisEndpoint | RedisSentinels;

/** One address that always leads to the primary, as ElastiCache gives one. */
export interface RedisEndpoint {
	readonly kind: "endpoint";
	readonly host: string;
	readonly port: number;
	readonly tls: boolean;
	/** Asked again at every connect; null for a server without users. */
	readonly credentials: () => Promise<Credentials | null>;
}

/** Sentinels that know which server is the primary. */
export interface RedisSentinels {
	readonly kind: "sentinels";
	readonly sentinels: readonly { readonly host: string; readonly port: number }[];
	/** The group's name, as the Sentinels have it. */
	readonly name: string;
	/** Of the data servers, not of the Sentinels. Asked again at every connect; null for servers without users. */
	readonly credentials: () => Promise<Credentials | null>;
}

/** Milliseconds before the first try to reconnect and between later ones; some chance, so that workers do not come all at once. */
const reconnect = { first: 50, longest: 1_000, jitter: 100 };

/**
 * A connection to the primary of a Redis group: comes back by itself for as long as it takes, and follows a failover.
 * A server that is away makes commands fail; it never ends the process.
 *
 * @param settings the group
 * @param purpose what the connection is for; its name in `CLIENT LIST`
 * @param overrides of {@link RedisOptions}: a connection that blocks (`XREAD BLOCK`) for longer than 8 s needs another
 *   `socketTimeout`, a subscriber `maxRetriesPerRequest: null`
 */
export function connectRedis(settings: RedisSettings, purpose: string, overrides: Partial<RedisOptions> = {}): Redis {
	const redis = new RotatingRedis(
		{
			...addressOf(settings),
			connectionName: `af-${purpose}`,
			connectTimeout: 2_000,
			// A network that swallows packets: nothing heard for so long after a command, and the connection is given up.
			socketTimeout: 8_000,
			maxRetriesPerRequest: 2,
			retryStrategy: (times) => Math.min(reconnect.first * 2 ** (times - 1), reconnect.longest) + Math.random() * reconnect.jitter,
			// The server has become a replica under this connection: find the primary, then send the command again.
			reconnectOnError: (error) => (error.message.startsWith("READONLY") ? 2 : false),
			...overrides,
		},
		settings.credentials,
	);
	// Without a listener ioredis prints every failed try to reconnect; whoever wants to know adds another.
	redis.on("error", () => {});
	return redis;
}

function addressOf(settings: RedisSettings): RedisOptions {
	if (settings.kind === "endpoint") {
		const { host, port, tls } = settings;
		return { host, port, ...(tls ? { tls: { servername: host } } : {}) };
	}
	return {
		sentinels: settings.sentinels.map(({ host, port }) => ({ host, port })),
		name: settings.name,
		// Told by the Sentinels: after a planned failover the old primary takes writes for seconds more, and they are lost.
		failoverDetector: true,
		sentinelRetryStrategy: (times) => Math.min(reconnect.first * 2 ** (times - 1), reconnect.longest) + Math.random() * reconnect.jitter,
	};
}

/** Asks for its user and password at each connect, where ioredis has them for good. */
class RotatingRedis extends Redis {
	readonly #credentials: () => Promise<Credentials | null>;
	readonly #given: RedisOptions;
	#closed = false;

	constructor(options: RedisOptions, credentials: () => Promise<Credentials | null>) {
		// The constructor would connect before there is a way to ask.
		super({ ...options, replyMapping: "legacy", lazyConnect: true });
		this.#credentials = credentials;
		this.#given = options;
		this.#askAtConnect();
		if (!options.lazyConnect) this.connect().catch(() => {});
	}

	override disconnect(again = false): void {
		this.#closed = !again;
		super.disconnect(again);
	}

	/**
	 * V8 takes a function that is assigned to a property for a method and puts it among its old objects. ioredis assigns one to
	 * each command, and one more to a script's, so that the command stays until the next full collection: at least it need not
	 * keep what was sent, which may be long.
	 */
	override sendCommand(...[command, stream]: Parameters<Redis["sendCommand"]>): unknown {
		command.resolve = lettingGo(command);
		return super.sendCommand(command, stream);
	}

	/** Others make connections of their own from this one: they rotate as well. */
	override duplicate(override: Partial<RedisOptions> = {}): Redis {
		const copy = new RotatingRedis({ ...this.#given, ...override }, this.#credentials);
		copy.on("error", () => {});
		return copy;
	}

	/** ioredis has no option for it, but a connector whose part it is to take its time. */
	#askAtConnect(): void {
		const inner = this as unknown as ConnectionParts;
		const open = inner.connector.connect.bind(inner.connector);
		inner.connector.connect = async (report) => {
			this.#closed = false;
			try {
				const credentials = await this.#credentials();
				this.options.username = credentials?.username;
				this.options.password = credentials?.password;
				inner.condition.auth = credentials === null ? undefined : [credentials.username, credentials.password];
			} catch (error) {
				// Files that are being replaced: those read last are the best there is.
				this.silentEmit("error", error);
			}
			for (;;) {
				if (this.#closed) throw new Error("closed while connecting");
				try {
					return await open(report);
				} catch (error) {
					// A Sentinel's word of a failover, come while the primary is being looked for, closes the connector and with it the
					// connection, for good. It only means that there is a new primary to look for.
					if ((error as Error).message !== CONNECTOR_CLOSED) throw error;
				}
			}
		};
	}
}

/** @returns what to do with the answer and then with the arguments, which ioredis does not look at any more */
function lettingGo(command: Command): Command["resolve"] {
	const { resolve } = command;
	return (value) => {
		resolve(value);
		command.args = NOTHING;
	};
}

const NOTHING: Command["args"] = [];

/** What ioredis' connector says when it is closed while it looks for the primary. */
const CONNECTOR_CLOSED = "Connection is closed.";

/** What ioredis 6 keeps of its connection. */
interface ConnectionParts {
	readonly connector: { connect(report: (type: string, error: unknown) => void): Promise<unknown> };
	readonly condition: { auth: [string, string] | undefined };
}
