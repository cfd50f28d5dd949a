/**
 * PostgreSQL: one primary, any number of replicas. Writes go to the primary; reads go to a replica that has replayed
 * everything their principal wrote, else to the primary.
 *
 * How a principal reads its own writes through any worker: after COMMIT, in a statement of its own, the primary's
 * position in the log is read and kept for the principal. Before a read, in a statement of its own on the connection that
 * will read, the replica is asked how far it has replayed; the read goes along in the same packet. In one statement with the
 * read the answer would be worthless: its snapshot is taken first, and the replay may pass the position between the two.
 */
import { ServiceError } from "../ports.ts";
import { isAway, isDatabaseError, outward, troubleOf } from "./errors.ts";
import { AFTER_EVERYTHING, type LsnKeeper, parseLsn } from "./lsn.ts";
import { Replica } from "./replica.ts";
import type { Credentials } from "./secrets.ts";
import { type Connection, ServerPool } from "./server-pool.ts";

export interface ServerAddress {
	readonly host: string;
	readonly port: number;
}

export type ServerKind = "primary" | "replica";

/** A prepared statement: the name stands for the text, everywhere in the program. */
export interface Statement {
	readonly name: string;
	readonly text: string;
	readonly values: readonly unknown[];
}

export interface Queryable {
	/** Rows have bigint as a number and timestamptz as milliseconds since 1970. Several may be under way at once: they run in order. */
	query<Row>(statement: Statement): Promise<Row[]>;
}

/** A connection while its transaction lasts. */
export interface Transaction extends Queryable {
	/**
	 * For what the work need not wait for: it goes along with what comes after it, COMMIT itself perhaps. Where it fails the
	 * transaction does, with its error; nobody has to look at the promise.
	 */
	send(statement: Statement): Promise<void>;
}

/** Settings of {@link connectDatabase}. */
export interface DatabaseSettings {
	readonly primary: ServerAddress;
	readonly replicas: readonly ServerAddress[];
	readonly database: string;
	/** With the certificate authorities of RDS; the server's name is checked. */
	readonly tls: boolean;
	/** The roles to try, in order; asked again at every connect. */
	readonly credentials: () => Promise<readonly Credentials[]>;
	/** As the server's list of connections shows this process. */
	readonly applicationName: string;
	/** Most connections to the primary and to each replica. */
	readonly pool: { readonly primary: number; readonly replica: number };
	/** Milliseconds. `connect` is also the longest wait for a connection of the pool. */
	readonly timeoutsMs: { readonly connect: number; readonly statement: number; readonly lock: number; readonly idleInTransaction: number };
	/** How old anybody's read from a replica may be, milliseconds; well below the time for which positions are kept. */
	readonly staleMs: number;
	/** How often the servers are looked at, milliseconds. */
	readonly monitorMs: number;
}

/** Told what happens; must not throw. */
export interface DatabaseObserver {
	/** A read went to the primary, though there are replicas. */
	fallback(reason: FallbackReason): void;
	/** A position could be noted nowhere: for a moment other workers may read what was before. */
	unkept(): void;
	/** A statement begins; the function it returns is called at its end, with the error or null. */
	statement(server: ServerKind, name: string): (error: unknown) => void;
	/** For the log: trouble that no caller sees. */
	problem(what: string, error: unknown): void;
}

/**
 * - `lagging`: the replica has not replayed what the principal wrote, or is too old for anybody
 * - `down`: the replica does not answer, or has no connection to spare
 * - `unknown`: nobody can say what the principal wrote
 * - `conflict`: the replica's replay needed what the read was looking at
 */
export type FallbackReason = "lagging" | "down" | "unknown" | "conflict";

