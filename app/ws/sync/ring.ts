import type { Prepared } from "./group.ts";

/** The last events of a workspace, for who comes a little late. Bounded in number and in bytes. */
export class Ring {
	#events: Prepared[] = [];
	/** The first event that counts: what is before it has been dropped and is cut off now and then. */
	#start = 0;
	#bytes = 0;
	/** Every event after this position is here. */
	#from = 0;

	/** Forgets everything: what comes next is after `position`. */
	restart(position: number): void {
		this.#events = [];
		this.#start = 0;
		this.#bytes = 0;
		this.#from = position;
	}

	/** @param prepared the next one in the sequence */
	push(prepared: Prepared): void {
		this.#events.push(prepared);
		this.#bytes += prepared.length;
		while (this.#events.length - this.#start > MOST_EVENTS || this.#bytes > MOST_BYTES) this.#drop();
		if (this.#start < MOST_EVENTS) return;
		this.#events = this.#events.slice(this.#start);
		this.#start = 0;
	}

	/** @returns null where some of them are gone */
	after(position: number): Prepared[] | null {
		return position < this.#from ? null : this.#events.slice(this.#start + (position - this.#from));
	}

	#drop(): void {
		const dropped = this.#events[this.#start] as Prepared;
		this.#from = dropped.seq;
		this.#bytes -= dropped.length;
		this.#start += 1;
	}
}

const MOST_EVENTS = 1_024;
const MOST_BYTES = 2 * 1_024 * 1_024;
