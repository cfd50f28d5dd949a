import * as pulumi from "@pulumi/pulumi";
import { beforeAll, describe, expect, it } from "vitest";
import { env } from "../app/contract.ts";
import { workerMemoryMib, workerPortNames } from "./app.ts";
import { DATA_CIDRS, environmentIn, recordWorkloads, type Workloads } from "./workloads.fixture.ts";

let workloads: Workloads;
beforeAll(async () => {
	workloads = await recordWorkloads({});
});

describe("the server's Deployment", () => {
	it("leaves the number of pods to its autoscaler", () => {
		expect(workloads.get("Deployment", "server").spec).not.toHaveProperty("replicas");
		expect(workloads.get("HorizontalPodAutoscaler", "server").spec).toMatchObject({
			scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "server" },
			minReplicas: 4,
			maxReplicas: 40,
			metrics: [{ resource: { name: "cpu", target: { type: "Utilization", averageUtilization: 65 } } }],
		});
	});

	it("shrinks by one pod in five minutes and grows at once", () => {
		const { scaleDown, scaleUp } = workloads.get("HorizontalPodAutoscaler", "server").spec.behavior;
		expect(scaleDown).toEqual({ stabilizationWindowSeconds: 300, policies: [{ type: "Pods", value: 1, periodSeconds: 300 }] });
		expect(scaleUp.stabilizationWindowSeconds).toBe(0);
	});

	it("never has a pod too many, nor more than one too few", () => {
		expect(workloads.get("Deployment", "server").spec.strategy.rollingUpdate).toEqual({ maxSurge: 0, maxUnavailable: 1 });
		expect(workloads.get("PodDisruptionBudget", "server").spec.maxUnavailable).toBe(1);
	});

	it("serves on while HAProxy forgets it, then drains, and is not killed before", () => {
		const pod = workloads.pod("server");
		expect(pod.containers[0].lifecycle).toEqual({ preStop: { sleep: { seconds: 15 } } });
		expect(environmentIn(pod)[env.drainSeconds]).toBe("45");
		expect(pod.terminationGracePeriodSeconds).toBe(90);
	});

	it("runs on app nodes, as evenly as can be over hosts and zones, and before the job workers", () => {
		const pod = workloads.pod("server");
		expect(pod.nodeSelector).toEqual({ "agentic-flow.io/pool": "app" });
		expect(pod.priorityClassName).toBe("agentic-flow-server");
		expect(workloads.pod("jobs")).not.toHaveProperty("priorityClassName");
		expect(pod.topologySpreadConstraints).toEqual([
			expect.objectContaining({ topologyKey: "kubernetes.io/hostname", maxSkew: 1, whenUnsatisfiable: "ScheduleAnyway" }),
			expect.objectContaining({ topologyKey: "topology.kubernetes.io/zone", maxSkew: 1, whenUnsatisfiable: "ScheduleAnyway" }),
		]);
	});

	it("is told its settings and no more", () => {
		expect(environmentIn(workloads.pod("server"))).toEqual({
			WORKERS: "4",
			WORKER_MEMORY_MIB: "2026",
			DRAIN_SECONDS: "45",
			PING_SECONDS: "25",
			KEEP_ALIVE_SECONDS: "180",
			STICKY_KEY: "sticky-key-of-the-stack",
			PUBLIC_ORIGIN: "https://agentic.example.com",
			ALLOWED_HOSTS: "agentic.example.com,www.example.com",
			ALLOWED_ORIGINS: "https://other.example.com",
			TERMINALS: "true",
			SECRETS_DIR: "/run/secrets/agentic-flow",
			REDIS_STATE: "state.redis:6379",
			REDIS_CACHE: "cache.redis:6379",
			REDIS_TLS: "true",
			POSTGRES_PRIMARY: "primary.postgres:5432",
			POSTGRES_REPLICAS: "replica-1.postgres:5432,replica-2.postgres:5432",
			POSTGRES_DATABASE: "agentic_flow",
			POSTGRES_TLS: "true",
			POSTGRES_POOL_PRIMARY: "4",
			POSTGRES_POOL_REPLICA: "3",
			PM2_HOME: "/pm2",
			POD_IP: { fieldRef: { fieldPath: "status.podIP" } },
		});
	});

	it("has no replicas of the database to speak of where there are none", async () => {
		const stores = {
			redisState: { host: "r", port: 6379 },
			redisCache: { host: "c", port: 6379 },
			postgres: { primary: { host: "p", port: 5432 }, replicas: [], database: "d", poolPrimary: 1, poolReplica: 1 },
		};
		expect(environmentIn((await recordWorkloads({ app: { stores } })).pod("server"))[env.postgresReplicas]).toBe("");
	});
});

describe("a worker", () => {
	it.each([1, 3, 8])("is one of %i with ports of their own, in the pod and in the Service that HAProxy asks", async (workersPerPod) => {
		const some = await recordWorkloads({ app: { workersPerPod } });
		const named = (prefix: string, first: number) =>
			Array.from({ length: workersPerPod }, (_, index) => ({
				name: `${prefix}${index + 1}`,
				containerPort: first + index,
				protocol: "TCP",
			}));
		expect(some.pod("server").containers[0].ports).toEqual([
			...named("w", 3101),
			...named("m", 4101),
			{ name: "health", containerPort: 3100, protocol: "TCP" },
		]);

		const { spec } = some.get("Service", "workers");
		expect(spec).toMatchObject({ clusterIP: "None", publishNotReadyAddresses: false, selector: { "app.kubernetes.io/name": "server" } });
		expect(spec.ports.map(({ name }: { name: string }) => name)).toEqual(workerPortNames(workersPerPod));

		const [ingress] = some.get("NetworkPolicy", "server").spec.ingress;
		expect(ingress.ports.map(({ port }: { port: number }) => port)).toEqual(named("w", 3101).map(({ containerPort }) => containerPort));
	});

	it.each([
		[10_240, 4],
		[1024, 1],
		[4096, 8],
	])("and its like stay below the pod's %i MiB, %i of them", (podMemoryMib, workers) => {
		const each = workerMemoryMib(podMemoryMib, workers);
		expect(each).toBeGreaterThan(0);
		expect(each * workers + 512).toBeLessThan(podMemoryMib);
	});
});

describe("the server's policy", () => {
	it("lets HAProxy in, and out to the data's addresses alone", () => {
		const { ingress, egress, policyTypes } = workloads.get("NetworkPolicy", "server").spec;
		expect(policyTypes).toEqual(["Ingress", "Egress"]);
		expect(ingress).toHaveLength(1);
		expect(ingress[0].from).toEqual([
			{
				namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": "edge" } },
				podSelector: { matchLabels: { "app.kubernetes.io/name": "haproxy" } },
			},
		]);
		expect(egress).toEqual([
			{
				to: DATA_CIDRS.map((cidr) => ({ ipBlock: { cidr } })),
				ports: [6379, 5432].map((port) => ({ protocol: "TCP", port })),
			},
		]);
	});

	it("is there before the pods", () => {
		const deployment = workloads.resources.find(({ name }) => name === "app-deployment");
		expect(deployment?.dependencies).toContainEqual(expect.stringMatching(/NetworkPolicy::app-policy$/));
	});
});

it("an address that is not known yet leaves the rest of the environment known", async () => {
	const pod = (await recordWorkloads({ app: { publicOrigin: pulumi.output(pulumi.unknown as never) } })).pod("server");
	expect(environmentIn(pod)).toMatchObject({ PUBLIC_ORIGIN: { $unknown: true }, WORKERS: "4" });
});
