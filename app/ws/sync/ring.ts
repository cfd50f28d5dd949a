import type { Prepared } from "./group.ts";

/** Events that were prepared together, outside of V8's heap: objects that live for some ticks would all be moved among its old ones. */
interface Tick {
	/** The position of the last of them; they follow on each other. */
	readonly last: number;
	readonly heads: Buffer;
	/** Where in it each of them ends. */
	readonly ends: Uint32Array;
	/** JSON of what each has as `keys`. */
	readonly keys: Buffer;
}

/** The last events of a workspace, for who comes a little late. Bounded in number and in bytes; a tick is there as a whole or not at all. */
export class Ring {
	#ticks: Tick[] = [];
	#events = 0;
	#bytes = 0;
	/** Every event after this position is here. */
	#from = 0;

	/** Forgets everything: what comes next is after `position`. */
	restart(position: number): void {
		this.#ticks = [];
		this.#events = 0;
		this.#bytes = 0;
		this.#from = position;
	}

	/** @param prepared the next ones in the sequence, all that were prepared together, and each of them one event */
	push(prepared: readonly Prepared[]): void {
		const { seq, heads } = prepared.at(-1) as Prepared;
		const tick: Tick = {
			last: seq,
			heads,
			ends: Uint32Array.from(prepared, ({ at, length }) => at + length),
			keys: Buffer.from(JSON.stringify(prepared.map(({ keys }) => keys))),
		};
		this.#ticks.push(tick);
		this.#events += prepared.length;
		this.#bytes += bytesOf(tick);
		while (this.#events > MOST_EVENTS || this.#bytes > MOST_BYTES) this.#drop();
	}

	/** @returns null where some of them are gone */
	after(position: number): Prepared[] | null {
		if (position < this.#from) return null;
		const first = this.#ticks.findIndex(({ last }) => last > position);
		if (first === -1) return [];
		return this.#ticks
			.slice(first)
			.flatMap(preparedIn)
			.filter(({ seq }) => seq > position);
	}

	#drop(): void {
		const dropped = this.#ticks.shift() as Tick;
		this.#from = dropped.last;
		this.#events -= dropped.ends.length;
		this.#bytes -= bytesOf(dropped);
	}
}

function bytesOf({ heads, keys }: Tick): number {
	return heads.length + keys.length;
}

function preparedIn({ last, heads, ends, keys }: Tick): Prepared[] {
	const each: Prepared["keys"][] = JSON.parse(keys.toString());
	return each.map((found, index) => {
		const at = ends[index - 1] ?? 0;
		const length = (ends[index] as number) - at;
		return { seq: last - each.length + 1 + index, keys: found, count: 1, heads, at, length };
	});
}

const MOST_EVENTS = 1_024;
const MOST_BYTES = 2 * 1_024 * 1_024;
