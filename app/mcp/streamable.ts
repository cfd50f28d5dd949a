/**
 * MCP over HTTP at `/mcp`: https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#streamable-http
 *
 * No worker keeps anything of a client, so that each request may go to any of them. The session id is a name and nothing else:
 * by it and the request's id any worker finds the job that is to be cancelled. A stream that ends before its answer is taken up
 * anywhere: the ids of its events name the job.
 */
import { randomUUID } from "node:crypto";
import { Server } from "@modelcontextprotocol/sdk/server/index.js";
import type { Transport } from "@modelcontextprotocol/sdk/shared/transport.js";
import {
	type CallToolRequest,
	CallToolRequestSchema,
	type CallToolResult,
	CancelledNotificationSchema,
	ErrorCode,
	isJSONRPCNotification,
	isJSONRPCRequest,
	type JSONRPCMessage,
	JSONRPCMessageSchema,
	type JSONRPCRequest,
	ListToolsRequestSchema,
	McpError,
	SUPPORTED_PROTOCOL_VERSIONS,
} from "@modelcontextprotocol/sdk/types.js";
import { AjvJsonSchemaValidator } from "@modelcontextprotocol/sdk/validation/ajv";
import type { FastifyReply, FastifyRequest } from "fastify";
import { HttpError } from "../http/errors.ts";
import { EventStream } from "../http/event-stream.ts";
import type { Origins } from "../http/origins.ts";
import type { WaitingRoom } from "../http/waiting.ts";
import { isOver, type Job, type Principal } from "../model.ts";
import { ServiceError, type Services } from "../ports.ts";
import { follow, idOf, type Place, placeOf, type Wait } from "./follow.ts";
import { errorOf, type RequestId, resultOf, rpcErrorOf } from "./protocol.ts";
import { failureOf, listed, progressOf, requestOfCall, serverInfo, textOf } from "./tool-call.ts";

/** From this version on clients understand an event without data, which names the place to go on from. */
const PRIMED_SINCE = "2025-11-25";

/** For what clients answer to questions, and none is asked: one for all servers, as it takes longer to make than anything else. */
const jsonSchemaValidator = new AjvJsonSchemaValidator();

const SESSION_HEADER = "mcp-session-id";
const VERSION_HEADER = "mcp-protocol-version";

export interface StreamableParts {
	readonly services: Services;
	readonly origins: Origins;
	readonly waiting: WaitingRoom;
	fault(error: unknown, request: FastifyRequest): void;
}

/** One request and its answer. */
interface Exchange {
	readonly principal: Principal;
	readonly request: FastifyRequest;
	readonly reply: FastifyReply;
}

interface OpenedStream {
	readonly stream: EventStream;
	/** The client knows how to go on with it elsewhere. */
	readonly isResumable: boolean;
}

/** MCP's Streamable HTTP on this worker. */
export class Streamable {
	readonly #parts: StreamableParts;

	constructor(parts: StreamableParts) {
		this.#parts = parts;
	}

	/** One message. A request is answered as JSON, a call of a tool as a stream to who takes one. */
	async post(exchange: Exchange, body: unknown): Promise<unknown> {
		const { request, reply } = exchange;
		this.#demandAllowed(request);
		const session = sessionOf(request);
		const message = JSONRPCMessageSchema.safeParse(body).data;
		if (message === undefined) {
			const data = "The body is one message of JSON-RPC 2.0; batches are not taken.";
			return reply.code(400).send(errorOf(null, { code: ErrorCode.InvalidRequest, message: "Invalid Request", data }));
		}
		if (isJSONRPCRequest(message)) return await this.#answer(exchange, session, message);
		if (isJSONRPCNotification(message)) await this.#notified(exchange.principal, session, message);
		return reply.code(202).send();
	}

