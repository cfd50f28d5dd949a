import { createHash } from "node:crypto";

const HASH_LENGTH = 8;

/**
 * A name made of parts, joined with `-`. Guarantees: the same parts give the same name; only `a-z`, `0-9` and `-`;
 * starts with a letter; no `-` at either end or twice in a row; at most `maxLength` characters. A name that is too
 * long is cut and ends with a hash of the whole, so two long names never meet. Nothing in it comes from time or chance.
 *
 * @throws TypeError when nothing usable is left of the parts: an error of ours, never of a user's.
 */
export function nameOf(parts: readonly string[], maxLength = 63): string {
	const whole = parts
		.join("-")
		.toLowerCase()
		.replace(/[^a-z0-9]+/g, "-")
		.replace(/^[^a-z]+|-+$/g, "");
	if (!whole) throw new TypeError(`no name can be made of ${JSON.stringify(parts)}`);
	if (whole.length <= maxLength) return whole;
	return withHash(whole.slice(0, maxLength - HASH_LENGTH - 1), whole);
}

/**
 * A name that changes with its content, for objects that cannot be replaced under one name
 * (Jobs, ConfigMaps, parameter groups): `<parts>-<hash of content>`, with the guarantees of {@link nameOf}.
 */
export function nameByContent(parts: readonly string[], content: unknown, maxLength = 63): string {
	return withHash(nameOf(parts, maxLength - HASH_LENGTH - 1), stableJson(content));
}

/** JSON with sorted keys, so that equal values are equal strings. */
export function stableJson(value: unknown): string {
	return JSON.stringify(value, (_key, inner: unknown) =>
		inner !== null && typeof inner === "object" && !Array.isArray(inner)
			? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)))
			: inner,
	);
}

function withHash(stem: string, content: string): string {
	const hash = createHash("sha256").update(content).digest("hex").slice(0, HASH_LENGTH);
	return `${stem.replace(/-+$/, "")}-${hash}`;
}
