/** A value as a preview records it: JSON, with a mark where there is nothing to show. */
export type RecordedValue = null | boolean | number | string | readonly RecordedValue[] | { readonly [key: string]: RecordedValue };

/** Stands where a value exists only after the resource it comes from does. */
export const UNKNOWN = { $unknown: true } as const;

/** Stands where a value is secret. The value itself is never recorded. */
export const SECRET = { $secret: true } as const;

/** One resource as the program registered it. Every list is sorted, so equal programs give equal records. */
export interface ResourceRecord {
	readonly urn: string;
	/** The type token, e.g. `aws:ec2/vpc:Vpc`, or a component's `agentic-flow:infra:Network`. */
	readonly type: string;
	readonly name: string;
	readonly parent: string | null;
	/** True for what a provider makes; false for a component, which only groups. */
	readonly custom: boolean;
	readonly dependencies: readonly string[];
	/** Which resources each input was made from. */
	readonly propertyDependencies: { readonly [input: string]: readonly string[] };
	readonly protect: boolean;
	readonly retainOnDelete: boolean;
	readonly ignoreChanges: readonly string[];
	/** URN of the provider resource, or null where the engine's default one serves. */
	readonly provider: string | null;
	readonly inputs: { readonly [input: string]: RecordedValue };
}

/** A whole stack as one run of the program described it. */
export interface StackRecord {
	readonly stack: string;
	readonly resources: readonly ResourceRecord[];
	readonly outputs: { readonly [name: string]: RecordedValue };
}

/** True for {@link UNKNOWN}. */
export function isUnknownMark(value: RecordedValue | undefined): boolean {
	return isMark(value, "$unknown");
}

/** True for {@link SECRET}. */
export function isSecretMark(value: RecordedValue | undefined): boolean {
	return isMark(value, "$secret");
}

function isMark(value: RecordedValue | undefined, key: string): boolean {
	return typeof value === "object" && value !== null && !Array.isArray(value) && (value as Record<string, unknown>)[key] === true;
}
