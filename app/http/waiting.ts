import type { Principal } from "../model.ts";
import { type IdentityService, ServiceError } from "../ports.ts";
import { Tally } from "../ws/admission.ts";
import { ownerOf } from "../ws/gate.ts";

/** Requests of one principal that may wait at this worker for what job workers do. */
const MOST = 256;

/** Somebody who waits. */
export interface Waiter {
	/** Aborted when the worker goes away, and when the principal's credential ends: nobody is kept waiting from then on. */
	readonly over: AbortSignal;
	leave(): void;
}

/** Counts who waits, and ends it: a request that waits costs little, and thousands of them do not. */
export class WaitingRoom {
	readonly #tally = new Tally(MOST);
	readonly #inside = new Set<{ readonly credentialId: string; readonly cut: AbortController }>();
	readonly #stopping: AbortSignal;
	readonly #stopListening: () => void;

	/** @param stopping aborted when the worker goes away */
	constructor(identity: Pick<IdentityService, "onRevoked">, stopping: AbortSignal) {
		this.#stopping = stopping;
		const stopListening = identity.onRevoked((revoked) => {
			for (const { credentialId, cut } of this.#inside) if (credentialId === revoked) cut.abort();
		});
		const cutAll = () => {
			for (const { cut } of this.#inside) cut.abort();
		};
		// Once for all: a signal that lives as long as the worker would keep something of each that depends on it.
		stopping.addEventListener("abort", cutAll, { once: true });
		this.#stopListening = () => {
			stopListening();
			stopping.removeEventListener("abort", cutAll);
		};
	}

	/** @throws ServiceError RATE_LIMITED */
	enter(principal: Principal): Waiter {
		const { credentialId, expiresAt } = principal;
		const owner = ownerOf(principal);
		if (!this.#tally.add(owner)) throw new ServiceError("RATE_LIMITED", `${MOST} of your requests wait here already`, 1);
		const cut = new AbortController();
		const one = { credentialId, cut };
		this.#inside.add(one);
		if (this.#stopping.aborted) cut.abort();
		const life = expiresAt === null ? null : Math.min(LONGEST_TIMER_MS, expiresAt - Date.now());
		const expiry = life === null ? undefined : setTimeout(() => cut.abort(), life).unref();
		return {
			over: cut.signal,
			leave: () => {
				clearTimeout(expiry);
				if (this.#inside.delete(one)) this.#tally.remove(owner);
			},
		};
	}

	close(): void {
		this.#stopListening();
	}
}

/** Nobody waits for days; a timer cannot. */
const LONGEST_TIMER_MS = 86_400_000;
