/** What differs between two stacks, or between two previews of one. */
import type { RecordedValue, ResourceRecord, StackRecord } from "../core/record.ts";
import { type Change, compare } from "./compare.ts";
import { hasHidden } from "./tree.ts";

/** A resource that both sides have, and what about it differs. */
export interface ChangedResource {
	/** The URN on the later side. */
	readonly urn: string;
	readonly type: string;
	readonly name: string;
	readonly inputs: readonly Change[];
	/** Of parent, provider, dependencies, protect and the other resource options. Resources go by their names. */
	readonly options: readonly Change[];
}

/** A resource that only the earlier side has. */
export interface RemovedResource {
	readonly resource: ResourceRecord;
	/** True for what holds data or identity that a new one would not have. */
	readonly stateful: boolean;
	/** URN of an added resource of the same type and name: the same thing elsewhere in the tree, if it has an alias. */
	readonly movedTo: string | null;
}

/** Everything that differs. Lists are ordered by URN. */
export interface StackDiff {
	readonly before: string;
	readonly after: string;
	readonly added: readonly ResourceRecord[];
	readonly removed: readonly RemovedResource[];
	readonly changed: readonly ChangedResource[];
	readonly unchanged: number;
	readonly outputs: readonly Change[];
}

/** Losing one of these loses data, or an identity that others hold on to. */
const STATEFUL = new Set([
	"aws:ecr/repository:Repository",
	"aws:eks/cluster:Cluster",
	"aws:elasticache/replicationGroup:ReplicationGroup",
	"aws:kms/key:Key",
	"aws:rds/instance:Instance",
	"aws:s3/bucket:Bucket",
	"aws:secretsmanager/secret:Secret",
]);

const STACK_TYPE = "pulumi:pulumi:Stack";

/** The difference from `before` to `after`. Resources are the same when their URNs are, the stack's name aside. */
export function diff(before: StackRecord, after: StackRecord): StackDiff {
	const old = byKey(before);
	const now = byKey(after);
	const added = [...now].filter(([key]) => !old.has(key)).map(([, resource]) => resource);
	const byTypeAndName = new Map(added.map((resource) => [typeAndName(resource), resource.urn]));
	const removed = [...old]
		.filter(([key]) => !now.has(key))
		.map(([, resource]) => ({
			resource,
			stateful: STATEFUL.has(resource.type),
			movedTo: byTypeAndName.get(typeAndName(resource)) ?? null,
		}));
	const shared = [...now].flatMap(([key, resource]) => {
		const earlier = old.get(key);
		return earlier ? [compareResources(earlier, resource)] : [];
	});
	const changed = shared.filter(({ inputs, options }) => inputs.length + options.length > 0);
	return {
		before: before.stack,
		after: after.stack,
		added,
		removed,
		changed,
		unchanged: shared.length - changed.length,
		outputs: compare(before.outputs, after.outputs),
	};
}

/** Whether nothing differs at all. */
export function isSame({ added, removed, changed, outputs }: StackDiff): boolean {
	return added.length + removed.length + changed.length + outputs.length === 0;
}

/**
 * Tells a change in which one stack's name became the other's, as it does in every physical name, from all others.
 * The name counts as a word of its own: `dev` is in `agentic-flow-dev-keys`, not in `devices`.
 */
export function onlyStackName({ before: old, after: now }: Pick<StackDiff, "before" | "after">): (change: Change) => boolean {
	const escaped = old.replace(/[^\w]/g, "\\$&");
	const word = new RegExp(`(?<![A-Za-z0-9])${escaped}(?![A-Za-z0-9])`, "g");
	return ({ before, after }) =>
		old !== now && typeof before === "string" && typeof after === "string" && before.replace(word, () => now) === after;
}

function byKey({ resources }: StackRecord): Map<string, ResourceRecord> {
	return new Map(resources.map((resource) => [withoutStack(resource.urn), resource]));
}

/** The URN without the stack's name: in its second part, and in the name of the stack's own resource. */
function withoutStack(urn: string): string {
	const [, project = "", type = "", ...name] = urn.split("::");
	return type === STACK_TYPE ? `${project}::${type}` : [project, type, ...name].join("::");
}

function typeAndName({ type, name }: ResourceRecord): string {
	return `${type}::${name}`;
}

function compareResources(before: ResourceRecord, after: ResourceRecord): ChangedResource {
	const { urn, type, name } = after;
	return {
		urn,
		type,
		name,
		inputs: compare(before.inputs, after.inputs),
		options: [
			...comparePlain("parent", reference(before.parent), reference(after.parent)),
			...comparePlain("provider", reference(before.provider), reference(after.provider)),
			...comparePlain("protect", before.protect, after.protect),
			...comparePlain("retainOnDelete", before.retainOnDelete, after.retainOnDelete),
			...compareSets("ignoreChanges", before.ignoreChanges, after.ignoreChanges),
			...compareSets("dependencies", before.dependencies.map(withoutStack), after.dependencies.map(withoutStack)),
			...compareSources(before, after),
		],
	};
}

function comparePlain(path: string, before: RecordedValue, after: RecordedValue): Change[] {
	return before === after ? [] : [{ path, before, after }];
}

function compareSets(path: string, before: readonly string[], after: readonly string[]): Change[] {
	const [old, now] = [new Set(before), new Set(after)];
	return [
		...before.filter((each) => !now.has(each)).map((each) => ({ path, before: each })),
		...after.filter((each) => !old.has(each)).map((each) => ({ path, after: each })),
	];
}

/** Two unknown values look alike, and so do two secrets; where they come from does not. */
function compareSources(before: ResourceRecord, after: ResourceRecord): Change[] {
	return Object.entries(after.inputs).flatMap(([input, value]) => {
		const earlier = before.inputs[input];
		if (earlier === undefined || !hasHidden(value) || !hasHidden(earlier)) return [];
		const sources = (resource: ResourceRecord) => (resource.propertyDependencies[input] ?? []).map(withoutStack);
		return compareSets(`sources of ${input}`, sources(before), sources(after));
	});
}

function reference(urn: string | null): string | null {
	return urn === null ? null : withoutStack(urn);
}
