import { ServiceError, type ServiceErrorCode } from "../ports.ts";

/** A refusal of HTTP's own, for which services have no word. The message is for the client. */
export class HttpError extends Error {
	readonly status: number;
	readonly retryAfterSeconds: number | undefined;

	constructor(status: number, message: string, retryAfterSeconds?: number) {
		super(message);
		this.name = "HttpError";
		this.status = status;
		this.retryAfterSeconds = retryAfterSeconds;
	}
}

/** What every failed request is answered with. */
export interface Failure {
	readonly success: false;
	readonly error: string;
	/** The same with method and path, for logs. */
	readonly message: string;
	/** ISO 8601. */
	readonly timestamp: string;
}

/** A failure and how it is sent. */
export interface FailureAnswer {
	readonly status: number;
	readonly error: string;
	readonly retryAfterSeconds: number | undefined;
	/** The fault is the server's, and the client is told nothing of it. */
	readonly fault: boolean;
}

/** The one text for every wrong, missing or outlived credential. */
export const UNAUTHENTICATED = "A valid token or session is needed";

const INTERNAL = "Internal Server Error";

const statuses: Record<ServiceErrorCode, number> = {
	INVALID: 400,
	UNAUTHENTICATED: 401,
	FORBIDDEN: 403,
	NOT_FOUND: 404,
	CONFLICT: 409,
	RATE_LIMITED: 429,
	UNAVAILABLE: 503,
	NOT_IMPLEMENTED: 501,
};

/** Fastify's own refusals, in our words; its others are told apart by their status alone. */
const refusals: Readonly<Record<string, string>> = {
	FST_ERR_CTP_BODY_TOO_LARGE: "The request body is too large",
	FST_ERR_CTP_INVALID_MEDIA_TYPE: "The request body must be application/json",
	FST_ERR_CTP_INVALID_CONTENT_LENGTH: "The request body is not as long as its Content-Length says",
	FST_ERR_BAD_URL: "The path is not valid percent-encoded UTF-8",
	FST_ERR_MAX_PARAM_LENGTH: "The path is too long",
};

/** Every error has an answer; what nobody expected is a fault without words. */
export function answerTo(error: unknown): FailureAnswer {
	if (error instanceof ServiceError) {
		const text = error.code === "UNAUTHENTICATED" ? UNAUTHENTICATED : error.message;
		const retryAfterSeconds = error.retryAfterSeconds ?? (error.code === "UNAVAILABLE" ? 1 : undefined);
		return { status: statuses[error.code], error: text, retryAfterSeconds, fault: false };
	}
	if (error instanceof HttpError) {
		return { status: error.status, error: error.message, retryAfterSeconds: error.retryAfterSeconds, fault: false };
	}
	const { code, statusCode } = error as { code?: unknown; statusCode?: unknown };
	if (typeof code === "string" && code.startsWith("FST_ERR_") && typeof statusCode === "number" && statusCode < 500) {
		return { status: statusCode, error: refusals[code] ?? "The request is malformed", retryAfterSeconds: undefined, fault: false };
	}
	// A client that goes away while it sends its body.
	if (code === "ECONNRESET" || code === "ERR_STREAM_PREMATURE_CLOSE") {
		return { status: 400, error: "The request ended early", retryAfterSeconds: undefined, fault: false };
	}
	return { status: 500, error: INTERNAL, retryAfterSeconds: undefined, fault: true };
}

/** @param path without its query: that may hold what belongs in no log */
export function failure(error: string, method: string, path: string): Failure {
	return { success: false, error, message: `${method} ${path}: ${error}`, timestamp: new Date().toISOString() };
}

/** A path for a message: no query, and not endless. */
export function pathOf(url: string): string {
	const query = url.indexOf("?");
	const path = query === -1 ? url : url.slice(0, query);
	return path.length > 200 ? `${path.slice(0, 200)}...` : path;
}
