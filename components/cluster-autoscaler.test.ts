import { describe, expect, it } from "vitest";
import type { ResourceRecord } from "../core/record.ts";
import { record } from "../preview/record.ts";
import { autoscalerPolicy, ClusterAutoscaler, type ClusterAutoscalerArgs } from "./cluster-autoscaler.ts";
import { clusterRules, namespaceRules } from "./cluster-autoscaler-rules.ts";

const ARGS: ClusterAutoscalerArgs = {
	namespace: "kube-system",
	image: "registry.k8s.io/autoscaling/cluster-autoscaler:v1.35.2",
	size: { requests: { milliCpu: 100, memoryMib: 400 }, cpuLimitMilli: 1000, ephemeralMib: 64 },
	clusterName: "agentic-flow-test",
	region: "eu-west-1",
	unneededMinutes: 10,
	delayAfterAddMinutes: 15,
	utilizationPercent: 50,
	podGraceSeconds: 660,
	scrapers: [],
};

async function resources(): Promise<readonly ResourceRecord[]> {
	const recorded = await record({ project: "agentic-flow", stack: "test" }, async () => {
		new ClusterAutoscaler("autoscaler", ARGS, {});
		return {};
	});
	return recorded.resources;
}

async function inputsOf(name: string) {
	const found = (await resources()).find((resource) => resource.name === name);
	// biome-ignore lint/suspicious/noExplicitAny: manifests are looked into, not typed again.
	return found?.inputs as any;
}

describe("ClusterAutoscaler", () => {
	it("finds the node groups by the tags EKS puts on them", async () => {
		const [container] = (await inputsOf("autoscaler-deployment")).spec.template.spec.containers;
		expect(container.args).toEqual([
			"--cloud-provider=aws",
			"--node-group-auto-discovery=asg:tag=k8s.io/cluster-autoscaler/enabled,k8s.io/cluster-autoscaler/agentic-flow-test",
			"--namespace=kube-system",
			"--balance-similar-node-groups=true",
			"--expander=least-waste",
			"--skip-nodes-with-local-storage=false",
			"--scale-down-unneeded-time=10m",
			"--scale-down-delay-after-add=15m",
			"--scale-down-utilization-threshold=0.5",
			"--max-graceful-termination-sec=660",
			"--logging-format=json",
			"--v=2",
		]);
	});

	it("has a token, for it is nothing without the API, and no other privilege", async () => {
		const pod = (await inputsOf("autoscaler-deployment")).spec.template.spec;
		expect(pod.automountServiceAccountToken).toBe(true);
		expect(pod.securityContext).toMatchObject({ runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" } });
		expect(pod.containers[0].securityContext).toMatchObject({ readOnlyRootFilesystem: true, capabilities: { drop: ["ALL"] } });
		expect(pod.nodeSelector).toEqual({ "agentic-flow.io/pool": "system" });
	});

	it("may neither read secrets nor do anything it does not name", () => {
		for (const rule of [...clusterRules, ...namespaceRules] as { resources: string[]; verbs: string[]; apiGroups: string[] }[]) {
			expect([...rule.resources, ...rule.verbs, ...rule.apiGroups]).not.toContain("*");
			expect(rule.resources).not.toContain("secrets");
		}
	});

	it("is bound to both of its roles before it runs", async () => {
		const { subjects, roleRef } = await inputsOf("autoscaler-cluster-binding");
		expect(subjects).toEqual([{ kind: "ServiceAccount", name: "cluster-autoscaler", namespace: "kube-system" }]);
		expect(roleRef).toMatchObject({ kind: "ClusterRole", name: "cluster-autoscaler" });
		const deployment = (await resources()).find(({ name }) => name === "autoscaler-deployment");
		const waitsFor = deployment?.dependencies.map((urn) => urn.split("::").at(-1));
		expect(waitsFor).toEqual(expect.arrayContaining(["autoscaler-binding", "autoscaler-cluster-binding", "autoscaler-policy"]));
	});

	it("talks to HTTPS, to the agent that has its credentials, and to the DNS", async () => {
		const { spec } = await inputsOf("autoscaler-policy");
		expect(spec.policyTypes).toEqual(["Egress"]);
		expect(spec.egress).toEqual([
			{ to: [{ ipBlock: { cidr: "0.0.0.0/0" } }], ports: [{ protocol: "TCP", port: 443 }] },
			{ to: [{ ipBlock: { cidr: "169.254.170.23/32" } }], ports: [{ protocol: "TCP", port: 80 }] },
		]);
		const dns = await inputsOf("autoscaler-dns-policy");
		expect(dns.spec.egress[0].ports).toEqual([
			{ protocol: "UDP", port: 53 },
			{ protocol: "TCP", port: 53 },
		]);
	});
});

describe("autoscalerPolicy", () => {
	const statements = autoscalerPolicy("agentic-flow-test", "eu-west-1", "111122223333");

	it("lets it look at everything and change only this cluster's groups", () => {
		const broad = statements.filter(({ Resource }) => Resource === "*").flatMap(({ Action }) => Action);
		expect(broad.every((action) => /^(autoscaling|ec2):(Describe|Get)\w+$/.test(action))).toBe(true);
		expect(statements.at(-1)).toEqual({
			Effect: "Allow",
			Action: ["autoscaling:SetDesiredCapacity", "autoscaling:TerminateInstanceInAutoScalingGroup"],
			Resource: "arn:aws:autoscaling:eu-west-1:111122223333:autoScalingGroup:*:autoScalingGroupName/*",
			Condition: { StringEquals: { "aws:ResourceTag/k8s.io/cluster-autoscaler/agentic-flow-test": "owned" } },
		});
	});

	it("lets it look at this cluster's node groups alone", () => {
		expect(statements[1]).toMatchObject({ Resource: "arn:aws:eks:eu-west-1:111122223333:nodegroup/agentic-flow-test/*" });
	});
});
