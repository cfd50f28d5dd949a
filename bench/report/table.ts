import { type Figure, isMet, typical } from "../kit/result.ts";
import { digits, extremes, type WorkloadReport } from "./report.ts";

/** One workload's figures, for the terminal. */
export function printTable({ title, figures, remarks, failed }: WorkloadReport): void {
	console.log(`\n${title}`);
	if (failed !== null) console.log(`  could not be run: ${failed.split("\n")[0]}`);
	const width = Math.max(0, ...figures.map(({ name }) => name.length));
	for (const figure of figures) {
		const value = `${digits(typical(figure.value))} ${figure.unit}`;
		console.log(
			`  ${figure.name.padEnd(width)}  ${value.padStart(13)}  ${extremes(figure.value).padEnd(20)}  ${verdict(figure)}`.trimEnd(),
		);
	}
	for (const remark of remarks) console.log(`  ! ${remark}`);
}

export function verdict(figure: Figure): string {
	const met = isMet(figure);
	if (met === null || figure.goal === undefined) return figure.note ?? "";
	return `${figure.goal.is === "atLeast" ? "at least" : "at most"} ${figure.goal.value}: ${met ? "met" : "MISSED"}`;
}
