import { setTimeout as sleep } from "node:timers/promises";
import { isAway, isDatabaseError, outward, troubleOf } from "./errors.ts";
import { parseLsn } from "./lsn.ts";
import type { DatabaseObserver, DatabaseSettings, FallbackReason, PoolFigures, Queryable, ServerAddress, Statement } from "./postgres.ts";
import { type Connection, ServerPool } from "./server-pool.ts";

/** Null once the server has been promoted: it goes its own way then. */
const REPLAYED: Statement = {
	name: "lsn-replayed",
	text: "select (case when pg_is_in_recovery() then pg_last_wal_replay_lsn() end)::text as lsn",
	values: [],
};

/** Milliseconds in which a server that is alive has said how far it is. */
const CHECK_TIMEOUT = 1_000;

/** Milliseconds from a failure to the next try, doubled each time. */
const backOff = { first: 500, longest: 15_000 } as const;

/** One replica, and what is known of it. */
export class Replica {
	readonly #pool: ServerPool;
	readonly #observe: DatabaseObserver;
	/** Replay goes one way, and a connection never leads to another server: what one was told holds for as long as it lives. */
	readonly #told = new WeakMap<object, bigint>();
	#status: "up" | "lagging" | "down" = "up";
	#replayed = 0n;
	#failures = 0;
	#nextTryAt = 0;
	#looking = false;

	constructor(address: ServerAddress, settings: DatabaseSettings, observe: DatabaseObserver) {
		this.#pool = new ServerPool("replica", address, settings, observe);
		this.#observe = observe;
	}

	/** `lagging`: it is behind what everybody must see. */
	get status(): "up" | "lagging" | "down" {
		return this.#status;
	}

	/** How far it was when it was asked last. A hint: the name may lead to another server by now. */
	get replayed(): bigint {
		return this.#replayed;
	}

	get figures(): PoolFigures {
		return this.#pool.figures;
	}

	/**
	 * Does the work, unless the replica is behind `needed` or in trouble. How far it is, is asked on the way, right before the
	 * work's first statement: what is read by a replica that turns out to be behind is thrown away.
	 *
	 * @param needed null where nobody can say what it must have
	 */
	async read<T>(
		needed: bigint | Promise<bigint | null>,
		work: (client: Queryable) => Promise<T>,
	): Promise<{ result: T } | { fallback: FallbackReason }> {
		try {
			return await this.#withConnection(async (client) => {
				const told = this.#told.get(client.session) ?? 0n;
				if (typeof needed === "bigint" && told >= needed) return { result: await work(client) };
				const [asked, demanded, worked] = await Promise.allSettled([this.#ask(client), needed, work(client)]);
				if (asked.status === "rejected") throw asked.reason;
				if (demanded.status === "rejected" || demanded.value === null) return { fallback: "unknown" as const };
				if (asked.value < demanded.value) return { fallback: "lagging" as const };
				if (worked.status === "rejected") throw worked.reason;
				return { result: worked.value };
			});
		} catch (error) {
			if (isAway(error)) {
				this.#failed(error);
				return { fallback: "down" };
			}
			const trouble = isDatabaseError(error) ? troubleOf(error) : null;
			if (trouble === "conflict") return { fallback: "conflict" };
			// All connections wait for it, and that it hangs is about to be found out.
			if (trouble === "busy") return { fallback: "down" };
			throw outward(error);
		}
	}

	/**
	 * Sees how it is, unless it was away a moment ago.
	 * @param floor what everybody must see; null where nobody knows
	 */
	async look(floor: bigint | null): Promise<void> {
		if (this.#looking || performance.now() < this.#nextTryAt) return;
		this.#looking = true;
		try {
			const replayed = await this.#withConnection((client) => this.#ask(client));
			this.#status = replayed >= (floor ?? 1n) ? "up" : "lagging";
			this.#failures = 0;
		} catch (error) {
			if (isAway(error)) this.#failed(error);
		} finally {
			this.#looking = false;
		}
	}

	/** @returns whether it has replayed so far before `until`, as `performance.now()` */
	async waitFor(lsn: bigint, until: number): Promise<boolean> {
		try {
			while ((await this.#withConnection((client) => this.#ask(client))) < lsn) {
				if (performance.now() > until) return false;
				await sleep(20);
			}
			return true;
		} catch (error) {
			if (isAway(error)) this.#failed(error);
			return false;
		}
	}

	close(): Promise<void> {
		return this.#pool.close();
	}

	async #withConnection<T>(work: (client: Connection) => Promise<T>): Promise<T> {
		const client = await this.#pool.acquire();
		try {
			return await work(client);
		} finally {
			client.release();
		}
	}

	async #ask(client: Connection): Promise<bigint> {
		const [row] = await client.query<{ lsn: string | null }>(REPLAYED, CHECK_TIMEOUT);
		const replayed = parseLsn(row?.lsn ?? "0/0");
		this.#told.set(client.session, replayed);
		this.#replayed = replayed;
		return replayed;
	}

	#failed(error: unknown): void {
		// Many may meet the same failure.
		if (performance.now() < this.#nextTryAt) return;
		if (this.#status !== "down") {
			this.#observe.problem("a replica cannot be reached", error);
			// Whoever still waits for it is served by the primary.
			this.#pool.abort();
		}
		this.#status = "down";
		this.#nextTryAt = performance.now() + Math.min(backOff.first * 2 ** this.#failures, backOff.longest);
		this.#failures += 1;
	}
}
