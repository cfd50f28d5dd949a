import { beforeAll, describe, expect, it } from "vitest";
import type { RecordedValue, ResourceRecord } from "../core/record.ts";
import { record } from "../preview/record.ts";
import { Cluster } from "./cluster.ts";
import { ClusterAddons } from "./cluster-addons.ts";
import type { Statement } from "./iam-policy.ts";
import { Keys } from "./keys.ts";
import { Network } from "./network.ts";
import { NodeGroup, type NodeGroupArgs } from "./node-group.ts";

const account = { prefix: "agentic-flow-test", accountId: "111122223333", region: "eu-west-1" };
const zones = ["euw1-az1", "euw1-az2", "euw1-az3"];
const deployRoleArn = "arn:aws:iam::111122223333:role/deploy";
let resources: readonly ResourceRecord[];

beforeAll(async () => {
	resources = (await record({ project: "agentic-flow", stack: "test" }, async () => foundation())).resources;
});

describe("the foundation", () => {
	it("makes the agent, then the network add-on, then nodes, then DNS and volumes", () => {
		const order = ["cluster", "cluster-pod-identity-agent", "cluster-vpc-cni", "system", "addons-coredns"];
		for (const [index, name] of order.slice(1).entries()) expect(dependencies(name)).toContain(urn(order[index] as string));
		expect(dependencies("system")).toContain(urn("cluster-kube-proxy"));
		for (const addon of ["ebs-csi-driver", "metrics-server", "node-monitoring-agent"]) {
			expect(dependencies(`addons-${addon}`)).toContain(urn("system"));
		}
	});

	it("keeps a role's policies for as long as somebody works with the role", () => {
		expect(dependencies("cluster")).toContain(urn("cluster-role-policy"));
		expect(dependencies("system")).toContain(urn("system-AmazonEKSWorkerNodePolicy"));
		expect(dependencies("cluster-vpc-cni")).toContain(urn("cluster-vpc-cni-identity-AmazonEKS_CNI_Policy"));
		expect(dependencies("addons-ebs-csi-driver")).toContain(urn("addons-ebs-csi-driver-identity-policy"));
	});

	it("lets nobody in from everywhere, by standalone rules only", () => {
		for (const group of all("aws:ec2/securityGroup:SecurityGroup")) {
			expect(group.inputs).not.toHaveProperty("ingress");
			expect(group.inputs).not.toHaveProperty("egress");
		}
		const rules = resources.filter(({ type }) => type.startsWith("aws:vpc/securityGroup"));
		expect(rules.map(({ inputs }) => [inputs.cidrIpv4, inputs.fromPort, inputs.toPort])).toEqual([
			["10.40.0.0/19", 443, 443],
			["10.40.32.0/19", 443, 443],
			["10.40.64.0/19", 443, 443],
		]);
	});

	it("allows no role every action, and no service whole", () => {
		const statements = resources
			.filter(({ type }) => type.startsWith("aws:iam/"))
			.flatMap(({ inputs }) => [inputs.policy, inputs.assumeRolePolicy])
			.filter((policy) => typeof policy === "string")
			.flatMap(statementsOf);
		expect(statements.length).toBeGreaterThan(6);
		for (const { Action, Resource } of statements) {
			for (const action of Action) expect(action).not.toMatch(/^\*|:\*$/);
			expect(Resource).not.toBe("*");
		}
	});

	it("encrypts every log group and empties it in time", () => {
		const groups = all("aws:cloudwatch/logGroup:LogGroup");
		expect(groups.map(({ inputs }) => [inputs.name, inputs.retentionInDays])).toEqual([
			["/aws/eks/agentic-flow-test/cluster", 365],
			["/aws/vpc/agentic-flow-test/flow-logs", 90],
		]);
		for (const group of groups) expect(group.propertyDependencies.kmsKeyId).toEqual([urn("keys-logs")]);
	});

	it("protects keys, VPC, subnets and cluster when told to", () => {
		const guarded = resources.filter(({ protect }) => protect).map(({ type }) => type);
		expect([...new Set(guarded)].sort()).toEqual([
			"aws:ec2/subnet:Subnet",
			"aws:ec2/vpc:Vpc",
			"aws:eks/cluster:Cluster",
			"aws:kms/key:Key",
		]);
	});
});

