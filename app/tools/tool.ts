/** What a tool is to the job worker that runs it. */
import type { JobErrorCode, Principal } from "../model.ts";
import type { JobServices } from "../services/compose.ts";

/** One run of a tool. */
export interface ToolRun {
	readonly jobId: string;
	readonly principal: Principal;
	/**
	 * Every change made through them is made once for the job, however often it is run: what a call changed the first time
	 * it answers again. So a tool must make the same changes in the same order each time: what it decides by, it reads in
	 * a {@link step}.
	 */
	readonly services: JobServices;
	/** Cancelled, out of time, or the worker stops. A tool lets go at once. */
	readonly signal: AbortSignal;
	/** Does it once for the job, and answers the same ever after. For what later changes depend on; the answer is JSON. */
	step<T>(name: string, decide: () => Promise<T>): Promise<T>;
	/** @param percent 0 to 100 */
	progress(percent: number, message?: string): void;
	/** What a command says while it runs. */
	output(stream: "stdout" | "stderr", data: string): void;
}

/** What the tools of a job worker have at hand. */
export interface ToolSettings {
	/** Absolute path of the command that runs the tools that the server has none for; null where there is none. */
	readonly claudeFlowBin: string | null;
}

/** Runs a tool; the answer is JSON. @throws ToolError, ServiceError; anything else is a fault, and the job is tried again */
export type Tool = (args: Readonly<Record<string, unknown>>, run: ToolRun) => Promise<unknown>;

/** A tool did not succeed; the message is for its caller. */
export class ToolError extends Error {
	readonly code: JobErrorCode;
	/** Whether another try may succeed. */
	readonly retryable: boolean;

	constructor(code: JobErrorCode, message: string, retryable = false) {
		super(message);
		this.name = "ToolError";
		this.code = code;
		this.retryable = retryable;
	}
}
