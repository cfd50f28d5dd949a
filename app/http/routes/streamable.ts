import { z } from "zod";
import { paths } from "../../contract.ts";
import { errorCodes, errorOf } from "../../mcp/protocol.ts";
import type { Streamable, StreamableParts } from "../../mcp/streamable.ts";
import { type Endpoint, endpoint } from "../endpoint.ts";

const RpcMessage = z.looseObject({ jsonrpc: z.literal("2.0") }).meta({ id: "RpcMessage", description: "A message of JSON-RPC 2.0." });

const refusals = Object.fromEntries([400, 401, 403, 413, 415, 429, 503].map((status) => [status, RpcMessage]));

/** MCP's own transport over HTTP. A GET that asks for an upgrade is none of these: it is the WebSocket's. */
export function streamableEndpoints(parts: StreamableParts): Endpoint[] {
	let loaded: Promise<Streamable> | undefined;
	/** The SDK is a fifth of all that a worker would load before it is ready: it is loaded for who first asks. */
	function streamable(): Promise<Streamable> {
		loaded ??= import("../../mcp/streamable.ts").then(({ Streamable }) => new Streamable(parts));
		return loaded;
	}
	return [
		endpoint({
			method: "POST",
			path: paths.mcp,
			kind: "read",
			tag: "mcp",
			summary: "One message of MCP's Streamable HTTP. A call of a tool is answered as server-sent events to who accepts them.",
			waits: true,
			body: z.unknown(),
			answer: RpcMessage,
			otherAnswers: refusals,
			failureFields: ({ error }) => {
				const isBody = error.startsWith("The request body is not valid");
				return errorOf(null, { code: isBody ? errorCodes.parse : errorCodes.failed, message: error, data: undefined });
			},
			handle: async ({ body, ...exchange }) => (await (await streamable()).post(exchange, body)) as z.input<typeof RpcMessage>,
		}),
		endpoint({
			method: "GET",
			path: paths.mcp,
			kind: "read",
			tag: "mcp",
			summary: "Goes on, on any worker, with an answer of MCP's Streamable HTTP that broke off: `Last-Event-ID` says with which.",
			waits: true,
			answer: z.unknown(),
			handle: async (exchange) => await (await streamable()).resume(exchange),
		}),
		endpoint({
			method: "DELETE",
			path: paths.mcp,
			kind: "completion",
			tag: "mcp",
			summary: "Ends a session of MCP's Streamable HTTP: calls that it waits for are cancelled.",
			answer: z.unknown(),
			handle: async (exchange) => await (await streamable()).end(exchange),
		}),
	];
}
