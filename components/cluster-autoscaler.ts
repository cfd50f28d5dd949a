import { Deployment } from "@pulumi/kubernetes/apps/v1/deployment.js";
import { ServiceAccount } from "@pulumi/kubernetes/core/v1/serviceAccount.js";
import { NetworkPolicy } from "@pulumi/kubernetes/networking/v1/networkPolicy.js";
import { PodDisruptionBudget } from "@pulumi/kubernetes/policy/v1/podDisruptionBudget.js";
import { ClusterRole } from "@pulumi/kubernetes/rbac/v1/clusterRole.js";
import { ClusterRoleBinding } from "@pulumi/kubernetes/rbac/v1/clusterRoleBinding.js";
import { Role } from "@pulumi/kubernetes/rbac/v1/role.js";
import { RoleBinding } from "@pulumi/kubernetes/rbac/v1/roleBinding.js";
import type { input } from "@pulumi/kubernetes/types/index.js";
import * as pulumi from "@pulumi/pulumi";
import { oneAway } from "./availability.ts";
import { clusterRules, namespaceRules } from "./cluster-autoscaler-rules.ts";
import { labelsOf, selectorOf } from "./labels.ts";
import { allow, blocks, type Peer } from "./network-policies.ts";
import { httpProbe, type PodSize, resourcesOf, restrictedContainer, restrictedPod } from "./pod.ts";

/** The name of everything it has in the cluster, its service account too. */
export const AUTOSCALER_NAME = "cluster-autoscaler";

/** Settings of {@link ClusterAutoscaler}. */
export interface ClusterAutoscalerArgs {
	readonly namespace: pulumi.Input<string>;
	/** Of the cluster's own minor version. */
	readonly image: string;
	readonly size: PodSize;
	/** Auto Scaling groups that carry this cluster's tag are its groups. */
	readonly clusterName: string;
	readonly region: string;
	/** How long a node must have been of no use before it goes. */
	readonly unneededMinutes: number;
	/** How long no node goes after one has come. */
	readonly delayAfterAddMinutes: number;
	/** Requested share of a node, in percent, below which it is of no use if its pods fit elsewhere. */
	readonly utilizationPercent: number;
	/** How long pods on a leaving node may take to stop: the longest grace period of all. */
	readonly podGraceSeconds: number;
	/** Who may read the metrics. */
	readonly scrapers: readonly Peer[];
}

/** The image's own, which is nobody on the host. */
const USER = 65_532;

const PORT = 8085;

/** Where pods get their AWS credentials. https://docs.aws.amazon.com/eks/latest/userguide/pod-id-how-it-works.html */
const POD_IDENTITY_AGENT = { cidr: "169.254.170.23/32", port: 80 };

/**
 * Adds a node when a pod finds no room, and takes away what is not needed, within the limits of the node groups.
 * Give `dependsOn` its AWS role: credentials reach only pods that start after it.
 */
export class ClusterAutoscaler extends pulumi.ComponentResource {
	constructor(name: string, args: ClusterAutoscalerArgs, opts: pulumi.ComponentResourceOptions) {
		super("agentic-flow:components:ClusterAutoscaler", name, {}, opts);
		const meta = { name: AUTOSCALER_NAME, namespace: args.namespace, labels: labelsOf(AUTOSCALER_NAME) };
		const account = new ServiceAccount(`${name}-account`, { metadata: meta, automountServiceAccountToken: false }, { parent: this });
		const bindings = this.createBindings(name, meta, account);
		const policies = [this.createPolicy(name, args, meta), this.allowDns(name, args)];
		this.createDeployment(name, args, meta, account, [...bindings, ...policies]);
		new PodDisruptionBudget(`${name}-budget`, { metadata: meta, spec: oneAway(AUTOSCALER_NAME) }, { parent: this });
		this.registerOutputs({});
	}

	private createBindings(name: string, metadata: input.meta.v1.ObjectMeta, account: ServiceAccount): pulumi.Resource[] {
		const subjects = [{ kind: "ServiceAccount", name: account.metadata.name, namespace: account.metadata.namespace }];
		const clusterMeta = { name: AUTOSCALER_NAME, labels: labelsOf(AUTOSCALER_NAME) };
		const clusterRole = new ClusterRole(`${name}-cluster-role`, { metadata: clusterMeta, rules: clusterRules }, { parent: this });
		const role = new Role(`${name}-role`, { metadata, rules: namespaceRules }, { parent: this });
		const roleRef = (kind: string, target: pulumi.Input<string>) => ({ apiGroup: "rbac.authorization.k8s.io", kind, name: target });
		return [
			new ClusterRoleBinding(
				`${name}-cluster-binding`,
				{ metadata: clusterMeta, roleRef: roleRef("ClusterRole", clusterRole.metadata.name), subjects },
				{ parent: this },
			),
			new RoleBinding(`${name}-binding`, { metadata, roleRef: roleRef("Role", role.metadata.name), subjects }, { parent: this }),
		];
	}

	/** The APIs of the cluster and of AWS have no fixed addresses. */
	private createPolicy(name: string, args: ClusterAutoscalerArgs, metadata: input.meta.v1.ObjectMeta): NetworkPolicy {
		const spec = allow(AUTOSCALER_NAME, {
			ingress: args.scrapers.length > 0 ? [{ peers: args.scrapers, ports: [PORT] }] : [],
			egress: [
				{ peers: blocks(["0.0.0.0/0"]), ports: [443] },
				{ peers: blocks([POD_IDENTITY_AGENT.cidr]), ports: [POD_IDENTITY_AGENT.port] },
			],
		});
		return new NetworkPolicy(`${name}-policy`, { metadata, spec }, { parent: this });
	}

