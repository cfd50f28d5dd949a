import type { ClientSocket } from "./client-socket.ts";

/**
 * Every socket there is, on a wheel: one slot a step, all of them once in a ping interval. One timer for all,
 * and the pings of thousands of sockets are spread evenly.
 */
export class Heartbeat<S extends ClientSocket> {
	readonly #slots: Set<S>[] = Array.from({ length: SLOTS }, () => new Set<S>());
	readonly #beat: () => (socket: S) => Buffer;
	readonly #timeoutSteps: number;
	readonly #timer: NodeJS.Timeout;
	#step = 0;
	#next = 0;
	#size = 0;

	/** @param beat gives, for one step, what a socket is sent */
	constructor(settings: { readonly pingMs: number; readonly pingTimeoutMs: number }, beat: () => (socket: S) => Buffer) {
		const stepMs = settings.pingMs / SLOTS;
		// A socket is looked at again before its next ping.
		this.#timeoutSteps = Math.min(SLOTS - 1, Math.ceil(settings.pingTimeoutMs / stepMs));
		this.#beat = beat;
		this.#timer = setInterval(() => this.#turn(), stepMs);
		this.#timer.unref();
	}

	get size(): number {
		return this.#size;
	}

	*[Symbol.iterator](): Generator<S> {
		for (const slot of this.#slots) yield* slot;
	}

	add(socket: S): void {
		socket.slot = this.#next;
		this.#next = (this.#next + 1) % SLOTS;
		this.#slots[socket.slot]?.add(socket);
		this.#size += 1;
	}

	delete(socket: S): void {
		if (this.#slots[socket.slot]?.delete(socket)) this.#size -= 1;
	}

	stop(): void {
		clearInterval(this.#timer);
	}

	#turn(): void {
		this.#step += 1;
		const due = this.#slots[this.#step % SLOTS] as Set<S>;
		const pinged = this.#slots[(this.#step - this.#timeoutSteps + SLOTS) % SLOTS] as Set<S>;
		for (const socket of pinged) if (socket.silent) socket.terminate();
		if (due.size === 0) return;
		const beat = this.#beat();
		for (const socket of due) {
			// A slow reader has a time limit of its own.
			if (socket.deadline !== 0) continue;
			socket.silent = true;
			socket.put(beat(socket));
		}
	}
}

const SLOTS = 25;
