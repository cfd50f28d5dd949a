import { Tag } from "@pulumi/aws/autoscaling/tag.js";
import { LaunchTemplate } from "@pulumi/aws/ec2/launchTemplate.js";
import { NodeGroup as EksNodeGroup } from "@pulumi/aws/eks/nodeGroup.js";
import { Role } from "@pulumi/aws/iam/role.js";
import { RolePolicyAttachment } from "@pulumi/aws/iam/rolePolicyAttachment.js";
import * as pulumi from "@pulumi/pulumi";
import { nameByContent, nameOf } from "../core/names.ts";
import { APP_TAINT, POOL_LABEL, type Pool } from "../core/pools.ts";
import { dependsOnWith } from "./depends-on.ts";
import { policyDocument } from "./iam-policy.ts";
import { type InstanceTypeName, instanceTypes } from "./instance-types.ts";

/** Settings of {@link NodeGroup}. */
export interface NodeGroupArgs {
	/** Starts every physical name. */
	readonly prefix: string;
	readonly pool: Pool;
	/** Names the group within the stack, e.g. `app` or `system-euw1-az1`. */
	readonly group: string;
	readonly clusterName: pulumi.Input<string>;
	/** Kubernetes version of the nodes, e.g. `1.35`. */
	readonly version: string;
	readonly instanceType: InstanceTypeName;
	/** Size of the root disk, GiB. */
	readonly diskGib: number;
	/** Fewest and most nodes. How many there are in between is the autoscaler's business. */
	readonly min: number;
	readonly max: number;
	/** Nodes replaced at once in an update. */
	readonly maxUnavailable: number;
	/** Ids of the zones the nodes are in. */
	readonly zones: readonly string[];
	/** Their private subnets, in the same order. */
	readonly subnetIds: readonly pulumi.Input<string>[];
	/** The key that encrypts the disks. */
	readonly disksKeyArn: pulumi.Input<string>;
	/** Tags of the instances and their disks: those of the AWS provider do not reach them. */
	readonly tags: Readonly<Record<string, string>>;
}

/**
 * A managed node group with its own launch template. Give `dependsOn` what nodes need to become ready.
 *
 * A new instance type, disk or Kubernetes version rolls through the nodes. What EKS cannot change (zones, processor) is
 * part of the group's name: a second group comes up before the first is drained.
 */
export class NodeGroup extends pulumi.ComponentResource {
	readonly autoScalingGroupName: pulumi.Output<string>;

	constructor(name: string, args: NodeGroupArgs, opts: pulumi.ComponentResourceOptions) {
		super("agentic-flow:infra:NodeGroup", name, {}, opts);
		const template = this.launchTemplate(name, args);
		const nodeGroup = this.nodeGroup(name, args, template, opts);
		// EKS makes exactly one.
		this.autoScalingGroupName = nodeGroup.resources.apply((resources) => resources?.[0]?.autoscalingGroups?.[0]?.name as string);
		this.autoscalerHints(name, args);
		this.registerOutputs({ autoScalingGroupName: this.autoScalingGroupName });
	}

	/** No image, type of network or security group: EKS adds those. */
	private launchTemplate(name: string, args: NodeGroupArgs): LaunchTemplate {
		const tags = { ...args.tags, Name: nameOf([args.prefix, args.group]) };
		return new LaunchTemplate(
			`${name}-template`,
			{
				name: nameOf([args.prefix, args.group]),
				instanceType: args.instanceType,
				updateDefaultVersion: true,
				// One hop: a pod cannot reach the metadata service, and with it the node's role.
				metadataOptions: { httpEndpoint: "enabled", httpTokens: "required", httpPutResponseHopLimit: 1 },
				blockDeviceMappings: [
					{
						deviceName: "/dev/xvda",
						ebs: {
							volumeType: "gp3",
							volumeSize: args.diskGib,
							encrypted: "true",
							kmsKeyId: args.disksKeyArn,
							deleteOnTermination: "true",
						},
					},
				],
				tagSpecifications: ["instance", "volume"].map((resourceType) => ({ resourceType, tags })),
			},
			{ parent: this },
		);
	}