/** What every store works with. All methods throw {@link ServiceError} UNAVAILABLE where the database is away or too slow. */
export interface Database {
	/**
	 * On the primary, in one transaction. After COMMIT the primary's position is kept for the principals, so that their reads
	 * see it through any worker.
	 * @param principals nobody where nobody will look for it at once; the work may still add to them
	 * @param work runs again after a deadlock, so it must change nothing but the database
	 */
	write<T>(principals: Iterable<string>, work: (client: Transaction) => Promise<T>): Promise<T>;
	/**
	 * On a replica that has replayed what this principal wrote, else on the primary (counted). A dead or lagging replica
	 * costs no error. Each statement sees the database at its own time.
	 * @param work may run twice
	 */
	read<T>(principalId: string | null, work: (client: Queryable) => Promise<T>): Promise<T>;
	/**
	 * On the primary, one statement that is its own transaction: one way there and back, where {@link write} takes two. No
	 * position is kept: it is for what nobody reads from a replica.
	 * @param work runs again where the connection breaks, perhaps after it was done: once or twice must be the same
	 */
	writeOne<T>(work: (client: Queryable) => Promise<T>): Promise<T>;
	/** On the primary: the newest there is. Each statement sees the database at its own time. */
	readPrimary<T>(work: (client: Queryable) => Promise<T>): Promise<T>;
	/** On the primary, all statements at the same moment. */
	snapshot<T>(work: (client: Queryable) => Promise<T>): Promise<T>;
	readonly status: { primary: "up" | "down"; replicas: readonly ("up" | "lagging" | "down")[] };
	/** Connections of each server, and callers who wait for one. */
	readonly pools: { readonly primary: PoolFigures; readonly replicas: readonly PoolFigures[] };
	/** Waits for what is under way. */
	close(): Promise<void>;
}

export interface PoolFigures {
	readonly total: number;
	readonly idle: number;
	readonly waiting: number;
}

/** Opens no connection yet but those that look after the servers; a server that is away is no error. */
export function connectDatabase(settings: DatabaseSettings, kept: LsnKeeper, observe: DatabaseObserver): Database {
	return new RoutingDatabase(settings, kept, observe);
}

/**
 * After a commit this covers its record: with `synchronous_commit` that has been flushed, so it lies before the position
 * written to. Without, it may still be in a buffer, and only the position of the next record is sure to be behind it.
 */
const WRITTEN: Statement = {
	name: "lsn-written",
	text: `select (case when current_setting('synchronous_commit') = 'off' then pg_current_wal_insert_lsn() else pg_current_wal_lsn() end)::text as lsn`,
	values: [],
};

/** Tries of a transaction that a deadlock cancels, and of a read whose connection breaks. */
const attempts = { write: 3, read: 2 } as const;

/** Milliseconds for which a write waits for the replicas where its position could not be kept. */
const UNKEPT_WAIT = 1_000;

/** Milliseconds in which a primary that is alive has said how far it is. */
const SAMPLE_TIMEOUT = 2_000;

/** A position of the primary's: everything committed before it was asked for lies before it. */
interface Sample {
	readonly lsn: bigint;
	/** `performance.now()`. */
	readonly askedAt: number;
}

class RoutingDatabase implements Database {
	readonly #staleMs: number;
	readonly #kept: LsnKeeper;
	readonly #observe: DatabaseObserver;
	readonly #primary: ServerPool;
	readonly #replicas: readonly Replica[];
	readonly #monitor: NodeJS.Timeout;
	/** Oldest first. */
	#samples: readonly Sample[] = [];
	#primaryUp = true;
	/** Times in a row that the primary did not answer. */
	#late = 0;
	#sampling: Promise<void> | null = null;
	#turn = 0;

	constructor(settings: DatabaseSettings, kept: LsnKeeper, observe: DatabaseObserver) {
		this.#staleMs = settings.staleMs;
		this.#kept = kept;
		this.#observe = observe;
		this.#primary = new ServerPool("primary", settings.primary, settings, observe);
		this.#replicas = settings.replicas.map((address) => new Replica(address, settings, observe));
		this.#monitor = setInterval(() => this.#look(), settings.monitorMs).unref();
		this.#look();
	}

