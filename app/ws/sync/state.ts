import type { Principal } from "../../model.ts";
import type { SwarmService } from "../../ports.ts";
import { textFrame } from "../frame.ts";
import { initialState, stateOf } from "./messages.ts";

/** A workspace's state, ready to be sent to any number of clients. */
export interface State {
	readonly seq: number;
	/** The JSON of the state alone. */
	readonly text: string;
	/** The `initial-state` message. */
	readonly frame: Buffer;
	readonly loadedAt: number;
}

/** One query at a time, and its answer for all who ask within a second: a storm of clients costs a few. */
export class States {
	readonly #swarm: SwarmService;
	#last: State | null = null;
	#loading: Promise<State> | null = null;

	constructor(swarm: SwarmService) {
		this.#swarm = swarm;
	}

	/**
	 * @param principal any of the workspace
	 * @param atLeast the position it has to stand for
	 */
	async get(principal: Principal, atLeast: number): Promise<State> {
		for (let tries = 0; ; tries += 1) {
			const last = this.#last;
			if (last !== null && last.seq >= atLeast && Date.now() - last.loadedAt < FRESH_MS) return last;
			const state = await this.#load(principal);
			// A snapshot older than what was asked for is still one from which the missing events can be sent.
			if (state.seq >= atLeast || tries === 2) return state;
		}
	}

	/** Frees what nobody will be given any more. */
	sweep(now: number): void {
		if (this.#last !== null && now - this.#last.loadedAt >= FRESH_MS) this.#last = null;
	}

	#load(principal: Principal): Promise<State> {
		this.#loading ??= this.#read(principal).finally(() => {
			this.#loading = null;
		});
		return this.#loading;
	}

	async #read(principal: Principal): Promise<State> {
		const snapshot = await this.#swarm.snapshot(principal);
		const text = stateOf(snapshot);
		const { seq, timestamp } = snapshot;
		this.#last = { seq, text, frame: textFrame(initialState(text, seq, timestamp)), loadedAt: Date.now() };
		return this.#last;
	}
}

const FRESH_MS = 1_000;
