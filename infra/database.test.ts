import * as pulumi from "@pulumi/pulumi";
import { describe, expect, it } from "vitest";
import { isSecretMark, type ResourceRecord, type StackRecord } from "../core/record.ts";
import { record } from "../preview/record.ts";
import { Database, type DatabaseArgs } from "./database.ts";

const CANARY = "canary1234canary1234";

const args: Omit<DatabaseArgs, "adminPassword"> = {
	prefix: "agentic-flow-test",
	accountId: "111122223333",
	engineMajor: "17",
	instanceClass: "db.r7g.xlarge",
	storageGib: 200,
	maxStorageGib: 1000,
	multiAz: true,
	replicas: 2,
	backupRetentionDays: 14,
	backupWindow: "02:00-03:00",
	maintenanceWindow: "sun:03:30-sun:04:30",
	applyImmediately: false,
	deletionProtection: true,
	vpcId: "vpc-1",
	subnetIds: ["subnet-1", "subnet-2"],
	clientSecurityGroupIds: { nodes: "sg-nodes" },
	keyArn: "arn:data-key",
	adminUsername: "flow_admin",
	databaseName: "agentic_flow",
	monitoringIntervalSeconds: 60,
	insightsMode: "standard",
	logsKeyArn: "arn:logs-key",
	logRetentionDays: 365,
	protect: true,
};

const stackOf = (changes: Partial<DatabaseArgs> = {}): Promise<StackRecord> =>
	record({ project: "agentic-flow", stack: "test" }, async () => {
		new Database("database", { ...args, adminPassword: pulumi.secret(CANARY), ...changes }, {});
		return {};
	});

const all = ({ resources }: StackRecord, type: string) => resources.filter((one) => one.type.endsWith(`:${type}`));

/** The primary, then the replicas. */
function instancesOf(stack: StackRecord): [ResourceRecord, ...ResourceRecord[]] {
	const [primary, ...replicas] = all(stack, "Instance");
	if (!primary) throw new Error("there is no instance");
	return [primary, ...replicas];
}

describe("every instance", () => {
	it("is private, encrypted, watched and logged, replicas like the primary", async () => {
		const instances = instancesOf(await stackOf());
		expect(instances.map(({ name }) => name)).toEqual(["database-primary", "database-replica-1", "database-replica-2"]);
		for (const { inputs } of instances) {
			expect(inputs).toMatchObject({
				publiclyAccessible: false,
				storageEncrypted: true,
				storageType: "gp3",
				maxAllocatedStorage: 1000,
				caCertIdentifier: "rds-ca-rsa2048-g1",
				iamDatabaseAuthenticationEnabled: true,
				autoMinorVersionUpgrade: true,
				copyTagsToSnapshot: true,
				monitoringInterval: 60,
				databaseInsightsMode: "standard",
				performanceInsightsEnabled: true,
				performanceInsightsKmsKeyId: "arn:data-key",
				performanceInsightsRetentionPeriod: 7,
				enabledCloudwatchLogsExports: ["postgresql", "upgrade"],
			});
			expect(inputs.monitoringRoleArn).toBeDefined();
		}
	});

	it("has the parameter group that refuses plain connections", async () => {
		const stack = await stackOf();
		const [group, ...more] = all(stack, "ParameterGroup");
		expect(more).toEqual([]);
		expect(group?.inputs.parameters).toContainEqual({ name: "rds.force_ssl", value: "1", applyMethod: "pending-reboot" });
		for (const { propertyDependencies } of instancesOf(stack)) expect(propertyDependencies.parameterGroupName).toEqual([group?.urn]);
	});

	it("finds its log groups there, encrypted and with an end", async () => {
		const stack = await stackOf({ replicas: 1 });
		const groups = all(stack, "LogGroup");
		expect(groups.map(({ inputs }) => inputs.name)).toEqual([
			"/aws/rds/instance/agentic-flow-test-postgres/postgresql",
			"/aws/rds/instance/agentic-flow-test-postgres/upgrade",
			"/aws/rds/instance/agentic-flow-test-postgres-replica-1/postgresql",
			"/aws/rds/instance/agentic-flow-test-postgres-replica-1/upgrade",
		]);
		for (const { inputs } of groups) expect(inputs).toMatchObject({ retentionInDays: 365, kmsKeyId: "arn:logs-key" });
		for (const { dependencies, inputs } of instancesOf(stack)) {
			const own = groups.filter((group) => String(group.inputs.name).startsWith(`/aws/rds/instance/${inputs.identifier}/`));
			expect(own).toHaveLength(2);
			expect(dependencies).toEqual(expect.arrayContaining(own.map(({ urn }) => urn)));
		}
	});

	it("waits until its monitoring role may write", async () => {
		const stack = await stackOf();
		const [policy] = all(stack, "RolePolicyAttachment");
		for (const { propertyDependencies } of instancesOf(stack)) expect(propertyDependencies.monitoringRoleArn).toContain(policy?.urn);
	});

	it("keeps insights for as long as the mode says", async () => {
		for (const { inputs } of instancesOf(await stackOf({ insightsMode: "advanced" }))) {
			expect(inputs).toMatchObject({ databaseInsightsMode: "advanced", performanceInsightsRetentionPeriod: 465 });
		}
	});
});

