/** JSON-RPC 2.0, as clients of the native MCP port speak it. https://www.jsonrpc.org/specification */
import { parseBody } from "../http/json.ts";
import { ServiceError } from "../ports.ts";

export type RequestId = string | number;

export type Params = Readonly<Record<string, unknown>> | undefined;

/** What a client sends. What it answers to nothing of ours is nothing to us. */
export type Message =
	| { readonly kind: "request"; readonly id: RequestId; readonly method: string; readonly params: Params }
	| { readonly kind: "notification"; readonly method: string; readonly params: Params }
	| { readonly kind: "response" };

export const errorCodes = {
	parse: -32_700,
	invalidRequest: -32_600,
	methodNotFound: -32_601,
	invalidParams: -32_602,
	internal: -32_603,
	/** The tool failed, or cannot be run now. */
	failed: -32_000,
} as const;

/** A request that is answered with an error; the message is for the client. */
export class RpcError extends Error {
	readonly code: number;
	readonly data: unknown;
	/** Of the request, where it has one that can be answered to. */
	readonly id: RequestId;

	constructor(code: number, message: string, data?: unknown, id: RequestId = NO_ID) {
		super(message);
		this.name = "RpcError";
		this.code = code;
		this.data = data;
		this.id = id;
	}
}

/** What is answered to who has named nothing to be answered to. */
const NO_ID = 0;

const LONGEST_ID = 256;

/**
 * Reads one message. A request without an id, or with null, has the id 0: clients of this port leave it out. Only what
 * begins with `notifications/` is a notification.
 *
 * @throws RpcError for what is no JSON, or JSON that is no message; batches are none
 */
export function readMessage(data: Buffer): Message {
	const json = parse(data);
	if (typeof json !== "object" || json === null || Array.isArray(json)) throw invalid("Not an object; batches are not taken.");
	const { jsonrpc, id, method, params } = json as Record<string, unknown>;
	const known = isId(id) ? id : NO_ID;
	if (jsonrpc !== "2.0") throw invalid('The member "jsonrpc" must be "2.0".', known);
	if (id !== undefined && id !== null && !isId(id)) throw invalid("An id is a number, or text of at most 256 characters.");
	if (method === undefined && ("result" in json || "error" in json)) return { kind: "response" };
	if (typeof method !== "string" || method.length > LONGEST_ID) throw invalid("There is no method.", known);
	if (params !== undefined && (typeof params !== "object" || params === null || Array.isArray(params))) {
		throw new RpcError(errorCodes.invalidParams, "Invalid params", "Parameters are an object.", known);
	}
	if (method.startsWith("notifications/")) return { kind: "notification", method, params: params as Params };
	return { kind: "request", id: known, method, params: params as Params };
}

export function isId(value: unknown): value is RequestId {
	return (typeof value === "string" && value.length <= LONGEST_ID) || (typeof value === "number" && Number.isFinite(value));
}

export function resultOf(id: RequestId, result: unknown): object {
	return { jsonrpc: "2.0", id, result };
}

export function errorOf(id: RequestId | null, { code, message, data }: Pick<RpcError, "code" | "message" | "data">): object {
	return { jsonrpc: "2.0", id, error: { code, message, ...(data === undefined ? {} : { data }) } };
}

export function notificationOf(method: string, params: object): object {
	return { jsonrpc: "2.0", method, params };
}

/** An expected failure as JSON-RPC says it; undefined for a fault of the server's, of which a client is told nothing. */
export function rpcErrorOf(error: unknown): RpcError | undefined {
	if (error instanceof RpcError) return error;
	if (!(error instanceof ServiceError)) return undefined;
	if (error.code === "INVALID") return new RpcError(errorCodes.invalidParams, error.message);
	const { code, message, retryAfterSeconds } = error;
	return new RpcError(errorCodes.failed, message, { code, ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }) });
}

export const internalError = new RpcError(errorCodes.internal, "Internal error");

function parse(data: Buffer): unknown {
	let json: unknown;
	try {
		json = parseBody(data, "message");
	} catch (error) {
		throw new RpcError(errorCodes.parse, "Parse error", (error as Error).message);
	}
	if (json === undefined) throw new RpcError(errorCodes.parse, "Parse error", "The message is empty");
	return json;
}

function invalid(why: string, id: RequestId = NO_ID): RpcError {
	return new RpcError(errorCodes.invalidRequest, "Invalid Request", why, id);
}
