/** The report as a section of docs/benchmarks.md, with its charts beside it. What stands there of other things stays. */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { isMet, typical } from "../kit/result.ts";
import { barsOf } from "./bars.ts";
import { digits, extremes, type Report, type WorkloadReport } from "./report.ts";

const docs = path.join(import.meta.dirname, "..", "..", "docs");
const page = path.join(docs, "benchmarks.md");
const charts = path.join(docs, "benchmarks");
const BEGIN = "<!-- written by npm run bench: from here -->";
const END = "<!-- to here -->";

/** @returns the files it has written, from the repository's root */
export function writeDocs(report: Report): string[] {
	const before = readFileSync(page, "utf8");
	const section = `${BEGIN}\n\n${sectionOf(report)}\n${END}\n`;
	const [from, to] = [before.indexOf(BEGIN), before.indexOf(END)];
	const text =
		from < 0 || to < 0 ? `${before.trimEnd()}\n\n${section}` : before.slice(0, from) + section + before.slice(to + END.length + 1);
	mkdirSync(charts, { recursive: true });
	for (const name of readdirSync(charts)) if (name.endsWith(".svg")) rmSync(path.join(charts, name));
	const drawn = report.workloads.flatMap((workload) => workload.charts);
	for (const chart of drawn) writeFileSync(path.join(charts, `${chart.name}.svg`), barsOf(chart));
	writeFileSync(page, text);
	return ["docs/benchmarks.md", ...drawn.map(({ name }) => `docs/benchmarks/${name}.svg`)];
}

function sectionOf({ mode, machine, workloads }: Report): string {
	const { processors, memoryGib, kernel, node, haproxy, redis, postgres } = machine;
	return [
		"## The topology, beside its peers",
		"",
		`Measured by \`npm run bench${mode === "full" ? " -- full" : ""}\`: the topology of \`flowctl up\`, its peers and the`,
		"generators, all on one machine at the same time, so only ratios within a run mean anything. The topology has two nodes, and",
		"as many workers as the machine has processors, like the nodes of the stacks; where it is about nodes, it says so. Each ratio is",
		"the median of pairs measured in turns (one first, then the other first), with the least and the most beside it. CPU is user and",
		"system time of the processes, as the kernel counts it. A pair during which others had more than 10 % of the processors is",
		"measured again. Where it is asked how many requests there can be, their generator stays on one processor.",
		"",
		`${processors}; ${memoryGib} GiB; ${kernel}; Node ${node}, HAProxy ${haproxy}, Redis ${redis}, PostgreSQL ${postgres}.`,
		"",
		...workloads.flatMap(workloadLines),
	].join("\n");
}

function workloadLines({ title, what, figures, charts: drawn, remarks, failed }: WorkloadReport): string[] {
	return [
		`### ${title}`,
		"",
		what,
		"",
		...(failed === null ? [] : ["It could not be run.", ""]),
		...(figures.length === 0 ? [] : ["| what | median | least .. most | aim |", "|---|---|---|---|"]),
		...figures.map((figure) => {
			const met = isMet(figure);
			const aim = figure.goal
				? `${figure.goal.is === "atLeast" ? ">=" : "<="} ${figure.goal.value}: ${met ? "met" : "**missed**"}`
				: (figure.note ?? "");
			return `| ${figure.name} | ${digits(typical(figure.value))} ${figure.unit} | ${extremes(figure.value)} | ${aim} |`;
		}),
		"",
		...drawn.flatMap((chart) => [`![${chart.title}](benchmarks/${chart.name}.svg)`, ""]),
		...remarks.map((remark) => `- ${remark}`),
		...(remarks.length === 0 ? [] : [""]),
	];
}
