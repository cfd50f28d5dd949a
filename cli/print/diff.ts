/** A difference as text for people. */
import { diff as lineDiff } from "node:util";
import type { RecordedValue } from "../../core/record.ts";
import { type Change, typeOf } from "../../preview/compare.ts";
import { type ChangedResource, isSame, onlyStackName, type RemovedResource, type StackDiff } from "../../preview/diff.ts";
import { nameIn, shortType } from "../../preview/tree.ts";
import type { Paint } from "./paint.ts";
import { oneLine, printable } from "./value.ts";

export interface DiffOptions {
	/** Whether values that differ only by the stack's name are listed too. */
	readonly names: boolean;
	readonly paint: Paint;
}

/** Removed, added and changed resources, then outputs, then the counts. */
export function printDiff(diff: StackDiff, options: DiffOptions): string {
	const { paint } = options;
	const title = paint.bold(`${diff.before} -> ${diff.after}`);
	if (isSame(diff)) return `${title}: nothing differs (${diff.unchanged} resources)\n`;

	const isName = onlyStackName(diff);
	const shown = (changes: readonly Change[]) => (options.names ? changes : changes.filter((change) => !isName(change)));
	const changed = diff.changed.map((each) => ({ ...each, inputs: shown(each.inputs) }));
	const visible = changed.filter(({ inputs, options: flags }) => inputs.length + flags.length > 0);
	const outputs = shown(diff.outputs);
	const all = [...diff.changed.flatMap(({ inputs }) => inputs), ...diff.outputs];
	const hidden = options.names ? 0 : all.filter(isName).length;

	const sections = [
		diff.removed.flatMap((removed) => removedLines(removed, paint)),
		diff.added.map(({ type, name }) => paint.green(`+ ${head(type, name)}`)),
		visible.flatMap((resource) => changedLines(resource, paint)),
		outputs.length > 0 ? [paint.bold("outputs"), ...outputs.flatMap((change) => changeLines(change, paint))] : [],
		countLines(diff, hidden, diff.changed.length - visible.length, paint),
	];
	const text = sections
		.filter((lines) => lines.length > 0)
		.map((lines) => lines.join("\n"))
		.join("\n\n");
	return `${title}\n\n${text}\n`;
}

function head(type: string, name: string): string {
	return `${shortType(type)} ${name}`;
}

function removedLines({ resource, stateful, movedTo }: RemovedResource, { red, alarm }: Paint): string[] {
	const loud = stateful ? ` ${alarm(" STATEFUL ")} ${red("what it holds is lost with it")}` : "";
	const lines = [`${red(`- ${head(resource.type, resource.name)}`)}${loud}`];
	if (movedTo !== null) {
		lines.push(red("    the same type and name is added elsewhere: without an alias it is deleted and made anew"));
	}
	return lines;
}

function changedLines({ type, name, inputs, options }: ChangedResource, paint: Paint): string[] {
	return [paint.yellow(`~ ${head(type, name)}`), ...inputs.flatMap((change) => changeLines(change, paint)), ...optionLines(options, paint)];
}

/** Options stand in brackets, for inputs may have the same names; what one gains or loses is on one line. */
function optionLines(changes: readonly Change[], paint: Paint): string[] {
	const lines = Map.groupBy(changes, ({ path, before, after }) => `${path} ${before === undefined} ${after === undefined}`);
	return [...lines.values()].map((group) => {
		const { path } = group[0] as Change;
		const side = (values: (RecordedValue | undefined)[]) =>
			values[0] === undefined ? undefined : values.map((value) => (typeof value === "string" ? nameOf(value) : String(value))).join(", ");
		return sidesLine(`[${path}]`, side(group.map(({ before }) => before)), side(group.map(({ after }) => after)), paint);
	});
}

/** A reference to a resource by its name alone. */
function nameOf(reference: string): string {
	return nameIn(`::${reference}`) || reference;
}

function sidesLine(name: string, before: string | undefined, after: string | undefined, { red, green, yellow }: Paint): string {
	if (before === undefined) return `    ${green("+")} ${name}: ${green(after ?? "")}`;
	if (after === undefined) return `    ${red("-")} ${name}: ${red(before)}`;
	return `    ${yellow("~")} ${name}: ${red(before)} => ${green(after)}`;
}

function changeLines({ path, before, after }: Change, paint: Paint): string[] {
	if (before === undefined || after === undefined) {
		const side = (value: RecordedValue | undefined) => (value === undefined ? undefined : oneLine(value, paint));
		return [sidesLine(path, side(before), side(after), paint)];
	}
	if (isLong(before) && isLong(after)) return [`    ${paint.yellow("~")} ${path}:`, ...changedText(before, after, paint)];
	const types = [typeOf(before), typeOf(after)];
	const retyped = types[0] !== types[1] && !types.some((type) => type === "unknown" || type === "secret");
	const line = sidesLine(path, oneLine(before, paint), oneLine(after, paint), paint);
	return [retyped ? `${line} ${paint.dim(`(${types.join(" became ")})`)}` : line];
}

function isLong(value: RecordedValue): value is string {
	return typeof value === "string" && value.includes("\n");
}

/** The lines that differ, each run of them with the line of the old text where it begins. */
function changedText(before: string, after: string, { red, green, dim }: Paint): string[] {
	const lines: string[] = [];
	let lineNumber = 1;
	let isInRun = false;
	for (const [side, line] of lineDiff(before.split("\n"), after.split("\n"))) {
		const [isOld, isNew] = [side > 0, side < 0];
		if (side !== 0 && !isInRun) lines.push(dim(`        line ${lineNumber}`));
		if (isOld) lines.push(`        ${red(`- ${printable(line)}`)}`);
		if (isNew) lines.push(`        ${green(`+ ${printable(line)}`)}`);
		if (!isNew) lineNumber++;
		isInRun = side !== 0;
	}
	return lines;
}

function countLines(diff: StackDiff, hidden: number, hiddenResources: number, { bold, dim }: Paint): string[] {
	const { added, removed, changed, unchanged, outputs } = diff;
	const stateful = removed.filter((each) => each.stateful).length;
	const counts = [
		`${removed.length} removed${stateful > 0 ? ` (${stateful} stateful)` : ""}`,
		`${added.length} added`,
		`${changed.length} changed`,
		`${unchanged} unchanged`,
		`${outputs.length} ${outputs.length === 1 ? "output differs" : "outputs differ"}`,
	];
	const note = `${hidden} of the differences, and ${hiddenResources} changed resources, are the stack's name alone: --names shows them`;
	return [bold(counts.join(", ")), ...(hidden > 0 ? [dim(note)] : [])];
}