describe("Cluster", () => {
	it("is private, encrypted and logged, and lets in only whom it names", () => {
		expect(resource("cluster").inputs).toMatchObject({
			accessConfig: { authenticationMode: "API", bootstrapClusterCreatorAdminPermissions: false },
			bootstrapSelfManagedAddons: false,
			enabledClusterLogTypes: ["api", "audit"],
			encryptionConfig: { resources: ["secrets"] },
			deletionProtection: true,
			upgradePolicy: { supportType: "STANDARD" },
			vpcConfig: { endpointPrivateAccess: true, endpointPublicAccess: true, publicAccessCidrs: ["192.0.2.0/24"] },
		});
		expect(resource("cluster").ignoreChanges).toEqual([
			"accessConfig.bootstrapClusterCreatorAdminPermissions",
			"bootstrapSelfManagedAddons",
		]);
		expect(all("aws:eks/accessPolicyAssociation:AccessPolicyAssociation").map(({ inputs }) => inputs.principalArn)).toEqual([
			"arn:aws:iam::111122223333:role/team/Admin",
			deployRoleArn,
		]);
	});

	it("has its log group and its role's policy before it", () => {
		expect(dependencies("cluster")).toEqual(expect.arrayContaining([urn("cluster-logs"), urn("cluster-role-policy")]));
	});

	it("closes the public endpoint when nobody may use it", async () => {
		const { resources: closed } = await record({ project: "agentic-flow", stack: "test" }, async () => {
			cluster({
				endpointPublicCidrs: [],
				endpointPrivateCidrs: ["10.99.0.0/16"],
				subnetIds: ["subnet-1"],
				secretsKeyArn: "key",
				logsKeyArn: "key",
			});
			return {};
		});
		const [inputs] = closed.filter(({ type }) => type === "aws:eks/cluster:Cluster").map((found) => found.inputs);
		expect(inputs?.vpcConfig).toEqual({ endpointPrivateAccess: true, endpointPublicAccess: false, subnetIds: ["subnet-1"] });
	});

	it("turns network policies on, under a role only the network add-on can take", () => {
		expect(resource("cluster-vpc-cni").inputs).toMatchObject({
			addonName: "vpc-cni",
			addonVersion: "v1.20.4-eksbuild.1",
			configurationValues: '{"enableNetworkPolicy":"true"}',
			podIdentityAssociations: [{ serviceAccount: "aws-node" }],
		});
		const [trust] = statementsOf(resource("cluster-vpc-cni-identity-role").inputs.assumeRolePolicy);
		expect(trust).toEqual({
			Effect: "Allow",
			Principal: { Service: "pods.eks.amazonaws.com" },
			Action: ["sts:AssumeRole", "sts:TagSession"],
			Condition: {
				StringEquals: {
					"aws:RequestTag/eks-cluster-arn": "arn:aws:eks:eu-west-1:111122223333:cluster/agentic-flow-test",
					"aws:RequestTag/kubernetes-namespace": "kube-system",
					"aws:RequestTag/kubernetes-service-account": "aws-node",
				},
			},
		});
	});
});

describe("ClusterAddons", () => {
	it("puts DNS and metrics on the system pool, never two on one node", () => {
		for (const [name, replicas] of [
			["addons-coredns", "replicaCount"],
			["addons-metrics-server", "replicas"],
		] as const) {
			const configuration = JSON.parse(String(resource(name).inputs.configurationValues));
			expect(configuration).toMatchObject({
				nodeSelector: { "agentic-flow.io/pool": "system" },
				[replicas]: 2,
				topologySpreadConstraints: [
					{ topologyKey: "kubernetes.io/hostname", whenUnsatisfiable: "DoNotSchedule" },
					{ topologyKey: "topology.kubernetes.io/zone", whenUnsatisfiable: "ScheduleAnyway" },
				],
			});
		}
	});

	it("tags pods' volumes, so that a teardown finds them", () => {
		const configuration = JSON.parse(String(resource("addons-ebs-csi-driver").inputs.configurationValues));
		expect(configuration.controller).toEqual({
			extraVolumeTags: { stack: "test" },
			nodeSelector: { "agentic-flow.io/pool": "system" },
		});
	});

	it("lets the volume driver use the disks' key and no other", () => {
		expect(dependencies("addons-ebs-csi-driver-identity-policy")).toContain(urn("keys-disks"));
		expect(resource("addons-ebs-csi-driver-identity-AmazonEBSCSIDriverPolicyV2").inputs.policyArn).toBe(
			"arn:aws:iam::aws:policy/AmazonEBSCSIDriverPolicyV2",
		);
	});
});