	/** Of its own, for kube-system, unlike the namespaces of ours, allows nobody the DNS in particular. */
	private allowDns(name: string, args: ClusterAutoscalerArgs): NetworkPolicy {
		const dns = {
			namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": "kube-system" } },
			podSelector: { matchLabels: { "k8s-app": "kube-dns" } },
		};
		return new NetworkPolicy(
			`${name}-dns-policy`,
			{
				metadata: { name: `${AUTOSCALER_NAME}-dns`, namespace: args.namespace, labels: labelsOf(AUTOSCALER_NAME) },
				spec: {
					podSelector: { matchLabels: selectorOf(AUTOSCALER_NAME) },
					policyTypes: ["Egress"],
					egress: [{ to: [dns], ports: ["UDP", "TCP"].map((protocol) => ({ protocol, port: 53 })) }],
				},
			},
			{ parent: this },
		);
	}

	private createDeployment(
		name: string,
		args: ClusterAutoscalerArgs,
		metadata: input.meta.v1.ObjectMeta,
		account: ServiceAccount,
		dependsOn: pulumi.Resource[],
	): void {
		new Deployment(
			`${name}-deployment`,
			{
				metadata,
				spec: {
					replicas: 1,
					revisionHistoryLimit: 3,
					selector: { matchLabels: selectorOf(AUTOSCALER_NAME) },
					template: { metadata: { labels: labelsOf(AUTOSCALER_NAME) }, spec: podSpec(args, account.metadata.name) },
				},
			},
			{ parent: this, dependsOn },
		);
	}
}

function podSpec(args: ClusterAutoscalerArgs, account: pulumi.Input<string>): input.core.v1.PodSpec {
	return {
		...restrictedPod({ pool: "system", serviceAccount: account, user: USER }),
		// It watches pods and nodes, and drains them: it is nothing without the cluster's API.
		automountServiceAccountToken: true,
		containers: [
			{
				name: AUTOSCALER_NAME,
				image: args.image,
				command: ["./cluster-autoscaler"],
				args: flags(args),
				// The node's metadata, where it would look, is out of a pod's reach.
				env: [{ name: "AWS_REGION", value: args.region }],
				ports: [{ name: "metrics", containerPort: PORT, protocol: "TCP" }],
				livenessProbe: httpProbe("/health-check", "metrics", { periodSeconds: 10, failureThreshold: 6 }),
				resources: resourcesOf(args.size),
				securityContext: restrictedContainer,
			},
		],
	};
}

/** https://github.com/kubernetes/autoscaler/blob/master/cluster-autoscaler/FAQ.md#what-are-the-parameters-to-ca */
function flags(args: ClusterAutoscalerArgs): pulumi.Input<string>[] {
	return [
		"--cloud-provider=aws",
		`--node-group-auto-discovery=asg:tag=${discoveryTags(args.clusterName).join(",")}`,
		pulumi.interpolate`--namespace=${args.namespace}`,
		"--balance-similar-node-groups=true",
		"--expander=least-waste",
		// Every pod of ours has an emptyDir, and none keeps anything in it.
		"--skip-nodes-with-local-storage=false",
		`--scale-down-unneeded-time=${args.unneededMinutes}m`,
		`--scale-down-delay-after-add=${args.delayAfterAddMinutes}m`,
		`--scale-down-utilization-threshold=${args.utilizationPercent / 100}`,
		`--max-graceful-termination-sec=${args.podGraceSeconds}`,
		"--logging-format=json",
		"--v=2",
	];
}

/** EKS puts both on the Auto Scaling group of every managed node group. */
function discoveryTags(clusterName: string): string[] {
	return ["k8s.io/cluster-autoscaler/enabled", `k8s.io/cluster-autoscaler/${clusterName}`];
}

/**
 * What its AWS role may do, as policy statements: look at everything, which AWS does not let one narrow, and move the
 * groups that carry the cluster's tag.
 * https://github.com/kubernetes/autoscaler/blob/master/cluster-autoscaler/cloudprovider/aws/README.md
 *
 * @param accountId AWS account, twelve digits
 */
export function autoscalerPolicy(clusterName: string, region: string, accountId: string) {
	const allowed = { Effect: "Allow" } as const;
	return [
		{
			...allowed,
			Action: [
				"autoscaling:DescribeAutoScalingGroups",
				"autoscaling:DescribeAutoScalingInstances",
				"autoscaling:DescribeLaunchConfigurations",
				"autoscaling:DescribeScalingActivities",
				"ec2:DescribeImages",
				"ec2:DescribeInstanceTypes",
				"ec2:DescribeLaunchTemplateVersions",
				"ec2:GetInstanceTypesFromInstanceRequirements",
			],
			Resource: "*",
		},
		{ ...allowed, Action: ["eks:DescribeNodegroup"], Resource: `arn:aws:eks:${region}:${accountId}:nodegroup/${clusterName}/*` },
		{
			...allowed,
			Action: ["autoscaling:SetDesiredCapacity", "autoscaling:TerminateInstanceInAutoScalingGroup"],
			Resource: `arn:aws:autoscaling:${region}:${accountId}:autoScalingGroup:*:autoScalingGroupName/*`,
			Condition: { StringEquals: { [`aws:ResourceTag/k8s.io/cluster-autoscaler/${clusterName}`]: "owned" } },
		},
	];
}
