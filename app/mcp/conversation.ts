/**
 * What `/mcp` speaks over a WebSocket: JSON-RPC 2.0, one message a text frame.
 *
 * From the server: `connection/established` first; answers, in the order in which they are ready; and while a tool runs,
 * with the request's id, `tools/call/progress` each second and when there is news, and `tools/call/output`. A call with a
 * progress token also gets `notifications/progress`. `connection/draining`: the worker goes away; come again after the answers.
 *
 * From the client: `initialize`, then `tools/list`, `tools/call`; `ping`; notifications, of which `notifications/cancelled`
 * ends a call and no other means anything.
 *
 * A socket that closes takes its calls with it, but for those that are detached, and for what runs when a worker goes away.
 */
import { isOver, type Job, type Principal } from "../model.ts";
import type { SocketEars } from "../ws/client-socket.ts";
import { ownerOf } from "../ws/gate.ts";
import {
	errorCodes,
	errorOf,
	internalError,
	type Message,
	notificationOf,
	type Params,
	type RequestId,
	RpcError,
	readMessage,
	resultOf,
	rpcErrorOf,
} from "./protocol.ts";
import type { McpContext } from "./server.ts";
import { McpSocket, type RunningCall } from "./socket.ts";
import { CALL_MS, failureOf, listed, progressOf, requestOfCall, serverInfo, textOf } from "./tool-call.ts";

/** The one version of MCP that clients of this port know. */
const PROTOCOL_VERSION = "2024-11-05";

/** Between two words of progress, milliseconds. */
const PROGRESS_MS = 1_000;

type Request = Message & { readonly kind: "request" };

/** Hears what clients say, and answers. */
export class Conversation implements SocketEars {
	readonly #context: McpContext;
	readonly #closed: (socket: McpSocket, code: number) => void;

	constructor(context: McpContext, closed: (socket: McpSocket, code: number) => void) {
		this.#context = context;
		this.#closed = closed;
	}

	heard(socket: McpSocket): boolean {
		return socket.count(this.#context.settings.limits.messagesPerSecond);
	}

	closed(socket: McpSocket, code: number): void {
		for (const call of socket.calls.values()) {
			if (!call.detached && !socket.leaving) this.#cancel(socket, call);
			call.waiting.abort();
		}
		this.#closed(socket, code);
	}

	received(socket: McpSocket, data: Buffer, isBinary: boolean): void {
		const { principal } = socket;
		if (socket.readyState !== McpSocket.OPEN || principal === null || !this.heard(socket)) return;
		if (isBinary) {
			socket.end(1003, "Text only.");
			return;
		}
		let message: Message;
		try {
			message = readMessage(data);
		} catch (error) {
			this.#fault(socket, error as RpcError);
			return;
		}
		if (message.kind === "notification") this.#notified(socket, message);
		else if (message.kind === "request") this.#answer(socket, principal, message);
	}

	#fault(socket: McpSocket, error: RpcError): void {
		socket.faults += 1;
		if (socket.faults > this.#context.settings.limits.faults) socket.end(1008, "Too many messages that make no sense.");
		else socket.tell(errorOf(error.id, error));
	}

	#notified(socket: McpSocket, { method, params }: Message & { readonly kind: "notification" }): void {
		if (method !== "notifications/cancelled") return;
		const call = socket.calls.get(params?.requestId as RequestId);
		if (call !== undefined) this.#cancel(socket, call);
	}

