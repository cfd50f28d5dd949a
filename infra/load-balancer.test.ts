import { describe, expect, it } from "vitest";
import type { RecordedValue, ResourceRecord, StackRecord } from "../core/record.ts";
import { UNKNOWN } from "../core/record.ts";
import { record } from "../preview/record.ts";
import { LoadBalancer, type LoadBalancerArgs, type LoadBalancerScheme } from "./load-balancer.ts";

const domain: LoadBalancerScheme = {
	kind: "domain",
	domainName: "flow.example.com",
	alternativeNames: ["www.flow.example.com"],
	hostedZoneId: "Z123",
	webAclRateLimit: 300_000,
};
const internal: LoadBalancerScheme = { kind: "internal", vpcCidr: "10.40.0.0/16" };
const cidrLimited: LoadBalancerScheme = { kind: "cidrLimited", cidrs: ["192.0.2.0/24", "198.51.100.7/32"] };

const args: Omit<LoadBalancerArgs, "scheme"> = {
	prefix: "agentic-flow-test",
	accountId: "111122223333",
	vpcId: "vpc-1",
	publicSubnetIds: ["public-1", "public-2", "public-3"],
	privateSubnetIds: ["private-1", "private-2", "private-3"],
	autoScalingGroups: [
		{ name: "system-a", autoScalingGroupName: "asg-a" },
		{ name: "system-b", autoScalingGroupName: "asg-b" },
	],
	nodeSecurityGroupId: "sg-nodes",
	nodePort: 30_080,
	healthCheck: { path: "/haproxy-health", intervalSeconds: 5, timeoutSeconds: 3, healthyThreshold: 2, unhealthyThreshold: 3 },
	idleTimeoutSeconds: 120,
	clientKeepAliveSeconds: 3600,
	deregistrationDelaySeconds: 30,
	deletionProtection: true,
	accessLogs: { retentionDays: 90, protect: true },
};

const stackOf = (scheme: LoadBalancerScheme): Promise<StackRecord> =>
	record({ project: "agentic-flow", stack: "test" }, async () => {
		const { url, origin = null } = new LoadBalancer("edge", { ...args, scheme }, {});
		return { url, origin };
	});

const all = ({ resources }: StackRecord, type: string) => resources.filter((one) => one.type.endsWith(`:${type}`) && one.custom);

function only(stack: StackRecord, type: string): ResourceRecord {
	const [found, ...more] = all(stack, type);
	if (!found || more.length > 0) throw new Error(`not one resource of type ${type}`);
	return found;
}

const listenersOf = (stack: StackRecord) =>
	Object.fromEntries(all(stack, "Listener").map(({ inputs }) => [inputs.port, inputs])) as Record<number, Record<string, RecordedValue>>;

/** What the listener on a port does with a request. */
function actionOf(stack: StackRecord, port: number): Record<string, RecordedValue> | undefined {
	const actions = listenersOf(stack)[port]?.defaultActions as Record<string, RecordedValue>[] | undefined;
	return actions?.[0];
}

const schemes: [string, LoadBalancerScheme][] = [
	["with a domain", domain],
	["internal", internal],
	["limited to addresses", cidrLimited],
];

