import { describe, expect, it } from "vitest";
import type { ResourceRecord } from "../core/record.ts";
import { record } from "../preview/record.ts";
import { NodeGroup, type NodeGroupArgs } from "./node-group.ts";

const args: NodeGroupArgs = {
	prefix: "agentic-flow-test",
	pool: "app",
	group: "app",
	clusterName: "agentic-flow-test",
	version: "1.35",
	instanceType: "m7i.2xlarge",
	diskGib: 80,
	min: 2,
	max: 20,
	maxUnavailable: 1,
	zones: ["euw1-az1", "euw1-az2"],
	subnetIds: ["subnet-1", "subnet-2"],
	disksKeyArn: "arn:aws:kms:eu-west-1:111122223333:key/disks",
	tags: { stack: "test" },
};

describe("NodeGroup", () => {
	it("asks for a token at the metadata service, and keeps pods from it", async () => {
		const { inputs } = await one("aws:ec2/launchTemplate:LaunchTemplate");
		expect(inputs.metadataOptions).toEqual({ httpEndpoint: "enabled", httpTokens: "required", httpPutResponseHopLimit: 1 });
	});

	it("encrypts its disks with the given key", async () => {
		const { inputs } = await one("aws:ec2/launchTemplate:LaunchTemplate");
		expect(inputs.blockDeviceMappings).toEqual([
			{
				deviceName: "/dev/xvda",
				ebs: { deleteOnTermination: "true", encrypted: "true", kmsKeyId: args.disksKeyArn, volumeSize: 80, volumeType: "gp3" },
			},
		]);
	});

	it("tags instances and volumes", async () => {
		const { inputs } = await one("aws:ec2/launchTemplate:LaunchTemplate");
		const tags = { stack: "test", Name: "agentic-flow-test-app" };
		expect(inputs.tagSpecifications).toEqual([
			{ resourceType: "instance", tags },
			{ resourceType: "volume", tags },
		]);
	});

	it("starts at the minimum and leaves the number to the autoscaler", async () => {
		const { inputs, ignoreChanges } = await one("aws:eks/nodeGroup:NodeGroup");
		expect(inputs.scalingConfig).toEqual({ desiredSize: 2, maxSize: 20, minSize: 2 });
		expect(ignoreChanges).toEqual(["scalingConfig.desiredSize"]);
	});

	it("replaces sick nodes, updates one at a time, and has no door for SSH", async () => {
		const { inputs } = await one("aws:eks/nodeGroup:NodeGroup");
		expect(inputs).toMatchObject({ nodeRepairConfig: { enabled: true }, updateConfig: { maxUnavailable: 1 } });
		expect(inputs).not.toHaveProperty("remoteAccess");
	});

	it("keeps app nodes for the app, and tells the autoscaler so", async () => {
		const resources = await build(args);
		const { inputs } = find(resources, "aws:eks/nodeGroup:NodeGroup");
		expect(inputs.labels).toEqual({ "agentic-flow.io/pool": "app" });
		expect(inputs.taints).toEqual([{ key: "agentic-flow.io/pool", value: "app", effect: "NO_SCHEDULE" }]);
		expect(resources.filter(({ type }) => type === "aws:autoscaling/tag:Tag").map((tag) => tag.inputs.tag)).toEqual([
			{ key: "k8s.io/cluster-autoscaler/node-template/label/agentic-flow.io/pool", value: "app", propagateAtLaunch: false },
			{ key: "k8s.io/cluster-autoscaler/node-template/taint/agentic-flow.io/pool", value: "app:NoSchedule", propagateAtLaunch: false },
		]);
	});

	it("leaves system nodes open to all", async () => {
		const resources = await build({ ...args, pool: "system", group: "system-euw1-az1" });
		expect(find(resources, "aws:eks/nodeGroup:NodeGroup").inputs.taints).toEqual([]);
		expect(resources.filter(({ type }) => type === "aws:autoscaling/tag:Tag")).toHaveLength(1);
	});

	it("takes the image that fits the processor", async () => {
		expect((await one("aws:eks/nodeGroup:NodeGroup")).inputs.amiType).toBe("AL2023_x86_64_STANDARD");
		const arm = await build({ ...args, instanceType: "m7g.xlarge" });
		expect(find(arm, "aws:eks/nodeGroup:NodeGroup").inputs.amiType).toBe("AL2023_ARM_64_STANDARD");
	});

	it("has a new name exactly when EKS could not change it in place", async () => {
		const name = async (change: Partial<NodeGroupArgs>) =>
			find(await build({ ...args, ...change }), "aws:eks/nodeGroup:NodeGroup").inputs.nodeGroupName;
		const before = await name({});
		expect(before).toMatch(/^app-[0-9a-f]{8}$/);
		expect(await name({ instanceType: "m7i.xlarge", diskGib: 200, version: "1.36", min: 3 })).toBe(before);
		expect(await name({ instanceType: "m7g.2xlarge" })).not.toBe(before);
		expect(await name({ zones: [...args.zones, "euw1-az3"] })).not.toBe(before);
	});

	it("gives nodes no right to manage addresses: that is the network add-on's own role", async () => {
		const policies = (await build(args)).filter(({ type }) => type === "aws:iam/rolePolicyAttachment:RolePolicyAttachment");
		expect(policies.map(({ inputs }) => inputs.policyArn)).toEqual([
			"arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryPullOnly",
			"arn:aws:iam::aws:policy/AmazonEKSWorkerNodePolicy",
		]);
	});
});

async function build(settings: NodeGroupArgs): Promise<readonly ResourceRecord[]> {
	const { resources } = await record({ project: "agentic-flow", stack: "test" }, async () => {
		new NodeGroup("app", settings, {});
		return {};
	});
	return resources;
}

async function one(type: string): Promise<ResourceRecord> {
	return find(await build(args), type);
}

function find(resources: readonly ResourceRecord[], type: string): ResourceRecord {
	const found = resources.filter((resource) => resource.type === type);
	expect(found).toHaveLength(1);
	return found[0] as ResourceRecord;
}
