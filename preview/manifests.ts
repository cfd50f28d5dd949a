/** A stack's Kubernetes objects, in the order in which they can be applied. */
import { isSecretMark, type RecordedValue, type ResourceRecord, type StackRecord } from "../core/record.ts";
import { leavesOf } from "./paths.ts";
import { type Placeholder, withPlaceholders } from "./placeholders.ts";

/** One object, ready to be written. */
export interface Manifest {
	readonly urn: string;
	/** Number, kind, namespace and name: `007-configmap-agentic-flow-edge-haproxy.yaml`. */
	readonly file: string;
	/** `apiVersion`, `kind` and `metadata` come first, as people write it. */
	readonly object: { readonly [key: string]: RecordedValue };
	readonly placeholders: readonly Placeholder[];
}

/** What became of a stack's objects. */
export interface Manifests {
	readonly manifests: readonly Manifest[];
	/** The Secrets, as `namespace/name`: only `pulumi up` makes those. Sorted. */
	readonly secrets: readonly string[];
}

/** What everything depends on first, what runs last; a kind that is not here comes in between. */
const ORDER = [
	["Namespace", "CustomResourceDefinition", "PriorityClass", "StorageClass"],
	["ResourceQuota"],
	["LimitRange"],
	["NetworkPolicy"],
	["ServiceAccount"],
	["ClusterRole", "Role"],
	["ClusterRoleBinding", "RoleBinding"],
	["ConfigMap"],
	["PersistentVolume", "PersistentVolumeClaim"],
	["Service"],
	["PodDisruptionBudget"],
	[],
	["Job"],
	["StatefulSet", "DaemonSet", "Deployment", "CronJob"],
	["HorizontalPodAutoscaler"],
];
const RANK = new Map(ORDER.flatMap((kinds, rank) => kinds.map((kind) => [kind, rank] as const)));
const RANK_OF_OTHERS = ORDER.findIndex((kinds) => kinds.length === 0);

/**
 * Every Kubernetes object but the Secrets and those of `leaveOut`, in an order in which each comes after all that it
 * depends on, through whatever else. `names` gives tokens their placeholders.
 *
 * @throws Error for a secret outside a Secret, and for a token that is no output: faults of the program.
 */
export function manifestsOf(record: StackRecord, leaveOut: ReadonlySet<string>, names: ReadonlyMap<string, string>): Manifests {
	const objects = record.resources.filter(isObject);
	const [secrets, others] = [objects.filter(isSecret), objects.filter((resource) => !isSecret(resource))];
	const rendered = new Set(others.map(({ urn }) => urn).filter((urn) => !leaveOut.has(urn)));
	const ordered = inOrder(record.resources).filter(({ urn }) => rendered.has(urn));
	const digits = Math.max(3, `${ordered.length}`.length);
	return {
		manifests: ordered.map((resource, index) => {
			const label = labelOf(resource);
			refuseSecrets(resource, label);
			const { value, placeholders } = withPlaceholders(clean(resource.inputs), names, label);
			const file = `${`${index + 1}`.padStart(digits, "0")}-${fileName(label)}.yaml`;
			return { urn: resource.urn, file, object: asWritten(value as Manifest["object"]), placeholders };
		}),
		secrets: secrets
			.map(({ inputs, name }) => [text(metadata(inputs).namespace), text(metadata(inputs).name) || name].filter(Boolean).join("/"))
			.sort(),
	};
}

/** The objects by kind, namespace and name, but each after all that it depends on. */
function inOrder(resources: readonly ResourceRecord[]): ResourceRecord[] {
	const byUrn = new Map(resources.map((resource) => [resource.urn, resource]));
	const key = (resource: ResourceRecord) => [`${rankOf(resource)}`.padStart(3, "0"), labelOf(resource), resource.urn].join(" ");
	const keys = new Map(resources.map((resource) => [resource.urn, key(resource)]));
	const sorted = (urns: readonly string[]) => urns.toSorted((a, b) => ((keys.get(a) ?? "") < (keys.get(b) ?? "") ? -1 : 1));
	const done = new Set<string>();
	const ordered: ResourceRecord[] = [];
	const visit = (urn: string) => {
		const resource = byUrn.get(urn);
		if (!resource || done.has(urn)) return;
		done.add(urn);
		const { parent, dependencies } = resource;
		// What runs waits for what its component waits for. What does not run may be there earlier.
		if (parent !== null && rankOf(resource) >= RANK_OF_OTHERS) visit(parent);
		for (const needed of sorted(dependencies)) visit(needed);
		ordered.push(resource);
	};
	for (const urn of sorted(resources.filter(isObject).map((resource) => resource.urn))) visit(urn);
	return ordered;
}

function rankOf(resource: ResourceRecord): number {
	return isObject(resource) ? (RANK.get(text(resource.inputs.kind)) ?? RANK_OF_OTHERS) : RANK_OF_OTHERS;
}

function isObject({ type, inputs }: ResourceRecord): boolean {
	return type.startsWith("kubernetes:") && typeof inputs.apiVersion === "string" && typeof inputs.kind === "string";
}

function isSecret({ inputs }: ResourceRecord): boolean {
	return inputs.apiVersion === "v1" && inputs.kind === "Secret";
}

/** `Deployment agentic-flow server`: what a user knows an object by. A name that is not known yet is the program's own. */
function labelOf({ inputs, name }: ResourceRecord): string {
	const { namespace, name: objectName } = metadata(inputs);
	return [text(inputs.kind), text(namespace), text(objectName) || name].filter(Boolean).join(" ");
}

function fileName(label: string): string {
	return label.toLowerCase().replace(/[^a-z0-9.]+/g, "-");
}

function metadata(inputs: ResourceRecord["inputs"]): { readonly [key: string]: RecordedValue } {
	return (inputs.metadata ?? {}) as { readonly [key: string]: RecordedValue };
}

function text(value: RecordedValue | undefined): string {
	return typeof value === "string" ? value : "";
}

function refuseSecrets({ inputs }: ResourceRecord, label: string): void {
	for (const [path, leaf] of leavesOf(inputs)) {
		if (isSecretMark(leaf)) throw new Error(`${label} has a secret at ${path}: only a Secret may hold one`);
	}
}

/** Without the annotations that only Pulumi's provider reads. */
function clean(value: RecordedValue): RecordedValue {
	if (typeof value !== "object" || value === null) return value;
	if (Array.isArray(value)) return value.map(clean);
	return Object.fromEntries(
		Object.entries(value).flatMap(([key, inner]) => {
			if (key !== "annotations" || typeof inner !== "object" || inner === null) return [[key, clean(inner)]];
			const kept = Object.entries(inner).filter(([annotation]) => !annotation.startsWith("pulumi.com/"));
			return kept.length > 0 ? [[key, Object.fromEntries(kept)]] : [];
		}),
	);
}

function asWritten({ apiVersion, kind, metadata: meta, ...rest }: Manifest["object"]): Manifest["object"] {
	return { apiVersion, kind, ...(meta === undefined ? {} : { metadata: meta }), ...rest } as Manifest["object"];
}
