/** A step into an object (a key), into a list (a number), or into a list whose items have names (`{ name }`). */
export type Step = string | number | { readonly name: string };

/** `spec` + `containers` + 0 + `image` -> `spec.containers[0].image`; keys that are no words are quoted. */
export function pathTo(path: string, step: Step): string {
	if (typeof step === "number") return `${path}[${step}]`;
	if (typeof step === "object") return `${path}[${step.name}]`;
	if (!/^[\w-]+$/.test(step)) return `${path}[${JSON.stringify(step)}]`;
	return path === "" ? step : `${path}.${step}`;
}
