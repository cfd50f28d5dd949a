import { LogGroup } from "@pulumi/aws/cloudwatch/logGroup.js";
import { Instance, type InstanceArgs } from "@pulumi/aws/rds/instance.js";
import { ParameterGroup } from "@pulumi/aws/rds/parameterGroup.js";
import { SubnetGroup } from "@pulumi/aws/rds/subnetGroup.js";
import * as pulumi from "@pulumi/pulumi";
import type { Endpoint } from "../core/endpoint.ts";
import { nameOf } from "../core/names.ts";
import { ClientAccess } from "./client-access.ts";
import type { DatabaseClass } from "./database-classes.ts";
import { DatabaseMonitoring } from "./database-monitoring.ts";

const PORT = 5432;

/** Logs that PostgreSQL writes and RDS can send to CloudWatch. */
const LOGS = ["postgresql", "upgrade"] as const;

/** Days of Performance Insights that each mode of Database Insights comes with. https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_DatabaseInsights.html */
const INSIGHTS_DAYS = { standard: 7, advanced: 465 } as const;

/** Milliseconds from which a statement is logged. */
const SLOW_STATEMENT_MS = 1000;

export interface DatabaseArgs {
	/** First part of every name, e.g. `agentic-flow-dev`. */
	readonly prefix: string;
	/** AWS account, twelve digits. */
	readonly accountId: string;
	/** PostgreSQL major version. Minor ones follow by themselves. */
	readonly engineMajor: "16" | "17" | "18";
	/** Of the primary and of every replica. */
	readonly instanceClass: DatabaseClass;
	/** Storage at first, GiB. */
	readonly storageGib: number;
	/** How far storage may grow by itself, GiB: at least a tenth more. */
	readonly maxStorageGib: number;
	/** Whether a synchronous standby in another zone takes over when the primary fails. */
	readonly multiAz: boolean;
	/** Read replicas. */
	readonly replicas: number;
	/** Days back to which the database can be restored, 0 to 35. Replicas need at least 1. */
	readonly backupRetentionDays: number;
	/** When the daily backup begins, UTC: `hh:mm-hh:mm`, clear of the maintenance window. */
	readonly backupWindow: string;
	/** When AWS may maintain it, UTC: `ddd:hh:mm-ddd:hh:mm`. */
	readonly maintenanceWindow: string;
	/** Whether changes are made at once, not in the next maintenance window. */
	readonly applyImmediately: boolean;
	/** AWS refuses to delete the primary while this is on. */
	readonly deletionProtection: boolean;
	readonly vpcId: pulumi.Input<string>;
	/** Subnets without a way to or from the internet, in two zones or more. */
	readonly subnetIds: pulumi.Input<pulumi.Input<string>[]>;
	/** Security groups that may connect, each by a name that stays. */
	readonly clientSecurityGroupIds: Readonly<Record<string, pulumi.Input<string>>>;
	/** ARN of the KMS key for storage, snapshots and insights. */
	readonly keyArn: pulumi.Input<string>;
	/** The master user: neither `postgres` nor `admin`, which everybody tries first. */
	readonly adminUsername: string;
	/** A secret. RDS cannot manage it itself: that excludes read replicas. */
	readonly adminPassword: pulumi.Input<string>;
	readonly databaseName: string;
	/** Seconds between samples of the operating system: 1, 5, 10, 15, 30 or 60. */
	readonly monitoringIntervalSeconds: 1 | 5 | 10 | 15 | 30 | 60;
	/** Mode of Database Insights. `advanced` is paid, and keeps 15 months instead of 7 days. */
	readonly insightsMode: keyof typeof INSIGHTS_DAYS;
	/** ARN of the KMS key for the logs. */
	readonly logsKeyArn: pulumi.Input<string>;
	/** Days that logs are kept: a number CloudWatch knows. */
	readonly logRetentionDays: number;
	/** Refuse to delete the primary; deleted all the same, it leaves a snapshot and its backups. */
	readonly protect: boolean;
}

/** RDS for PostgreSQL: a primary and read replicas, TLS only, encrypted, reachable from the given security groups alone. */
export class Database extends pulumi.ComponentResource {
	/** Follows the primary through a failover to its standby. */
	readonly primary: Endpoint<pulumi.Output<string>>;
	readonly replicas: readonly Endpoint<pulumi.Output<string>>[];
	readonly databaseName: string;

	constructor(name: string, args: DatabaseArgs, opts: pulumi.ComponentResourceOptions) {
		super("agentic-flow:infra:Database", name, {}, opts);
		const subnetGroup = new SubnetGroup(`${name}-subnets`, { name: idOf(args), subnetIds: args.subnetIds }, { parent: this });
		const access = new ClientAccess(
			`${name}-access`,
			{
				groupName: idOf(args),
				service: "PostgreSQL",
				port: PORT,
				vpcId: args.vpcId,
				clientSecurityGroupIds: args.clientSecurityGroupIds,
			},
			{ parent: this },
		);
		const monitoring = new DatabaseMonitoring(`${name}-monitoring`, args, { parent: this });
		const common = commonSettings(args, this.createParameterGroup(name, args), access, monitoring);
		const primary = this.createPrimary(name, args, common, subnetGroup);
		const replicas = Array.from({ length: args.replicas }, (_, index) => this.createReplica(name, args, common, primary, index + 1));

		this.primary = { host: primary.address, port: PORT };
		this.replicas = replicas.map(({ address }) => ({ host: address, port: PORT }));
		this.databaseName = args.databaseName;
		this.registerOutputs({ primary: this.primary, replicas: this.replicas });
	}

