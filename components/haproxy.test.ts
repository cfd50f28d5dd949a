import { describe, expect, it } from "vitest";
import { workerPorts } from "../app/contract.ts";
import type { ResourceRecord } from "../core/record.ts";
import { record } from "../preview/record.ts";
import { Haproxy, type HaproxyArgs } from "./haproxy.ts";
import { haproxyGrace, haproxySettings } from "./haproxy-settings.ts";

const ARGS: HaproxyArgs = {
	namespace: "edge",
	image: "haproxy:3.2",
	replicas: 3,
	size: { requests: { milliCpu: 1000, memoryMib: 2048 }, cpuLimitMilli: 1500, ephemeralMib: 64 },
	shutdown: { preStopSeconds: 20, drainSeconds: 60, terminationGraceSeconds: 90 },
	maxConnections: 30_000,
	monitorPath: "/haproxy-health",
	stickyKey: "0123456789abcdef",
	https: true,
	nodePort: 30_080,
	clientCidrs: ["10.40.0.0/24", "10.40.1.0/24"],
	scrapers: [],
	workers: {
		service: "workers",
		namespace: "agentic-flow",
		ports: workerPorts(4).map((port, index) => ({ name: `w${index + 1}`, port })),
		maxPods: 40,
		requests: 128,
		sockets: 4_000,
	},
	readySeconds: 10,
	checkSeconds: 2,
	resolveSeconds: 2,
	holdSeconds: 5,
	timeouts: { idleSeconds: 150, responseSeconds: 60, queueSeconds: 5, headerSeconds: 10 },
};

async function resourcesOf(changes: Partial<HaproxyArgs> = {}): Promise<readonly ResourceRecord[]> {
	const { resources } = await record({ project: "agentic-flow", stack: "test" }, async () => {
		new Haproxy("haproxy", { ...ARGS, ...changes }, {});
		return {};
	});
	return resources;
}

/** The inputs of the one resource of this logical name. */
async function inputsOf(name: string, changes: Partial<HaproxyArgs> = {}) {
	const found = (await resourcesOf(changes)).find((resource) => resource.name === name);
	// biome-ignore lint/suspicious/noExplicitAny: manifests are looked into, not typed again.
	return found?.inputs as any;
}

