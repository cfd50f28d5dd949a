/** For tests: records as short as what they are about. */
import type { ResourceRecord, StackRecord } from "../core/record.ts";

/** A resource at the top of the stack `test`, with nothing but what is given. */
export function resource(
	given: Partial<ResourceRecord> & { readonly type: string; readonly name: string },
	stack = "test",
): ResourceRecord {
	return {
		urn: urnOf(given.type, given.name, stack),
		parent: null,
		custom: true,
		dependencies: [],
		propertyDependencies: {},
		protect: false,
		retainOnDelete: false,
		ignoreChanges: [],
		provider: null,
		inputs: {},
		...given,
	};
}

export function urnOf(type: string, name: string, stack = "test"): string {
	return `urn:pulumi:${stack}::project::${type}::${name}`;
}

/** A stack of these resources, in the order a record has them. */
export function stackOf(resources: readonly ResourceRecord[], outputs: StackRecord["outputs"] = {}, stack = "test"): StackRecord {
	return { stack, resources: resources.toSorted((a, b) => (a.urn < b.urn ? -1 : 1)), outputs };
}

/** A Kubernetes object; its logical name is `<kind>-<name>` in lower case. */
export function object(kind: string, name: string, given: Partial<ResourceRecord> = {}): ResourceRecord {
	const inputs = { apiVersion: "v1", kind, metadata: { name, namespace: "ns" }, ...given.inputs };
	return resource({ type: `kubernetes:core/v1:${kind}`, name: `${kind}-${name}`.toLowerCase(), ...given, inputs });
}
