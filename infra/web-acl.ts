import type * as inputs from "@pulumi/aws/types/input.js";
import { WebAcl } from "@pulumi/aws/wafv2/webAcl.js";
import { WebAclAssociation } from "@pulumi/aws/wafv2/webAclAssociation.js";
import * as pulumi from "@pulumi/pulumi";
import { nameOf } from "../core/names.ts";

/**
 * Rules of AWS's common set that would refuse honest requests, so they only count. Bodies here are code, prompts and
 * memories of up to 10 MB, and the set blocks anything above 8 KB or with markup, paths or addresses in it; and Node's
 * WebSocket clients send no User-Agent. https://docs.aws.amazon.com/waf/latest/developerguide/aws-managed-rule-groups-baseline.html
 */
const COUNTED_RULES = [
	"SizeRestrictions_BODY",
	"CrossSiteScripting_BODY",
	"GenericLFI_BODY",
	"GenericRFI_BODY",
	"EC2MetaDataSSRF_BODY",
	"NoUserAgent_HEADER",
];

export interface RequestFilterArgs {
	/** First part of every name, e.g. `agentic-flow-dev`. */
	readonly prefix: string;
	/** Requests from one address in five minutes before it is blocked. */
	readonly rateLimit: number;
	/** ARN of the load balancer to stand before. */
	readonly resourceArn: pulumi.Input<string>;
}

/** A web ACL before a load balancer: a rate limit for each address, and AWS's rules against known attacks. */
export class RequestFilter extends pulumi.ComponentResource {
	readonly webAclArn: pulumi.Output<string>;

	constructor(name: string, args: RequestFilterArgs, opts: pulumi.ComponentResourceOptions) {
		super("agentic-flow:infra:RequestFilter", name, {}, opts);
		const aclName = nameOf([args.prefix]);
		const acl = new WebAcl(
			`${name}-acl`,
			{
				name: aclName,
				scope: "REGIONAL",
				defaultAction: { allow: {} },
				rules: [
					{
						name: "rate-limit",
						priority: 0,
						action: { block: {} },
						statement: { rateBasedStatement: { aggregateKeyType: "IP", evaluationWindowSec: 300, limit: args.rateLimit } },
						visibilityConfig: visibility(`${aclName}-rate-limit`),
					},
					managedRules(aclName, 1, "AWSManagedRulesKnownBadInputsRuleSet", []),
					managedRules(aclName, 2, "AWSManagedRulesCommonRuleSet", COUNTED_RULES),
				],
				visibilityConfig: visibility(aclName),
			},
			{ parent: this },
		);
		new WebAclAssociation(`${name}-association`, { resourceArn: args.resourceArn, webAclArn: acl.arn }, { parent: this });
		this.webAclArn = acl.arn;
		this.registerOutputs({ webAclArn: this.webAclArn });
	}
}

function managedRules(aclName: string, priority: number, group: string, counted: readonly string[]): inputs.wafv2.WebAclRule {
	return {
		name: group,
		priority,
		overrideAction: { none: {} },
		statement: {
			managedRuleGroupStatement: {
				vendorName: "AWS",
				name: group,
				ruleActionOverrides: counted.map((name) => ({ name, actionToUse: { count: {} } })),
			},
		},
		visibilityConfig: visibility(`${aclName}-${group}`),
	};
}

function visibility(metricName: string): inputs.wafv2.WebAclVisibilityConfig {
	return { cloudwatchMetricsEnabled: true, metricName, sampledRequestsEnabled: true };
}
