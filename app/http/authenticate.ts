import type { IncomingMessage } from "node:http";
import { bearerOf } from "../bearer.ts";
import type { Principal } from "../model.ts";
import { type IdentityService, ServiceError } from "../ports.ts";
import { UNAUTHENTICATED } from "./errors.ts";
import type { SessionCookies } from "./session-cookie.ts";

/** Who comes in without a credential where that is allowed: the original's clients know none. */
export const legacyPrincipal: Principal = {
	id: "legacy:local",
	roles: ["member", "operator"],
	workspace: "default",
	expiresAt: null,
	credentialId: "legacy",
};

/** A principal, and whether the browser sends its credential by itself, whichever page makes it ask. */
export interface Identified {
	readonly principal: Principal;
	readonly ambient: boolean;
}

/** Tells who is asking. */
export interface Authentication {
	/** Of {@link identify} what needs nobody to be asked: the holder of a token that is known. The same object for as long as it is. */
	known(request: IncomingMessage): Principal | null;
	/**
	 * By the Authorization header, else by the session cookie, else the legacy principal. A credential that is sent and is no good
	 * is an error, also where none would do.
	 *
	 * @throws ServiceError UNAUTHENTICATED
	 */
	identify(request: IncomingMessage): Promise<Identified>;
}

/** @param legacyOpen lets in who has no credential */
export function authentication(identity: IdentityService, cookies: SessionCookies, legacyOpen: boolean): Authentication {
	return {
		known({ headers: { authorization } }) {
			const token = authorization === undefined ? null : bearerOf(authorization);
			return token === null ? null : identity.known(token);
		},
		async identify(request) {
			const { authorization } = request.headers;
			if (authorization !== undefined) {
				const token = bearerOf(authorization);
				if (token === null) throw unauthenticated();
				return { principal: unexpired(await identity.fromToken(token)), ambient: false };
			}
			if (cookies.isSent(request)) {
				const sessionId = cookies.sessionOf(request);
				if (sessionId === null) throw unauthenticated();
				return { principal: unexpired(await identity.fromSession(sessionId)), ambient: true };
			}
			if (!legacyOpen) throw unauthenticated();
			return legacy;
		},
	};
}

const legacy: Identified = { principal: legacyPrincipal, ambient: true };

/** What is known of a credential may be older than its end. */
function unexpired(principal: Principal): Principal {
	if (principal.expiresAt !== null && principal.expiresAt <= Date.now()) throw unauthenticated();
	return principal;
}

function unauthenticated(): ServiceError {
	return new ServiceError("UNAUTHENTICATED", UNAUTHENTICATED);
}
