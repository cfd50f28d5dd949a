import { Listener } from "@pulumi/aws/lb/listener.js";
import { Record as DnsRecord } from "@pulumi/aws/route53/record.js";
import * as pulumi from "@pulumi/pulumi";
import { DomainCertificate } from "./certificate.ts";
import { RequestFilter } from "./web-acl.ts";

/** TLS 1.2 and 1.3, as AWS recommends. https://docs.aws.amazon.com/elasticloadbalancing/latest/application/describe-ssl-policies.html */
const TLS_POLICY = "ELBSecurityPolicy-TLS13-1-2-2021-06";

/** Browsers that came once over HTTPS stay with it for a year. */
const STRICT_TRANSPORT_SECURITY = "max-age=31536000";

/** The public names of a load balancer. */
export interface Domain {
	/** What users type. */
	readonly domainName: string;
	/** More names on the same certificate. */
	readonly alternativeNames: readonly string[];
	/** The public Route 53 zone that holds all names. */
	readonly hostedZoneId: string;
	/** Requests from one address in five minutes before the web ACL blocks it. */
	readonly webAclRateLimit: number;
}

export interface DomainEntranceArgs {
	/** First part of the web ACL's name, e.g. `agentic-flow-dev`. */
	readonly prefix: string;
	readonly domain: Domain;
	readonly loadBalancer: {
		readonly arn: pulumi.Input<string>;
		readonly dnsName: pulumi.Input<string>;
		readonly zoneId: pulumi.Input<string>;
	};
	/** Where requests go. */
	readonly targetGroupArn: pulumi.Input<string>;
}

/** What a load balancer with a domain has: a certificate, HTTPS with everything else sent there, a web ACL, and its names in the DNS. */
export class DomainEntrance extends pulumi.ComponentResource {
	constructor(name: string, args: DomainEntranceArgs, opts: pulumi.ComponentResourceOptions) {
		super("agentic-flow:infra:DomainEntrance", name, {}, opts);
		const { domain, loadBalancer } = args;
		const domainNames = [domain.domainName, ...domain.alternativeNames] as const;
		const certificate = new DomainCertificate(`${name}-tls`, { domainNames, hostedZoneId: domain.hostedZoneId }, { parent: this });
		this.createListeners(name, args, certificate);
		new RequestFilter(
			`${name}-filter`,
			{ prefix: args.prefix, rateLimit: domain.webAclRateLimit, resourceArn: loadBalancer.arn },
			{ parent: this },
		);
		// No AAAA records: the load balancer has IPv4 addresses only.
		for (const domainName of domainNames) {
			new DnsRecord(
				`${name}-name-${domainName}`,
				{
					zoneId: domain.hostedZoneId,
					name: domainName,
					type: "A",
					aliases: [{ name: loadBalancer.dnsName, zoneId: loadBalancer.zoneId, evaluateTargetHealth: true }],
				},
				{ parent: this },
			);
		}
		this.registerOutputs({});
	}

	private createListeners(name: string, args: DomainEntranceArgs, certificate: DomainCertificate): void {
		new Listener(
			`${name}-https`,
			{
				loadBalancerArn: args.loadBalancer.arn,
				port: 443,
				protocol: "HTTPS",
				sslPolicy: TLS_POLICY,
				certificateArn: certificate.arn,
				routingHttpResponseStrictTransportSecurityHeaderValue: STRICT_TRANSPORT_SECURITY,
				defaultActions: [{ type: "forward", targetGroupArn: args.targetGroupArn }],
			},
			{ parent: this },
		);
		new Listener(
			`${name}-http`,
			{
				loadBalancerArn: args.loadBalancer.arn,
				port: 80,
				protocol: "HTTP",
				defaultActions: [{ type: "redirect", redirect: { protocol: "HTTPS", port: "443", statusCode: "HTTP_301" } }],
			},
			{ parent: this },
		);
	}
}
