import { RowWriter } from "./copy-format.ts";
import type { Outcome, Table } from "./rows.ts";

/** Counts the rows of a table while they are written. */
export class Tally {
	readonly #table: Table;
	readonly #onRows: (read: number) => void;
	readonly #writer = new RowWriter();
	readonly reasons: Record<string, number> = {};
	read = 0;
	expired = 0;
	checksum = "";

	constructor(table: Table, onRows: (read: number) => void) {
		this.#table = table;
		this.#onRows = onRows;
	}

	/** Rows that are on their way. */
	get taken(): number {
		return this.#writer.rows;
	}

	*chunks(): Generator<Buffer> {
		const writer = this.#writer;
		if (this.#table.target === "memory_entries") yield* this.#written(this.#table.rows(), (row) => writer.memory(row));
		else yield* this.#written(this.#table.rows(), (row) => writer.hive(row));
		yield writer.end();
		this.checksum = writer.checksum();
	}

	*#written<Row>(outcomes: Iterable<Outcome<Row>>, write: (row: Row) => void): Generator<Buffer> {
		for (const outcome of outcomes) {
			this.read += 1;
			if ("row" in outcome) write(outcome.row);
			else if ("expired" in outcome) this.expired += 1;
			else this.reasons[outcome.refused] = (this.reasons[outcome.refused] ?? 0) + 1;
			if (!this.#writer.full) continue;
			this.#onRows(this.read);
			yield this.#writer.take();
		}
		this.#onRows(this.read);
	}
}
