import { LogGroup } from "@pulumi/aws/cloudwatch/logGroup.js";
import { AccessEntry } from "@pulumi/aws/eks/accessEntry.js";
import { AccessPolicyAssociation } from "@pulumi/aws/eks/accessPolicyAssociation.js";
import { Cluster as EksCluster } from "@pulumi/aws/eks/cluster.js";
import { Role } from "@pulumi/aws/iam/role.js";
import { RolePolicy } from "@pulumi/aws/iam/rolePolicy.js";
import { RolePolicyAttachment } from "@pulumi/aws/iam/rolePolicyAttachment.js";
import { SecurityGroupIngressRule } from "@pulumi/aws/vpc/securityGroupIngressRule.js";
import * as pulumi from "@pulumi/pulumi";
import { nameOf } from "../core/names.ts";
import { createAddon } from "./addon.ts";
import { policyDocument } from "./iam-policy.ts";
import { kubeconfig } from "./kubeconfig.ts";
import { WorkloadRole } from "./workload-role.ts";

/** Settings of {@link Cluster}. */
export interface ClusterArgs {
	/** Starts the names of roles. */
	readonly prefix: string;
	/** The cluster's name. Cannot change. */
	readonly name: string;
	/** The AWS account, twelve digits. */
	readonly accountId: string;
	readonly region: string;
	/** Kubernetes version, e.g. `1.35`. */
	readonly version: string;
	/** Private subnets, where the control plane has its interfaces. Their zones cannot change later. */
	readonly subnetIds: readonly pulumi.Input<string>[];
	/** Who may reach the API over the internet. Empty: nobody. */
	readonly endpointPublicCidrs: readonly string[];
	/** Who may reach it inside the network, beside the nodes: a runner, a VPN. */
	readonly endpointPrivateCidrs: readonly string[];
	/** Control-plane logs that are kept: `api`, `audit`, `authenticator`, `controllerManager`, `scheduler`. */
	readonly logTypes: readonly string[];
	/** Days that they are kept. */
	readonly logRetentionDays: number;
	/** The key that encrypts Kubernetes secrets. Cannot change. */
	readonly secretsKeyArn: pulumi.Input<string>;
	/** The key that encrypts control-plane logs. */
	readonly logsKeyArn: pulumi.Input<string>;
	/** The role that runs `pulumi up`. */
	readonly deployRoleArn: string;
	/** More roles that administer the cluster. */
	readonly adminRoleArns: readonly string[];
	/** What happens when a version's standard support ends: an upgrade, or a higher bill. */
	readonly supportType: "STANDARD" | "EXTENDED";
	/** Whether AWS refuses to delete the cluster. */
	readonly deletionProtection: boolean;
	/** Exact versions of the add-ons that nodes need to become ready. */
	readonly addonVersions: { readonly vpcCni: string; readonly kubeProxy: string; readonly podIdentityAgent: string };
	/** Whether Pulumi refuses to delete the cluster. */
	readonly protect: boolean;
}

/** The EKS control plane, who may administer it, and the add-ons without which no node becomes ready. */
export class Cluster extends pulumi.ComponentResource {
	/** Known without the cloud. It does not wait for the cluster: {@link createdName} does. */
	readonly name: string;
	/** The same name, for resources that need the cluster to exist. */
	readonly createdName: pulumi.Output<string>;
	readonly endpoint: pulumi.Output<string>;
	/** PEM, in base64. */
	readonly certificateAuthority: pulumi.Output<string>;
	/** The group EKS gives to the control plane and to every node. */
	readonly clusterSecurityGroupId: pulumi.Output<string>;
	/** Names the cluster for a Kubernetes provider: one that changes replaces every object in the cluster. */
	readonly clusterIdentifier: string;
	/** For a Kubernetes provider. Holds no credentials: a token is asked for at every use. */
	readonly kubeconfig: pulumi.Output<string>;
	/**
	 * What lets the deploy role into the cluster. A Kubernetes provider depends on it: then it is granted before the
	 * first object is made, and taken away after the last one is deleted.
	 */
	readonly access: readonly pulumi.Resource[];
	/** What nodes depend on. */
	readonly beforeNodes: readonly pulumi.Resource[];

	constructor(name: string, args: ClusterArgs, opts: pulumi.ComponentResourceOptions) {
		super("agentic-flow:infra:Cluster", name, {}, opts);
		const cluster = this.controlPlane(name, args);
		this.name = args.name;
		this.createdName = cluster.name;
		this.endpoint = cluster.endpoint;
		this.certificateAuthority = cluster.certificateAuthority.data;
		this.clusterSecurityGroupId = cluster.vpcConfig.clusterSecurityGroupId;
		this.clusterIdentifier = clusterArn(args);
		this.kubeconfig = pulumi
			.all([this.endpoint, this.certificateAuthority])
			.apply(([endpoint, certificateAuthority]) => kubeconfig({ ...args, endpoint, certificateAuthority }));
		this.admitPrivately(name, args);
		this.access = [this.administrator(`${name}-deploy-role`, args.deployRoleArn)];
		for (const arn of args.adminRoleArns) this.administrator(nameOf([name, "admin", arn.split(":role/").at(-1) as string]), arn);
		this.beforeNodes = this.nodeAddons(name, args);
		this.registerOutputs({ endpoint: this.endpoint, clusterSecurityGroupId: this.clusterSecurityGroupId });
	}

	/** EKS's own group lets in only itself, that is the nodes. */
	private admitPrivately(name: string, args: ClusterArgs): void {
		for (const cidr of args.endpointPrivateCidrs) {
			new SecurityGroupIngressRule(
				`${name}-api-from-${cidr.replace(/[^0-9]/g, "-")}`,
				{
					securityGroupId: this.clusterSecurityGroupId,
					cidrIpv4: cidr,
					ipProtocol: "tcp",
					fromPort: 443,
					toPort: 443,
					description: `Kubernetes API from ${cidr}`,
				},
				{ parent: this },
			);
		}
	}