describe("the primary", () => {
	it("stands by in another zone, is backed up and hard to delete", async () => {
		const [primary] = instancesOf(await stackOf());
		expect(primary.inputs).toMatchObject({
			identifier: "agentic-flow-test-postgres",
			engine: "postgres",
			engineVersion: "17",
			engineLifecycleSupport: "open-source-rds-extended-support-disabled",
			kmsKeyId: "arn:data-key",
			username: "flow_admin",
			dbName: "agentic_flow",
			multiAz: true,
			backupRetentionPeriod: 14,
			deletionProtection: true,
			deleteAutomatedBackups: false,
			skipFinalSnapshot: false,
			finalSnapshotIdentifier: "agentic-flow-test-postgres-final",
		});
		expect(primary.protect).toBe(true);
	});

	it("goes without a snapshot where nothing is protected", async () => {
		const [primary] = instancesOf(await stackOf({ protect: false, deletionProtection: false }));
		expect(primary.protect).toBe(false);
		expect(primary.inputs).toMatchObject({ skipFinalSnapshot: true, deleteAutomatedBackups: true, deletionProtection: false });
	});

	it("gets its password as a secret, which is seen nowhere", async () => {
		const stack = await stackOf();
		expect(isSecretMark(instancesOf(stack)[0].inputs.password)).toBe(true);
		expect(JSON.stringify(stack)).not.toContain("canary1234");
	});

	it("is not managed by RDS's own password or blue/green updates, which replicas exclude", async () => {
		for (const { inputs } of instancesOf(await stackOf())) {
			expect(inputs).not.toHaveProperty("manageMasterUserPassword");
			expect(inputs).not.toHaveProperty("blueGreenUpdate");
		}
	});
});

describe("a replica", () => {
	it("follows the primary by its identifier and takes users, databases, subnets and key from it", async () => {
		const [primary, ...replicas] = instancesOf(await stackOf());
		expect(replicas.map(({ inputs }) => inputs.identifier)).toEqual([
			"agentic-flow-test-postgres-replica-1",
			"agentic-flow-test-postgres-replica-2",
		]);
		for (const { inputs, propertyDependencies } of replicas) {
			expect(inputs.replicateSourceDb).toBe("agentic-flow-test-postgres");
			expect(propertyDependencies.replicateSourceDb).toEqual([primary.urn]);
			for (const inherited of [
				"username",
				"password",
				"dbName",
				"dbSubnetGroupName",
				"kmsKeyId",
				"engine",
				"engineVersion",
				"engineLifecycleSupport",
			]) {
				expect(inputs).not.toHaveProperty(inherited);
			}
		}
	});

	it("asks for no final snapshot, which AWS would refuse", async () => {
		const [, ...replicas] = instancesOf(await stackOf());
		for (const { inputs, protect } of replicas) {
			expect(inputs).toMatchObject({ skipFinalSnapshot: true, deletionProtection: false, backupRetentionPeriod: 0 });
			expect(inputs).not.toHaveProperty("finalSnapshotIdentifier");
			expect(protect).toBe(false);
		}
	});

	it("is left out where none is wanted", async () => {
		expect(instancesOf(await stackOf({ replicas: 0 }))).toHaveLength(1);
	});
});

describe("the rest", () => {
	it("has one parameter group a family, which outlives a protected stack", async () => {
		for (const engineMajor of ["16", "17", "18"] as const) {
			const [group] = all(await stackOf({ engineMajor }), "ParameterGroup");
			expect(group?.name).toBe(`database-parameters-${engineMajor}`);
			expect(group?.inputs).toMatchObject({
				family: `postgres${engineMajor}`,
				namePrefix: `agentic-flow-test-postgres-${engineMajor}-`,
				skipDestroy: true,
			});
			expect(group?.inputs).not.toHaveProperty("name");
		}
	});

	it("is reached through security groups, never by address, and opens no connections", async () => {
		const stack = await stackOf();
		const rules = all(stack, "SecurityGroupIngressRule");
		expect(rules.map(({ inputs }) => [inputs.referencedSecurityGroupId, inputs.fromPort, inputs.toPort])).toEqual([
			["sg-nodes", 5432, 5432],
		]);
		for (const { inputs } of rules) expect(inputs).not.toHaveProperty("cidrIpv4");
		expect(all(stack, "SecurityGroupEgressRule")).toEqual([]);
	});

	it("tells where the primary and the replicas are", async () => {
		const found: unknown[] = [];
		await record({ project: "agentic-flow", stack: "test" }, async () => {
			const { primary, replicas, databaseName } = new Database("database", { ...args, adminPassword: pulumi.secret(CANARY) }, {});
			found.push(primary.port, ...replicas.map(({ port }) => port), databaseName);
			return {};
		});
		expect(found).toEqual([5432, 5432, 5432, "agentic_flow"]);
	});
});