describe("Haproxy", () => {
	it("is these objects", async () => {
		const made = (await resourcesOf()).filter(({ custom, type }) => custom && type.startsWith("kubernetes:"));
		expect(made.map(({ type, name }) => `${type.split(":").at(-1)} ${name}`).sort()).toEqual([
			"ConfigMap haproxy-config",
			"Deployment haproxy-deployment",
			"NetworkPolicy haproxy-policy",
			"PodDisruptionBudget haproxy-budget",
			"Service haproxy-metrics",
			"Service haproxy-service",
			"ServiceAccount haproxy-account",
		]);
	});

	it("takes traffic on one port of the nodes that run it, and of no other", async () => {
		const { spec } = await inputsOf("haproxy-service");
		expect(spec).toMatchObject({ type: "NodePort", externalTrafficPolicy: "Local" });
		expect(spec.ports).toEqual([{ name: "traffic", port: 80, targetPort: "traffic", nodePort: 30_080, protocol: "TCP" }]);
	});

	it("never has two pods on one node, and replaces them one at a time", async () => {
		const { spec } = await inputsOf("haproxy-deployment");
		const [apart] = spec.template.spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution;
		expect(apart.topologyKey).toBe("kubernetes.io/hostname");
		expect(apart.labelSelector.matchLabels).toEqual(spec.selector.matchLabels);
		expect(spec.replicas).toBe(3);
		expect(spec.strategy.rollingUpdate).toEqual({ maxSurge: 0, maxUnavailable: 1 });
	});

	it("runs without a privilege, a token or a place to write to", async () => {
		const pod = (await inputsOf("haproxy-deployment")).spec.template.spec;
		expect(pod.automountServiceAccountToken).toBe(false);
		expect(pod.securityContext.runAsNonRoot).toBe(true);
		expect(pod.containers[0].securityContext).toEqual({
			allowPrivilegeEscalation: false,
			readOnlyRootFilesystem: true,
			capabilities: { drop: ["ALL"] },
		});
		expect(pod.containers[0].ports.every(({ containerPort }: { containerPort: number }) => containerPort > 1024)).toBe(true);
	});

	it("is talked to by the load balancer alone, and talks to the workers alone", async () => {
		const { spec } = await inputsOf("haproxy-policy");
		expect(spec.ingress).toEqual([
			{
				from: [{ ipBlock: { cidr: "10.40.0.0/24" } }, { ipBlock: { cidr: "10.40.1.0/24" } }],
				ports: [{ protocol: "TCP", port: 8080 }],
			},
		]);
		expect(spec.egress).toHaveLength(1);
		expect(spec.egress[0].to[0].namespaceSelector.matchLabels).toEqual({ "kubernetes.io/metadata.name": "agentic-flow" });
		expect(spec.egress[0].ports.map(({ port }: { port: number }) => port)).toEqual([3101, 3102, 3103, 3104]);
	});

	it("shows its metrics to whom it is told to", async () => {
		const scrapers = [{ podSelector: { matchLabels: { app: "prometheus" } } }];
		const { spec } = await inputsOf("haproxy-policy", { scrapers });
		expect(spec.ingress[1]).toEqual({ from: scrapers, ports: [{ protocol: "TCP", port: 8404 }] });
	});

	it("has another ConfigMap for another configuration, and the pods use it", async () => {
		const before = await inputsOf("haproxy-config");
		const after = await inputsOf("haproxy-config", { maxConnections: 31_000 });
		expect(before.immutable).toBe(true);
		expect(after.metadata.name).not.toBe(before.metadata.name);
		const pod = (await inputsOf("haproxy-deployment")).spec.template.spec;
		expect(pod.volumes[0].configMap.name).toBe(before.metadata.name);
	});

	it("waits for its policy before it runs", async () => {
		const deployment = (await resourcesOf()).find(({ name }) => name === "haproxy-deployment");
		expect(deployment?.dependencies.some((urn) => urn.endsWith("::haproxy-policy"))).toBe(true);
	});
});

describe("haproxySettings", () => {
	it("divides what a worker takes among the HAProxies that are left when one is away", () => {
		const settings = haproxySettings(ARGS);
		expect(settings.http.maxPerWorker).toBe(64);
		expect(settings.tunnels.maxPerWorker).toBe(2_000);
		expect(haproxySettings({ ...ARGS, replicas: 2 }).tunnels.maxPerWorker).toBe(4_000);
	});

	it("drains from the order to stop, and ends what is open after it", () => {
		expect(haproxySettings(ARGS).process).toMatchObject({ drainMs: 20_000, hardStopMs: 60_000, threads: 2 });
	});

	it("is as patient with idle connections as the timeouts say, on both sides", () => {
		const { clientMs, keepAliveMs, tunnelMs, pollMs, serverMs } = haproxySettings(ARGS).timeouts;
		expect([clientMs, keepAliveMs, tunnelMs, pollMs, serverMs]).toEqual([150_000, 150_000, 150_000, 150_000, 60_000]);
	});
});

describe("haproxyGrace", () => {
	const shutdown = { preStopSeconds: 20, drainSeconds: 60 };

	it("is the given one where HAProxy is done before it ends", () => {
		expect(haproxyGrace({ ...shutdown, terminationGraceSeconds: 81 })).toBe(81);
	});

	it("refuses one in which HAProxy cannot stop", () => {
		expect(() => haproxyGrace({ ...shutdown, terminationGraceSeconds: 80 })).toThrow(
			"a grace of 80 s is not above the 80 s that HAProxy takes to stop",
		);
	});
});