function foundation(): Record<string, unknown> {
	const keys = new Keys("keys", { ...account, protect: true, deletionWindowDays: 30 }, {});
	const network = new Network(
		"network",
		{
			...account,
			clusterName: "agentic-flow-test",
			cidr: "10.40.0.0/16",
			zones,
			maxZones: 4,
			natGateways: "perZone",
			interfaceEndpoints: ["sts"],
			flowLogRetentionDays: 90,
			logsKeyArn: keys.arns.logs,
			protect: true,
		},
		{},
	);
	const made = cluster({
		endpointPublicCidrs: ["192.0.2.0/24"],
		endpointPrivateCidrs: [],
		subnetIds: network.privateSubnetIds,
		secretsKeyArn: keys.arns.cluster,
		logsKeyArn: keys.arns.logs,
	});
	const nodes: NodeGroupArgs = {
		prefix: account.prefix,
		pool: "system",
		group: "system",
		clusterName: made.createdName,
		version: "1.35",
		instanceType: "m7i.large",
		diskGib: 80,
		min: 3,
		max: 6,
		maxUnavailable: 1,
		zones,
		subnetIds: network.privateSubnetIds,
		disksKeyArn: keys.arns.disks,
		tags: {},
	};
	const system = new NodeGroup("system", nodes, { dependsOn: [...made.beforeNodes] });
	new ClusterAddons(
		"addons",
		{
			...account,
			clusterName: made.name,
			addonVersions: {
				coredns: "v1.12.4-eksbuild.1",
				ebsCsiDriver: "v1.53.0-eksbuild.1",
				metricsServer: "v0.8.0-eksbuild.5",
				nodeMonitoringAgent: "v1.4.2-eksbuild.1",
			},
			disksKeyArn: keys.arns.disks,
			tags: { stack: "test" },
		},
		{ dependsOn: [system] },
	);
	return {};
}

type Varying = Pick<
	ConstructorParameters<typeof Cluster>[1],
	"endpointPublicCidrs" | "endpointPrivateCidrs" | "subnetIds" | "secretsKeyArn" | "logsKeyArn"
>;

function cluster(varying: Varying): Cluster {
	return new Cluster(
		"cluster",
		{
			...account,
			...varying,
			name: "agentic-flow-test",
			version: "1.35",
			logTypes: ["api", "audit"],
			logRetentionDays: 365,
			deployRoleArn,
			adminRoleArns: ["arn:aws:iam::111122223333:role/team/Admin"],
			supportType: "STANDARD",
			deletionProtection: true,
			addonVersions: { vpcCni: "v1.20.4-eksbuild.1", kubeProxy: "v1.35.0-eksbuild.2", podIdentityAgent: "v1.3.9-eksbuild.3" },
			protect: true,
		},
		{},
	);
}

function all(type: string): ResourceRecord[] {
	return resources.filter((resource) => resource.type === type);
}

function resource(name: string): ResourceRecord {
	const found = resources.filter((candidate) => candidate.custom && candidate.name === name);
	if (found.length !== 1) throw new Error(`${found.length} resources are called ${name}`);
	return found[0] as ResourceRecord;
}

function urn(name: string): string {
	return resource(name).urn;
}

function dependencies(name: string): readonly string[] {
	return resource(name).dependencies;
}

function statementsOf(policy: RecordedValue | undefined): Statement[] {
	return JSON.parse(String(policy)).Statement;
}
