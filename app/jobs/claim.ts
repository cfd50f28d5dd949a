import { type Attempt, AttemptOver } from "../services/once.ts";

/** What makes a job an attempt's: at once, or before the attempt does more than look something up. */
export class Claim {
	readonly #attempt: Pick<Attempt, "job" | "attempt">;
	readonly #ask: (() => Promise<boolean>) | null;
	#making: Promise<void> | null;
	#isMade: boolean;

	/** @param ask whether the job is the attempt's now, asked once; null where it is already */
	constructor(attempt: Pick<Attempt, "job" | "attempt">, ask: (() => Promise<boolean>) | null) {
		this.#attempt = attempt;
		this.#ask = ask;
		this.#isMade = ask === null;
		this.#making = ask === null ? Promise.resolve() : null;
	}

	get isMade(): boolean {
		return this.#isMade;
	}

	/** It is made, or will be unless somebody else is faster. */
	get isAsked(): boolean {
		return this.#making !== null;
	}

	/** @throws AttemptOver where the job is another's by now, or has to wait for room */
	make(): Promise<void> {
		this.#making ??= this.#made();
		return this.#making;
	}

	async #made(): Promise<void> {
		if (!(await this.#ask?.())) throw new AttemptOver(this.#attempt);
		this.#isMade = true;
	}
}
