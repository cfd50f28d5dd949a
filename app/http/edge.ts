import type { IncomingMessage } from "node:http";
import type { FastifyError, FastifyReply, FastifyRequest, HookHandlerDoneFunction } from "fastify";
import type { Principal } from "../model.ts";
import type { LimitService } from "../ports.ts";
import type { Authentication } from "./authenticate.ts";
import type { Endpoint, EndpointKind } from "./endpoint.ts";
import { answerTo, failure, HttpError, pathOf } from "./errors.ts";
import { addressOf, isHttps, networkOf, type Origins } from "./origins.ts";
import type { SessionCookies } from "./session-cookie.ts";
import type { HttpObserver, HttpSettings, Refusal } from "./settings.ts";

declare module "fastify" {
	interface FastifyRequest {
		/** Set by the edge on guarded endpoints, and only there. */
		principal: Principal | null;
		/** As `performance.now()`. */
		startedAt: number;
	}
}

/** Label of everything that no endpoint is for. */
export const UNMATCHED = "unmatched";

const unmatched = { path: UNMATCHED, waits: false };

/** The level of load from which an endpoint is not served. */
const shedFrom: Readonly<Record<EndpointKind, number>> = {
	public: 1,
	page: 1,
	list: 2,
	read: 2,
	write: 3,
	session: 3,
	completion: Number.POSITIVE_INFINITY,
	health: Number.POSITIVE_INFINITY,
};

/** The answers are for programs: a browser that shows one by itself must do nothing with it. */
const protection = {
	"content-security-policy": "default-src 'none'; frame-ancestors 'none'",
	"x-content-type-options": "nosniff",
	"referrer-policy": "no-referrer",
};

/** Whatever gets into the page's data, the page runs and loads what came with it and nothing else. */
const pagePolicy = [
	"default-src 'none'",
	"script-src 'self'",
	"style-src 'self'",
	"img-src 'self'",
	"connect-src 'self'",
	"base-uri 'none'",
	"form-action 'none'",
	"frame-ancestors 'none'",
	"require-trusted-types-for 'script'",
	"trusted-types 'none'",
].join("; ");

const unkept = { ...protection, "cache-control": "no-store", vary: "Origin" };

/** What every answer of a kind says, but a failure. */
export const standingHeaders: Readonly<Record<EndpointKind, Readonly<Record<string, string>>>> = {
	// What the balancer keeps must not vary; it keeps nothing for those who send an origin.
	public: { ...protection, "cache-control": "public, max-age=1" },
	page: { ...protection, "content-security-policy": pagePolicy, "cache-control": "public, max-age=1" },
	list: { ...protection, "cache-control": "private, no-cache", vary: "Origin" },
	read: unkept,
	write: unkept,
	session: unkept,
	completion: unkept,
	health: unkept,
};

const ALLOWED_HEADERS = [
	"Content-Type",
	"Authorization",
	"If-None-Match",
	"Idempotency-Key",
	"Prefer",
	"Mcp-Session-Id",
	"Mcp-Protocol-Version",
	"Last-Event-ID",
].join(", ");

export const HSTS = "max-age=31536000";

/** A wrong credential costs as much as so many requests of its address. */
const WRONG_CREDENTIAL = 10;

export interface EdgeParts {
	readonly settings: HttpSettings;
	readonly observe: HttpObserver;
	readonly origins: Origins;
	readonly cookies: SessionCookies;
	readonly authentication: Authentication;
	readonly limits: LimitService;
}

type Hook = (request: FastifyRequest, reply: FastifyReply, done: HookHandlerDoneFunction) => void;

/** Everything that happens to a request before its handler, and to the answer whatever becomes of it. */
export class Edge {
	readonly #parts: EdgeParts;
	readonly #hsts: boolean;
	/** Of principals, which are the same object for as long as they are known. */
	readonly #buckets = new WeakMap<Principal, string>();

	constructor(parts: EdgeParts) {
		this.#parts = parts;
		// It would hold for every port of the host, and so for the plain ones of this machine.
		const { protocol, hostname } = new URL(parts.settings.publicOrigin);
		this.#hsts = protocol === "https:" && hostname !== "localhost";
	}

	/** Before an endpoint's body is read: who is that, and may he? */
	enter(endpoint: Endpoint): Hook {
		const { path, kind } = endpoint;
		const { authentication, observe } = this.#parts;
		const { begin } = observe;
		const proceed: Hook = (request, reply, done) => {
			let known: Principal | null;
			try {
				this.#begin(request, reply, kind);
				this.#demandHost(request, path, kind);
				if (kind === "health") return done();
				this.demandRoom(path, shedFrom[kind]);
				if (kind === "session") this.#enterSession(request, path);
				else this.#take(path, "address", this.#bucketOfAddress("address", request.raw));
				if (kind === "public" || kind === "page" || kind === "session") return done();
				known = authentication.known(request.raw);
				if (known !== null) this.#letIn(request, path, known);
			} catch (error) {
				return done(error as Error);
			}
			if (known !== null) done();
			else this.#identify(request, path).then(() => done(), done);
		};
		if (begin === null) return proceed;
		return (request, reply, done) => begin(request.raw, path, () => proceed(request, reply, done));
	}

