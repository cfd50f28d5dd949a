/** Brings the queue to what PostgreSQL says there is to do. */
import type { Redis } from "ioredis";
import { say } from "../services/job-channel.ts";
import type { JobQueue } from "../stores/job-queue.ts";
import { crowdedPrincipals, listQueued, takeBackLost, unpark } from "../stores/jobs.ts";
import type { Database } from "../stores/postgres.ts";

/** Rows that are looked at together; pages of one look. */
const page = { rows: 1_000, most: 5 } as const;

export interface ReconcilerSettings {
	/** Jobs that one principal may have run at once. */
	readonly atOnce: number;
	/** A job that has cost as many workers is tried no more. */
	readonly mostLosses: number;
	/** Milliseconds after which a job that was to be put into the queue must be there. */
	readonly settledMs: number;
}

/** What a look found. */
export interface Reconciled {
	/** Jobs whose worker was lost, and those of them that are given up. */
	readonly lost: number;
	readonly dead: number;
	/** Jobs that the queue had lost, or never had. */
	readonly missing: number;
}

export class Reconciler {
	readonly #database: Database;
	readonly #queue: JobQueue;
	readonly #redis: Redis;
	readonly #settings: ReconcilerSettings;
	/** Where the last look at the queue ended. */
	#cursor: string | null = null;

	constructor(parts: { database: Database; queue: JobQueue; redis: Redis }, settings: ReconcilerSettings) {
		this.#database = parts.database;
		this.#queue = parts.queue;
		this.#redis = parts.redis;
		this.#settings = settings;
	}

	/** One look. Several processes may have theirs at the same time. */
	async look(): Promise<Reconciled> {
		const { atOnce, mostLosses } = this.#settings;
		const taken = await this.#database.write([], (client) => takeBackLost(client, mostLosses, page.rows));
		const over = taken.filter(({ state }) => state !== "queued");
		const room = await this.#database.write([], async (client) => {
			const crowded = await crowdedPrincipals(client, page.rows);
			return crowded.length === 0 ? [] : await unpark(client, crowded, atOnce);
		});
		for (const job of over) await say(this.#redis, job, { kind: "over" });
		await this.#queue.add([...taken.filter(({ state }) => state === "queued"), ...room]);
		const missing = await this.#putBack();
		return { lost: taken.length, dead: over.filter(({ state }) => state === "dead").length, missing };
	}

	async #putBack(): Promise<number> {
		let missing = 0;
		for (let pages = 0; pages < page.most; pages += 1) {
			const cursor = this.#cursor;
			const queued = await this.#database.readPrimary((client) => listQueued(client, cursor, this.#settings.settledMs, page.rows));
			const lost = queued.length === 0 ? [] : await this.#queue.missing(queued);
			if (lost.length > 0) await this.#queue.add(lost);
			missing += lost.length;
			this.#cursor = queued.length < page.rows ? null : (queued.at(-1)?.id ?? null);
			if (this.#cursor === null) break;
		}
		return missing;
	}
}
