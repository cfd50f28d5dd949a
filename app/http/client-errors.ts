import { type ServerResponse, STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import { failure } from "./errors.ts";

const refusals: Readonly<Record<string, { readonly status: number; readonly error: string }>> = {
	ERR_HTTP_REQUEST_TIMEOUT: { status: 408, error: "The request did not arrive in time" },
	HPE_HEADER_OVERFLOW: { status: 431, error: "The request's headers are too large" },
	HPE_CHUNK_EXTENSIONS_OVERFLOW: { status: 413, error: "The request body is too large" },
};

/** Answers what is no HTTP, or never becomes a request, and closes the connection: nothing after it can be understood. */
export function clientErrorHandler(error: Error & { code?: string }, socket: Socket): void {
	// Node keeps the answer under way on this connection here.
	const { _httpMessage: answer } = socket as { _httpMessage?: ServerResponse };
	if (error.code === "ECONNRESET" || !socket.writable) {
		socket.destroy(error);
		return;
	}
	if (answer?.req.complete === true || answer?.headersSent === true) {
		// It is for a request that came whole, and these bytes would be taken for it.
		answer.shouldKeepAlive = false;
		answer.once("finish", () => socket.end());
		return;
	}
	const { status, error: text } = refusals[error.code ?? ""] ?? { status: 400, error: "The request is malformed" };
	const body = JSON.stringify({ ...failure(text, "", ""), message: text });
	socket.end(
		`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nContent-Type: application/json; charset=utf-8\r\n` +
			`Content-Length: ${Buffer.byteLength(body)}\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n${body}`,
		() => socket.destroy(),
	);
}
