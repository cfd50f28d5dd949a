import type { JobError, JobErrorCode } from "../model.ts";
import { ServiceError, type ServiceErrorCode } from "../ports.ts";
import type { Claimed, Outcome } from "../stores/jobs.ts";
import { ToolError } from "../tools/tool.ts";
import type { LetGo } from "./runner.ts";

/** Bytes of a result's JSON. */
const LONGEST_RESULT = 8 * 1_048_576;

/** Characters of an error's message. */
const LONGEST_MESSAGE = 4_000;

/** Milliseconds before the attempt after the first failure, and at most before any. */
const backoff = { first: 1_000, longest: 60_000 } as const;

/** The longer the more often it failed; half of it chance, so that what failed together does not come together. */
export function backoffMs(failures: number): number {
	const whole = Math.min(backoff.longest, backoff.first * 4 ** (failures - 1));
	return Math.round(whole * (0.5 + Math.random() / 2));
}

type End = { readonly result: unknown } | { readonly error: unknown; readonly why: LetGo | null; readonly timeLimitMs: number };

/**
 * What becomes of a job after an attempt.
 *
 * @param onFault told of errors that are the server's own
 */
export function outcomeOf(job: Claimed, end: End, onFault: (error: unknown) => void = () => {}): Outcome {
	const ended = (state: Outcome["state"], error: JobError | null, result: string | null = null): Outcome => ({
		id: job.id,
		attempt: job.attempts,
		unclaimed: null,
		state,
		result,
		error: error && { code: error.code, message: storable(error.message) },
	});
	if ("result" in end) {
		const text = JSON.stringify(end.result) ?? "null";
		if (Buffer.byteLength(text) <= LONGEST_RESULT) return ended("completed", null, text);
		return ended("failed", { code: "OUTPUT_LIMIT", message: `the result has more than ${LONGEST_RESULT} bytes` });
	}
	if (end.why === "cancelled") return ended("cancelled", { code: "CANCELLED", message: "cancelled" });
	if (end.why === "late") {
		return ended("failed", { code: "TIMEOUT", message: `not done within ${Math.round(end.timeLimitMs / 1_000)} seconds` });
	}
	const { retryable, fault, ...error } = told(end.error);
	if (fault) onFault(end.error);
	if (!retryable) return ended("failed", error);
	return ended(job.failures + 1 < job.maxAttempts ? "queued" : "dead", error);
}

const codes: { readonly [code in ServiceErrorCode]: JobErrorCode } = {
	INVALID: "INVALID",
	UNAUTHENTICATED: "FORBIDDEN",
	FORBIDDEN: "FORBIDDEN",
	NOT_FOUND: "NOT_FOUND",
	CONFLICT: "CONFLICT",
	RATE_LIMITED: "UNAVAILABLE",
	UNAVAILABLE: "UNAVAILABLE",
	NOT_IMPLEMENTED: "TOOL_UNAVAILABLE",
};

/** What is told of an error: of one of the server's own, nothing of its inside. */
function told(error: unknown): JobError & { readonly retryable: boolean; readonly fault: boolean } {
	if (error instanceof ToolError) return { code: error.code, message: error.message, retryable: error.retryable, fault: false };
	if (error instanceof ServiceError) {
		const code = codes[error.code];
		return { code, message: error.message, retryable: code === "UNAVAILABLE", fault: false };
	}
	return { code: "UNAVAILABLE", message: "a fault of the server's", retryable: true, fault: true };
}

/** PostgreSQL's text holds no NUL and no half of a surrogate pair. */
function storable(text: string): string {
	return text.slice(0, LONGEST_MESSAGE).replaceAll("\0", "\u2400").toWellFormed();
}