	get status(): Database["status"] {
		return { primary: this.#primaryUp ? "up" : "down", replicas: this.#replicas.map((replica) => replica.status) };
	}

	get pools(): Database["pools"] {
		return { primary: this.#primary.figures, replicas: this.#replicas.map((replica) => replica.figures) };
	}

	async write<T>(principals: Iterable<string>, work: (client: Transaction) => Promise<T>): Promise<T> {
		const keepers = () => (this.#replicas.length > 0 ? [...principals] : []);
		const { result, lsn } = await trying(attempts.write, "conflict", () => this.#transaction("begin", work, () => keepers().length > 0));
		await Promise.all(keepers().map((principalId) => this.#keep(principalId, lsn)));
		return result;
	}

	async read<T>(principalId: string | null, work: (client: Queryable) => Promise<T>): Promise<T> {
		if (this.#replicas.length === 0) return await this.readPrimary(work);
		const read = await this.#readReplica(principalId, work);
		if ("result" in read) return read.result;
		this.#observe.fallback(read.fallback);
		return await this.readPrimary(work);
	}

	async writeOne<T>(work: (client: Queryable) => Promise<T>): Promise<T> {
		return await trying(attempts.read, "down", () => this.#withPrimary(work));
	}

	async readPrimary<T>(work: (client: Queryable) => Promise<T>): Promise<T> {
		return await trying(attempts.read, "down", () => this.#withPrimary(work));
	}

	async snapshot<T>(work: (client: Queryable) => Promise<T>): Promise<T> {
		const begin = "begin isolation level repeatable read read only";
		return (await trying(attempts.read, "down", () => this.#transaction(begin, work, () => false))).result;
	}

	async close(): Promise<void> {
		clearInterval(this.#monitor);
		await Promise.all([this.#primary.close(), ...this.#replicas.map((replica) => replica.close())]);
	}

	/**
	 * @param position whether one is asked for, when the work is done
	 * @returns what `work` returned, and a position behind the commit: {@link AFTER_EVERYTHING} where none was asked for or told
	 */
	async #transaction<T>(
		begin: string,
		work: (client: Transaction) => Promise<T>,
		position: () => boolean,
	): Promise<{ result: T; lsn: bigint }> {
		for (let attempt = 1; ; attempt += 1) {
			const client = await this.#acquirePrimary();
			const begun = client.begin(begin).then(
				() => true,
				() => false,
			);
			try {
				const result = await rollingBack(client, work);
				const committed = client.control("commit");
				// On its way before COMMIT is answered, yet a statement of its own that begins after it.
				const told = position() ? client.query<{ lsn: string }>(WRITTEN).catch(() => []) : [];
				if ((await committed) !== "COMMIT") throw client.sendError ?? new Error("the work went on after a statement that failed");
				const [written] = await told;
				return { result, lsn: written === undefined ? AFTER_EVERYTHING : parseLsn(written.lsn) };
			} catch (error) {
				// A pooled connection may have died unnoticed. Where it has not even begun, another one will do.
				if (attempt === attempts.read || (await begun)) throw error;
			} finally {
				client.release();
			}
		}
	}

	async #withPrimary<T>(work: (client: Queryable) => Promise<T>): Promise<T> {
		const client = await this.#acquirePrimary();
		try {
			return await work(client);
		} finally {
			client.release();
		}
	}

	/** While the primary is known to be away nobody waits for it to time out; looking after it finds it again. */
	async #acquirePrimary(): Promise<Connection> {
		if (!this.#primaryUp) throw new ServiceError("UNAVAILABLE", "the database cannot be reached", 1);
		try {
			return await this.#primary.acquire();
		} catch (error) {
			this.#primaryFailed(error);
			throw error;
		}
	}

	/** One answer that came too late may be this machine's own fault. */
	#primaryFailed(error: unknown): void {
		if (!isAway(error)) return;
		this.#late += 1;
		if (this.#late === 1 && /timeout/i.test((error as Error).message)) return;
		if (this.#primaryUp) this.#observe.problem("the primary cannot be reached", error);
		this.#primaryUp = false;
	}

	async #keep(principalId: string, lsn: bigint): Promise<void> {
		try {
			await this.#kept.keep(principalId, lsn);
		} catch {
			// Nobody else will know of it, so it is not over before every replica that is read from has it.
			const until = performance.now() + UNKEPT_WAIT;
			const read = this.#replicas.filter((replica) => replica.status !== "down");
			const replayed = lsn !== AFTER_EVERYTHING && (await Promise.all(read.map((replica) => replica.waitFor(lsn, until)))).every(Boolean);
			if (!replayed) this.#observe.unkept();
		}
	}

	async #readReplica<T>(
		principalId: string | null,
		work: (client: Queryable) => Promise<T>,
	): Promise<{ result: T } | { fallback: FallbackReason }> {
		const up = this.#replicas.filter((replica) => replica.status === "up");
		if (up.length === 0) return { fallback: this.#replicas.some((replica) => replica.status === "lagging") ? "lagging" : "down" };
		const floor = this.#floor();
		if (floor === null) {
			this.#look();
			return { fallback: "unknown" };
		}
		this.#turn = (this.#turn + 1) % up.length;
		const inTurn = [...up.slice(this.#turn), ...up.slice(0, this.#turn)];
		const replica = inTurn.find((each) => each.replayed >= floor) ?? (inTurn[0] as Replica);
		return await replica.read(principalId === null ? floor : this.#needed(principalId, floor), work);
	}

	/** How far a replica must be for this principal to read from it; null where nobody knows. */
	async #needed(principalId: string, floor: bigint): Promise<bigint | null> {
		try {
			const kept = (await this.#kept.kept(principalId)) ?? 0n;
			if (kept === AFTER_EVERYTHING) return null;
			return kept > floor ? kept : floor;
		} catch {
			return null;
		}
	}

	/**
	 * What everybody must see. What was written before `staleMs` ago, because positions are kept no longer than need be;
	 * and what was written before the keeper became reachable, because it may have lost what it was told by then.
	 * Where the primary does not say any more how far it is, what it said last stands: then nothing is written either.
	 */
	#floor(): bigint | null {
		const since = this.#kept.reachableSince;
		if (since === null) return null;
		const staleAt = performance.now() - this.#staleMs;
		const sample = this.#samples.find(({ askedAt }) => askedAt >= since && askedAt >= staleAt) ?? this.#samples.at(-1);
		return sample !== undefined && sample.askedAt >= since ? sample.lsn : null;
	}

	#look(): void {
		this.#sampling ??= this.#sample().finally(() => {
			this.#sampling = null;
		});
		const floor = this.#floor();
		for (const replica of this.#replicas) void replica.look(floor);
	}

	async #sample(): Promise<void> {
		const askedAt = performance.now();
		try {
			const client = await this.#primary.acquire();
			try {
				const [row] = await client.query<{ lsn: string }>(WRITTEN, SAMPLE_TIMEOUT);
				const fresh = this.#samples.filter((sample) => sample.askedAt >= askedAt - this.#staleMs);
				if (row !== undefined) this.#samples = [...fresh, { lsn: parseLsn(row.lsn), askedAt }];
				this.#primaryUp = true;
				this.#late = 0;
			} finally {
				client.release();
			}
		} catch (error) {
			this.#primaryFailed(error);
		}
	}
}

/** Runs once more, for as long as it may, what fails in this one way; what it fails with in the end is for the outside. */
async function trying<T>(times: number, again: "conflict" | "down", work: () => Promise<T>): Promise<T> {
	for (let attempt = 1; ; attempt += 1) {
		try {
			return await work();
		} catch (error) {
			if (attempt === times || !isDatabaseError(error) || troubleOf(error) !== again) throw outward(error);
		}
	}
}

async function rollingBack<T>(client: Connection, work: (client: Transaction) => Promise<T>): Promise<T> {
	try {
		return await work(client);
	} catch (error) {
		await client.control("rollback").catch(() => {});
		throw error;
	}
}
