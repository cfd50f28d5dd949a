import { Attachment } from "@pulumi/aws/autoscaling/attachment.js";
import { SecurityGroup } from "@pulumi/aws/ec2/securityGroup.js";
import { Listener } from "@pulumi/aws/lb/listener.js";
import { LoadBalancer as ApplicationLoadBalancer } from "@pulumi/aws/lb/loadBalancer.js";
import { TargetGroup } from "@pulumi/aws/lb/targetGroup.js";
import { SecurityGroupEgressRule } from "@pulumi/aws/vpc/securityGroupEgressRule.js";
import { SecurityGroupIngressRule } from "@pulumi/aws/vpc/securityGroupIngressRule.js";
import * as pulumi from "@pulumi/pulumi";
import { nameByContent, nameOf } from "../core/names.ts";
import { AccessLogs } from "./access-logs.ts";
import { type Domain, DomainEntrance } from "./domain-entrance.ts";

/** Who reaches the load balancer, and by which name. */
export type LoadBalancerScheme =
	/** The internet, over HTTPS under names of one's own. */
	| ({ readonly kind: "domain" } & Domain)
	/** Whoever is inside the VPC, over HTTP. */
	| { readonly kind: "internal"; readonly vpcCidr: string }
	/** These addresses on the internet, over HTTP. */
	| { readonly kind: "cidrLimited"; readonly cidrs: readonly string[] };

export interface LoadBalancerArgs {
	/** First part of every name, e.g. `agentic-flow-dev`. */
	readonly prefix: string;
	/** AWS account, twelve digits. */
	readonly accountId: string;
	readonly scheme: LoadBalancerScheme;
	readonly vpcId: pulumi.Input<string>;
	/** One a zone, in two zones or more. */
	readonly publicSubnetIds: pulumi.Input<pulumi.Input<string>[]>;
	/** One a zone, in two zones or more. */
	readonly privateSubnetIds: pulumi.Input<pulumi.Input<string>[]>;
	/** The nodes that take traffic, each group by a name that stays. Others must not be here: they would fail their checks. */
	readonly autoScalingGroups: readonly { readonly name: string; readonly autoScalingGroupName: pulumi.Input<string> }[];
	/** The security group of those nodes. */
	readonly nodeSecurityGroupId: pulumi.Input<string>;
	/** Port of every node on which traffic and checks arrive. */
	readonly nodePort: number;
	readonly healthCheck: {
		readonly path: string;
		/** How often each node is checked, 5 to 300. */
		readonly intervalSeconds: number;
		/** When a check has failed: less than the interval. */
		readonly timeoutSeconds: number;
		/** Good checks in a row that take a node in, 2 to 10. */
		readonly healthyThreshold: number;
		/** Failed checks in a row that take a node out, 2 to 10. */
		readonly unhealthyThreshold: number;
	};
	/** When a silent connection is closed, 1 to 4000. */
	readonly idleTimeoutSeconds: number;
	/** How long one client connection may be used for new requests, 60 to 604800. */
	readonly clientKeepAliveSeconds: number;
	/** How long a node that leaves may finish what it has, 0 to 3600. */
	readonly deregistrationDelaySeconds: number;
	/** AWS refuses to delete the load balancer while this is on. */
	readonly deletionProtection: boolean;
	readonly accessLogs: {
		/** Days that access logs are kept. */
		readonly retentionDays: number;
		/** Refuse to delete them. */
		readonly protect: boolean;
	};
}

/** The Application Load Balancer before the cluster. Everything it consists of is made here, so a destroy leaves nothing. */
export class LoadBalancer extends pulumi.ComponentResource {
	/** AWS's own name for it. */
	readonly dnsName: pulumi.Output<string>;
	/** Where users find it. */
	readonly url: pulumi.Output<string>;
	/** The same, where it is known beforehand: with a domain. */
	readonly origin: string | undefined;

	constructor(name: string, args: LoadBalancerArgs, opts: pulumi.ComponentResourceOptions) {
		super("agentic-flow:infra:LoadBalancer", name, {}, opts);
		const { scheme } = args;
		const accessLogs = new AccessLogs(
			`${name}-logs`,
			{ prefix: args.prefix, accountId: args.accountId, ...args.accessLogs },
			{ parent: this },
		);
		const securityGroup = this.createSecurityGroup(name, args);
		const balancer = this.createBalancer(name, args, securityGroup, accessLogs);
		const targets = this.createTargets(name, args);
		if (scheme.kind === "domain") {
			const entrance = { prefix: args.prefix, domain: scheme, loadBalancer: balancer, targetGroupArn: targets.arn };
			new DomainEntrance(`${name}-domain`, entrance, { parent: this });
		} else {
			this.serveHttp(name, balancer, targets);
		}

		this.dnsName = balancer.dnsName;
		this.origin = scheme.kind === "domain" ? `https://${scheme.domainName}` : undefined;
		this.url = this.origin ? pulumi.output(this.origin) : pulumi.interpolate`http://${balancer.dnsName}`;
		this.registerOutputs({ dnsName: this.dnsName, url: this.url });
	}