	private controlPlane(name: string, args: ClusterArgs): EksCluster {
		const { role, policies } = this.role(name, args);
		const logs = this.logGroup(name, args);
		const isPublic = args.endpointPublicCidrs.length > 0;
		return new EksCluster(
			name,
			{
				name: args.name,
				version: args.version,
				roleArn: role.arn,
				accessConfig: { authenticationMode: "API", bootstrapClusterCreatorAdminPermissions: false },
				bootstrapSelfManagedAddons: false,
				vpcConfig: {
					subnetIds: [...args.subnetIds],
					endpointPrivateAccess: true,
					endpointPublicAccess: isPublic,
					publicAccessCidrs: isPublic ? [...args.endpointPublicCidrs] : undefined,
				},
				encryptionConfig: { provider: { keyArn: args.secretsKeyArn }, resources: ["secrets"] },
				enabledClusterLogTypes: [...args.logTypes],
				upgradePolicy: { supportType: args.supportType },
				deletionProtection: args.deletionProtection,
			},
			{
				parent: this,
				protect: args.protect,
				dependsOn: [logs, ...policies],
				// Read at creation only; a difference later would replace the cluster.
				ignoreChanges: ["accessConfig.bootstrapClusterCreatorAdminPermissions", "bootstrapSelfManagedAddons"],
			},
		);
	}

	/** https://docs.aws.amazon.com/eks/latest/userguide/cross-service-confused-deputy-prevention.html */
	private role(name: string, args: ClusterArgs): { role: Role; policies: pulumi.Resource[] } {
		const role = new Role(
			`${name}-role`,
			{
				name: nameOf([args.prefix, "cluster"]),
				assumeRolePolicy: policyDocument([
					{
						Effect: "Allow",
						Principal: { Service: "eks.amazonaws.com" },
						Action: ["sts:AssumeRole"],
						Condition: { ArnLike: { "aws:SourceArn": clusterArn(args) } },
					},
				]),
			},
			{ parent: this },
		);
		const general = new RolePolicyAttachment(
			`${name}-role-policy`,
			{ role: role.name, policyArn: "arn:aws:iam::aws:policy/AmazonEKSClusterPolicy" },
			{ parent: this },
		);
		// Secrets are encrypted by a grant of the key; EKS looks after it under the cluster's role.
		const watchKey = (key: string) => policyDocument([{ Effect: "Allow", Action: ["kms:DescribeKey", "kms:ListGrants"], Resource: key }]);
		const key = new RolePolicy(
			`${name}-role-key`,
			{ role: role.name, policy: pulumi.output(args.secretsKeyArn).apply(watchKey) },
			{ parent: this },
		);
		return { role, policies: [general, key] };
	}

	/** Made before the cluster, which would otherwise make one that is neither encrypted nor ever emptied. */
	private logGroup(name: string, args: ClusterArgs): LogGroup {
		return new LogGroup(
			`${name}-logs`,
			{ name: `/aws/eks/${args.name}/cluster`, retentionInDays: args.logRetentionDays, kmsKeyId: args.logsKeyArn },
			{ parent: this },
		);
	}

	private administrator(name: string, principalArn: string): AccessPolicyAssociation {
		const entry = new AccessEntry(name, { clusterName: this.createdName, principalArn, type: "STANDARD" }, { parent: this });
		return new AccessPolicyAssociation(
			`${name}-administers`,
			{
				clusterName: this.createdName,
				principalArn: entry.principalArn,
				policyArn: "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy",
				accessScope: { type: "cluster" },
			},
			{ parent: this },
		);
	}

	/** The agent first: it hands the network add-on its role. */
	private nodeAddons(name: string, args: ClusterArgs): pulumi.Resource[] {
		const common = { clusterName: this.createdName, configuration: {}, identities: [] };
		const { vpcCni, kubeProxy, podIdentityAgent } = args.addonVersions;
		const agent = createAddon(
			`${name}-pod-identity-agent`,
			{ ...common, addon: "eks-pod-identity-agent", version: podIdentityAgent },
			{ parent: this },
		);
		const proxy = createAddon(`${name}-kube-proxy`, { ...common, addon: "kube-proxy", version: kubeProxy }, { parent: this });
		const role = this.networkRole(name, args);
		const network = createAddon(
			`${name}-vpc-cni`,
			{
				...common,
				addon: "vpc-cni",
				version: vpcCni,
				// Without it Kubernetes takes network policies and nobody enforces them.
				configuration: { enableNetworkPolicy: "true" },
				identities: [{ serviceAccount: NETWORK_SERVICE_ACCOUNT, roleArn: role.roleArn }],
			},
			{ parent: this, dependsOn: [agent, role] },
		);
		return [agent, proxy, network];
	}

	private networkRole(name: string, args: ClusterArgs): WorkloadRole {
		return new WorkloadRole(
			`${name}-vpc-cni-identity`,
			{
				prefix: args.prefix,
				accountId: args.accountId,
				region: args.region,
				clusterName: args.name,
				namespace: "kube-system",
				serviceAccount: NETWORK_SERVICE_ACCOUNT,
				managedPolicyArns: ["arn:aws:iam::aws:policy/AmazonEKS_CNI_Policy"],
				statements: [],
				boundBy: "addon",
			},
			{ parent: this },
		);
	}
}

const NETWORK_SERVICE_ACCOUNT = "aws-node";

function clusterArn({ region, accountId, name }: ClusterArgs): string {
	return `arn:aws:eks:${region}:${accountId}:cluster/${name}`;
}
