import { describe, expect, it } from "vitest";
import type { ResourceRecord, StackRecord } from "../core/record.ts";
import { recordOf } from "./platform.fixture.ts";

const dev = await recordOf("dev");
const prod = await recordOf("prod");

/** How many there are of each kind, by the part of the type before its first colon. */
function countsOf({ resources }: StackRecord): Record<string, number> {
	const counts: Record<string, number> = {};
	for (const { type } of resources) {
		const kind = type.split(":")[0] as string;
		counts[kind] = (counts[kind] ?? 0) + 1;
	}
	return counts;
}

function find({ resources }: StackRecord, type: string, name: string): ResourceRecord {
	const found = resources.find((resource) => resource.type === type && resource.name === name);
	if (!found) throw new Error(`no ${type} ${name}`);
	return found;
}

/** Everything that must exist before a resource: what it depends on, its parents, and what those depend on. */
function neededBy({ resources }: StackRecord, { urn }: ResourceRecord): Set<string> {
	const byUrn = new Map(resources.map((resource) => [resource.urn, resource]));
	const found = new Set<string>();
	const visit = (from: string) => {
		const { dependencies = [], parent = null } = byUrn.get(from) ?? {};
		for (const dependency of parent ? [...dependencies, parent] : dependencies) {
			if (found.has(dependency)) continue;
			found.add(dependency);
			visit(dependency);
		}
	};
	visit(urn);
	return new Set([...found].map((each) => byUrn.get(each)?.name as string));
}

describe("the stacks", () => {
	it("have as many resources of each kind as they had when this was last looked at", () => {
		expect(countsOf(dev)).toMatchInlineSnapshot(`
			{
			  "agentic-flow": 39,
			  "aws": 139,
			  "kubernetes": 62,
			  "pulumi": 3,
			  "random": 14,
			}
		`);
		expect(countsOf(prod)).toMatchInlineSnapshot(`
			{
			  "agentic-flow": 42,
			  "aws": 183,
			  "kubernetes": 51,
			  "pulumi": 3,
			  "random": 14,
			}
		`);
	});

	it.each(["dev", "prod"])("%s is the same, byte for byte, in two runs", async (stack) => {
		expect(JSON.stringify(await recordOf(stack))).toBe(JSON.stringify(stack === "dev" ? dev : prod));
	});

	it("protect what holds data in production, and nothing in development", () => {
		const protectedTypes = [...new Set(prod.resources.filter(({ protect }) => protect).map(({ type }) => type))].sort();
		expect(protectedTypes).toMatchInlineSnapshot(`
			[
			  "aws:ec2/subnet:Subnet",
			  "aws:ec2/vpc:Vpc",
			  "aws:ecr/repository:Repository",
			  "aws:eks/cluster:Cluster",
			  "aws:elasticache/replicationGroup:ReplicationGroup",
			  "aws:kms/key:Key",
			  "aws:rds/instance:Instance",
			  "aws:s3/bucket:Bucket",
			  "aws:secretsmanager/secret:Secret",
			]
		`);
		expect(dev.resources.filter(({ protect }) => protect)).toEqual([]);
	});

	it("show no value of a secret: every password is marked, wherever it goes", () => {
		for (const { resources } of [dev, prod]) {
			const secrets = resources.filter(({ type }) => type === "kubernetes:core/v1:Secret");
			expect(secrets.length).toBeGreaterThan(4);
			for (const { inputs } of secrets) expect(inputs.stringData).toEqual({ $secret: true });
			for (const { inputs } of resources.filter(({ type }) => type === "aws:secretsmanager/secretVersion:SecretVersion")) {
				expect(inputs.secretString).toEqual({ $secret: true });
			}
			for (const { inputs } of resources.filter(({ type }) => type === "aws:elasticache/user:User")) {
				expect(inputs.passwords).toEqual({ $secret: true });
			}
		}
		expect(find(prod, "aws:rds/instance:Instance", "postgres-primary").inputs.password).toEqual({ $secret: true });
	});

	it("put no object into the default namespace, and none into another's", () => {
		const clusterWide = ["Namespace", "PriorityClass", "ClusterRole", "ClusterRoleBinding"];
		for (const { resources } of [dev, prod]) {
			for (const { type, name, inputs } of resources.filter(({ type }) => type.startsWith("kubernetes:"))) {
				if (clusterWide.includes(type.split(":").at(-1) as string)) continue;
				expect((inputs.metadata as { namespace?: string }).namespace, name).toMatch(/^agentic-flow/);
			}
		}
	});

	it("give every resource of AWS and of the cluster the stack's own provider", () => {
		for (const { resources } of [dev, prod]) {
			const strays = resources.filter(({ type, provider, custom }) => custom && /^(aws|kubernetes):/.test(type) && !provider);
			expect(strays.map(({ urn }) => urn)).toEqual([]);
		}
	});
});

