import { isSecretMark, isUnknownMark, type RecordedValue } from "../core/record.ts";

/** A step into an object (a key), into a list (a number), or into a list whose items have names (`{ name }`). */
export type Step = string | number | { readonly name: string };

/** `spec` + `containers` + 0 + `image` -> `spec.containers[0].image`; keys that are no words are quoted. */
export function pathTo(path: string, step: Step): string {
	if (typeof step === "number") return `${path}[${step}]`;
	if (typeof step === "object") return `${path}[${step.name}]`;
	if (!/^[\w-]+$/.test(step)) return `${path}[${JSON.stringify(step)}]`;
	return path === "" ? step : `${path}.${step}`;
}

/** Everything in a value that holds nothing else, with its path: plain values and marks. */
export function* leavesOf(value: RecordedValue, path = ""): Generator<[path: string, leaf: RecordedValue]> {
	if (typeof value !== "object" || value === null || isUnknownMark(value) || isSecretMark(value)) {
		yield [path, value];
		return;
	}
	const isList = Array.isArray(value);
	for (const [key, inner] of Object.entries(value)) yield* leavesOf(inner, pathTo(path, isList ? Number(key) : key));
}
