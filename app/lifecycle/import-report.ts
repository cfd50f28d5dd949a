/** What an import did, for whoever ran it. */
import type { SourceResult } from "../import/import.ts";
import type { TableResult } from "../import/loader.ts";

/** Clashes that are shown; the others are in the JSON. */
const SHOWN = 5;

const counts = ["inserted", "updated", "unchanged", "kept", "duplicates", "expired", "refused"] as const;

/** Why a count that is not a success is what it is. */
const meaning = {
	kept: "kept what was there, which is as new or newer",
	duplicates: "older rows of a key that the table has again",
	expired: "expired (--keep-expired takes them)",
} as const;

/** What became of one file, a line for each table. */
export function describeSource(result: SourceResult, dryRun: boolean): string {
	const { source, status } = result;
	const label = status === "imported" && dryRun ? "dry run" : status;
	return [`${label.padEnd(11)}${source}`, ...detailsOf(result).map((line) => `${" ".repeat(11)}  ${line}`), ""].join("\n");
}

function detailsOf(result: SourceResult): string[] {
	switch (result.status) {
		case "refused":
			return [`${result.what}: ${result.why}`, `fix: ${result.fix}`];
		case "unchanged":
			return [`these bytes were imported ${new Date(result.importedAt).toISOString()}, as ${result.importedAs}`];
		case "imported": {
			const unknown = result.unknown.map(({ name, rows }) => `${name.padEnd(22)} not known: its ${rows} rows were left where they are`);
			return [...result.tables.flatMap(describeTable), ...unknown];
		}
	}
}

function describeTable(table: TableResult): string[] {
	const told = counts
		.filter((name) => table[name] > 0)
		.map((name) => `${table[name]} ${name in meaning ? meaning[name as keyof typeof meaning] : name}`);
	const reasons = Object.entries(table.reasons).map(([reason, rows]) => `  refused ${rows}: ${reason}`);
	const shown = table.clashes.slice(0, SHOWN).map(({ name, now }) => `  clash ${JSON.stringify(name)}: now ${now}`);
	const more = table.clashes.length > SHOWN ? [`  clash ... (--json names more)`] : [];
	return [
		`${table.table.padEnd(22)} ${table.read} read${told.length > 0 ? `: ${told.join(", ")}` : ""}; checksum ${table.checksum.slice(0, 12)}`,
		...reasons,
		...shown,
		...more,
	];
}

/** The last line: all files together. */
export function describeAll(results: readonly SourceResult[], dryRun: boolean): string {
	const of = (status: SourceResult["status"]) => results.filter((result) => result.status === status).length;
	const tables = results.flatMap((result) => (result.status === "imported" ? result.tables : []));
	const sum = (name: "read" | "inserted" | "updated" | "refused") => tables.reduce((all, table) => all + table[name], 0);
	const files = `${of("imported")} ${dryRun ? "would be imported" : "imported"}, ${of("unchanged")} unchanged, ${of("refused")} refused`;
	return `files: ${files}; rows: ${sum("read")} read, ${sum("inserted")} inserted, ${sum("updated")} updated, ${sum("refused")} refused\n`;
}

/** Where progress is shown. */
export interface Screen {
	readonly isTTY?: boolean;
	readonly columns?: number;
	write(text: string): unknown;
}

/** Milliseconds between two looks of the bar, and between two lines where nobody watches. */
const EVERY_MS = { bar: 100, line: 10_000 } as const;

const CELLS = 24;

/**
 * A bar where somebody watches, else a line now and then.
 *
 * @param clock milliseconds
 */
export function progressOn(screen: Screen, clock: () => number = () => performance.now()) {
	const every = screen.isTTY ? EVERY_MS.bar : EVERY_MS.line;
	let shownAt = clock();
	let begunAt = clock();
	let under = "";
	let isShown = false;

	function clear(): void {
		if (isShown) screen.write("\r\u001b[2K");
		isShown = false;
	}

	return {
		rows(source: string, table: string, read: number, total: number): void {
			const now = clock();
			if (under !== `${source}\0${table}`) {
				under = `${source}\0${table}`;
				begunAt = now;
			}
			if (now - shownAt < every) return;
			shownAt = now;
			const share = total === 0 ? 1 : Math.min(1, read / total);
			const perSecond = Math.round((read * 1_000) / Math.max(1, now - begunAt));
			const words = `${Math.floor(share * 100)} %  ${read} of ${total} rows, ${perSecond}/s${read === total ? ", storing" : ""}  ${source} ${table}`;
			if (!screen.isTTY) {
				screen.write(`${words}\n`);
				return;
			}
			const bar = "#".repeat(Math.round(share * CELLS)).padEnd(CELLS, ".");
			screen.write(`\r\u001b[2K[${bar}] ${words}`.slice(0, 5 + (screen.columns ?? 80)));
			isShown = true;
		},
		clear,
	};
}
