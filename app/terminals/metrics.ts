/** A terminal host's figures, as Prometheus reads them. */
import { Counter, Gauge, Registry } from "prom-client";
import { processMetrics } from "../observe/process-metrics.ts";

export type TerminalMetrics = ReturnType<typeof terminalMetrics>;

/** @param sessions terminals whose shell is there, asked at each scrape */
export function terminalMetrics(sessions: () => number) {
	const registry = new Registry();
	processMetrics(registry);
	const registers = [registry];
	new Gauge({
		name: "terminal_sessions",
		help: "Terminals whose shell is there",
		registers,
		collect() {
			this.set(sessions());
		},
	});
	return {
		contentType: registry.contentType,
		text: () => registry.metrics(),
		started: new Counter({ name: "terminal_sessions_started_total", help: "Terminals that have begun", registers }),
		ended: new Counter({ name: "terminal_sessions_ended_total", help: "Terminals that are over", labelNames: ["reason"], registers }),
		output: new Counter({ name: "terminal_output_characters_total", help: "What shells have written", registers }),
		problems: new Counter({ name: "problems_total", help: "Trouble that no caller sees, in the log", labelNames: ["part"], registers }),
	};
}
