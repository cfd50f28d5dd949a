import { describe, expect, it } from "vitest";
import { type ResourceRecord, SECRET, UNKNOWN } from "../core/record.ts";
import { manifestsOf } from "./manifests.ts";
import { namesOfTokens, tokensOf } from "./placeholders.ts";
import { object, resource, stackOf, urnOf } from "./record.fixture.ts";

function filesOf(resources: readonly ResourceRecord[], leaveOut: readonly string[] = []): string[] {
	return manifestsOf(stackOf(resources), new Set(leaveOut), new Map()).manifests.map(({ file }) => file);
}

describe("the order of objects", () => {
	it("is what all depends on first, and what runs last", () => {
		const kinds = ["HorizontalPodAutoscaler", "Deployment", "Job", "Widget", "Service", "ConfigMap", "RoleBinding", "Role"];
		const first = ["ServiceAccount", "NetworkPolicy", "LimitRange", "ResourceQuota", "Namespace"];
		const files = filesOf([...kinds, ...first].map((kind) => object(kind, "x")));
		expect(files).toEqual(
			[...kinds, ...first].reverse().map((kind, index) => `${`${index + 1}`.padStart(3, "0")}-${kind.toLowerCase()}-ns-x.yaml`),
		);
	});

	it("follows dependencies against that, through resources that are no objects", () => {
		const late = object("Deployment", "operator");
		const between = resource({ type: "aws:eks/addon:Addon", name: "addon", dependencies: [late.urn] });
		expect(filesOf([late, between, object("ConfigMap", "c", { dependencies: [between.urn] })])).toEqual([
			"001-deployment-ns-operator.yaml",
			"002-configmap-ns-c.yaml",
		]);
	});

	it("makes what runs wait for what its component waits for", () => {
		const migration = object("Job", "z-migrate");
		const app = resource({ type: "agentic-flow:components:App", name: "app", custom: false, dependencies: [migration.urn] });
		const files = filesOf([migration, app, object("Job", "a", { parent: app.urn }), object("Service", "s", { parent: app.urn })]);
		expect(files).toEqual(["001-service-ns-s.yaml", "002-job-ns-z-migrate.yaml", "003-job-ns-a.yaml"]);
	});

	it("follows a dependency through a Secret that is not rendered", () => {
		const job = object("Job", "z");
		const secret = object("Secret", "s", { dependencies: [job.urn] });
		expect(filesOf([job, secret, object("Job", "a", { dependencies: [secret.urn] })])).toEqual(["001-job-ns-z.yaml", "002-job-ns-a.yaml"]);
	});
});

describe("what is rendered", () => {
	it("are objects of Kubernetes alone, and neither Secrets nor what is left out", () => {
		const resources = [
			object("Secret", "b", { inputs: { stringData: SECRET } }),
			object("Secret", "a", { inputs: { stringData: SECRET } }),
			object("ConfigMap", "kept"),
			object("ConfigMap", "left-out"),
			resource({ type: "pulumi:providers:kubernetes", name: "k" }),
			resource({ type: "aws:kms/key:Key", name: "k" }),
		];
		const { manifests, secrets } = manifestsOf(stackOf(resources), new Set([object("ConfigMap", "left-out").urn]), new Map());
		expect(manifests.map(({ file }) => file)).toEqual(["001-configmap-ns-kept.yaml"]);
		expect(secrets).toEqual(["ns/a", "ns/b"]);
	});

	it("has no secret in it: one outside a Secret is a fault of the program", () => {
		const leaky = object("ConfigMap", "c", { inputs: { data: { a: [SECRET] } } });
		expect(() => filesOf([leaky])).toThrow("ConfigMap ns c has a secret at data.a[0]: only a Secret may hold one");
	});

	it("has no annotation of Pulumi's own, on the object or on its pods", () => {
		const annotations = { "pulumi.com/skipAwait": "true", "pulumi.com/patchForce": "true" };
		const pod = { metadata: { annotations: { ...annotations, "example.com/kept": "yes" } } };
		const deployment = object("Deployment", "d", { inputs: { metadata: { name: "d", annotations }, spec: { template: pod } } });
		const [manifest] = manifestsOf(stackOf([deployment]), new Set(), new Map()).manifests;
		expect(manifest?.object).toEqual({
			apiVersion: "v1",
			kind: "Deployment",
			metadata: { name: "d" },
			spec: { template: { metadata: { annotations: { "example.com/kept": "yes" } } } },
		});
		expect(Object.keys(manifest?.object ?? {}).slice(0, 3)).toEqual(["apiVersion", "kind", "metadata"]);
	});

	it("has a name for its file although its own is not known yet", () => {
		expect(filesOf([object("Job", "j", { inputs: { metadata: { name: UNKNOWN, namespace: "ns" } } })])).toEqual(["001-job-ns-job-j.yaml"]);
	});
});

describe("placeholders", () => {
	const { address = "" } = tokensOf("aws:rds/instance:Instance", "primary");
	const { dnsName = "" } = tokensOf("aws:lb/loadBalancer:LoadBalancer", "alb");
	const names = namesOfTokens({ url: `http://${dnsName}`, hosts: { primary: address, other: ["known"] }, lb: [dnsName] });
	const render = (spec: ResourceRecord["inputs"]) =>
		manifestsOf(stackOf([object("Deployment", "server", { inputs: { spec } })]), new Set(), names).manifests[0];

	it("have the name of the output whose value they stand for, inside a longer text too", () => {
		const manifest = render({ env: [{ value: `${address}:5432,${dnsName}` }] });
		expect(manifest?.object.spec).toEqual({ env: [{ value: "${hosts.primary}:5432,${lb[0]}" }] });
		expect(manifest?.placeholders).toEqual([
			{ name: "hosts.primary", path: "spec.env[0].value" },
			{ name: "lb[0]", path: "spec.env[0].value" },
		]);
		expect(render({ hosts: { [address]: 1 } })?.object.spec).toEqual({ hosts: { "${hosts.primary}": 1 } });
	});

	it("are named after their place where no output gives the value, and after the setting for the server's image", () => {
		const manifest = render({ clusterIP: UNKNOWN, template: { containers: [{ image: UNKNOWN }] } });
		expect(manifest?.placeholders).toEqual([
			{ name: "deploymentNsServerSpecClusterIP", path: "spec.clusterIP" },
			{ name: "appImage", path: "spec.template.containers[0].image" },
		]);
	});

	it("cannot be made of a value that is no output: nobody could fill it", () => {
		const { arn = "" } = tokensOf("aws:iam/role:Role", "r");
		expect(() => render({ role: arn })).toThrow("Deployment ns server carries a value at spec.role that is no output of the stack");
	});

	it("come from tokens that tell resources and properties apart", () => {
		const type = "aws:elasticache/replicationGroup:ReplicationGroup";
		const tokens = [...Object.values(tokensOf(type, "a")), ...Object.values(tokensOf(type, "b"))];
		expect(new Set(tokens).size).toBe(4);
		expect(tokensOf("aws:s3/bucket:Bucket", "a")).toEqual({});
		expect(tokensOf("constructor", "a")).toEqual({});
	});
});

describe("a URN", () => {
	it("tells which resource a manifest is", () => {
		expect(manifestsOf(stackOf([object("ConfigMap", "c")]), new Set(), new Map()).manifests[0]?.urn).toBe(
			urnOf("kubernetes:core/v1:ConfigMap", "configmap-c"),
		);
	});
});
