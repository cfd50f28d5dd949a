import { createHmac, timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";

/** The cookie by which a browser says who it is: `<session id>.<signature>`. */
export const SESSION_COOKIE = "af_session";

/** Signs session cookies and reads them. The signature keeps guesses away from Redis; what counts is the session there. */
export interface SessionCookies {
	/** The session's id in a request's cookie; null where there is none or its signature is wrong. */
	sessionOf(request: IncomingMessage): string | null;
	/** Whether there is such a cookie at all, good or bad. */
	isSent(request: IncomingMessage): boolean;
	/** Value of a Set-Cookie header. Never sent along with a request from another site. */
	issue(sessionId: string, maxAgeSeconds: number, secure: boolean): string;
	/** Value of a Set-Cookie header that takes the cookie away. */
	expire(secure: boolean): string;
}

/** @param keys the first signs, all verify; asked at every use */
export function sessionCookies(keys: () => readonly string[]): SessionCookies {
	return {
		sessionOf(request) {
			const value = cookieOf(request);
			if (value === null) return null;
			const dot = value.lastIndexOf(".");
			if (dot <= 0) return null;
			const sessionId = value.slice(0, dot);
			const signature = Buffer.from(value.slice(dot + 1), "base64url");
			return keys().some((key) => equal(sign(sessionId, key), signature)) ? sessionId : null;
		},
		isSent: (request) => cookieOf(request) !== null,
		issue(sessionId, maxAgeSeconds, secure) {
			const [key] = keys();
			if (key === undefined) throw new Error("there is no key to sign session cookies with");
			return attributes(`${sessionId}.${sign(sessionId, key).toString("base64url")}`, maxAgeSeconds, secure);
		},
		expire: (secure) => attributes("", 0, secure),
	};
}

function attributes(value: string, maxAgeSeconds: number, secure: boolean): string {
	return `${SESSION_COOKIE}=${value}; Path=/; Max-Age=${maxAgeSeconds}; HttpOnly; SameSite=Strict${secure ? "; Secure" : ""}`;
}

/** The first of that name, as RFC 6265 lets the more specific path come first. */
function cookieOf(request: IncomingMessage): string | null {
	const header = request.headers.cookie;
	if (header === undefined || !header.includes(SESSION_COOKIE)) return null;
	const pair = header
		.split(";")
		.map((each) => each.trim())
		.find((each) => each.startsWith(`${SESSION_COOKIE}=`));
	return pair === undefined ? null : pair.slice(SESSION_COOKIE.length + 1);
}

/** Named, so that a signature made with the same key for something else is none for a cookie. */
function sign(sessionId: string, key: string): Buffer {
	return createHmac("sha256", key).update(`${SESSION_COOKIE}.${sessionId}`).digest();
}

function equal(expected: Buffer, actual: Buffer): boolean {
	return expected.length === actual.length && timingSafeEqual(expected, actual);
}