	private nodeGroup(name: string, args: NodeGroupArgs, template: LaunchTemplate, opts: pulumi.ComponentResourceOptions): EksNodeGroup {
		const { role, policies } = this.role(name, args);
		const amiType = instanceTypes[args.instanceType].architecture === "arm64" ? "AL2023_ARM_64_STANDARD" : "AL2023_x86_64_STANDARD";
		return new EksNodeGroup(
			name,
			{
				clusterName: args.clusterName,
				nodeGroupName: nameByContent([args.group], { amiType, zones: args.zones }),
				nodeRoleArn: role.arn,
				version: args.version,
				amiType,
				capacityType: "ON_DEMAND",
				subnetIds: [...args.subnetIds],
				launchTemplate: { id: template.id, version: pulumi.interpolate`${template.latestVersion}` },
				scalingConfig: { minSize: args.min, maxSize: args.max, desiredSize: args.min },
				updateConfig: { maxUnavailable: args.maxUnavailable },
				nodeRepairConfig: { enabled: true },
				labels: { [POOL_LABEL]: args.pool },
				taints: args.pool === "app" ? [{ key: APP_TAINT.key, value: APP_TAINT.value, effect: "NO_SCHEDULE" }] : [],
			},
			{
				parent: this,
				dependsOn: dependsOnWith(opts.dependsOn, policies),
				// The autoscaler moves it; a deployment must not kill the nodes it added. AWS is sent all three sizes when one of
				// them changes, this one as it was at the last refresh: such an update wants `--refresh`.
				ignoreChanges: ["scalingConfig.desiredSize"],
				// One node after another, each drained for up to the 15 minutes that EKS waits: far above the provider's hour.
				customTimeouts: { create: "1h", update: `${20 + args.max * 20}m`, delete: `${20 + args.max * 20}m` },
			},
		);
	}

	/** Addresses for pods are not the node's business but the network add-on's, by a role of its own. */
	private role(name: string, args: NodeGroupArgs): { role: Role; policies: RolePolicyAttachment[] } {
		const role = new Role(
			`${name}-role`,
			{
				name: nameOf([args.prefix, args.group, "node"]),
				assumeRolePolicy: policyDocument([{ Effect: "Allow", Principal: { Service: "ec2.amazonaws.com" }, Action: ["sts:AssumeRole"] }]),
			},
			{ parent: this },
		);
		const policies = ["AmazonEKSWorkerNodePolicy", "AmazonEC2ContainerRegistryPullOnly"].map(
			(policy) =>
				new RolePolicyAttachment(
					`${name}-${policy}`,
					{ role: role.name, policyArn: `arn:aws:iam::aws:policy/${policy}` },
					{ parent: this },
				),
		);
		return { role, policies };
	}

	/**
	 * What a node of this group will look like, for an autoscaler that sees none to copy. EKS itself adds the tags by
	 * which the autoscaler finds the group.
	 * https://github.com/kubernetes/autoscaler/blob/master/cluster-autoscaler/cloudprovider/aws/README.md
	 */
	private autoscalerHints(name: string, args: NodeGroupArgs): void {
		const template = "k8s.io/cluster-autoscaler/node-template";
		const hints: Record<string, string> = { [`${template}/label/${POOL_LABEL}`]: args.pool };
		if (args.pool === "app") hints[`${template}/taint/${APP_TAINT.key}`] = `${APP_TAINT.value}:${APP_TAINT.effect}`;
		for (const [key, value] of Object.entries(hints)) {
			const role = key.slice(template.length + 1).split("/", 1)[0];
			new Tag(
				`${name}-autoscaler-${role}`,
				{ autoscalingGroupName: this.autoScalingGroupName, tag: { key, value, propagateAtLaunch: false } },
				{ parent: this },
			);
		}
	}
}