describe.each(schemes)("a load balancer %s", (_which, scheme) => {
	it("drops bad headers, resists desync, logs and is hard to delete", async () => {
		expect(only(await stackOf(scheme), "LoadBalancer").inputs).toMatchObject({
			loadBalancerType: "application",
			dropInvalidHeaderFields: true,
			desyncMitigationMode: "defensive",
			xffHeaderProcessingMode: "append",
			idleTimeout: 120,
			clientKeepAlive: 3600,
			enableDeletionProtection: true,
			accessLogs: { enabled: true, bucket: "agentic-flow-test-alb-logs-111122223333" },
		});
	});

	it("waits for the policy that lets it log", async () => {
		const stack = await stackOf(scheme);
		expect(only(stack, "LoadBalancer").dependencies).toContain(only(stack, "BucketPolicy").urn);
	});

	it("has targets that can be replaced, checked where traffic arrives", async () => {
		const { inputs } = only(await stackOf(scheme), "TargetGroup");
		expect(inputs).not.toHaveProperty("name");
		expect(String(inputs.namePrefix).length).toBeLessThanOrEqual(6);
		expect(inputs).toMatchObject({
			targetType: "instance",
			protocol: "HTTP",
			port: 30_080,
			deregistrationDelay: 30,
			healthCheck: {
				protocol: "HTTP",
				port: "traffic-port",
				path: "/haproxy-health",
				interval: 5,
				timeout: 3,
				healthyThreshold: 2,
				unhealthyThreshold: 3,
			},
		});
	});

	it("sends to the given nodes and to no others", async () => {
		expect(all(await stackOf(scheme), "Attachment").map(({ name, inputs }) => [name, inputs.autoscalingGroupName])).toEqual([
			["edge-nodes-system-a", "asg-a"],
			["edge-nodes-system-b", "asg-b"],
		]);
	});

	it("reaches the nodes on one port, and they are reached from it alone", async () => {
		const stack = await stackOf(scheme);
		const group = only(stack, "SecurityGroup");
		const [egress, ...more] = all(stack, "SecurityGroupEgressRule");
		expect(more).toEqual([]);
		expect(egress?.inputs).toMatchObject({ referencedSecurityGroupId: "sg-nodes", ipProtocol: "tcp", fromPort: 30_080, toPort: 30_080 });
		const intoNodes = all(stack, "SecurityGroupIngressRule").filter(({ inputs }) => inputs.securityGroupId === "sg-nodes");
		expect(intoNodes).toHaveLength(1);
		expect(intoNodes[0]?.inputs).toMatchObject({ ipProtocol: "tcp", fromPort: 30_080, toPort: 30_080 });
		expect(intoNodes[0]?.propertyDependencies.referencedSecurityGroupId).toEqual([group.urn]);
	});
});

/** `<cidr>:<port>` of everything that may connect to the listeners. */
async function callersOf(scheme: LoadBalancerScheme): Promise<string[]> {
	const rules = all(await stackOf(scheme), "SecurityGroupIngressRule").filter(({ inputs }) => "cidrIpv4" in inputs);
	return rules.map(({ inputs }) => `${inputs.cidrIpv4}:${inputs.fromPort}-${inputs.toPort}`).sort();
}