	/** After the answer. */
	leave({ path, waits }: Pick<Endpoint, "path" | "waits">): Hook {
		const { observe } = this.#parts;
		return (request, reply, done) => {
			observe.answered(request.raw, path, reply.raw.statusCode, (performance.now() - request.startedAt) / 1_000, waits);
			done();
		};
	}

	/** Answers a failed call of an endpoint. */
	fail(endpoint: Endpoint): (error: FastifyError, request: FastifyRequest, reply: FastifyReply) => void {
		return (error, request, reply) => this.#answer(error, request, reply, endpoint);
	}

	/** Answers what no endpoint is for, preflights among it. */
	unmatched(request: FastifyRequest, reply: FastifyReply): void {
		this.#begin(request, reply, "read");
		try {
			this.#demandHost(request, UNMATCHED, "read");
			if (request.method === "OPTIONS") this.#preflight(request, reply);
			else this.#notFound(request, reply);
		} catch (error) {
			this.#answer(error, request, reply, null);
		}
		this.leave(unmatched)(request, reply, () => {});
	}

	/** Answers what the router could not even look for. */
	unroutable(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
		this.#begin(request, reply, "read");
		this.#answer(error, request, reply, null);
		this.leave(unmatched)(request, reply, () => {});
	}

	/** Whether an answer says {@link HSTS}. */
	pinsHttps(request: IncomingMessage): boolean {
		return this.#hsts && isHttps(request, this.#parts.settings.trustProxy);
	}

	/**
	 * For an answer that is at hand: takes what it costs of the limits. Where that is not possible, or something else is in its
	 * way, it says no, and the request has to go the whole way, where it is told why.
	 */
	admits({ kind }: Pick<Endpoint, "kind">, request: IncomingMessage, principal: Principal | null): boolean {
		const { origins, limits, settings } = this.#parts;
		if (!origins.isOurs(request.headers.host) || settings.load.level() >= shedFrom[kind]) return false;
		if (principal !== null && limits.take(this.#bucketOf(principal), 1, settings.limits.principal) > 0) return false;
		return limits.take(this.#bucketOfAddress("address", request), 1, settings.limits.address) === 0;
	}

	/** @throws HttpError 503 where the worker is so busy that traffic of this level is refused */
	demandRoom(path: string, level: number): void {
		if (this.#parts.settings.load.level() < level) return;
		this.#parts.observe.refused(path, "shed");
		// Not all at once.
		throw new HttpError(503, "The server has too much to do", 1 + Math.floor(Math.random() * 3));
	}

	/** Reports a fault of the server's. */
	fault(error: unknown, request: FastifyRequest, endpoint: Endpoint | null): void {
		const requestId = request.raw.headers["x-request-id"];
		this.#parts.observe.fault(error, {
			method: request.method,
			route: endpoint?.path ?? UNMATCHED,
			requestId: typeof requestId === "string" ? requestId : null,
		});
	}

	/** Whether a cookie for this client may travel by HTTPS alone. */
	isSecure(request: FastifyRequest): boolean {
		const { publicOrigin, trustProxy } = this.#parts.settings;
		return publicOrigin.startsWith("https:") || isHttps(request.raw, trustProxy);
	}

	#begin(request: FastifyRequest, reply: FastifyReply, kind: EndpointKind): void {
		request.startedAt = performance.now();
		const { origins } = this.#parts;
		reply.headers(standingHeaders[kind]);
		if (this.pinsHttps(request.raw)) reply.header("strict-transport-security", HSTS);
		const { origin } = request.raw.headers;
		if (origin === undefined) return;
		reply.header("vary", "Origin");
		if (!origins.isAllowed(origin)) return;
		reply.header("access-control-allow-origin", origin);
		reply.header("access-control-allow-credentials", "true");
		reply.header("access-control-expose-headers", "ETag, Location, Mcp-Session-Id, Preference-Applied, Retry-After, X-Request-Id");
	}

	#demandHost(request: FastifyRequest, path: string, kind: EndpointKind): void {
		const { host } = request.raw.headers;
		if (this.#parts.origins.isOurs(host) || (kind === "health" && host === "health")) return;
		this.#refuse(path, "host", new HttpError(403, "This is not the host you are looking for"));
	}

	#notFound(request: FastifyRequest, reply: FastifyReply): void {
		this.#take(UNMATCHED, "address", this.#bucketOfAddress("address", request.raw));
		const { method } = request;
		const path = pathOf(request.url);
		reply.code(404).send({ ...failure("Not Found", method, path), message: `Route ${method} ${path} not found`, path, method });
	}

