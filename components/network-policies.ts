/**
 * Exceptions to the default deny that every namespace of ours has. A connection between two pods needs both: an egress
 * rule where it begins and an ingress rule where it ends.
 */
import type { input } from "@pulumi/kubernetes/types/index.js";
import type * as pulumi from "@pulumi/pulumi";
import { selectorOf, type Workload } from "./labels.ts";

/** The other end of a connection. */
export type Peer = input.networking.v1.NetworkPolicyPeer;

/** TCP connections between the selected pods and these peers, on these ports. */
export interface Rule {
	readonly peers: readonly Peer[];
	/** The receiver's port numbers. */
	readonly ports: readonly number[];
}

/** A workload's pods in a namespace. */
export function podsOf(workload: Workload, namespace: pulumi.Input<string>): Peer {
	return {
		namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": namespace } },
		podSelector: { matchLabels: selectorOf(workload) },
	};
}

/** Addresses outside the cluster, or nodes of it: blocks such as `10.0.96.0/24`. */
export function blocks(cidrs: readonly string[]): Peer[] {
	return cidrs.map((cidr) => ({ ipBlock: { cidr } }));
}

/**
 * The spec of a policy that allows the given connections to (`ingress`) and from (`egress`) a workload's pods, and no others.
 *
 * @throws TypeError for a rule without peers or ports, which Kubernetes would take for all of them
 */
export function allow(
	workload: Workload,
	{ ingress, egress }: { ingress: readonly Rule[]; egress: readonly Rule[] },
): input.networking.v1.NetworkPolicySpec {
	for (const { peers, ports } of [...ingress, ...egress]) {
		if (peers.length === 0 || ports.length === 0) throw new TypeError(`a network policy for ${workload} would allow everything`);
	}
	return {
		podSelector: { matchLabels: selectorOf(workload) },
		policyTypes: [...(ingress.length > 0 ? ["Ingress"] : []), ...(egress.length > 0 ? ["Egress"] : [])],
		// Left out, not empty: the API server counts an empty list as a change at every apply.
		...(ingress.length > 0 ? { ingress: ingress.map(({ peers, ports }) => ({ from: [...peers], ports: tcp(ports) })) } : {}),
		...(egress.length > 0 ? { egress: egress.map(({ peers, ports }) => ({ to: [...peers], ports: tcp(ports) })) } : {}),
	};
}

function tcp(ports: readonly number[]): input.networking.v1.NetworkPolicyPort[] {
	return ports.map((port) => ({ protocol: "TCP", port }));
}
