/** Whether a tool's arguments are what its schema asks for, and of a size that can be handled. */
import { Ajv, type DefinedError, type ValidateFunction } from "ajv";

/** What arguments may be at most: deep; objects, lists and values in them; characters of text and keys. */
export const argumentLimits = { depth: 32, values: 20_000, characters: 2_097_152 } as const;

/** Sentences an answer has at most. */
const MOST_FAULTS = 20;

/** Values up to which every fault is looked for: of thousands each could be one. */
const THOROUGH = 1_000;

/** The schemas are the original's: it gives a default where strict mode would have none. */
const options = { ownProperties: true, strict: true, verbose: true } as const;
const first = validators(new Ajv(options));
const every = validators(new Ajv({ ...options, allErrors: true }));

/** @returns a sentence for each fault; none where the arguments can be used */
export function faultsOf(schema: Readonly<Record<string, unknown>>, args: unknown): string[] {
	if (typeof args !== "object" || args === null || Array.isArray(args)) return [`the arguments must be an object, not ${kindOf(args)}`];
	const { excess, values } = measured(args);
	if (excess !== null) return [excess];
	const quick = first(schema);
	if (quick(args)) return [];
	const validate = values > THOROUGH ? quick : every(schema);
	validate(args);
	// Of what is not even text it says enough that it is not.
	const errors = (validate.errors as DefinedError[]).filter(({ keyword, data }) => keyword !== "enum" || typeof data === "string");
	const faults = errors.slice(0, MOST_FAULTS).map(sentenceOf);
	return errors.length > MOST_FAULTS ? [...faults, `and ${errors.length - MOST_FAULTS} more`] : faults;
}

/** A schema's validator is made when it is first asked for. */
function validators(ajv: Ajv): (schema: object) => ValidateFunction {
	const compiled = new WeakMap<object, ValidateFunction>();
	return function validatorOf(schema) {
		const known = compiled.get(schema);
		if (known !== undefined) return known;
		const validate = ajv.compile(schema);
		compiled.set(schema, validate);
		return validate;
	};
}

/** Left as soon as it is too much: so that nothing deep or huge is looked at whole, or handed on. */
function measured(args: object): { excess: string | null; values: number } {
	let values = 0;
	let characters = 0;

	function look(value: unknown, depth: number): string | null {
		values += 1;
		if (values > argumentLimits.values) return `the arguments have more than ${argumentLimits.values} values`;
		if (typeof value === "string") characters += value.length;
		if (characters > argumentLimits.characters) return `the arguments have more than ${argumentLimits.characters} characters`;
		if (typeof value !== "object" || value === null) return null;
		if (depth > argumentLimits.depth) return `the arguments are nested deeper than ${argumentLimits.depth} levels`;
		return Array.isArray(value) ? lookThrough(value, depth) : lookInto(value, depth);
	}

	function lookThrough(list: readonly unknown[], depth: number): string | null {
		for (const each of list) {
			const excess = look(each, depth + 1);
			if (excess !== null) return excess;
		}
		return null;
	}

	function lookInto(record: object, depth: number): string | null {
		for (const key of Object.keys(record)) {
			if (key === "__proto__") return 'the arguments have a key "__proto__", which is not taken';
			characters += key.length;
			const excess = look((record as Record<string, unknown>)[key], depth + 1);
			if (excess !== null) return excess;
		}
		return null;
	}

	const excess = look(args, 1);
	return { excess, values };
}

function sentenceOf({ keyword, params, data, instancePath, message }: DefinedError): string {
	const at = nameOf(instancePath);
	switch (keyword) {
		case "required":
			return `${nameOf(`${instancePath}/${params.missingProperty}`)} is missing`;
		case "enum":
			return `${at} must be one of ${params.allowedValues.join(", ")}; it is ${shown(data)}`;
		case "type":
			return `${at} must be ${kinds[params.type] ?? params.type}, not ${kindOf(data)}`;
		default:
			return `${at} ${message}`;
	}
}

/** `/args/0` is `args[0]`. */
function nameOf(pointer: string): string {
	const parts = pointer.slice(1).split("/");
	return parts.map((part, index) => (index > 0 && /^\d+$/.test(part) ? `[${part}]` : `${index > 0 ? "." : ""}${part}`)).join("");
}

const kinds: Readonly<Record<string, string>> = { string: "text", number: "a number", array: "a list", object: "an object" };

function kindOf(value: unknown): string {
	if (value === undefined) return "nothing";
	if (value === null) return "null";
	if (Array.isArray(value)) return "a list";
	return kinds[typeof value] ?? `a ${typeof value}`;
}

function shown(value: unknown): string {
	const json = JSON.stringify(value) ?? String(value);
	return json.length > 60 ? `${json.slice(0, 59).toWellFormed()}…` : json;
}