	#answer(socket: McpSocket, principal: Principal, { id, method, params }: Request): void {
		const fail = (error: unknown) => {
			const expected = rpcErrorOf(error);
			if (expected === undefined) this.#context.observe.fault(`mcp ${method.slice(0, 50)}`, error);
			socket.tell(errorOf(id, expected ?? internalError));
		};
		try {
			switch (method) {
				case "initialize":
					this.#initialise(socket, id, params);
					break;
				case "ping":
					socket.tell(resultOf(id, { pong: true }));
					break;
				case "tools/list":
					demandInitialised(socket);
					socket.tell(resultOf(id, { tools: this.#context.services.tools.list(principal).map(listed) }));
					break;
				case "tools/call":
					demandInitialised(socket);
					this.#call(socket, principal, id, params).catch(fail);
					break;
				default:
					throw new RpcError(errorCodes.methodNotFound, `Method not found: ${method}`);
			}
		} catch (error) {
			fail(error);
		}
	}

	#initialise(socket: McpSocket, id: RequestId, params: Params): void {
		// Of the contract: the original looked into what was not there.
		if (params === undefined) throw internalError;
		socket.initialised = true;
		const capabilities = { tools: {}, resources: {}, prompts: {} };
		socket.tell(resultOf(id, { protocolVersion: PROTOCOL_VERSION, capabilities, serverInfo }));
		socket.tell(notificationOf("initialized", {}));
	}

	async #call(socket: McpSocket, principal: Principal, id: RequestId, params: Params): Promise<void> {
		const { services } = this.#context;
		const { request, detached, progressToken } = requestOfCall(services.tools, principal, params ?? {});
		this.#demandRoom(socket, principal, id);
		const call: RunningCall = { jobId: null, cancelled: false, detached, waiting: new AbortController() };
		socket.calls.set(id, call);
		let latest: Pick<Job, "tool" | "progress" | "message"> = { tool: request.tool, progress: 0, message: null };
		const report = () => {
			const progress = { progress: latest.progress, message: progressOf(latest) };
			this.#notify(socket, call, "tools/call/progress", { id, ...progress, jobId: call.jobId });
			if (progressToken !== null) this.#notify(socket, call, "notifications/progress", { progressToken, ...progress, total: 100 });
		};
		const beat = setInterval(report, PROGRESS_MS);
		try {
			const job = await services.jobs.run(principal, request, {
				ms: CALL_MS,
				signal: call.waiting.signal,
				begun: (begun) => {
					call.jobId = begun.id;
					if (call.cancelled) this.#cancel(socket, call);
					else report();
				},
				listener: {
					progress: (progress, message) => {
						latest = { tool: request.tool, progress, message };
						report();
					},
					output: (type, data) => this.#notify(socket, call, "tools/call/output", { id, type, data }),
				},
			});
			if (!call.cancelled) socket.tell(answerTo(id, job));
		} finally {
			clearInterval(beat);
			socket.calls.delete(id);
			if (socket.leaving && socket.calls.size === 0) socket.end(1012, "This worker is going away.");
		}
	}

	#demandRoom(socket: McpSocket, principal: Principal, id: RequestId): void {
		const { services, settings } = this.#context;
		if (socket.leaving) throw new RpcError(errorCodes.failed, "This worker is going away; connect again.");
		if (socket.calls.has(id)) throw new RpcError(errorCodes.invalidRequest, "Invalid Request", "A request with this id is under way.");
		if (socket.calls.size >= settings.limits.mcpCalls) {
			throw new RpcError(errorCodes.failed, `More than ${settings.limits.mcpCalls} calls at once; wait for an answer.`);
		}
		const seconds = services.limits.take(`sockets:${ownerOf(principal)}`, 1, settings.limits.queries);
		if (seconds > 0) throw new RpcError(errorCodes.failed, "Too many requests.", { retryAfterSeconds: Math.ceil(seconds) });
	}

	#cancel({ principal }: McpSocket, call: RunningCall): void {
		const { services, observe } = this.#context;
		call.cancelled = true;
		if (call.jobId === null || principal === null) return;
		services.jobs.cancel(principal, call.jobId).catch((error: unknown) => observe.fault("mcp cancel", error));
	}

	/** Who does not read is let go of. A single message may be as large as it is. */
	#notify(socket: McpSocket, call: RunningCall, method: string, params: object): void {
		if (call.cancelled) return;
		if ((socket.raw?.writableLength ?? 0) > this.#context.settings.limits.bufferedBytes) socket.end(1013, "Too slow.");
		else socket.tell(notificationOf(method, params));
	}
}

function demandInitialised({ initialised }: McpSocket): void {
	if (!initialised) throw new RpcError(errorCodes.invalidRequest, "Not initialized");
}

function answerTo(id: RequestId, job: Job): object {
	if (!isOver(job)) {
		const message = `${job.tool} is not over yet. It goes on as job ${job.id}.`;
		return errorOf(id, { code: errorCodes.failed, message, data: { code: "TIMEOUT", jobId: job.id } });
	}
	if (job.state === "completed") return resultOf(id, { content: [{ type: "text", text: textOf(job.result) }], _meta: { jobId: job.id } });
	const { code, message } = failureOf(job);
	return errorOf(id, { code: errorCodes.failed, message, data: { code, jobId: job.id } });
}
