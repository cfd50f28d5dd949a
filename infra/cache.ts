import { LogGroup } from "@pulumi/aws/cloudwatch/logGroup.js";
import { ParameterGroup } from "@pulumi/aws/elasticache/parameterGroup.js";
import { ReplicationGroup } from "@pulumi/aws/elasticache/replicationGroup.js";
import { SubnetGroup } from "@pulumi/aws/elasticache/subnetGroup.js";
import * as pulumi from "@pulumi/pulumi";
import type { Endpoint } from "../core/endpoint.ts";
import { nameOf } from "../core/names.ts";
import { type CacheUser, CacheUsers } from "./cache-users.ts";
import { ClientAccess } from "./client-access.ts";
import type { CacheNodeType } from "./database-classes.ts";

const PORT = 6379;

/** ElastiCache's limit for a replication group's id. */
const ID_LENGTH = 40;

export interface CacheArgs {
	/** First part of every name, e.g. `agentic-flow-dev`. */
	readonly prefix: string;
	/** Second part of every name. `state` must lose nothing it was told; `cache` may lose anything. */
	readonly role: "state" | "cache";
	/** A change from `redis` to `valkey` upgrades in place; there is no way back. */
	readonly engine: "redis" | "valkey";
	/** `<major>.<minor>`: 7.1 is the last of `redis`. */
	readonly engineVersion: string;
	readonly nodeType: CacheNodeType;
	/** Replicas beside the primary, in other zones. With none there is no failover. */
	readonly replicas: number;
	/** What happens to a write when memory is full. Queues need `noeviction`. */
	readonly maxmemoryPolicy: "noeviction" | "allkeys-lru";
	/** Days that daily snapshots are kept, 1 to 35. */
	readonly snapshotRetentionDays: number;
	/** When the daily snapshot begins, UTC: `hh:mm-hh:mm`, at least an hour, clear of the maintenance window. */
	readonly snapshotWindow: string;
	/** When AWS may maintain it, UTC: `ddd:hh:mm-ddd:hh:mm`, at least an hour. */
	readonly maintenanceWindow: string;
	/** Whether minor engine versions follow by themselves. */
	readonly autoMinorVersionUpgrade: boolean;
	/** Whether changes are made at once, not in the next maintenance window. */
	readonly applyImmediately: boolean;
	readonly vpcId: pulumi.Input<string>;
	/** Subnets without a way to or from the internet, one a zone. */
	readonly subnetIds: pulumi.Input<pulumi.Input<string>[]>;
	/** Security groups that may connect, each by a name that stays. */
	readonly clientSecurityGroupIds: Readonly<Record<string, pulumi.Input<string>>>;
	/** ARN of the KMS key for data at rest. */
	readonly keyArn: pulumi.Input<string>;
	readonly users: readonly CacheUser[];
	/** ARN of the KMS key for the slow log. */
	readonly logsKeyArn: pulumi.Input<string>;
	/** Days that the slow log is kept: a number CloudWatch knows. */
	readonly logRetentionDays: number;
	/** Refuse to delete it; `state` also leaves a snapshot if it is deleted all the same. */
	readonly protect: boolean;
}

/** One ElastiCache replication group: TLS only, encrypted, with named users, reachable from the given security groups alone. */
export class Cache extends pulumi.ComponentResource {
	/** Follows the primary through a failover. */
	readonly primary: Endpoint<pulumi.Output<string>>;
	/** Spreads over the replicas; the primary where there are none. */
	readonly reader: Endpoint<pulumi.Output<string>>;

