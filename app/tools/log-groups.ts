/** What lines of a log have in common. */

/** Characters of a line that are looked at; groups of an answer. */
const limits = { line: 4_000, groups: 50, example: 500 } as const;

export interface LogGroup {
	/** What all of its lines have in common: `<n>` and the like stand for what differs. */
	readonly pattern: string;
	readonly level: Level;
	readonly count: number;
	readonly example: string;
	/** Places of the first and the last one in the list. */
	readonly first: number;
	readonly last: number;
}

export interface LogGroups {
	readonly lines: number;
	readonly byLevel: Readonly<Record<Level, number>>;
	/** Errors before all else, the most frequent first. */
	readonly groups: readonly LogGroup[];
	/** Groups that there are besides. */
	readonly more: number;
}

const levels = ["fatal", "error", "warning", "other"] as const;
type Level = (typeof levels)[number];

/** Each is linear in the length of the line: no part of it may match in two ways. */
const varying: readonly (readonly [RegExp, string])[] = [
	[/\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?/g, "<time>"],
	[/\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b/gi, "<id>"],
	[/"[^"]*"|'[^']*'/g, "<text>"],
	[/\b0x[0-9a-f]+\b|\b(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{8,64}\b/gi, "<hex>"],
	[/\d+(?:\.\d+)?/g, "<n>"],
];

const marks: readonly (readonly [RegExp, Level])[] = [
	[/\b(?:fatal|panic|emerg|critical|crit)\b/i, "fatal"],
	[/\b(?:error|err|severe|failed|failure)\b|exception|\b\w{1,60}Error\b/i, "error"],
	[/\bwarn(?:ing)?\b/i, "warning"],
];

/** @param logs lines, or records such as `{level, message}` */
export function groupLines(logs: readonly unknown[]): LogGroups {
	const groups = new Map<string, { -readonly [K in keyof LogGroup]: LogGroup[K] }>();
	const byLevel: Record<Level, number> = { fatal: 0, error: 0, warning: 0, other: 0 };
	for (const [index, entry] of logs.entries()) {
		const line = lineOf(entry).slice(0, limits.line);
		const level = marks.find(([mark]) => mark.test(line))?.[1] ?? "other";
		const pattern = varying.reduce((text, [part, stands]) => text.replace(part, stands), line).slice(0, limits.example);
		byLevel[level] += 1;
		const group = groups.get(pattern);
		if (group === undefined)
			groups.set(pattern, { pattern, level, count: 1, example: line.slice(0, limits.example), first: index, last: index });
		else {
			group.count += 1;
			group.last = index;
		}
	}
	const sorted = [...groups.values()].sort(
		(one, other) => levels.indexOf(one.level) - levels.indexOf(other.level) || other.count - one.count || one.first - other.first,
	);
	return { lines: logs.length, byLevel, groups: sorted.slice(0, limits.groups), more: Math.max(0, sorted.length - limits.groups) };
}

function lineOf(entry: unknown): string {
	if (typeof entry === "string") return entry;
	if (typeof entry !== "object" || entry === null) return String(entry);
	const { level, message, msg } = entry as Record<string, unknown>;
	const said = message ?? msg;
	return typeof said === "string" ? `${typeof level === "string" ? `${level}: ` : ""}${said}` : JSON.stringify(entry);
}
