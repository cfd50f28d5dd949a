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
import type { FastifyReply, FastifyRequest } from "fastify";
import { paths } from "../contract.ts";
import { HttpError } from "../http/errors.ts";
import { EventStream } from "../http/event-stream.ts";
import type { Origins } from "../http/origins.ts";
import type { Waiter, WaitingRoom } from "../http/waiting.ts";
import type { Job, Principal } from "../model.ts";
import { type JobListener, ServiceError, type Services } from "../ports.ts";
import { errorOf, type RequestId, resultOf, rpcErrorOf } from "./protocol.ts";
import { CALL_MS, failureOf, isOver, listed, progressOf, requestOfCall, serverInfo, textOf } from "./tool-call.ts";

/** From this version on clients understand an event without data, which names the place to go on from. */
const PRIMED_SINCE = "2025-11-25";

/** Between two signs of life of a call without news, milliseconds, and the progress that it then seems to make. */
const SIGN_MS = 10_000;
const LEAST_PROGRESS = 0.001;

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

/** What a stream is about; its events' ids say it. */
interface Place {
	readonly jobId: string;
	readonly requestId: RequestId;
	readonly progressToken: RequestId | null;
}

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
		await services.jobs.get(principal, place.jobId);
		const waiter = waiting.enter(principal);
		try {
			const stream = new EventStream(reply);
			stream.prime(String(id));
			const job = await this.#follow(
				waiter,
				stream,
				(wait) => services.jobs.wait(principal, place.jobId, wait),
				() => place,
			);
			if (isOver(job)) {
				stream.send({ data: resultOf(place.requestId, resultOfJob(job)) });
				await this.#ended(principal, sessionOf(request), place.requestId, request);
			}
			stream.end();
			return reply;
		} finally {
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
		let stream: EventStream | null = null;
		const server = new Server(serverInfo, { capabilities: { tools: {} } });
		server.setRequestHandler(ListToolsRequestSchema, () => ({ tools: tools.list(principal).map(listed) }));
		server.setRequestHandler(CallToolRequestSchema, ({ params }) =>
			this.#call(exchange, session, message.id, params, (opened) => {
				stream = opened;
			}),
		);
		const answer = await answerOf(server, message);
		if (message.method === "initialize" && "result" in answer) reply.header(SESSION_HEADER, randomUUID());
		const opened = stream as EventStream | null;
		if (opened === null) return reply.send(answer);
		// Without an answer it is taken up elsewhere: a client takes an error for no answer, too.
		if ("result" in answer) opened.send({ data: answer });
		opened.end();
		return reply;
	}

	async #call(
		{ principal, request, reply }: Exchange,
		session: string | null,
		requestId: RequestId,
		params: CallToolRequest["params"],
		opened: (stream: EventStream) => void,
	): Promise<CallToolResult> {
		const { services, waiting } = this.#parts;
		const streams = /\btext\/event-stream\b/.test(request.raw.headers.accept ?? "");
		const isPrimed = String(request.raw.headers[VERSION_HEADER] ?? "") >= PRIMED_SINCE;
		try {
			const { request: wanted, progressToken } = requestOfCall(services.tools, principal, params);
			const waiter = waiting.enter(principal);
			let stream: EventStream | null = null;
			let place: Place | null = null;
			const begun = ({ id: jobId }: Job) => {
				place = { jobId, requestId, progressToken };
				if (session !== null) this.#begun(principal, session, place, request);
				if (!streams) return;
				stream = new EventStream(reply);
				opened(stream);
				if (isPrimed) stream.prime(idOf(place));
			};
			try {
				const gone = goneOf(reply);
				const run = (wait: Wait) => services.jobs.run(principal, wanted, { ...wait, begun });
				const job = await this.#follow(waiter, { send: (event) => stream?.send(event), closed: gone }, run, () => place);
				if (isOver(job) && session !== null) await this.#ended(principal, session, requestId, request);
				const isResumable = stream !== null && (isPrimed || progressToken !== null);
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

	/** Tells of progress until the job is over, nobody listens, or the worker goes away. */
	async #follow(
		waiter: Waiter,
		stream: Pick<EventStream, "send" | "closed">,
		run: (wait: Wait) => Promise<Job>,
		place: () => Place | null,
	): Promise<Job> {
		let told = -1;
		let said: string | null = null;
		const tell = (percent: number) => {
			const { progressToken } = place() ?? { progressToken: null };
			// It must rise.
			if (progressToken === null || percent <= told) return;
			told = percent;
			const params = { progressToken, progress: percent, total: 100, ...(said === null ? {} : { message: said }) };
			stream.send({ id: idOf(place() as Place), data: { jsonrpc: "2.0", method: "notifications/progress", params } });
		};
		const progress = (percent: number, message: string | null) => {
			said = message ?? said;
			tell(percent);
		};
		// Many clients give up on who says nothing for a minute.
		const sign = setInterval(() => tell(Math.max(0, told) + LEAST_PROGRESS), SIGN_MS);
		try {
			const signal = AbortSignal.any([stream.closed, waiter.over]);
			return await run({ ms: CALL_MS, signal, listener: { progress } });
		} finally {
			clearInterval(sign);
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

interface Wait {
	readonly ms: number;
	readonly signal: AbortSignal;
	readonly listener: JobListener;
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

function idOf({ jobId, requestId, progressToken }: Place): string {
	return Buffer.from(JSON.stringify([jobId, requestId, progressToken])).toString("base64url");
}

/** @throws ServiceError INVALID for an id that is none of ours */
function placeOf(id: string): Place {
	try {
		const [jobId, requestId, progressToken] = JSON.parse(Buffer.from(id, "base64url").toString());
		const isId = (value: unknown) => typeof value === "string" || typeof value === "number";
		if (typeof jobId === "string" && isId(requestId) && (progressToken === null || isId(progressToken))) {
			return { jobId, requestId, progressToken };
		}
	} catch {
		// None of ours.
	}
	throw new ServiceError("INVALID", `Last-Event-ID is not one that ${paths.mcp} has given`);
}
