import type { Principal } from "../model.ts";
import { ServiceError } from "../ports.ts";
import { Tally } from "../ws/admission.ts";
import { ownerOf } from "../ws/gate.ts";

/** Requests of one principal that may wait at this worker for what job workers do. */
const MOST = 64;

/** Counts who waits: a request that waits costs little, and thousands of them do not. */
export class WaitingRoom {
	readonly #tally = new Tally(MOST);

	/**
	 * @returns the way out
	 * @throws ServiceError RATE_LIMITED
	 */
	enter(principal: Principal): () => void {
		const owner = ownerOf(principal);
		if (!this.#tally.add(owner)) throw new ServiceError("RATE_LIMITED", `${MOST} of your requests wait here already`, 1);
		return () => this.#tally.remove(owner);
	}
}