	/** From the callers to the listeners, from the load balancer to the nodes' one port, and nothing else. */
	private createSecurityGroup(name: string, args: LoadBalancerArgs): SecurityGroup {
		const group = new SecurityGroup(
			`${name}-sg`,
			{ name: nameOf([args.prefix, "alb"]), description: "Load balancer", vpcId: args.vpcId },
			{ parent: this },
		);
		for (const { cidr, port } of callers(args.scheme)) {
			new SecurityGroupIngressRule(
				`${name}-from-${cidr.replace(/[^0-9]/g, "-")}-to-${port}`,
				{ securityGroupId: group.id, cidrIpv4: cidr, ipProtocol: "tcp", fromPort: port, toPort: port, description: `Clients to ${port}` },
				{ parent: this },
			);
		}
		const nodePort = { ipProtocol: "tcp", fromPort: args.nodePort, toPort: args.nodePort };
		new SecurityGroupEgressRule(
			`${name}-to-nodes`,
			{ ...nodePort, securityGroupId: group.id, referencedSecurityGroupId: args.nodeSecurityGroupId, description: "To the nodes" },
			{ parent: this },
		);
		new SecurityGroupIngressRule(
			`${name}-into-nodes`,
			{
				...nodePort,
				securityGroupId: args.nodeSecurityGroupId,
				referencedSecurityGroupId: group.id,
				description: "From the load balancer",
			},
			{ parent: this },
		);
		return group;
	}

	private createBalancer(
		name: string,
		args: LoadBalancerArgs,
		securityGroup: SecurityGroup,
		accessLogs: AccessLogs,
	): ApplicationLoadBalancer {
		const internal = args.scheme.kind === "internal";
		return new ApplicationLoadBalancer(
			`${name}-alb`,
			{
				// AWS cannot turn an internal load balancer into a public one, only put another in its place.
				name: nameByContent([args.prefix], { internal }, 32),
				loadBalancerType: "application",
				internal,
				subnets: internal ? args.privateSubnetIds : args.publicSubnetIds,
				securityGroups: [securityGroup.id],
				idleTimeout: args.idleTimeoutSeconds,
				clientKeepAlive: args.clientKeepAliveSeconds,
				dropInvalidHeaderFields: true,
				desyncMitigationMode: "defensive",
				xffHeaderProcessingMode: "append",
				preserveHostHeader: true,
				enableDeletionProtection: args.deletionProtection,
				accessLogs: { enabled: true, bucket: accessLogs.bucket },
			},
			{ parent: this, dependsOn: accessLogs },
		);
	}

	/** Sticky sessions are the business of what runs on the nodes: any of them finds a client's worker. */
	private createTargets(name: string, args: LoadBalancerArgs): TargetGroup {
		const { healthCheck } = args;
		const targets = new TargetGroup(
			`${name}-targets`,
			{
				// Not a whole name: AWS cannot replace a target group that a listener uses under its own name.
				namePrefix: "nodes-",
				vpcId: args.vpcId,
				targetType: "instance",
				protocol: "HTTP",
				protocolVersion: "HTTP1",
				port: args.nodePort,
				loadBalancingAlgorithmType: "least_outstanding_requests",
				deregistrationDelay: args.deregistrationDelaySeconds,
				stickiness: { type: "lb_cookie", enabled: false },
				healthCheck: {
					enabled: true,
					protocol: "HTTP",
					port: "traffic-port",
					path: healthCheck.path,
					matcher: "200",
					interval: healthCheck.intervalSeconds,
					timeout: healthCheck.timeoutSeconds,
					healthyThreshold: healthCheck.healthyThreshold,
					unhealthyThreshold: healthCheck.unhealthyThreshold,
				},
			},
			{ parent: this },
		);
		for (const group of args.autoScalingGroups) {
			new Attachment(
				`${name}-nodes-${group.name}`,
				{ autoscalingGroupName: group.autoScalingGroupName, lbTargetGroupArn: targets.arn },
				{ parent: this },
			);
		}
		return targets;
	}

	private serveHttp(name: string, balancer: ApplicationLoadBalancer, targets: TargetGroup): void {
		new Listener(
			`${name}-http`,
			{
				loadBalancerArn: balancer.arn,
				port: 80,
				protocol: "HTTP",
				defaultActions: [{ type: "forward", targetGroupArn: targets.arn }],
			},
			{ parent: this },
		);
	}
}

/** Which addresses may open a connection to which port. */
function callers(scheme: LoadBalancerScheme): { cidr: string; port: number }[] {
	switch (scheme.kind) {
		case "domain":
			return [80, 443].map((port) => ({ cidr: "0.0.0.0/0", port }));
		case "internal":
			return [{ cidr: scheme.vpcCidr, port: 80 }];
		case "cidrLimited":
			return scheme.cidrs.map((cidr) => ({ cidr, port: 80 }));
	}
}
