/** A section of the configuration: its title, then one keyword a line. */
export function section(title: string, lines: readonly string[]): string {
	return [title, ...lines.map((line) => `\t${line}`)].join("\n");
}

/**
 * A value that stands in the configuration as it is. Names, paths and addresses need no quoting, and what would is
 * refused rather than quoted.
 *
 * @throws TypeError
 */
export function word(value: string): string {
	if (!/^[\w./:*~+=-]+$/.test(value)) throw new TypeError(`not usable in a HAProxy configuration: ${JSON.stringify(value)}`);
	return value;
}

/** Matches a path and all that is below it. */
export function atOrBelow(paths: readonly string[]): string[] {
	return paths.flatMap((path) => [`path ${word(path)}`, `path_beg ${word(path.replace(/\/$/, ""))}/`]);
}
