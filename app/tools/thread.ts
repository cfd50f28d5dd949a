/** Work that would hold everything else up, in a thread of its own that can be ended at any moment. */
import { Worker } from "node:worker_threads";
import { turns } from "../services/turns.ts";
import { ToolError } from "./tool.ts";

/** Threads of this process, and works that wait for one. */
const atOnce = { running: 2, waiting: 500 } as const;

const resourceLimits = { maxOldGenerationSizeMb: 256, maxYoungGenerationSizeMb: 32, stackSizeMb: 4 } as const;

const inTurn = turns(atOnce);

/** What a thread is told to do. */
export interface ThreadWork {
	/** A module, and the name of a function that it exports. */
	readonly module: string;
	readonly name: string;
	readonly argument: unknown;
}

/**
 * Calls a module's function in a new thread: whatever it does, it is over within the time.
 *
 * @param argument can be cloned, as the answer can
 * @throws ToolError TIMEOUT, or TOOL_FAILED beyond the memory a thread has; what the function throws; the signal's reason
 */
export function inThread<T>(
	module: URL,
	name: string,
	argument: unknown,
	{ signal, timeLimitMs }: { readonly signal: AbortSignal; readonly timeLimitMs: number },
): Promise<T> {
	return inTurn("threads", () => {
		signal.throwIfAborted();
		return settled(start({ module: module.href, name, argument }), signal, timeLimitMs);
	});
}

function start(work: ThreadWork): Worker {
	// Nothing of the environment, which is no business of its own, nor of the flags that this process was started with.
	return new Worker(new URL("./thread-entry.ts", import.meta.url), { workerData: work, resourceLimits, env: {}, execArgv: [] });
}

async function settled<T>(thread: Worker, signal: AbortSignal, timeLimitMs: number): Promise<T> {
	const answer = Promise.withResolvers<T>();
	const timer = setTimeout(
		() => answer.reject(new ToolError("TIMEOUT", `not done within ${timeLimitMs / 1_000} seconds; ask for less, or for something simpler`)),
		timeLimitMs,
	);
	const letGo = () => answer.reject(signal.reason);
	signal.addEventListener("abort", letGo, { once: true });
	thread.once("message", answer.resolve);
	thread.once("error", (error: NodeJS.ErrnoException) => answer.reject(error.code === "ERR_WORKER_OUT_OF_MEMORY" ? tooMuch() : error));
	thread.once("exit", (code) => answer.reject(new Error(`a thread ended without an answer (${code})`)));
	try {
		return await answer.promise;
	} finally {
		clearTimeout(timer);
		signal.removeEventListener("abort", letGo);
		await thread.terminate();
	}
}

function tooMuch(): ToolError {
	return new ToolError("TOOL_FAILED", `it needed more than ${resourceLimits.maxOldGenerationSizeMb} MiB of memory; ask for less at once`);
}
