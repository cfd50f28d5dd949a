import * as pulumi from "@pulumi/pulumi";
import { placement } from "../core/pools.ts";
import { createAddon } from "./addon.ts";
import { dependsOnWith } from "./depends-on.ts";
import type { Statement } from "./iam-policy.ts";
import { WorkloadRole } from "./workload-role.ts";

/** Settings of {@link ClusterAddons}. */
export interface ClusterAddonsArgs {
	/** Starts the names of roles. */
	readonly prefix: string;
	/** The AWS account, twelve digits. */
	readonly accountId: string;
	readonly region: string;
	readonly clusterName: string;
	/** Exact versions. `aws eks describe-addon-versions` lists what fits a cluster. */
	readonly addonVersions: {
		readonly coredns: string;
		readonly ebsCsiDriver: string;
		readonly metricsServer: string;
		readonly nodeMonitoringAgent: string;
	};
	/** The key that encrypts pods' volumes. */
	readonly disksKeyArn: pulumi.Input<string>;
	/** Tags of pods' volumes: those of the AWS provider do not reach them. */
	readonly tags: Readonly<Record<string, string>>;
}

/**
 * The add-ons that need nodes to become healthy: DNS, volumes, metrics and node monitoring. Give `dependsOn` the system
 * node groups: what need not be on every node runs there.
 */
export class ClusterAddons extends pulumi.ComponentResource {
	/** What pods that look up names, claim volumes or are scaled by their use depend on. */
	readonly ready: readonly pulumi.Resource[];

	constructor(name: string, args: ClusterAddonsArgs, opts: pulumi.ComponentResourceOptions) {
		super("agentic-flow:infra:ClusterAddons", name, {}, opts);
		const { coredns, ebsCsiDriver, metricsServer, nodeMonitoringAgent } = args.addonVersions;
		const role = this.volumesRole(name, args);
		const common = { clusterName: args.clusterName, configuration: {}, identities: [] };
		const after = { parent: this, dependsOn: opts.dependsOn };
		this.ready = [
			createAddon(`${name}-coredns`, { ...common, addon: "coredns", version: coredns, configuration: dns() }, after),
			createAddon(
				`${name}-ebs-csi-driver`,
				{
					...common,
					addon: "aws-ebs-csi-driver",
					version: ebsCsiDriver,
					configuration: volumes(args),
					identities: [{ serviceAccount: VOLUMES_SERVICE_ACCOUNT, roleArn: role.roleArn }],
				},
				{ ...after, dependsOn: dependsOnWith(opts.dependsOn, [role]) },
			),
			createAddon(
				`${name}-metrics-server`,
				{ ...common, addon: "metrics-server", version: metricsServer, configuration: metrics() },
				after,
			),
			createAddon(`${name}-node-monitoring-agent`, { ...common, addon: "eks-node-monitoring-agent", version: nodeMonitoringAgent }, after),
		];
		this.registerOutputs({});
	}

	private volumesRole(name: string, args: ClusterAddonsArgs): WorkloadRole {
		const key = pulumi.output(args.disksKeyArn);
		return new WorkloadRole(
			`${name}-ebs-csi-driver-identity`,
			{
				prefix: args.prefix,
				accountId: args.accountId,
				region: args.region,
				clusterName: args.clusterName,
				namespace: "kube-system",
				serviceAccount: VOLUMES_SERVICE_ACCOUNT,
				// Of volumes, only those the driver made itself.
				managedPolicyArns: ["arn:aws:iam::aws:policy/AmazonEBSCSIDriverPolicyV2"],
				statements: [key.apply(useKey), key.apply(grantKey)],
				boundBy: "addon",
			},
			{ parent: this },
		);
	}
}

const VOLUMES_SERVICE_ACCOUNT = "ebs-csi-controller-sa";
const { nodeSelector } = placement("system");

/** The three schemas below are those that `aws eks describe-addon-configuration` prints. */
function dns(): Record<string, unknown> {
	return { nodeSelector, replicaCount: 2, topologySpreadConstraints: spread({ "k8s-app": "kube-dns" }) };
}

function metrics(): Record<string, unknown> {
	return { nodeSelector, replicas: 2, topologySpreadConstraints: spread({ "app.kubernetes.io/name": "metrics-server" }) };
}

function volumes({ tags }: ClusterAddonsArgs): Record<string, unknown> {
	return { controller: { nodeSelector, extraVolumeTags: tags } };
}

/** No two on one node; in different zones where there are nodes. */
function spread(matchLabels: Record<string, string>): Record<string, unknown>[] {
	const constraint = { maxSkew: 1, labelSelector: { matchLabels } };
	return [
		{ ...constraint, topologyKey: "kubernetes.io/hostname", whenUnsatisfiable: "DoNotSchedule" },
		{ ...constraint, topologyKey: "topology.kubernetes.io/zone", whenUnsatisfiable: "ScheduleAnyway" },
	];
}

/** https://docs.aws.amazon.com/eks/latest/userguide/ebs-csi.html */
function useKey(key: string): Statement {
	return {
		Effect: "Allow",
		Action: ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"],
		Resource: key,
	};
}

function grantKey(key: string): Statement {
	return {
		Effect: "Allow",
		Action: ["kms:CreateGrant", "kms:ListGrants", "kms:RevokeGrant"],
		Resource: key,
		Condition: { Bool: { "kms:GrantIsForAWSResource": "true" } },
	};
}
