import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ControlPlane, missing } from "./control-plane.ts";

const RESTRICTED = "restricted";

const namespace = {
	apiVersion: "v1",
	kind: "Namespace",
	metadata: {
		name: RESTRICTED,
		labels: { "pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted" },
	},
};
const quota = {
	apiVersion: "v1",
	kind: "ResourceQuota",
	metadata: { name: "all", namespace: RESTRICTED },
	spec: { hard: { "requests.cpu": "4", "limits.memory": "8Gi" } },
};
const limits = {
	apiVersion: "v1",
	kind: "LimitRange",
	metadata: { name: "all", namespace: RESTRICTED },
	spec: { limits: [{ type: "Container", max: { memory: "2Gi" } }] },
};

/** A Deployment that a restricted namespace accepts, but for what `container` changes. */
function deployment(name: string, container: object = {}, resources: object = { cpu: "1", memory: "1Gi" }) {
	const labels = { app: name };
	const securityContext = {
		allowPrivilegeEscalation: false,
		capabilities: { drop: ["ALL"] },
		runAsNonRoot: true,
		seccompProfile: { type: "RuntimeDefault" },
	};
	return {
		apiVersion: "apps/v1",
		kind: "Deployment",
		metadata: { name, namespace: RESTRICTED },
		spec: {
			selector: { matchLabels: labels },
			template: {
				metadata: { labels },
				spec: {
					containers: [
						{
							name: "main",
							image: "example.test/main:1",
							resources: { requests: resources, limits: resources },
							securityContext,
							...container,
						},
					],
				},
			},
		},
	};
}

describe.skipIf(missing)("the control plane for tests", () => {
	let plane: ControlPlane;

	beforeAll(async () => {
		plane = await ControlPlane.start();
		for (const object of [namespace, quota, limits]) expect(await plane.api.apply(object)).toMatchObject({ status: 201, warnings: [] });
	});

	afterAll(() => plane?.stop());

	it("creates an object, and changes nothing when it is applied again", async () => {
		const first = await plane.api.apply(deployment("good"));
		expect(first).toMatchObject({ status: 201, warnings: [] });
		const second = await plane.api.apply(deployment("good"));
		expect(second.status).toBe(200);
		expect(second.body.metadata.resourceVersion).toBe(first.body.metadata.resourceVersion);
	});

	it("accepts a pod of a good workload, and keeps none", async () => {
		expect(await plane.api.dryRunPod(deployment("good"))).toMatchObject({ status: 201, warnings: [] });
		expect((await plane.api.request("GET", `/api/v1/namespaces/${RESTRICTED}/pods`)).body.items).toEqual([]);
	});

	it("gives the pod of a StatefulSet the volumes of its claims", async () => {
		const { spec, metadata } = deployment("stateful", { volumeMounts: [{ name: "data", mountPath: "/data" }] });
		const workload = {
			apiVersion: "apps/v1",
			kind: "StatefulSet",
			metadata,
			spec: { ...spec, serviceName: "stateful", volumeClaimTemplates: [{ metadata: { name: "data" } }] },
		};
		expect(await plane.api.dryRunPod(workload as never)).toMatchObject({ status: 201, warnings: [] });
	});

	it("refuses a field that does not exist", async () => {
		const { status, body } = await plane.api.apply(deployment("misspelt", { imagePullPolcy: "Always" }));
		expect(status).toBeGreaterThanOrEqual(400);
		expect(body.message).toContain("imagePullPolcy");
	});

	it("refuses a value out of its range", async () => {
		const { status, body } = await plane.api.apply(deployment("wrong", { imagePullPolicy: "Sometimes" }));
		expect(status).toBe(422);
		expect(body.message).toContain("Sometimes");
	});

	it("refuses a kind it does not have", async () => {
		await expect(plane.api.apply({ apiVersion: "apps/v1", kind: "Deploymnet", metadata: { name: "x" } })).rejects.toThrow(
			"no kind Deploymnet in apps/v1",
		);
	});

	it("warns of a privileged workload in a restricted namespace, and refuses its pod", async () => {
		const privileged = deployment("privileged", { securityContext: { privileged: true } });
		expect((await plane.api.apply(privileged)).warnings).toEqual([
			expect.stringContaining('would violate PodSecurity "restricted:latest": privileged'),
		]);
		const answer = await plane.api.dryRunPod(privileged);
		expect(answer?.status).toBe(403);
		expect(answer?.body.message).toContain('violates PodSecurity "restricted:latest": privileged');
	});

	it("refuses a pod above the quota, above the limits, and without what the quota counts", async () => {
		const messageOf = async (resources: object) => (await plane.api.dryRunPod(deployment("big", {}, resources)))?.body.message;
		expect(await messageOf({ cpu: "5", memory: "1Gi" })).toContain(
			"exceeded quota: all, requested: requests.cpu=5, used: requests.cpu=0, limited: requests.cpu=4",
		);
		expect(await messageOf({ cpu: "1", memory: "3Gi" })).toContain("maximum memory usage per Container is 2Gi");
		expect(await messageOf({ memory: "1Gi" })).toContain("must specify requests.cpu");
	});

	it("refuses a pod whose service account does not exist", async () => {
		const { spec, ...rest } = deployment("lost");
		const workload = {
			...rest,
			spec: { ...spec, template: { ...spec.template, spec: { ...spec.template.spec, serviceAccountName: "nobody" } } },
		};
		expect((await plane.api.dryRunPod(workload))?.body.message).toContain('serviceaccount "nobody" not found');
	});

	it("does not change a field that somebody else owns", async () => {
		const theirs = { data: { key: "theirs" } };
		const ours = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "shared", namespace: RESTRICTED }, data: { key: "ours" } };
		await plane.api.request("POST", `/api/v1/namespaces/${RESTRICTED}/configmaps?fieldManager=somebody`, {
			metadata: { name: "shared" },
			...theirs,
		});
		expect(await plane.api.apply(ours)).toMatchObject({ status: 409 });
	});
});

it.skipIf(missing)("A control plane ends with the process that started it, even when that is killed", async () => {
	const module = path.join(import.meta.dirname, "control-plane.ts");
	const script = `const { ControlPlane } = await import(${JSON.stringify(module)}); console.log((await ControlPlane.start()).api.url);`;
	const owner = spawn(process.execPath, ["--input-type=module", "-e", script], { stdio: ["ignore", "pipe", "inherit"] });
	const [line] = (await once(owner.stdout, "data")) as [Buffer];
	const port = Number(new URL(line.toString().trim()).port);
	expect(await answers(port)).toBe(true);
	owner.kill("SIGKILL");
	await expect.poll(() => answers(port), { timeout: 5_000 }).toBe(false);
});

async function answers(port: number): Promise<boolean> {
	const socket = connect(port, "127.0.0.1");
	const event = await Promise.race([
		once(socket, "connect").then(
			() => true,
			() => false,
		),
		sleep(1_000, false),
	]);
	socket.destroy();
	return event;
}
