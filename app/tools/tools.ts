/** The tools, by their names: what a job worker runs. */
import { analysisTools } from "./analysis.ts";
import { faultsOf } from "./arguments.ts";
import type { ToolEntry } from "./catalogue/entry.ts";
import { mayCall, toolEntry } from "./catalogue.ts";
import { coordinationTools } from "./coordination.ts";
import { diagnosticTools } from "./diagnostics.ts";
import { type ExternalSettings, externalTool } from "./external.ts";
import { memoryTools } from "./memory.ts";
import { monitoringTools } from "./monitoring.ts";
import { reportTools } from "./reports.ts";
import { savedStateTools } from "./saved-states.ts";
import { type Tool, ToolError } from "./tool.ts";
import { workflowTools } from "./workflow.ts";

export type ToolSettings = ExternalSettings;

/**
 * A tool that checks who calls it and with what, whoever has done so before.
 *
 * @throws ToolError TOOL_UNAVAILABLE where there is none of that name
 */
export function toolNamed(name: string, settings: ToolSettings): Tool {
	const entry = toolEntry(name);
	const tool = entry?.runs === "external" ? externalTool(entry, settings) : toolsHere(settings)[name];
	if (entry === undefined || tool === undefined)
		throw new ToolError("TOOL_UNAVAILABLE", `this build has no tool ${JSON.stringify(name.slice(0, 100))}`);
	return checked(entry, tool);
}

/** Those that this server runs itself. */
export function toolsHere(settings: ToolSettings): Readonly<Record<string, Tool>> {
	return {
		...coordinationTools,
		...monitoringTools,
		...memoryTools,
		...savedStateTools,
		...workflowTools((name) => toolNamed(name, settings)),
		...reportTools,
		...analysisTools,
		...diagnosticTools(settings),
	};
}

function checked(entry: ToolEntry, tool: Tool): Tool {
	return async (args, run) => {
		if (!mayCall(run.principal, entry)) throw new ToolError("FORBIDDEN", `only an operator may call ${entry.name}`);
		const faults = faultsOf(entry.inputSchema, args);
		if (faults.length > 0) throw new ToolError("INVALID", faults.join("; "));
		return await tool(args, run);
	};
}
