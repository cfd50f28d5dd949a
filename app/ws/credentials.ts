import type { IncomingMessage } from "node:http";
import { bearerOf, LONGEST_TOKEN } from "../bearer.ts";
import type { Principal } from "../model.ts";
import type { IdentityService } from "../ports.ts";
import { ServiceError } from "../ports.ts";

export interface CredentialSettings {
	/** The session's id in a request's signed cookie; null where there is no cookie, or its signature is wrong. */
	readonly sessionOf: (request: IncomingMessage) => string | null;
	/** Who may come in without a credential; null for nobody. */
	readonly legacy: Principal | null;
}

/** Something that lives for as long as its credential does. */
export interface Live {
	readonly principal: Principal | null;
	/** The credential has ended. */
	cut(): void;
}

/** Who is behind a handshake, and the end of those whose credential has ended. */
export class Credentials {
	readonly #identity: IdentityService;
	readonly #settings: CredentialSettings;
	readonly #live = new Set<Live>();
	/** When each of these was revoked: a handshake may have asked just before. */
	readonly #revoked = new Map<string, number>();
	readonly #stop: () => void;

	constructor(identity: IdentityService, settings: CredentialSettings) {
		this.#identity = identity;
		this.#settings = settings;
		this.#stop = identity.onRevoked((credentialId) => this.#revoke(credentialId));
	}

	/**
	 * From the Authorization header or the session cookie, never from the URL.
	 *
	 * @returns null where the request names no credential and nobody may come in without one
	 * @throws ServiceError UNAUTHENTICATED for a credential that is no good
	 */
	async ofRequest(request: IncomingMessage): Promise<Principal | null> {
		const header = request.headers.authorization;
		if (header !== undefined) {
			const token = bearerOf(header);
			if (token === null) throw unauthenticated();
			return this.ofToken(token);
		}
		const sessionId = this.#settings.sessionOf(request);
		if (sessionId !== null) return this.#identity.fromSession(sessionId);
		return this.#settings.legacy;
	}

	/** @throws ServiceError UNAUTHENTICATED */
	async ofToken(token: string): Promise<Principal> {
		if (token.length === 0 || token.length > LONGEST_TOKEN) throw unauthenticated();
		return this.#identity.fromToken(token);
	}

	/** False where the credential has ended since it was looked up. */
	isGood(principal: Principal, now: number): boolean {
		return !this.#revoked.has(principal.credentialId) && (principal.expiresAt === null || principal.expiresAt > now);
	}

	watch(live: Live): void {
		this.#live.add(live);
	}

	unwatch(live: Live): void {
		this.#live.delete(live);
	}

	/** Cuts those whose time has come. */
	sweep(now: number): void {
		for (const live of this.#live) {
			const expiresAt = live.principal?.expiresAt ?? null;
			if (expiresAt !== null && expiresAt <= now) live.cut();
		}
		for (const [credentialId, at] of this.#revoked) {
			if (now - at < REMEMBER_REVOKED_MS) break;
			this.#revoked.delete(credentialId);
		}
	}

	close(): void {
		this.#stop();
	}

	#revoke(credentialId: string): void {
		this.#revoked.set(credentialId, Date.now());
		for (const live of this.#live) {
			if (live.principal?.credentialId === credentialId) live.cut();
		}
	}
}

export function unauthenticated(): ServiceError {
	return new ServiceError("UNAUTHENTICATED", "A valid credential is needed.");
}

/** Longer than any handshake takes. */
const REMEMBER_REVOKED_MS = 60_000;
