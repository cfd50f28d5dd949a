/** Tools that look through what they are given, in a thread: a list may be long, and an expression never ending. */

import type { LogGroups } from "./log-groups.ts";
import { expressionOf, type Recognised } from "./patterns.ts";
import { list, timeframe } from "./read.ts";
import { inThread } from "./thread.ts";
import { type Tool, ToolError } from "./tool.ts";

/** Milliseconds that a look through may take. */
const TIME_LIMIT = 10_000;

const limits = { patterns: 100, pattern: 1_000 } as const;

/** Where an error_analysis without logs looks, and how far back. */
const LOOK_BACK = "7d";

export const analysisTools: Readonly<Record<string, Tool>> = {
	async error_analysis(args, { services, principal, signal }) {
		const logs = list(args, "logs");
		if (logs === null) {
			const within = timeframe({}, "timeframe", LOOK_BACK);
			const failures = await services.reports.failures(principal, Date.now() - within.ms);
			return { success: true, source: "failed tasks of the workspace and failed jobs of the caller", timeframe: within.name, failures };
		}
		const groups = await inThread<LogGroups>(new URL("./log-groups.ts", import.meta.url), "groupLines", logs, {
			signal,
			timeLimitMs: TIME_LIMIT,
		});
		return { success: true, source: "logs", ...groups };
	},

	async pattern_recognize(args, { signal }) {
		const data = (list(args, "data") ?? []).map((item) => (typeof item === "string" ? item : JSON.stringify(item)));
		const patterns = readPatterns(list(args, "patterns") ?? []);
		const module = new URL("./patterns.ts", import.meta.url);
		const recognised = await inThread<Recognised>(module, "recognise", { data, patterns }, { signal, timeLimitMs: TIME_LIMIT });
		return { success: true, items: data.length, ...recognised };
	},
};

/** @throws ToolError INVALID */
function readPatterns(patterns: readonly unknown[]): string[] {
	if (patterns.length > limits.patterns) throw new ToolError("INVALID", `at most ${limits.patterns} patterns`);
	return patterns.map((pattern, index) => {
		if (typeof pattern !== "string" || pattern === "") throw new ToolError("INVALID", `patterns[${index}] must be text that is not empty`);
		if (pattern.length > limits.pattern) throw new ToolError("INVALID", `patterns[${index}] has more than ${limits.pattern} characters`);
		try {
			expressionOf(pattern);
		} catch (error) {
			throw new ToolError("INVALID", `patterns[${index}] is no regular expression: ${(error as Error).message}`);
		}
		return pattern;
	});
}