	/** Takes up a stream that has ended before its answer. There is none that belongs to no request: nothing would be said on it. */
	async resume({ principal, request, reply }: Exchange): Promise<unknown> {
		this.#demandAllowed(request);
		const { services, waiting } = this.#parts;
		const id = request.raw.headers["last-event-id"];
		if (id === undefined || request.method === "HEAD") {
			reply.header("allow", "POST, DELETE");
			throw new HttpError(405, "There is no stream but those that answer a request; to go on with one, send Last-Event-ID");
		}
		const place = placeOf(String(id));
		const { progress } = await services.jobs.get(principal, place.jobId);
		const waiter = waiting.enter(principal);
		const stream = new EventStream(reply);
		try {
			stream.prime(String(id));
			const run = (wait: Wait) => services.jobs.wait(principal, place.jobId, wait);
			const job = await follow(run, stream, waiter, () => place, progress);
			if (isOver(job)) {
				stream.send({ data: resultOf(place.requestId, resultOfJob(job)) });
				await this.#ended(principal, sessionOf(request), place.requestId, request);
			}
			return reply;
		} finally {
			stream.end();
			waiter.leave();
		}
	}

	/** Ends a session: what it still waits for is cancelled. */
	async end({ principal, request, reply }: Exchange): Promise<unknown> {
		this.#demandAllowed(request);
		const session = sessionOf(request);
		if (session === null) throw new ServiceError("INVALID", "Mcp-Session-Id is missing: it says what is to be ended");
		const { jobs, calls } = this.#parts.services;
		await Promise.all((await calls.close(principal, session)).map((job) => jobs.cancel(principal, job)));
		return reply.code(204).send();
	}

	async #answer(exchange: Exchange, session: string | null, message: JSONRPCRequest): Promise<unknown> {
		const { principal, reply } = exchange;
		const { tools } = this.#parts.services;
		let opened: OpenedStream | null = null;
		const server = new Server(serverInfo, { capabilities: { tools: {} }, jsonSchemaValidator });
		server.setRequestHandler(ListToolsRequestSchema, () => ({ tools: tools.list(principal).map(listed) }));
		server.setRequestHandler(CallToolRequestSchema, ({ params }) =>
			this.#call(exchange, session, message.id, params, (stream) => {
				opened = stream;
			}),
		);
		const answer = await answerOf(server, message);
		if (message.method === "initialize" && "result" in answer) reply.header(SESSION_HEADER, randomUUID());
		const streaming = opened as OpenedStream | null;
		if (streaming === null) return reply.send(answer);
		// Without an answer it is taken up elsewhere. An error would be taken for none by who can do that.
		if ("result" in answer || !streaming.isResumable) streaming.stream.send({ data: answer });
		streaming.stream.end();
		return reply;
	}

	async #call(
		{ principal, request, reply }: Exchange,
		session: string | null,
		requestId: RequestId,
		params: CallToolRequest["params"],
		opened: (opened: OpenedStream) => void,
	): Promise<CallToolResult> {
		const { services, waiting } = this.#parts;
		const streams = /\btext\/event-stream\b/.test(request.raw.headers.accept ?? "");
		const isPrimed = String(request.raw.headers[VERSION_HEADER] ?? "") >= PRIMED_SINCE;
		try {
			const { request: wanted, progressToken } = requestOfCall(services.tools, principal, params);
			const waiter = waiting.enter(principal);
			const isResumable = streams && (isPrimed || progressToken !== null);
			let stream: EventStream | null = null;
			let place: Place | null = null;
			const begun = ({ id: jobId }: Job) => {
				place = { jobId, requestId, progressToken };
				if (session !== null) this.#begun(principal, session, place, request);
				if (!streams) return;
				stream = new EventStream(reply);
				opened({ stream, isResumable });
				if (isPrimed) stream.prime(idOf(place));
			};
			try {
				const gone = goneOf(reply);
				const run = (wait: Wait) => services.jobs.run(principal, wanted, { ...wait, begun });
				const job = await follow(run, { send: (event) => stream?.send(event), closed: gone }, waiter, () => place);
				if (isOver(job) && session !== null) await this.#ended(principal, session, requestId, request);
				if (!isOver(job) && isResumable) throw new McpError(ErrorCode.ConnectionClosed, "Goes on elsewhere");
				return resultOfJob(job);
			} finally {
				waiter.leave();
			}
		} catch (error) {
			if (error instanceof McpError) throw error;
			const expected = rpcErrorOf(error);
			if (expected === undefined) this.#parts.fault(error, request);
			throw Object.assign(new Error(expected?.message ?? "Internal error"), {
				code: expected?.code ?? ErrorCode.InternalError,
				data: expected?.data,
			});
		}
	}

	/** Any worker may be told that it is not wanted any more, also before it was begun. */
	#begun(principal: Principal, session: string, { requestId, jobId }: Place, request: FastifyRequest): void {
		const { calls, jobs } = this.#parts.services;
		const note = async () => {
			const isWanted = await calls.begin(principal, session, keyOf(requestId), jobId);
			if (!isWanted) await jobs.cancel(principal, jobId);
		};
		// It cannot be cancelled then, and is done all the same.
		note().catch((error: unknown) => this.#parts.fault(error, request));
	}

	async #ended(principal: Principal, session: string | null, requestId: RequestId, request: FastifyRequest): Promise<void> {
		if (session === null) return;
		const { calls } = this.#parts.services;
		await calls.end(principal, session, keyOf(requestId)).catch((error: unknown) => this.#parts.fault(error, request));
	}

	async #notified(principal: Principal, session: string | null, message: JSONRPCMessage): Promise<void> {
		const { calls, jobs } = this.#parts.services;
		const requestId = CancelledNotificationSchema.safeParse(message).data?.params.requestId;
		if (requestId === undefined || session === null) return;
		const job = await calls.cancel(principal, session, keyOf(requestId));
		if (job !== null) await jobs.cancel(principal, job);
	}

	/** A page elsewhere must not speak to a server that a browser can reach and it cannot. */
	#demandAllowed({ raw: { headers } }: FastifyRequest): void {
		if (headers.origin !== undefined && !this.#parts.origins.isAllowed(headers.origin)) {
			throw new HttpError(403, "This origin is not allowed");
		}
		const version = headers[VERSION_HEADER];
		if (version !== undefined && !SUPPORTED_PROTOCOL_VERSIONS.includes(String(version))) {
			throw new ServiceError("INVALID", `MCP-Protocol-Version is one of ${SUPPORTED_PROTOCOL_VERSIONS.join(", ")}`);
		}
	}
}

