import type { Prepared } from "./group.ts";

/** Where the events of a tick lie in the memory: what is written of them, and after it as JSON what else there is to each. */
interface Tick {
	/** The position of the last of them; they follow on each other. */
	readonly last: number;
	readonly events: number;
	readonly at: number;
	readonly headsLength: number;
	readonly length: number;
}

/** Of an event, beside its place in the sequence: the length of what is written of it, and its keys. */
type Rest = readonly [length: number, keys: Prepared["keys"]];

/**
 * The last events of a workspace, for who comes a little late. Bounded in number and in bytes; a tick is there as a whole or not
 * at all. All in one piece of memory, used over and over: buffers and objects that live for some ticks would be moved among
 * V8's old ones, and stay until it collects all of them, every few seconds where much happens.
 */
export class Ring {
	#memory: Buffer = Buffer.alloc(0);
	#ticks: Tick[] = [];
	#events = 0;
	/** Every event after this position is here. */
	#from = 0;

	/** Forgets everything: what comes next is after `position`. */
	restart(position: number): void {
		this.#ticks = [];
		this.#events = 0;
		this.#from = position;
	}

	/** @param prepared the next ones in the sequence, all that were prepared together, and each of them one event */
	push(prepared: readonly Prepared[]): void {
		const { seq: last, heads } = prepared.at(-1) as Prepared;
		const rest = JSON.stringify(prepared.map(({ length, keys }): Rest => [length, keys]));
		const length = heads.length + Buffer.byteLength(rest);
		if (prepared.length > MOST_EVENTS || length > MOST_BYTES) {
			this.restart(last);
			return;
		}
		while (this.#events + prepared.length > MOST_EVENTS) this.#drop();
		const at = this.#makeRoom(length);
		heads.copy(this.#memory, at);
		this.#memory.write(rest, at + heads.length);
		this.#ticks.push({ last, events: prepared.length, at, headsLength: heads.length, length });
		this.#events += prepared.length;
	}

	/** @returns null where some of them are gone; to be used before the next {@link push}, which may write over them */
	after(position: number): Prepared[] | null {
		if (position < this.#from) return null;
		const later = this.#ticks.filter(({ last }) => last > position).flatMap((tick) => this.#preparedIn(tick));
		return later.filter(({ seq }) => seq > position);
	}

	#preparedIn({ last, events, at, headsLength, length }: Tick): Prepared[] {
		const rest: Rest[] = JSON.parse(this.#memory.toString("utf8", at + headsLength, at + length));
		let begin = at;
		return rest.map(([headLength, keys], index) => {
			const headAt = begin;
			begin += headLength;
			return { seq: last - events + 1 + index, keys, count: 1, heads: this.#memory, at: headAt, length: headLength };
		});
	}

	/** @returns where so many bytes are free, once as many of the oldest ticks have gone as need be */
	#makeRoom(length: number): number {
		for (;;) {
			const at = this.#freeAt(length);
			if (at !== null) return at;
			if (this.#memory.length < MOST_BYTES) this.#grow(length);
			else this.#drop();
		}
	}

	/** The oldest tick may lie behind the newest, after the end of the memory has been reached. */
	#freeAt(length: number): number | null {
		const [oldest, newest] = [this.#ticks[0], this.#ticks.at(-1)];
		if (oldest === undefined || newest === undefined) return length <= this.#memory.length ? 0 : null;
		const end = newest.at + newest.length;
		if (newest.at < oldest.at) return end + length <= oldest.at ? end : null;
		if (end + length <= this.#memory.length) return end;
		return length <= oldest.at ? 0 : null;
	}

	#grow(length: number): void {
		const memory = Buffer.allocUnsafeSlow(Math.min(MOST_BYTES, 2 * Math.max(LEAST_BYTES, this.#memory.length, length)));
		let at = 0;
		this.#ticks = this.#ticks.map((tick) => {
			const moved = { ...tick, at };
			at += this.#memory.copy(memory, at, tick.at, tick.at + tick.length);
			return moved;
		});
		this.#memory = memory;
	}

	#drop(): void {
		const dropped = this.#ticks.shift() as Tick;
		this.#from = dropped.last;
		this.#events -= dropped.events;
	}
}

const MOST_EVENTS = 1_024;
const MOST_BYTES = 2 * 1_024 * 1_024;
const LEAST_BYTES = 8 * 1_024;
