/** Whether a tool's arguments are what its schema asks for, and of a size that can be handled. */
import { Ajv, type DefinedError, type ValidateFunction } from "ajv";

/** What arguments may be at most: deep; objects, lists and values in them; characters of text and keys. */
export const argumentLimits = { depth: 32, values: 20_000, characters: 2_097_152 } as const;

/** Sentences an answer has at most. */
const MOST_FAULTS = 20;

/** The schemas are the original's: it gives a default where strict mode would have none. */
const ajv = new Ajv({ allErrors: true, ownProperties: true, strict: true, verbose: true });

const compiled = new WeakMap<object, ValidateFunction>();

/** @returns a sentence for each fault; none where the arguments can be used */
export function faultsOf(schema: Readonly<Record<string, unknown>>, args: unknown): string[] {
	if (typeof args !== "object" || args === null || Array.isArray(args)) return [`the arguments must be an object, not ${kindOf(args)}`];
	const excess = excessOf(args);
	if (excess !== null) return [excess];
	const validate = compiledOf(schema);
	if (validate(args)) return [];
	const errors = validate.errors as DefinedError[];
	// Of what is not even text it says enough that it is not.
	const faults = errors.filter(({ keyword, data }) => keyword !== "enum" || typeof data === "string").map(sentenceOf);
	return faults.length > MOST_FAULTS ? [...faults.slice(0, MOST_FAULTS), `and ${faults.length - MOST_FAULTS} more`] : faults;
}

function compiledOf(schema: object): ValidateFunction {
	const known = compiled.get(schema);
	if (known !== undefined) return known;
	const validate = ajv.compile(schema);
	compiled.set(schema, validate);
	return validate;
}

/** Looked at without recursion, and left as soon as it is too much: so that nothing deep or huge is handed on. */
function excessOf(args: object): string | null {
	const open: { readonly value: unknown; readonly depth: number }[] = [{ value: args, depth: 1 }];
	let values = 0;
	let characters = 0;
	for (let next = open.pop(); next !== undefined; next = open.pop()) {
		const { value, depth } = next;
		if (typeof value === "string") characters += value.length;
		if (typeof value === "object" && value !== null) {
			if (depth > argumentLimits.depth) return `the arguments are nested deeper than ${argumentLimits.depth} levels`;
			for (const [key, each] of Object.entries(value)) {
				if (key === "__proto__") return 'the arguments have a key "__proto__", which is not taken';
				characters += Array.isArray(value) ? 0 : key.length;
				values += 1;
				if (values > argumentLimits.values) return `the arguments have more than ${argumentLimits.values} values`;
				open.push({ value: each, depth: depth + 1 });
			}
		}
		if (characters > argumentLimits.characters) return `the arguments have more than ${argumentLimits.characters} characters`;
	}
	return null;
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