describe("with a domain", () => {
	it("is on the internet, on 80 and 443 only", async () => {
		expect(only(await stackOf(domain), "LoadBalancer").inputs).toMatchObject({
			internal: false,
			subnets: ["public-1", "public-2", "public-3"],
		});
		expect(await callersOf(domain)).toEqual(["0.0.0.0/0:443-443", "0.0.0.0/0:80-80"]);
	});

	it("serves HTTPS with a certificate that is valid by then", async () => {
		const stack = await stackOf(domain);
		const https = all(stack, "Listener").find(({ inputs }) => inputs.port === 443);
		expect(https?.inputs).toMatchObject({ protocol: "HTTPS", sslPolicy: "ELBSecurityPolicy-TLS13-1-2-2021-06" });
		expect(actionOf(stack, 443)).toMatchObject({ type: "forward" });
		expect(https?.propertyDependencies.certificateArn).toEqual([only(stack, "CertificateValidation").urn]);
	});

	it("redirects HTTP and serves nothing over it", async () => {
		expect(actionOf(await stackOf(domain), 80)).toEqual({
			type: "redirect",
			redirect: { protocol: "HTTPS", port: "443", statusCode: "HTTP_301" },
		});
	});

	it("has every name on the certificate, proven and pointing at it", async () => {
		const stack = await stackOf(domain);
		expect(only(stack, "Certificate").inputs).toEqual({
			domainName: "flow.example.com",
			subjectAlternativeNames: ["www.flow.example.com"],
			validationMethod: "DNS",
		});
		const records = all(stack, "Record");
		const proofs = records.filter(({ name }) => name.includes("-proof-"));
		expect(proofs.map(({ name, inputs }) => [name, inputs.name, inputs.zoneId])).toEqual([
			["edge-domain-tls-proof-flow.example.com", UNKNOWN, "Z123"],
			["edge-domain-tls-proof-www.flow.example.com", UNKNOWN, "Z123"],
		]);
		expect(only(stack, "CertificateValidation").propertyDependencies.validationRecordFqdns).toEqual(proofs.map(({ urn }) => urn));
		const aliases = records.filter(({ inputs }) => "aliases" in inputs);
		expect(aliases.map(({ inputs }) => [inputs.name, inputs.type, inputs.zoneId])).toEqual([
			["flow.example.com", "A", "Z123"],
			["www.flow.example.com", "A", "Z123"],
		]);
	});

	it("has a web ACL with a rate limit and AWS's rules", async () => {
		const stack = await stackOf(domain);
		const acl = only(stack, "WebAcl");
		const rules = acl.inputs.rules as {
			name: string;
			action?: object;
			overrideAction?: object;
			statement: Record<string, Record<string, unknown>>;
		}[];
		expect(rules.map(({ name }) => name)).toEqual(["rate-limit", "AWSManagedRulesKnownBadInputsRuleSet", "AWSManagedRulesCommonRuleSet"]);
		expect(rules[0]).toMatchObject({
			action: { block: {} },
			statement: { rateBasedStatement: { aggregateKeyType: "IP", evaluationWindowSec: 300, limit: 300_000 } },
		});
		expect(rules[2]?.overrideAction).toEqual({ none: {} });
		const association = only(stack, "WebAclAssociation");
		expect(association.propertyDependencies.webAclArn).toEqual([acl.urn]);
		expect(association.propertyDependencies.resourceArn).toEqual([only(stack, "LoadBalancer").urn]);
	});

	it("lets large bodies pass the web ACL", async () => {
		const rules = only(await stackOf(domain), "WebAcl").inputs.rules as {
			name: string;
			statement: { managedRuleGroupStatement: object };
		}[];
		expect(rules.find(({ name }) => name === "AWSManagedRulesCommonRuleSet")?.statement.managedRuleGroupStatement).toMatchObject({
			ruleActionOverrides: expect.arrayContaining([{ name: "SizeRestrictions_BODY", actionToUse: { count: {} } }]),
		});
	});

	it("knows its address beforehand", async () => {
		const { outputs } = await stackOf(domain);
		expect([outputs.url, outputs.origin]).toEqual(["https://flow.example.com", "https://flow.example.com"]);
	});
});

describe("without a domain", () => {
	it("is internal, for the VPC alone", async () => {
		expect(only(await stackOf(internal), "LoadBalancer").inputs).toMatchObject({
			internal: true,
			subnets: ["private-1", "private-2", "private-3"],
		});
		expect(await callersOf(internal)).toEqual(["10.40.0.0/16:80-80"]);
	});

	it("is on the internet for the given addresses alone", async () => {
		expect(only(await stackOf(cidrLimited), "LoadBalancer").inputs).toMatchObject({ internal: false });
		expect(await callersOf(cidrLimited)).toEqual(["192.0.2.0/24:80-80", "198.51.100.7/32:80-80"]);
	});

	it.each([internal, cidrLimited])("serves HTTP, with no certificate, web ACL or name of its own ($kind)", async (scheme) => {
		const stack = await stackOf(scheme);
		expect(Object.keys(listenersOf(stack))).toEqual(["80"]);
		expect(actionOf(stack, 80)).toMatchObject({ type: "forward" });
		for (const type of ["Certificate", "WebAcl", "Record"]) expect(all(stack, type)).toEqual([]);
		expect([stack.outputs.origin, stack.outputs.url]).toEqual([null, UNKNOWN]);
	});

	it("takes another AWS name when it moves to the internet, which means another load balancer", async () => {
		const nameOf = async (scheme: LoadBalancerScheme) => String(only(await stackOf(scheme), "LoadBalancer").inputs.name);
		expect(await nameOf(internal)).not.toBe(await nameOf(cidrLimited));
		expect(await nameOf(domain)).toBe(await nameOf(cidrLimited));
		expect((await nameOf(domain)).length).toBeLessThanOrEqual(32);
	});
});
