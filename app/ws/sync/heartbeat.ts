import { PING, textFrame } from "./frame.ts";
import type { SyncSocket } from "./group.ts";

/**
 * Every socket there is, on a wheel: one slot a step, all of them once in a ping interval. One timer for all,
 * and the pings of thousands of sockets are spread evenly.
 */
export class Heartbeat {
	readonly #slots: Set<SyncSocket>[] = Array.from({ length: SLOTS }, () => new Set<SyncSocket>());
	readonly #performance: () => Readonly<Record<string, unknown>> | null;
	readonly #timeoutSteps: number;
	readonly #timer: NodeJS.Timeout;
	#step = 0;
	#next = 0;
	#size = 0;

	constructor(settings: {
		readonly pingMs: number;
		readonly pingTimeoutMs: number;
		readonly performance: () => Readonly<Record<string, unknown>> | null;
	}) {
		const stepMs = settings.pingMs / SLOTS;
		// A socket is looked at again before its next ping.
		this.#timeoutSteps = Math.min(SLOTS - 1, Math.ceil(settings.pingTimeoutMs / stepMs));
		this.#performance = settings.performance;
		this.#timer = setInterval(() => this.#turn(), stepMs);
		this.#timer.unref();
	}

	get size(): number {
		return this.#size;
	}

	*[Symbol.iterator](): Generator<SyncSocket> {
		for (const slot of this.#slots) yield* slot;
	}

	add(socket: SyncSocket): void {
		socket.slot = this.#next;
		this.#next = (this.#next + 1) % SLOTS;
		this.#slots[socket.slot]?.add(socket);
		this.#size += 1;
	}

	delete(socket: SyncSocket): void {
		if (this.#slots[socket.slot]?.delete(socket)) this.#size -= 1;
	}

	stop(): void {
		clearInterval(this.#timer);
	}

	#turn(): void {
		this.#step += 1;
		const due = this.#slots[this.#step % SLOTS] as Set<SyncSocket>;
		const pinged = this.#slots[(this.#step - this.#timeoutSteps + SLOTS) % SLOTS] as Set<SyncSocket>;
		for (const socket of pinged) if (socket.silent) socket.terminate();
		if (due.size === 0) return;
		const beat = this.#beat();
		for (const socket of due) {
			// A slow reader has a time limit of its own.
			if (socket.deadline !== 0) continue;
			socket.silent = true;
			socket.put(socket.live && socket.group?.wantsPerformance ? beat : PING);
		}
	}

	/** A ping, with the figures of the moment before it where there are any: they cost no write of their own. */
	#beat(): Buffer {
		const figures = this.#performance();
		if (figures === null) return PING;
		const timestamp = Date.now();
		return Buffer.concat([textFrame(JSON.stringify({ type: "performance-update", data: figures, timestamp })), PING]);
	}
}

const SLOTS = 25;
