import { createHash } from "node:crypto";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { z } from "zod";
import type { Principal } from "../model.ts";
import { type CachedBody, type CacheService, ServiceError } from "../ports.ts";
import type { Edge } from "./edge.ts";
import type { Endpoint } from "./endpoint.ts";

/**
 * Milliseconds for which a list is served without asking, and then while it is read anew. Every change ends both at once; this
 * is for what changes by itself.
 */
export const LIST_KEPT_MS = { fresh: 1_000, stale: 2_000 } as const;

export const JSON_TYPE = "application/json; charset=utf-8";

type Handler = (request: FastifyRequest, reply: FastifyReply) => unknown;

/** What Fastify calls for an endpoint, once the edge has let the request in. */
export function handlerOf(endpoint: Endpoint, cache: CacheService, edge: Edge): Handler {
	if (endpoint.kind === "list") return listing(endpoint, cache, edge);
	if (endpoint.kind === "write" || endpoint.kind === "completion") return changing(endpoint, cache, edge);
	return async (request, reply) => {
		try {
			return await endpoint.handle(callOf(endpoint, request, reply));
		} catch (error) {
			// Of an answer that is written as it happens nobody hears any more.
			if (reply.sent) edge.fault(error, request, endpoint);
			throw error;
		}
	};
}

/**
 * A list is kept as bytes, for each principal: a replica is asked that has what this one wrote, and may not yet have what
 * another did. This is the way that is taken most, so it has no promise more than it needs.
 */
function listing(endpoint: Endpoint, cache: CacheService, edge: Edge): Handler {
	return (request, reply) => {
		const call = callOf(endpoint, request, reply);
		const load = async () => {
			edge.demandRoom(endpoint.path, 1);
			return await endpoint.handle(call);
		};
		const key = keptList(call.principal, endpoint.keptAs(call.query));
		cache.get(key, LIST_KEPT_MS.fresh, LIST_KEPT_MS.stale, load).then(
			(kept) => sendKept(kept, request, reply),
			// What is no error would be sent as an answer.
			(error: unknown) => reply.send(error instanceof Error ? error : new Error("a list could not be read", { cause: error })),
		);
	};
}

/** The cache's name for a principal's list. From its end, it can be taken apart in one way only, whatever the others are called. */
export function keptList({ workspace, id }: Principal, name: string): string {
	return `${workspace}:${encodeURIComponent(id)}:${name}`;
}

/**
 * What a principal has changed it sees at once: everything kept of its workspace is out of date before it is answered. The
 * services see to that for what they change; where a change failed it may have been made nevertheless.
 */
function changing(endpoint: Endpoint, cache: CacheService, edge: Edge): Handler {
	return async (request, reply) => {
		const call = callOf(endpoint, request, reply);
		const workspace = `${call.principal.workspace}:`;
		let failed = false;
		try {
			return await endpoint.handle(call);
		} catch (error) {
			failed = !(error instanceof ServiceError) || error.code === "UNAVAILABLE";
			throw error;
		} finally {
			const outdated = failed ? cache.invalidate(workspace) : cache.announced(workspace);
			// What is done is done: that it may be seen a little later is no reason to say that it was not.
			await outdated.catch((error: unknown) => edge.fault(error, request, endpoint));
		}
	};
}

/** What never changes, ready to be sent. */
export function keptBody(body: Buffer): CachedBody {
	return { body, etag: `"${createHash("sha256").update(body).digest("base64url").slice(0, 27)}"` };
}

/** Sends bytes that are ready, or 304 to who has them already. */
export function sendKept({ body, etag }: CachedBody, request: FastifyRequest, reply: FastifyReply, type = JSON_TYPE): FastifyReply {
	reply.header("etag", etag);
	const known = request.raw.headers["if-none-match"];
	if (known !== undefined && matches(known, etag)) return reply.code(304).send();
	return reply.header("content-type", type).send(body);
}

/** The weak comparison of RFC 9110, 13.1.2. */
function matches(known: string, etag: string): boolean {
	const opaque = (tag: string) => tag.trim().replace(/^W\//, "");
	return known === etag || known === "*" || known.split(",").some((tag) => opaque(tag) === opaque(etag));
}

function callOf(endpoint: Endpoint, request: FastifyRequest, reply: FastifyReply) {
	return {
		params: endpoint.params === null ? undefined : checked(endpoint.params, request.params),
		query: endpoint.query === null ? undefined : checked(endpoint.query, request.query),
		body: endpoint.body === null ? undefined : checked(endpoint.body, request.body ?? {}),
		// Guarded endpoints have one; the types of the others do not show it.
		principal: request.principal as Principal,
		request,
		reply,
	};
}

/** Faults named at most. */
const NAMED = 5;

/** @throws ServiceError INVALID, naming what is wrong */
function checked(schema: z.ZodType, value: unknown): unknown {
	const result = schema.safeParse(value);
	if (result.success) return result.data;
	const faults = result.error.issues
		.slice(0, NAMED)
		.map(({ path, message }) => (path.length === 0 ? message : `${path.join(".")}: ${message}`));
	throw new ServiceError("INVALID", faults.join("; "));
}
