/** Which items have which patterns in them. */

/** Places and examples that an answer names of a pattern. */
const limits = { items: 1_000, examples: 3, example: 200 } as const;

export interface PatternMatches {
	readonly pattern: string;
	readonly kind: "text" | "regular expression";
	readonly count: number;
	/** Places in the data, the first of them. */
	readonly items: readonly number[];
	readonly examples: readonly string[];
}

export interface Recognised {
	readonly patterns: readonly PatternMatches[];
	/** Items that have none of them. */
	readonly unmatched: number;
}

const EXPRESSION = /^\/(.+)\/([imsu]{0,4})$/s;

/** `/source/flags` as an expression; null for what is text. @throws SyntaxError */
export function expressionOf(pattern: string): RegExp | null {
	const [, source, flags] = EXPRESSION.exec(pattern) ?? [];
	return source === undefined ? null : new RegExp(source, flags);
}

export function recognise({ data, patterns }: { data: readonly string[]; patterns: readonly string[] }): Recognised {
	const matched = new Set<number>();
	const found = patterns.map((pattern) => {
		const expression = expressionOf(pattern);
		const matches = expression === null ? textMatcher(pattern) : (item: string) => expression.test(item);
		const items = data.flatMap((item, index) => (matches(item) ? [index] : []));
		for (const index of items) matched.add(index);
		return {
			pattern,
			kind: expression === null ? ("text" as const) : ("regular expression" as const),
			count: items.length,
			items: items.slice(0, limits.items),
			examples: items.slice(0, limits.examples).map((index) => (data[index] as string).slice(0, limits.example)),
		};
	});
	return { patterns: found, unmatched: data.length - matched.size };
}

/** As a search of memory has it: anywhere, upper and lower case alike, or the whole with `*` for anything. */
function textMatcher(pattern: string): (item: string) => boolean {
	const parts = pattern.toLowerCase().split(/\*+/);
	const [first = "", ...rest] = parts;
	if (rest.length === 0) return (item) => item.toLowerCase().includes(first);
	const last = rest.pop() as string;
	return (item) => {
		const text = item.toLowerCase();
		if (!text.startsWith(first)) return false;
		let at = first.length;
		for (const part of rest) {
			const found = text.indexOf(part, at);
			if (found === -1) return false;
			at = found + part.length;
		}
		return text.length - last.length >= at && text.endsWith(last);
	};
}