	#preflight(request: FastifyRequest, reply: FastifyReply): void {
		const { origin } = request.raw.headers;
		if (origin !== undefined && this.#parts.origins.isAllowed(origin)) {
			reply.header("access-control-allow-methods", "GET, POST, PUT, DELETE, OPTIONS");
			reply.header("access-control-allow-headers", ALLOWED_HEADERS);
			reply.header("access-control-max-age", "600");
		}
		reply.code(204).send();
	}

	/** A page elsewhere must neither log a browser in as somebody else nor log it out. */
	#enterSession(request: FastifyRequest, path: string): void {
		this.#take(path, "login", this.#bucketOfAddress("login", request.raw));
		const { origin } = request.raw.headers;
		if (origin === undefined ? this.#parts.cookies.isSent(request.raw) : !this.#parts.origins.isAllowed(origin)) this.#refuseOrigin(path);
	}

	async #identify(request: FastifyRequest, path: string): Promise<void> {
		const { authentication, limits, settings } = this.#parts;
		const { principal, ambient } = await authentication.identify(request.raw).catch((error: unknown) => {
			if (answerTo(error).status === 401)
				limits.take(this.#bucketOfAddress("address", request.raw), WRONG_CREDENTIAL, settings.limits.address);
			throw error;
		});
		if (ambient) this.#demandOrigin(request, path, principal);
		this.#letIn(request, path, principal);
	}

	#letIn(request: FastifyRequest, path: string, principal: Principal): void {
		this.#take(path, "principal", this.#bucketOf(principal));
		request.principal = principal;
	}

	/**
	 * A browser sends its cookie whichever page makes it ask, so that what changes something must come from a page of ours.
	 * Who needs no credential may be a script, which sends no origin; from a page it must be ours for reading, too.
	 */
	#demandOrigin(request: FastifyRequest, path: string, principal: Principal): void {
		const { origin } = request.raw.headers;
		if (origin !== undefined && this.#parts.origins.isAllowed(origin)) return;
		const legacy = principal.credentialId === "legacy";
		const safe = request.method === "GET" || request.method === "HEAD";
		if (legacy ? origin === undefined : safe) return;
		this.#refuseOrigin(path);
	}

	#take(path: string, scope: keyof HttpSettings["limits"], bucket: string): void {
		const { limits, settings } = this.#parts;
		const seconds = limits.take(bucket, 1, settings.limits[scope]);
		if (seconds > 0) this.#refuse(path, `${scope}-limit`, new HttpError(429, "Too many requests", Math.max(1, seconds)));
	}

	#refuseOrigin(path: string): never {
		this.#refuse(path, "origin", new HttpError(403, "This origin is not allowed"));
	}

	#refuse(path: string, why: Refusal, error: HttpError): never {
		this.#parts.observe.refused(path, why);
		throw error;
	}

	#bucketOf(principal: Principal): string {
		let bucket = this.#buckets.get(principal);
		if (bucket === undefined) {
			bucket = bucketOf("principal", holderOf(principal));
			this.#buckets.set(principal, bucket);
		}
		return bucket;
	}

	#bucketOfAddress(scope: "address" | "login", request: IncomingMessage): string {
		return bucketOf(scope, networkOf(addressOf(request, this.#parts.settings.trustProxy)));
	}

	#answer(error: unknown, request: FastifyRequest, reply: FastifyReply, endpoint: Endpoint | null): void {
		const { cookies } = this.#parts;
		const answer = answerTo(error);
		if (answer.fault) this.fault(error, request, endpoint);
		reply.header("cache-control", "no-store");
		// Closed while the body is still coming, the connection would be reset, and the answer be lost. The rest is read and
		// dropped for as long as a request may take.
		reply.removeHeader("connection");
		if (answer.retryAfterSeconds !== undefined) reply.header("retry-after", String(Math.ceil(answer.retryAfterSeconds)));
		if (answer.status === 401) {
			reply.header("www-authenticate", "Bearer");
			// A cookie that is no good would stand in the way of everything, logging in anew included.
			const byCookie = endpoint?.kind !== "session" && request.raw.headers.authorization === undefined && cookies.isSent(request.raw);
			if (byCookie) reply.header("set-cookie", cookies.expire(this.isSecure(request)));
		}
		const body = failure(answer.error, request.method, pathOf(request.url));
		reply.code(answer.status).send({ ...body, ...endpoint?.failureFields(body, request.body) });
	}
}

/** Names of buckets. */
function bucketOf(scope: keyof HttpSettings["limits"], whose: string): string {
	return `${scope}:${whose}`;
}

function holderOf({ workspace, id }: Principal): string {
	return `${workspace}:${id}`;
}