/** What a tool's failure is to a model: a result that says so. */
function resultOfJob(job: Job): CallToolResult {
	const _meta = { jobId: job.id };
	if (!isOver(job)) {
		const text = `${progressOf(job)}. It is not over yet and goes on as job ${job.id}: GET /api/jobs/${job.id}`;
		return { content: [{ type: "text", text }], isError: true, _meta: { ..._meta, code: "TIMEOUT" } };
	}
	if (job.state === "completed") return { content: [{ type: "text", text: textOf(job.result) }], _meta };
	const { code, message } = failureOf(job);
	return { content: [{ type: "text", text: message }], isError: true, _meta: { ..._meta, code } };
}

/** Has the SDK's server answer one request. What it says meanwhile is nothing that it decides. */
async function answerOf(server: Server, message: JSONRPCRequest): Promise<JSONRPCMessage> {
	const { promise, resolve } = Promise.withResolvers<JSONRPCMessage>();
	const transport: Transport = {
		start: async () => {},
		send: async (answer) => resolve(answer),
		close: async () => {},
	};
	await server.connect(transport);
	transport.onmessage?.(message);
	return await promise;
}

/** @throws ServiceError INVALID */
function sessionOf({ raw: { headers } }: FastifyRequest): string | null {
	const session = headers[SESSION_HEADER];
	if (session === undefined) return null;
	if (typeof session === "string" && /^[\x21-\x7e]{1,128}$/.test(session)) return session;
	throw new ServiceError("INVALID", "Mcp-Session-Id is not one that this server has given");
}

function goneOf(reply: FastifyReply): AbortSignal {
	const gone = new AbortController();
	reply.raw.once("close", () => gone.abort());
	return gone.signal;
}

/** 1 and "1" are two requests. */
function keyOf(requestId: RequestId): string {
	return JSON.stringify(requestId);
}