	constructor(name: string, args: CacheArgs, opts: pulumi.ComponentResourceOptions) {
		super("agentic-flow:infra:Cache", name, {}, opts);
		const subnetGroup = this.createSubnetGroup(name, args);
		const parameterGroup = this.createParameterGroup(name, args);
		const access = new ClientAccess(
			`${name}-access`,
			{
				groupName: nameOf([args.prefix, args.role, "redis"]),
				service: `Redis for ${args.role}`,
				port: PORT,
				vpcId: args.vpcId,
				clientSecurityGroupIds: args.clientSecurityGroupIds,
			},
			{ parent: this },
		);
		const users = new CacheUsers(`${name}-users`, { idPrefix: [args.prefix, args.role], users: args.users }, { parent: this });
		const slowLog = this.createSlowLog(name, args);
		const group = this.createReplicationGroup(name, args, { subnetGroup, parameterGroup, access, users, slowLog });

		this.primary = { host: group.primaryEndpointAddress, port: PORT };
		this.reader = { host: group.readerEndpointAddress, port: PORT };
		this.registerOutputs({ primary: this.primary, reader: this.reader });
	}

	private createSubnetGroup(name: string, args: CacheArgs): SubnetGroup {
		return new SubnetGroup(`${name}-subnets`, { name: nameOf([args.prefix, args.role]), subnetIds: args.subnetIds }, { parent: this });
	}

	/** Named by family, so that a new major version's group can be made while the old one is still in use. */
	private createParameterGroup(name: string, args: CacheArgs): ParameterGroup {
		const family = familyOf(args);
		return new ParameterGroup(
			`${name}-parameters`,
			{
				name: nameOf([args.prefix, args.role, family]),
				family,
				parameters: [{ name: "maxmemory-policy", value: args.maxmemoryPolicy }],
			},
			{ parent: this },
		);
	}

	private createSlowLog(name: string, args: CacheArgs): LogGroup {
		return new LogGroup(
			`${name}-slow-log`,
			{
				name: `/aws/elasticache/${nameOf([args.prefix, args.role])}/slow-log`,
				retentionInDays: args.logRetentionDays,
				kmsKeyId: args.logsKeyArn,
			},
			{ parent: this },
		);
	}

	private createReplicationGroup(name: string, args: CacheArgs, parts: Parts): ReplicationGroup {
		const id = nameOf([args.prefix, args.role], ID_LENGTH);
		const hasReplicas = args.replicas > 0;
		return new ReplicationGroup(
			`${name}-group`,
			{
				replicationGroupId: id,
				description: args.role === "state" ? "Sessions, streams, queues and terminal routing" : "API responses",
				engine: args.engine,
				engineVersion: args.engineVersion,
				nodeType: args.nodeType,
				port: PORT,
				clusterMode: "disabled",
				numCacheClusters: args.replicas + 1,
				automaticFailoverEnabled: hasReplicas,
				multiAzEnabled: hasReplicas,
				parameterGroupName: parts.parameterGroup.name,
				subnetGroupName: parts.subnetGroup.name,
				securityGroupIds: [parts.access.securityGroupId],
				userGroupIds: [parts.users.groupId],
				transitEncryptionEnabled: true,
				transitEncryptionMode: "required",
				atRestEncryptionEnabled: true,
				kmsKeyId: args.keyArn,
				snapshotRetentionLimit: args.snapshotRetentionDays,
				snapshotWindow: args.snapshotWindow,
				finalSnapshotIdentifier: args.role === "state" && args.protect ? `${id}-final` : undefined,
				maintenanceWindow: args.maintenanceWindow,
				autoMinorVersionUpgrade: args.autoMinorVersionUpgrade,
				applyImmediately: args.applyImmediately,
				logDeliveryConfigurations: [
					{ logType: "slow-log", logFormat: "json", destinationType: "cloudwatch-logs", destination: parts.slowLog.name },
				],
			},
			{ parent: this, protect: args.protect },
		);
	}
}

interface Parts {
	readonly subnetGroup: SubnetGroup;
	readonly parameterGroup: ParameterGroup;
	readonly access: ClientAccess;
	readonly users: CacheUsers;
	readonly slowLog: LogGroup;
}

/** The parameter-group family of an engine version: redis7, valkey7, valkey8. */
function familyOf({ engine, engineVersion }: CacheArgs): string {
	return `${engine}${engineVersion.split(".")[0]}`;
}
