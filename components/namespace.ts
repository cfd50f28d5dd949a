import { LimitRange } from "@pulumi/kubernetes/core/v1/limitRange.js";
import { Namespace as CoreNamespace } from "@pulumi/kubernetes/core/v1/namespace.js";
import { ResourceQuota } from "@pulumi/kubernetes/core/v1/resourceQuota.js";
import { NetworkPolicy } from "@pulumi/kubernetes/networking/v1/networkPolicy.js";
import * as pulumi from "@pulumi/pulumi";
import { type Compute, quantities, sumCompute, timesCompute } from "../core/units.ts";
import { PART_OF } from "./labels.ts";
import { type PodSize, resourcesOf } from "./pod.ts";

/** Most that all pods of a namespace may take together. */
export interface Quota {
	readonly pods: number;
	readonly requests: Compute;
	readonly limits: Compute;
	/** Disk for logs and scratch files, MiB. */
	readonly ephemeralMib: number;
	/** Ports that its Services may open on every node. */
	readonly nodePorts: number;
}

/** Settings of {@link Namespace}. */
export interface NamespaceArgs {
	/** The name in the cluster. */
	readonly name: string;
	/** Minor version, e.g. `1.35`: pods are judged by its rules, not by those of a later one. */
	readonly kubernetesVersion: string;
	/** The Pod Security level that pods must have. https://kubernetes.io/docs/concepts/security/pod-security-standards/ */
	readonly podSecurity: "restricted" | "baseline" | "privileged";
	readonly quota: Quota;
	/** What a container gets that states nothing. Ours state everything. */
	readonly containerDefaults: PodSize;
}

/**
 * A namespace in which nothing goes without saying: no connection in or out but to the DNS, no pod below its security
 * level, no more than its quota. Workloads depend on the component, so that their pods never run before its policies do.
 */
export class Namespace extends pulumi.ComponentResource {
	/** The name in the cluster, once the namespace exists. */
	readonly name: pulumi.Output<string>;

	constructor(name: string, args: NamespaceArgs, opts: pulumi.ComponentResourceOptions) {
		super("agentic-flow:components:Namespace", name, {}, opts);
		this.name = this.createNamespace(name, args).metadata.name;
		this.createQuota(name, args);
		this.createLimitRange(name, args);
		this.denyByDefault(name);
		this.allowDns(name);
		this.registerOutputs({ name: this.name });
	}

	private createNamespace(name: string, args: NamespaceArgs): CoreNamespace {
		const levels = ["enforce", "audit", "warn"].flatMap((mode) => [
			[`pod-security.kubernetes.io/${mode}`, args.podSecurity],
			[`pod-security.kubernetes.io/${mode}-version`, `v${args.kubernetesVersion}`],
		]);
		return new CoreNamespace(
			`${name}-namespace`,
			{ metadata: { name: args.name, labels: { ...PART_OF, ...Object.fromEntries(levels) } } },
			{ parent: this },
		);
	}

	private createQuota(name: string, { quota }: NamespaceArgs): void {
		const requests = quantities(quota.requests);
		const limits = quantities(quota.limits);
		new ResourceQuota(
			`${name}-quota`,
			{
				metadata: { name: "quota", namespace: this.name, labels: PART_OF },
				spec: {
					hard: {
						pods: `${quota.pods}`,
						"requests.cpu": requests.cpu,
						"requests.memory": requests.memory,
						"requests.ephemeral-storage": `${quota.ephemeralMib}Mi`,
						"limits.cpu": limits.cpu,
						"limits.memory": limits.memory,
						"limits.ephemeral-storage": `${quota.ephemeralMib}Mi`,
						// A cloud controller would make load balancers that nobody else knows of.
						"services.loadbalancers": "0",
						"services.nodeports": `${quota.nodePorts}`,
					},
				},
			},
			{ parent: this },
		);
	}

	private createLimitRange(name: string, { containerDefaults }: NamespaceArgs): void {
		const { requests, limits } = resourcesOf(containerDefaults);
		new LimitRange(
			`${name}-limits`,
			{
				metadata: { name: "limits", namespace: this.name, labels: PART_OF },
				spec: { limits: [{ type: "Container", defaultRequest: requests, default: limits }] },
			},
			{ parent: this },
		);
	}

	private denyByDefault(name: string): void {
		new NetworkPolicy(
			`${name}-default-deny`,
			{
				metadata: { name: "default-deny", namespace: this.name, labels: PART_OF },
				spec: { podSelector: {}, policyTypes: ["Ingress", "Egress"] },
			},
			{ parent: this },
		);
	}

	private allowDns(name: string): void {
		const dns = {
			namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": "kube-system" } },
			podSelector: { matchLabels: { "k8s-app": "kube-dns" } },
		};
		new NetworkPolicy(
			`${name}-allow-dns`,
			{
				metadata: { name: "allow-dns", namespace: this.name, labels: PART_OF },
				spec: {
					podSelector: {},
					policyTypes: ["Egress"],
					egress: [{ to: [dns], ports: ["UDP", "TCP"].map((protocol) => ({ protocol, port: 53 })) }],
				},
			},
			{ parent: this },
		);
	}
}

/**
 * The quota that just holds these workloads at their largest, and one pod more of each: a stopping pod counts until it
 * is gone, while its successor already waits for the room.
 */
export function quotaFor(workloads: readonly { readonly maxPods: number; readonly size: PodSize }[], nodePorts: number): Quota {
	const counted = workloads.map(({ maxPods, size }) => ({ pods: maxPods + 1, size }));
	return {
		pods: counted.reduce((sum, { pods }) => sum + pods, 0),
		requests: sumCompute(counted.map(({ pods, size }) => timesCompute(size.requests, pods))),
		limits: sumCompute(counted.map(({ pods, size }) => timesCompute({ ...size.requests, milliCpu: size.cpuLimitMilli }, pods))),
		ephemeralMib: counted.reduce((sum, { pods, size }) => sum + size.ephemeralMib * pods, 0),
		nodePorts,
	};
}