describe("the order in which things come", () => {
	it("nodes, DNS, metrics, namespace and migration come before the server", () => {
		const first = neededBy(prod, find(prod, "kubernetes:apps/v1:Deployment", "app-deployment"));
		for (const name of [
			"nodes-app",
			"nodes-system-euw1-az1",
			"addons-coredns",
			"addons-metrics-server",
			"migration-job",
			"agentic-flow-default-deny",
		]) {
			expect(first, name).toContain(name);
		}
	});

	it("pod addresses and credentials come before nodes, and nodes before what runs on them", () => {
		expect(neededBy(prod, find(prod, "aws:eks/nodeGroup:NodeGroup", "nodes-app"))).toContain("cluster-vpc-cni");
		expect(neededBy(prod, find(prod, "aws:eks/addon:Addon", "addons-coredns"))).toContain("nodes-system-euw1-az3");
	});

	it("the deploy role's access outlives every object in the cluster", () => {
		const provider = find(prod, "pulumi:providers:kubernetes", "kubernetes");
		expect([...neededBy(prod, provider)].some((name) => name.includes("deploy-role"))).toBe(true);
	});
});

describe("objects that matter", () => {
	it("the primary database of production", () => {
		expect(find(prod, "aws:rds/instance:Instance", "postgres-primary").inputs).toMatchSnapshot();
	});

	it("the load balancer of production", () => {
		expect(find(prod, "aws:lb/loadBalancer:LoadBalancer", "load-balancer-alb").inputs).toMatchSnapshot();
	});

	it("the server's Deployment in production", () => {
		expect(find(prod, "kubernetes:apps/v1:Deployment", "app-deployment").inputs).toMatchSnapshot();
	});

	it("HAProxy's configuration in production", () => {
		const { data } = find(prod, "kubernetes:core/v1:ConfigMap", "haproxy-config").inputs;
		expect((data as Record<string, string>)["haproxy.cfg"]).toMatchSnapshot();
	});
});

describe("variants", () => {
	it("with GitOps delivery the program makes AWS, namespaces and credentials, and no workload", async () => {
		const { resources } = await recordOf("prod", (config) => ({ ...config, delivery: "gitops" }));
		const kinds = new Set(resources.filter(({ type }) => type.startsWith("kubernetes:")).map(({ type }) => type.split(":").at(-1)));
		expect([...kinds].sort()).toEqual(["LimitRange", "Namespace", "NetworkPolicy", "ResourceQuota", "Secret"]);
	});

	it("without a domain and without callers named the load balancer is internal", async () => {
		const { resources } = await recordOf("dev", (config) => ({ ...config, loadBalancer: { ...config.loadBalancer, allowedCidrs: [] } }));
		expect(resources.find(({ type }) => type === "aws:lb/loadBalancer:LoadBalancer")?.inputs.internal).toBe(true);
	});

	it("without terminals there is no terminal host, namespace or credential", async () => {
		const { resources } = await recordOf("dev", (config) => ({ ...config, terminals: { ...config.terminals, enabled: false } }));
		expect(resources.filter(({ type, name }) => type.startsWith("kubernetes:") && /terminal/i.test(name))).toEqual([]);
		expect(dev.resources.filter(({ type, name }) => type.startsWith("kubernetes:") && /terminal/i.test(name)).length).toBeGreaterThan(5);
	});

	it("with a mirror every third-party image comes from it", async () => {
		const { resources } = await recordOf("prod", (config) => ({ ...config, imageRegistry: "mirror.example.com" }));
		const images = JSON.stringify(resources).match(/"image":"[^"]+"/g) ?? [];
		expect(images.length).toBeGreaterThan(1);
		for (const image of images) expect(image).toMatch(/^"image":"mirror\.example\.com\//);
	});

	it("rotating the database password makes the other role current and keeps the last password", async () => {
		const rotated = await recordOf("prod", (config) => ({ ...config, secrets: { ...config.secrets, databaseVersion: 2 } }));
		const passwords = ({ resources }: StackRecord) =>
			resources
				.filter(({ type, name }) => type.endsWith(":RandomPassword") && name.startsWith("secret-postgres-v"))
				.map(({ name }) => name);
		expect(passwords(prod)).toEqual(["secret-postgres-v0", "secret-postgres-v1"]);
		expect(passwords(rotated)).toEqual(["secret-postgres-v1", "secret-postgres-v2"]);
	});
});
