import * as pulumi from "@pulumi/pulumi";
import { describe, expect, it } from "vitest";
import { isSecretMark, type ResourceRecord, type StackRecord } from "../core/record.ts";
import { record } from "../preview/record.ts";
import { Cache, type CacheArgs } from "./cache.ts";

const CANARY = "canary1234canary1234";

const args: Omit<CacheArgs, "users"> = {
	prefix: "agentic-flow-test",
	role: "state",
	engine: "redis",
	engineVersion: "7.1",
	nodeType: "cache.r7g.large",
	replicas: 1,
	maxmemoryPolicy: "noeviction",
	snapshotRetentionDays: 7,
	snapshotWindow: "02:00-03:00",
	maintenanceWindow: "sun:03:30-sun:04:30",
	autoMinorVersionUpgrade: true,
	applyImmediately: false,
	vpcId: "vpc-1",
	subnetIds: ["subnet-1", "subnet-2"],
	clientSecurityGroupIds: { nodes: "sg-nodes", bastion: "sg-bastion" },
	keyArn: "arn:data-key",
	logsKeyArn: "arn:logs-key",
	logRetentionDays: 365,
	protect: true,
};

const stackOf = (changes: Partial<CacheArgs> = {}): Promise<StackRecord> =>
	record({ project: "agentic-flow", stack: "test" }, async () => {
		const users = [
			{ name: "app", accessString: "on ~af:* -@all +@read", passwords: [pulumi.secret(CANARY), pulumi.secret(`${CANARY}-previous`)] },
			{ name: "terminals", accessString: "on ~af:term:* -@all +@read", passwords: [pulumi.secret(CANARY)] },
		];
		new Cache("state", { ...args, users, ...changes }, {});
		return {};
	});

const all = ({ resources }: StackRecord, type: string) => resources.filter((one) => one.type.endsWith(`:${type}`));

function only(stack: StackRecord, type: string): ResourceRecord {
	const [found, ...more] = all(stack, type);
	if (!found || more.length > 0) throw new Error(`not one resource of type ${type}`);
	return found;
}

describe("Cache", () => {
	it("takes TLS alone and encrypts what it stores with the given key", async () => {
		expect(only(await stackOf(), "ReplicationGroup").inputs).toMatchObject({
			transitEncryptionEnabled: true,
			transitEncryptionMode: "required",
			atRestEncryptionEnabled: true,
			kmsKeyId: "arn:data-key",
		});
	});

	it("fails over to another zone when it has replicas", async () => {
		expect(only(await stackOf({ replicas: 2 }), "ReplicationGroup").inputs).toMatchObject({
			numCacheClusters: 3,
			automaticFailoverEnabled: true,
			multiAzEnabled: true,
		});
	});

	it("asks for no failover without replicas, which AWS would refuse", async () => {
		expect(only(await stackOf({ replicas: 0 }), "ReplicationGroup").inputs).toMatchObject({
			numCacheClusters: 1,
			automaticFailoverEnabled: false,
			multiAzEnabled: false,
		});
	});

	it("leaves a snapshot behind where it holds state that is protected", async () => {
		const last = async (changes: Partial<CacheArgs>) => only(await stackOf(changes), "ReplicationGroup").inputs.finalSnapshotIdentifier;
		expect(await last({})).toBe("agentic-flow-test-state-final");
		expect(await last({ protect: false })).toBeUndefined();
		expect(await last({ role: "cache" })).toBeUndefined();
	});

	it("is protected as told, with daily snapshots", async () => {
		const group = only(await stackOf(), "ReplicationGroup");
		expect(group.protect).toBe(true);
		expect(group.inputs).toMatchObject({ snapshotRetentionLimit: 7, autoMinorVersionUpgrade: true });
		expect(only(await stackOf({ protect: false }), "ReplicationGroup").protect).toBe(false);
	});

	it.each([
		["redis", "7.1", "redis7"],
		["valkey", "7.2", "valkey7"],
		["valkey", "8.1", "valkey8"],
	] as const)("%s %s has a parameter group of its own, named by its family %s", async (engine, engineVersion, family) => {
		const stack = await stackOf({ engine, engineVersion });
		expect(only(stack, "ParameterGroup").inputs).toMatchObject({
			name: `agentic-flow-test-state-${family}`,
			family,
			parameters: [{ name: "maxmemory-policy", value: "noeviction" }],
		});
		expect(only(stack, "ReplicationGroup").inputs.parameterGroupName).toBe(`agentic-flow-test-state-${family}`);
	});

	it("is reached through security groups, never by address", async () => {
		const rules = all(await stackOf(), "SecurityGroupIngressRule");
		expect(rules.map(({ name, inputs }) => [name, inputs.referencedSecurityGroupId, inputs.fromPort, inputs.toPort])).toEqual([
			["state-access-from-bastion", "sg-bastion", 6379, 6379],
			["state-access-from-nodes", "sg-nodes", 6379, 6379],
		]);
		for (const { inputs } of rules) expect(inputs).not.toHaveProperty("cidrIpv4");
	});

	it("opens no connections", async () => {
		const stack = await stackOf();
		expect(all(stack, "SecurityGroupEgressRule")).toEqual([]);
		expect(only(stack, "SecurityGroup").inputs).not.toHaveProperty("egress");
	});

	it("writes its slow log to an encrypted group that forgets", async () => {
		const stack = await stackOf();
		const log = only(stack, "LogGroup");
		expect(log.inputs).toEqual({
			name: "/aws/elasticache/agentic-flow-test-state/slow-log",
			retentionInDays: 365,
			kmsKeyId: "arn:logs-key",
		});
		expect(only(stack, "ReplicationGroup").dependencies).toContain(log.urn);
	});
});

describe("its users", () => {
	it("are the ones given and a default that is off", async () => {
		expect(all(await stackOf(), "User").map(({ inputs }) => [inputs.userId, inputs.userName, inputs.accessString])).toEqual([
			["agentic-flow-test-state-default", "default", "off -@all"],
			["agentic-flow-test-state-app", "app", "on ~af:* -@all +@read"],
			["agentic-flow-test-state-terminals", "terminals", "on ~af:term:* -@all +@read"],
		]);
	});

	it("all have a password, and no password is seen anywhere", async () => {
		const stack = await stackOf();
		for (const { inputs } of all(stack, "User")) {
			const { passwords } = inputs;
			expect(isSecretMark(passwords) || (Array.isArray(passwords) && passwords.length > 0 && passwords.every(isSecretMark))).toBe(true);
		}
		expect(JSON.stringify(stack)).not.toContain("canary1234");
	});

	it("are of engine redis under Valkey too, so that an upgrade leaves them alone", async () => {
		const stack = await stackOf({ engine: "valkey", engineVersion: "8.0" });
		expect([...all(stack, "User"), ...all(stack, "UserGroup")].map(({ inputs }) => inputs.engine)).toEqual([
			"redis",
			"redis",
			"redis",
			"redis",
		]);
	});

	it("are the group's, and the group is the cache's", async () => {
		const stack = await stackOf();
		const group = only(stack, "UserGroup");
		expect(group.inputs.userIds).toHaveLength(3);
		expect(only(stack, "ReplicationGroup").propertyDependencies.userGroupIds).toContain(group.urn);
	});
});
