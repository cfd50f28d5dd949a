/**
 * The benchmark: the topology of `flowctl up` beside its peers, in one run on this machine.
 *
 *     npm run bench                          what takes a few minutes
 *     npm run bench -- full                  more of everything, under half an hour
 *     npm run bench -- --only http,sync      some of it: a workload's name, or a group of them
 *     npm run bench -- full --write-docs     and the report into docs/benchmarks.md
 *
 * Prints a table and writes bench/results/<mode>.json; judges nothing: the exit code is 1 only where a workload could not be run.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import { findPostgres } from "../local/machine.ts";
import { Context, type Mode, modes, type Workload } from "./context.ts";
import { describeMachine } from "./kit/machine.ts";
import type { Report, WorkloadReport } from "./report/report.ts";
import { printTable } from "./report/table.ts";
import { writeDocs } from "./report/write-docs.ts";
import { workloads } from "./workloads.ts";

const words = [...workloads.flatMap(({ name, groups }) => [name, ...groups])].filter((word, index, all) => all.indexOf(word) === index);

process.exitCode = await main(process.argv.slice(2));

async function main(argv: readonly string[]): Promise<number> {
	let chosen: { mode: Mode; list: Workload[]; docs: boolean };
	try {
		chosen = read(argv);
	} catch (error) {
		console.error(`bench: ${(error as Error).message}\n  fix: npm run bench -- [full] [--only ${words.join(",")}] [--write-docs]`);
		return 2;
	}
	const { mode, list, docs } = chosen;
	const started = performance.now();
	const at = () => `${Math.round((performance.now() - started) / 1_000)} s`.padStart(6);
	let current = "";
	const context = new Context(mode, (what) => console.error(`${at()}  ${current}: ${what}`));
	const interrupted = () => void context.close().finally(() => process.exit(130));
	process.once("SIGINT", interrupted);
	process.once("SIGTERM", interrupted);
	const reports: WorkloadReport[] = [];
	try {
		for (const workload of list) {
			current = workload.name;
			await context.prepare(workload.shape(mode));
			reports.push(await outcomeOf(workload, context));
			printTable(reports.at(-1) as WorkloadReport);
			save({ mode: mode.name, machine: describeMachine(findPostgres()), workloads: reports });
		}
	} finally {
		current = "end";
		await context.close();
	}
	const report: Report = { mode: mode.name, machine: describeMachine(findPostgres()), workloads: reports };
	console.log(`\n${at().trim()}; everything is in ${path.relative(process.cwd(), save(report))}`);
	if (docs) console.log(`written: ${writeDocs(report).join(", ")}`);
	return reports.some(({ failed }) => failed !== null) ? 1 : 0;
}

/** One that fails takes none of the others along. */
async function outcomeOf(workload: Workload, context: Context): Promise<WorkloadReport> {
	const { name, title, what } = workload;
	try {
		return { name, title, what, failed: null, ...(await workload.run(context)) };
	} catch (error) {
		const failed = error instanceof Error ? error.message : String(error);
		console.error(error);
		return { name, title, what, failed, figures: [], charts: [], remarks: [], raw: null };
	} finally {
		await context.closeParts();
	}
}

function save(report: Report): string {
	const folder = path.join(import.meta.dirname, "results");
	mkdirSync(folder, { recursive: true });
	const file = path.join(folder, `${report.mode}.json`);
	writeFileSync(file, `${JSON.stringify(report, null, "\t")}\n`);
	return file;
}

function read(argv: readonly string[]): { mode: Mode; list: Workload[]; docs: boolean } {
	const { values, positionals } = parseArgs({
		args: [...argv],
		allowPositionals: true,
		options: { only: { type: "string" }, "write-docs": { type: "boolean", default: false } },
	});
	const [mode = "quick", ...more] = positionals;
	if (more.length > 0 || !Object.hasOwn(modes, mode)) throw new Error(`there is no mode "${positionals.join(" ")}"`);
	const only = values.only?.split(",").filter(Boolean);
	const unknown = only?.filter((word) => !words.includes(word)) ?? [];
	if (unknown.length > 0) throw new Error(`there is no workload "${unknown.join(", ")}"`);
	const list = workloads.filter(({ name, groups }) => only === undefined || [name, ...groups].some((word) => only.includes(word)));
	return { mode: modes[mode as Mode["name"]], list, docs: values["write-docs"] };
}
