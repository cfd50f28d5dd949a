import { beforeAll, describe, expect, it } from "vitest";
import { record } from "../preview/record.ts";
import { Namespace, quotaFor } from "./namespace.ts";
import { Workloads } from "./workloads.fixture.ts";

const size = { requests: { milliCpu: 500, memoryMib: 1024 }, cpuLimitMilli: 2000, ephemeralMib: 512 };

let objects: Workloads;
beforeAll(async () => {
	const { resources } = await record({ project: "agentic-flow", stack: "test" }, async () => {
		const quota = quotaFor([{ maxPods: 3, size }], 1);
		new Namespace("edge", { name: "edge", kubernetesVersion: "1.35", podSecurity: "restricted", quota, containerDefaults: size }, {});
		return {};
	});
	objects = new Workloads(resources);
});

describe("a namespace", () => {
	it("holds pods to its security level, as that level was in one version", () => {
		const { labels } = objects.get("Namespace", "edge").metadata;
		for (const mode of ["enforce", "audit", "warn"]) {
			expect(labels[`pod-security.kubernetes.io/${mode}`]).toBe("restricted");
			expect(labels[`pod-security.kubernetes.io/${mode}-version`]).toBe("v1.35");
		}
	});

	it("lets no connection in or out that no other policy allows", () => {
		expect(objects.get("NetworkPolicy", "default-deny").spec).toEqual({ podSelector: {}, policyTypes: ["Ingress", "Egress"] });
	});

	it("lets every pod ask the cluster's DNS", () => {
		expect(objects.get("NetworkPolicy", "allow-dns").spec).toEqual({
			podSelector: {},
			policyTypes: ["Egress"],
			egress: [
				{
					to: [
						{
							namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": "kube-system" } },
							podSelector: { matchLabels: { "k8s-app": "kube-dns" } },
						},
					],
					ports: [
						{ protocol: "UDP", port: 53 },
						{ protocol: "TCP", port: 53 },
					],
				},
			],
		});
	});

	it("has room for its pods at their most and for one that is still stopping", () => {
		expect(objects.get("ResourceQuota", "quota").spec.hard).toEqual({
			pods: "4",
			"requests.cpu": "2000m",
			"requests.memory": "4096Mi",
			"requests.ephemeral-storage": "2048Mi",
			"limits.cpu": "8000m",
			"limits.memory": "4096Mi",
			"limits.ephemeral-storage": "2048Mi",
			"services.loadbalancers": "0",
			"services.nodeports": "1",
		});
	});

	it("gives limits to a container that states none", () => {
		expect(objects.get("LimitRange", "limits").spec.limits).toEqual([
			{
				type: "Container",
				defaultRequest: { cpu: "500m", memory: "1024Mi", "ephemeral-storage": "512Mi" },
				default: { cpu: "2000m", memory: "1024Mi", "ephemeral-storage": "512Mi" },
			},
		]);
	});
});
