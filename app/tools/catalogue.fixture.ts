import type { ToolEntry } from "./catalogue/entry.ts";

/** The table in docs/tools.md, a line each. */
export function tableOf(entries: readonly ToolEntry[]): string[] {
	const rows = entries.map((entry) => {
		const runs = entry.runs === "here" ? "here" : entry.repeatable ? "command, reads" : "command";
		const role = entry.role === "operator" ? "operator" : "";
		return `| ${entry.category} | \`${entry.name}\` | ${runs} | ${role} | ${entry.description} |`;
	});
	return ["| category | tool | runs | role | what it does |", "|---|---|---|---|---|", ...rows];
}
