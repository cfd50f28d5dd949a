import type { FastifyReply, FastifyRequest } from "fastify";
import type { z } from "zod";
import type { Principal } from "../model.ts";
import type { Failure } from "./errors.ts";

/**
 * What an endpoint is to the edge. It decides who may call it, what may be kept of its answer and when it is shed.
 *
 * - `health`: for probes. Nobody is asked who he is, nothing is limited or shed.
 * - `public`: a document, the same for everybody, that the load balancer may keep. Shed first.
 * - `page`: a file of the page at `/`, kept likewise. A browser shows it.
 * - `list`: what is asked for again and again, kept until the workspace changes. Shed first where it is not at hand.
 * - `read`: a principal reads, or calls something that changes nothing. Shed second.
 * - `write`: a principal changes its workspace. Shed last.
 * - `completion`: the end of a task, the one thing that makes less work. Never shed.
 * - `session`: logging in and out, before there is a principal. Shed last, with a limit of its own.
 */
export type EndpointKind = "health" | "public" | "page" | "list" | "read" | "write" | "completion" | "session";

export type Method = "GET" | "POST" | "DELETE";

/** What a handler is given. Everything in it has been checked against the endpoint's schemas. */
export interface Call<Params, Query, Body> {
	readonly params: Params;
	readonly query: Query;
	readonly body: Body;
	readonly request: FastifyRequest;
	readonly reply: FastifyReply;
}

/** A call of somebody known. */
export interface GuardedCall<Params, Query, Body> extends Call<Params, Query, Body> {
	readonly principal: Principal;
}

/** One operation of the API: what is served, what is checked and what is documented are this one thing. */
export interface Endpoint {
	readonly method: Method;
	/** Template in Fastify's form; also the label of metrics. `*` is the rest of the path. */
	readonly path: string;
	readonly kind: EndpointKind;
	/** Group in the documentation. */
	readonly tag: string;
	/** One sentence. */
	readonly summary: string;
	/** Null for what the endpoint does not read. */
	readonly params: z.ZodType | null;
	readonly query: z.ZodType | null;
	readonly body: z.ZodType | null;
	/** Of status 200. */
	readonly answer: z.ZodType;
	/** Answers of other statuses that are no {@link Failure}, or more than one. */
	readonly otherAnswers: Readonly<Record<number, z.ZodType>>;
	/** Fields that a failed call of this endpoint has beside those of every failure. */
	readonly failureFields: (failure: Failure, body: unknown) => object;
	/** The answer waits for what job workers do: how long it takes, and whether that succeeds, says nothing of this worker. */
	readonly waits: boolean;
	/** For `list`: under which name the answer is kept, without a colon. */
	readonly keptAs: (query: unknown) => string;
	readonly handle: (call: GuardedCall<unknown, unknown, unknown>) => unknown;
}

/** An endpoint as it is written down; what is left out is nothing. */
export interface EndpointDefinition<
	Params extends z.ZodType,
	Query extends z.ZodType,
	Body extends z.ZodType,
	Answer extends z.ZodType,
	Kind extends EndpointKind,
> {
	readonly method: Method;
	readonly path: string;
	readonly kind: Kind;
	readonly tag: string;
	readonly summary: string;
	readonly params?: Params;
	readonly query?: Query;
	readonly body?: Body;
	readonly answer: Answer;
	readonly otherAnswers?: Readonly<Record<number, z.ZodType>>;
	readonly waits?: boolean;
	readonly failureFields?: (failure: Failure, body: unknown) => object;
	readonly keptAs?: (query: z.output<Query>) => string;
	readonly handle: (
		call: Kind extends "health" | "public" | "page" | "session"
			? Call<z.output<Params>, z.output<Query>, z.output<Body>>
			: GuardedCall<z.output<Params>, z.output<Query>, z.output<Body>>,
	) => z.input<Answer> | Promise<z.input<Answer>>;
}

/** Fills in what the definition leaves out. */
export function endpoint<
	Answer extends z.ZodType,
	Kind extends EndpointKind,
	Params extends z.ZodType = z.ZodType,
	Query extends z.ZodType = z.ZodType,
	Body extends z.ZodType = z.ZodType,
>(definition: EndpointDefinition<Params, Query, Body, Answer, Kind>): Endpoint {
	const { method, path, kind, tag, summary, answer } = definition;
	return {
		method,
		path,
		kind,
		tag,
		summary,
		params: definition.params ?? null,
		query: definition.query ?? null,
		body: definition.body ?? null,
		answer,
		otherAnswers: definition.otherAnswers ?? {},
		failureFields: definition.failureFields ?? (() => ({})),
		waits: definition.waits ?? false,
		keptAs: (definition.keptAs as Endpoint["keptAs"] | undefined) ?? (() => path),
		handle: definition.handle as Endpoint["handle"],
	};
}
