/** A recorded stack as text for people. */
import { isSecretMark, isUnknownMark, type ResourceRecord, type StackRecord } from "../../core/record.ts";
import { hasHidden, nameIn, shortType, type Totals, type TreeNode, totalsOf, treeOf } from "../../preview/tree.ts";
import type { Paint } from "./paint.ts";
import { propertyLines } from "./value.ts";

export interface TreeOptions {
	/** Whether every resource's inputs are shown below it, and the stack's outputs. */
	readonly inputs: boolean;
	readonly paint: Paint;
}

/** The whole stack: what it is, its tree, counts and outputs. */
export function printStack(stack: StackRecord, options: TreeOptions): string {
	const totals = totalsOf(stack);
	return [
		...headerLines(stack, totals, options.paint),
		"",
		...treeOf(stack).flatMap((root) => nodeLines(root, "", "", options)),
		"",
		...countLines(totals, options.paint),
		"",
		...outputLines(stack, options.paint),
		"",
	].join("\n");
}

function headerLines({ stack }: StackRecord, totals: Totals, { bold, dim }: Paint): string[] {
	return [
		`${bold(stack)}: ${totals.all} resources, offline: nothing was asked of any cloud, cluster or state.`,
		dim("Not shown: providers' defaults and checks, what exists already, replacements. See docs/offline-differences.md"),
	];
}

/** `prefix` stands before the node itself, `guide` before what is below it. */
function nodeLines({ resource, children }: TreeNode, prefix: string, guide: string, options: TreeOptions): string[] {
	const { paint, inputs } = options;
	const lines = [`${paint.dim(prefix)}${headLine(resource, paint)}`];
	if (inputs) {
		const bar = paint.dim(`${guide}${children.length > 0 ? "│ " : "  "}  `);
		lines.push(...inputLines(resource, paint).map((line) => `${bar}${line}`.trimEnd()));
	}
	for (const [index, child] of children.entries()) {
		const last = index === children.length - 1;
		lines.push(...nodeLines(child, `${guide}${last ? "└─ " : "├─ "}`, `${guide}${last ? "   " : "│  "}`, options));
	}
	return lines;
}

function headLine({ type, name, protect, retainOnDelete, ignoreChanges }: ResourceRecord, { bold, dim, yellow }: Paint): string {
	const flags = [
		...(protect ? ["protected"] : []),
		...(retainOnDelete ? ["retained"] : []),
		...(ignoreChanges.length > 0 ? [`ignores changes of ${ignoreChanges.join(", ")}`] : []),
	];
	return `${dim(shortType(type))} ${bold(name)}${flags.map((flag) => yellow(` [${flag}]`)).join("")}`;
}

function inputLines({ inputs, propertyDependencies }: ResourceRecord, paint: Paint): string[] {
	return Object.entries(inputs).flatMap(([input, value]) => {
		const [first = "", ...below] = propertyLines(input, value, paint);
		const sources = (propertyDependencies[input] ?? []).map(nameIn);
		if (sources.length === 0 || !hasHidden(value)) return [first, ...below];
		// Which of them a value further in comes from is not recorded.
		const isAll = isUnknownMark(value) || isSecretMark(value);
		return [`${first} ${paint.dim(`${isAll ? "" : "# "}from ${sources.join(", ")}`)}`, ...below];
	});
}

function countLines(totals: Totals, { bold, dim }: Paint): string[] {
	const width = `${totals.all}`.length;
	const packages = [...totals.byPackage].map(([name, count]) => `${name} ${count}`).join(", ");
	const line = (count: number, what: string) => `  ${`${count}`.padStart(width)}  ${what}`;
	const made = [...totals.byPackage.values()].reduce((sum, count) => sum + count, 0);
	return [
		bold("Resources by type"),
		...[...totals.byType].map(([type, count]) => line(count, type)),
		"",
		bold("Totals"),
		line(totals.all, "in all, as Pulumi counts them"),
		line(made, `made by providers: ${packages}`),
		line(totals.components, "components, which only group"),
		line(totals.protected, "protected from deletion"),
		...(totals.retained > 0 ? [line(totals.retained, "retained when deleted")] : []),
		line(totals.unknownValues, "values known after up"),
		line(totals.secretValues, `secret values ${dim("(never recorded)")}`),
	];
}

function outputLines({ outputs }: StackRecord, paint: Paint): string[] {
	const entries = Object.entries(outputs);
	if (entries.length === 0) return [paint.bold("No outputs")];
	return [paint.bold("Outputs"), ...entries.flatMap(([name, value]) => propertyLines(name, value, paint)).map((line) => `  ${line}`)];
}
