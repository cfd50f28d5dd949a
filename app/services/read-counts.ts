import { addReads, type EntryKey, type Reads } from "../stores/memory.ts";
import type { Database } from "../stores/postgres.ts";

/** Milliseconds for which reads are gathered before they are added to the entries' counts. */
const COUNT_EVERY = 5_000;

/** Entries whose reads are gathered at most; the reads of others are not counted until the next time. */
const GATHERED = 10_000;

/**
 * An entry's `accessCount` are the reads of it by key: added every few seconds by each worker, so it is a little late,
 * and a worker that is killed leaves out its last seconds. A read costs no write of its own.
 */
export class ReadCounts {
	readonly #database: Database;
	readonly #onProblem: (error: unknown) => void;
	readonly #timer: NodeJS.Timeout;
	#gathered = new Map<string, Reads>();

	constructor(database: Database, onProblem: (error: unknown) => void) {
		this.#database = database;
		this.#onProblem = onProblem;
		this.#timer = setInterval(() => void this.#flush(), COUNT_EVERY).unref();
	}

	add(workspace: string, { system, namespace, key }: EntryKey): void {
		const id = JSON.stringify([workspace, system, namespace, key]);
		const before = this.#gathered.get(id);
		if (before === undefined && this.#gathered.size >= GATHERED) return;
		this.#gathered.set(id, { workspace, system, namespace, key, reads: (before?.reads ?? 0) + 1 });
	}

	/** Adds what is left. */
	async close(): Promise<void> {
		clearInterval(this.#timer);
		await this.#flush();
	}

	async #flush(): Promise<void> {
		if (this.#gathered.size === 0) return;
		const reads = [...this.#gathered.values()];
		this.#gathered = new Map();
		try {
			await this.#database.write([], (client) => addReads(client, reads));
		} catch (error) {
			this.#onProblem(error);
		}
	}
}
