import { PodIdentityAssociation } from "@pulumi/aws/eks/podIdentityAssociation.js";
import { Role } from "@pulumi/aws/iam/role.js";
import { RolePolicy } from "@pulumi/aws/iam/rolePolicy.js";
import { RolePolicyAttachment } from "@pulumi/aws/iam/rolePolicyAttachment.js";
import * as pulumi from "@pulumi/pulumi";
import { nameOf } from "../core/names.ts";
import { policyDocument, type Statement } from "./iam-policy.ts";

/** Settings of {@link WorkloadRole}. */
export interface WorkloadRoleArgs {
	/** Starts the role's name. */
	readonly prefix: string;
	/** The AWS account, twelve digits. */
	readonly accountId: string;
	readonly region: string;
	readonly clusterName: string;
	/** Whose role it is: the namespace and the name of a Kubernetes service account. */
	readonly namespace: string;
	readonly serviceAccount: string;
	/** ARNs of AWS's own policies. */
	readonly managedPolicyArns: readonly string[];
	/** What else the role may do. */
	readonly statements: readonly pulumi.Input<Statement>[];
	/** `association` is made here and needs the cluster: give it in `dependsOn`. `addon` leaves it to the add-on that the role is for. */
	readonly boundBy: "association" | "addon";
}

/**
 * An IAM role for the pods of one Kubernetes service account, by EKS Pod Identity. Another service account, namespace
 * or cluster cannot take it, even by mistake in an association.
 */
export class WorkloadRole extends pulumi.ComponentResource {
	readonly roleArn: pulumi.Output<string>;

	constructor(name: string, args: WorkloadRoleArgs, opts: pulumi.ComponentResourceOptions) {
		super("agentic-flow:infra:WorkloadRole", name, {}, opts);
		const role = this.role(name, args);
		this.roleArn = role.arn;
		this.policies(name, args, role);
		if (args.boundBy === "association") this.association(name, args, opts.dependsOn);
		this.registerOutputs({ roleArn: this.roleArn });
	}

	private role(name: string, args: WorkloadRoleArgs): Role {
		return new Role(
			`${name}-role`,
			{ name: nameOf([args.prefix, args.namespace, args.serviceAccount]), assumeRolePolicy: policyDocument([trust(args)]) },
			{ parent: this },
		);
	}

	private policies(name: string, args: WorkloadRoleArgs, role: Role): void {
		for (const policyArn of args.managedPolicyArns) {
			new RolePolicyAttachment(`${name}-${policyArn.split("/").at(-1)}`, { role: role.name, policyArn }, { parent: this });
		}
		if (args.statements.length === 0) return;
		const policy = pulumi.all([...args.statements]).apply(policyDocument);
		new RolePolicy(`${name}-policy`, { role: role.name, policy }, { parent: this });
	}

	private association(name: string, args: WorkloadRoleArgs, dependsOn: pulumi.ComponentResourceOptions["dependsOn"]): void {
		new PodIdentityAssociation(
			`${name}-association`,
			{ clusterName: args.clusterName, namespace: args.namespace, serviceAccount: args.serviceAccount, roleArn: this.roleArn },
			{ parent: this, dependsOn },
		);
	}
}

/** EKS sends these tags with every session: https://docs.aws.amazon.com/eks/latest/userguide/pod-id-role.html */
function trust({ accountId, region, clusterName, namespace, serviceAccount }: WorkloadRoleArgs): Statement {
	return {
		Effect: "Allow",
		Principal: { Service: "pods.eks.amazonaws.com" },
		Action: ["sts:AssumeRole", "sts:TagSession"],
		Condition: {
			StringEquals: {
				"aws:RequestTag/eks-cluster-arn": `arn:aws:eks:${region}:${accountId}:cluster/${clusterName}`,
				"aws:RequestTag/kubernetes-namespace": namespace,
				"aws:RequestTag/kubernetes-service-account": serviceAccount,
			},
		},
	};
}