	/**
	 * One a family, and never deleted: after a major upgrade RDS still holds on to the old one. As it outlives the
	 * stack, a stack made again needs another name, hence only a prefix.
	 * Statements are not logged by kind (`log_statement`): those that set passwords would be among them.
	 */
	private createParameterGroup(name: string, args: DatabaseArgs): ParameterGroup {
		return new ParameterGroup(
			`${name}-parameters-${args.engineMajor}`,
			{
				namePrefix: `${nameOf([args.prefix, "postgres", args.engineMajor])}-`,
				family: `postgres${args.engineMajor}`,
				parameters: [
					{ name: "log_min_duration_statement", value: `${SLOW_STATEMENT_MS}`, applyMethod: "immediate" },
					{ name: "rds.force_ssl", value: "1", applyMethod: "pending-reboot" },
				],
				skipDestroy: args.protect,
			},
			{ parent: this },
		);
	}

	private createPrimary(name: string, args: DatabaseArgs, common: InstanceArgs, subnetGroup: SubnetGroup): Instance {
		const identifier = idOf(args);
		const logs = this.createLogGroups(`${name}-primary`, args, identifier);
		return new Instance(
			`${name}-primary`,
			{
				...common,
				identifier,
				engine: "postgres",
				engineVersion: args.engineMajor,
				// The settings decide on a major version; RDS wants to hear that this one is meant.
				allowMajorVersionUpgrade: true,
				engineLifecycleSupport: "open-source-rds-extended-support-disabled",
				allocatedStorage: args.storageGib,
				kmsKeyId: args.keyArn,
				dbName: args.databaseName,
				username: args.adminUsername,
				password: args.adminPassword,
				dbSubnetGroupName: subnetGroup.name,
				multiAz: args.multiAz,
				backupRetentionPeriod: args.backupRetentionDays,
				backupWindow: args.backupWindow,
				deletionProtection: args.deletionProtection,
				deleteAutomatedBackups: !args.protect,
				skipFinalSnapshot: !args.protect,
				finalSnapshotIdentifier: `${identifier}-final`,
			},
			{ parent: this, protect: args.protect, dependsOn: logs },
		);
	}

	/**
	 * A replica takes engine, key, subnets, users and databases from its source, and AWS refuses most of them here.
	 * https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_CreateDBInstanceReadReplica.html
	 * It holds nothing of its own: no backups, no final snapshot, no protection, so `replicas` can be lowered.
	 */
	private createReplica(name: string, args: DatabaseArgs, common: InstanceArgs, primary: Instance, number: number): Instance {
		const identifier = `${idOf(args)}-replica-${number}`;
		const logs = this.createLogGroups(`${name}-replica-${number}`, args, identifier);
		return new Instance(
			`${name}-replica-${number}`,
			{
				...common,
				identifier,
				replicateSourceDb: primary.identifier,
				multiAz: false,
				backupRetentionPeriod: 0,
				deletionProtection: false,
				skipFinalSnapshot: true,
			},
			{ parent: this, dependsOn: logs },
		);
	}

	/** Made before the instance that writes to them, or RDS would make its own, unencrypted and kept for ever. */
	private createLogGroups(name: string, args: DatabaseArgs, identifier: string): LogGroup[] {
		return LOGS.map(
			(log) =>
				new LogGroup(
					`${name}-log-${log}`,
					{ name: `/aws/rds/instance/${identifier}/${log}`, retentionInDays: args.logRetentionDays, kmsKeyId: args.logsKeyArn },
					{ parent: this },
				),
		);
	}
}

/** What a replica does not inherit from its source, so that both are alike. */
function commonSettings(
	args: DatabaseArgs,
	parameterGroup: ParameterGroup,
	access: ClientAccess,
	monitoring: DatabaseMonitoring,
): InstanceArgs {
	return {
		instanceClass: args.instanceClass,
		storageType: "gp3",
		storageEncrypted: true,
		maxAllocatedStorage: args.maxStorageGib,
		port: PORT,
		publiclyAccessible: false,
		vpcSecurityGroupIds: [access.securityGroupId],
		parameterGroupName: parameterGroup.name,
		caCertIdentifier: "rds-ca-rsa2048-g1",
		iamDatabaseAuthenticationEnabled: true,
		autoMinorVersionUpgrade: true,
		applyImmediately: args.applyImmediately,
		maintenanceWindow: args.maintenanceWindow,
		copyTagsToSnapshot: true,
		monitoringInterval: args.monitoringIntervalSeconds,
		monitoringRoleArn: monitoring.roleArn,
		databaseInsightsMode: args.insightsMode,
		performanceInsightsEnabled: true,
		performanceInsightsKmsKeyId: args.keyArn,
		performanceInsightsRetentionPeriod: INSIGHTS_DAYS[args.insightsMode],
		enabledCloudwatchLogsExports: [...LOGS],
	};
}

function idOf({ prefix }: DatabaseArgs): string {
	return nameOf([prefix, "postgres"], 50);
}
