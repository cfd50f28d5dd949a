import { entriesOf, list, object, oneOf, type Row, text, texts } from "./entry.ts";

const system: readonly Row[] = [
	[
		"performance_report",
		"here",
		"What jobs and tasks of the workspace took and how they ended, within a time frame; detailed also by tool.",
		{ format: oneOf("summary", "detailed", "json"), timeframe: oneOf("24h", "7d", "30d") },
	],
	[
		"bottleneck_analyze",
		"here",
		"What work waits for: the slowest tools, the queue, tasks that nobody can begin, dependencies that are down.",
		{ component: text(), metrics: texts },
	],
	["token_usage", "reads", "Tokens that language models used.", { operation: text(), timeframe: text("24h") }],
	["benchmark_run", "changesForOperators", "Runs a suite of benchmarks on the machine that runs jobs.", { suite: text() }],
	[
		"metrics_collect",
		"here",
		"Present figures of the workspace (swarm, agents, tasks, memory, jobs) and of the process and its dependencies.",
		{ components: list },
	],
	[
		"trend_analysis",
		"here",
		"A metric over a period such as 24h or 7d, in equal parts, and which way it goes.",
		{ "metric!": text(), period: text() },
	],
	["cost_analysis", "reads", "What the use of language models costs.", { timeframe: text() }],
	["quality_assess", "reads", "Scores a target by criteria.", { "target!": text(), "criteria!": list }],
	[
		"error_analysis",
		"here",
		"Groups log lines by what they have in common; without logs, the workspace's failed jobs and tasks.",
		{ logs: list },
	],
	["usage_stats", "here", "How often each tool was called, and how much is stored.", { component: text() }],
	["health_check", "here", "Whether what the server depends on answers.", { components: list }],
	[
		"terminal_execute",
		"changesForOperators",
		"Runs a shell command. This is execution of code on the machine that runs jobs.",
		{ command: text(), args: texts },
	],
	[
		"config_manage",
		"changesForOperators",
		"Reads or changes the configuration of what runs the external tools.",
		{ action: text(), config: object },
	],
	["security_scan", "readsForOperators", "Scans a target for weaknesses.", { target: text(), depth: text() }],
	[
		"backup_create",
		"changesForOperators",
		"Backs up components of the system to a destination.",
		{ components: list, destination: text() },
	],
	["restore_system", "changesForOperators", "Restores a backup of the system.", { backupId: text() }],
	["log_analysis", "readsForOperators", "Searches a log file of the machine that runs jobs.", { logFile: text(), patterns: list }],
	[
		"diagnostic_run",
		"here",
		"Tries the parts out: reads the database, starts a thread, compiles every schema; each with its time.",
		{ components: list },
	],
	["features_detect", "here", "What this build offers, and which tools nothing here can run.", { component: text() }],
];

export const systemEntries = entriesOf("system", system);
