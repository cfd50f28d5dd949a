/** A stack's resources as a tree by parent, and what there is to count about them. */
import { isSecretMark, isUnknownMark, type RecordedValue, type ResourceRecord, type StackRecord } from "../core/record.ts";

/** A resource and those whose parent it is. */
export interface TreeNode {
	readonly resource: ResourceRecord;
	readonly children: readonly TreeNode[];
}

/** The resources without a parent, each with all below it; siblings are in the record's order. */
export function treeOf({ resources }: StackRecord): TreeNode[] {
	const nodes = new Map(resources.map((resource) => [resource.urn, { resource, children: [] as TreeNode[] }]));
	const roots: TreeNode[] = [];
	for (const node of nodes.values()) {
		const siblings = nodes.get(node.resource.parent ?? "")?.children ?? roots;
		siblings.push(node);
	}
	return roots;
}

/** A type as Pulumi's own command shows it: `aws:ec2/vpc:Vpc` -> `aws:ec2:Vpc`. */
export function shortType(type: string): string {
	const [, packageName, module, own, name] = /^([^:]+):(.+)\/([^/:]+):([^:]+)$/.exec(type) ?? [];
	return own !== undefined && own.toLowerCase() === name?.toLowerCase() ? `${packageName}:${module}:${name}` : type;
}

/** The last part of a URN: the resource's logical name. */
export function nameIn(urn: string): string {
	return urn.split("::").slice(3).join("::");
}

/** How much of what a stack holds. */
export interface Totals {
	/** Everything that is registered, as Pulumi counts it: components, providers and the stack itself included. */
	readonly all: number;
	/** What a provider makes, by package: `aws`, `kubernetes`. Sorted. */
	readonly byPackage: ReadonlyMap<string, number>;
	/** Everything by its short type. Sorted. */
	readonly byType: ReadonlyMap<string, number>;
	readonly components: number;
	readonly protected: number;
	readonly retained: number;
	/** Places in inputs where the value is known only after `pulumi up`. */
	readonly unknownValues: number;
	/** Places in inputs where the value is a secret. */
	readonly secretValues: number;
}

/** Counts over the whole stack. */
export function totalsOf({ resources }: StackRecord): Totals {
	const made = resources.filter(({ custom, type }) => custom && !type.startsWith("pulumi:"));
	const inputs = resources.map((resource) => resource.inputs);
	return {
		all: resources.length,
		byPackage: countBy(made.map(({ type }) => type.split(":")[0] as string)),
		byType: countBy(resources.map(({ type }) => shortType(type))),
		components: resources.filter(({ custom, type }) => !custom && !type.startsWith("pulumi:")).length,
		protected: resources.filter((resource) => resource.protect).length,
		retained: resources.filter(({ retainOnDelete }) => retainOnDelete).length,
		unknownValues: countWhere(inputs, isUnknownMark),
		secretValues: countWhere(inputs, isSecretMark),
	};
}

/** Whether the value, or any part of it, is not recorded: unknown, or a secret. */
export function hasHidden(value: RecordedValue): boolean {
	return countWhere(value, (inner) => isUnknownMark(inner) || isSecretMark(inner)) > 0;
}

function countBy(words: readonly string[]): Map<string, number> {
	const counts = new Map<string, number>();
	for (const word of [...words].sort()) counts.set(word, (counts.get(word) ?? 0) + 1);
	return counts;
}

function countWhere(value: RecordedValue, matches: (value: RecordedValue) => boolean): number {
	if (matches(value)) return 1;
	if (typeof value !== "object" || value === null) return 0;
	return Object.values(value).reduce<number>((sum, inner) => sum + countWhere(inner, matches), 0);
}
