/** For tests: a stack of the project as the offline preview records it. */
import type { StackRecord } from "../core/record.ts";
import { type RecordOptions, record } from "../preview/record.ts";
import { PROJECT, type StackConfig } from "./config.ts";
import { loadStack } from "./load.ts";
import { platform } from "./platform.ts";

const root = new URL("..", import.meta.url).pathname;

/** One run of the program, with the settings of the stack's file as `change` leaves them. */
export async function recordOf(
	stack: string,
	change: (config: StackConfig) => StackConfig = (config) => config,
	answer?: RecordOptions["answer"],
): Promise<StackRecord> {
	const { stackTraceLimit } = Error;
	Error.stackTraceLimit = 0; // The SDK takes one for every promise: more than half of a run.
	try {
		return await record({ project: PROJECT, stack, answer }, () => platform(change(loadStack(stack, { root })), stack));
	} finally {
		Error.stackTraceLimit = stackTraceLimit;
	}
}
