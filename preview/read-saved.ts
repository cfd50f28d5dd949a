import { type Fault, UserError } from "../core/errors.ts";
import type { StackRecord } from "../core/record.ts";

/** How many faults of one file are shown: the first few tell what is wrong with all. */
const MOST_FAULTS = 10;

type Check = (value: unknown) => boolean;

const isText: Check = (value) => typeof value === "string";
const isBoolean: Check = (value) => typeof value === "boolean";
const isObject: Check = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const isTexts: Check = (value) => Array.isArray(value) && value.every(isText);
const isTextOrNull: Check = (value) => value === null || isText(value);

/** What a resource must have, with the words for it. */
const fields: Readonly<Record<string, readonly [Check, string]>> = {
	urn: [(value) => isText(value) && (value as string).split("::").length >= 4, "a URN"],
	type: [isText, "text"],
	name: [isText, "text"],
	parent: [isTextOrNull, "a URN or null"],
	custom: [isBoolean, "true or false"],
	dependencies: [isTexts, "a list of URNs"],
	propertyDependencies: [(value) => isObject(value) && Object.values(value as object).every(isTexts), "a list of URNs for each input"],
	protect: [isBoolean, "true or false"],
	retainOnDelete: [isBoolean, "true or false"],
	ignoreChanges: [isTexts, "a list of texts"],
	provider: [isTextOrNull, "a URN or null"],
	inputs: [isObject, "an object"],
};

/**
 * The stack that a saved preview holds, from the text of the file that `flowctl preview <stack> --json` wrote.
 *
 * @param file what the report calls it.
 * @throws UserError that says what is wrong with the file, and where.
 */
export function readSaved(text: string, file: string): StackRecord {
	const refuse = (faults: readonly Fault[]): never => {
		throw new UserError(`${file} is not a saved preview`, faults);
	};
	const fix = "write it again: flowctl preview <stack> --json --out FILE";
	let saved: unknown;
	try {
		saved = JSON.parse(text);
	} catch (error) {
		const what = text.trim() === "" ? "is empty" : `is not JSON: ${(error as Error).message}`;
		return refuse([{ at: file, what, fix }]);
	}
	if (!isObject(saved)) return refuse([{ at: file, what: "its top is not an object", fix }]);
	const { stack, resources, outputs } = saved as Record<string, unknown>;
	const faults: Fault[] = [];
	if (!isText(stack)) faults.push({ at: "stack", what: whatIs(stack, "text"), fix });
	if (!isObject(outputs)) faults.push({ at: "outputs", what: whatIs(outputs, "an object"), fix });
	if (Array.isArray(resources)) faults.push(...resources.flatMap((resource, index) => faultsOf(resource, `resources[${index}]`, fix)));
	else faults.push({ at: "resources", what: whatIs(resources, "a list"), fix });
	if (faults.length === 0) faults.push(...repeated(saved as unknown as StackRecord, fix));
	if (faults.length > MOST_FAULTS) {
		const more = faults.length - MOST_FAULTS;
		faults.splice(MOST_FAULTS, more, { at: file, what: `has ${more} more faults of this kind`, fix });
	}
	if (faults.length > 0) return refuse(faults);
	return saved as unknown as StackRecord;
}

function faultsOf(resource: unknown, at: string, fix: string): Fault[] {
	if (!isObject(resource)) return [{ at, what: whatIs(resource, "an object"), fix }];
	return Object.entries(fields).flatMap(([field, [check, wanted]]) => {
		const value = (resource as Record<string, unknown>)[field];
		return check(value) ? [] : [{ at: `${at}.${field}`, what: whatIs(value, wanted), fix }];
	});
}

function repeated({ resources }: StackRecord, fix: string): Fault[] {
	const seen = new Set<string>();
	return resources.flatMap(({ urn }, index) => {
		if (seen.has(urn)) return [{ at: `resources[${index}].urn`, what: `${urn} is there twice`, fix }];
		seen.add(urn);
		return [];
	});
}

function whatIs(value: unknown, wanted: string): string {
	if (value === undefined) return `is missing; it must be ${wanted}`;
	const text = JSON.stringify(value);
	return `is ${text.length > 60 ? `${text.slice(0, 57)}...` : text}, not ${wanted}`;
}
