/** Where the stack keeps its data: secrets, the two Redis groups, PostgreSQL. */
import type * as pulumi from "@pulumi/pulumi";
import { redisKeys } from "../app/contract.ts";
import type { Endpoint } from "../core/endpoint.ts";
import { rulesForPrefix } from "../core/redis-rules.ts";
import { Cache } from "../infra/cache.ts";
import type { Cluster } from "../infra/cluster.ts";
import { Database } from "../infra/database.ts";
import type { Keys } from "../infra/keys.ts";
import type { Network } from "../infra/network.ts";
import { AlternatingLoginSecret, LoginSecret, SigningKeySecret } from "../infra/secrets.ts";
import type { Stackwide } from "./stackwide.ts";

const DATABASE_NAME = "agentic_flow";

export interface Secrets {
	readonly postgresAdmin: LoginSecret;
	readonly postgres: AlternatingLoginSecret;
	readonly redisState: LoginSecret;
	readonly redisTerminals: LoginSecret;
	readonly redisCache: LoginSecret;
	readonly session: SigningKeySecret;
}

/** What holds the stack's data. */
export interface DataStores {
	readonly secrets: Secrets;
	readonly redisState: Endpoint<pulumi.Output<string>>;
	readonly redisCache: Endpoint<pulumi.Output<string>>;
	readonly postgres: Database;
}

/** The data stores, open to the cluster's nodes alone. */
export function createDataStores(stackwide: Stackwide, keys: Keys, network: Network, cluster: Cluster): DataStores {
	const secrets = createSecrets(stackwide, keys);
	const stateUsers = [userOf(secrets.redisState, redisKeys.all), userOf(secrets.redisTerminals, redisKeys.terminals)];
	return {
		secrets,
		redisState: createRedis(stackwide, keys, network, cluster, "state", stateUsers),
		redisCache: createRedis(stackwide, keys, network, cluster, "cache", [userOf(secrets.redisCache, redisKeys.all)]),
		postgres: createPostgres(stackwide, keys, network, cluster, secrets),
	};
}

function createSecrets({ config, prefix, protect, opts }: Stackwide, keys: Keys): Secrets {
	const { databaseVersion, redisVersion, sessionVersion, recoveryDays } = config.secrets;
	const common = (purpose: string, version: number) => ({ prefix, purpose, version, keyArn: keys.arns.secrets, recoveryDays, protect });
	const login = (purpose: string, version: number, username: string) =>
		new LoginSecret(`secret-${purpose}`, { ...common(purpose, version), username }, opts);
	return {
		postgresAdmin: login("postgres-admin", databaseVersion, "platform_admin"),
		postgres: new AlternatingLoginSecret(
			"secret-postgres",
			{ ...common("postgres", databaseVersion), usernames: { odd: "app_a", even: "app_b" } },
			opts,
		),
		redisState: login("redis-state", redisVersion, "app"),
		redisTerminals: login("redis-terminals", redisVersion, "terminals"),
		redisCache: login("redis-cache", redisVersion, "app"),
		session: new SigningKeySecret("secret-session", common("session", sessionVersion), opts),
	};
}

function userOf({ username, password, previousPassword }: LoginSecret, keyPrefix: string) {
	return { name: username, accessString: rulesForPrefix(keyPrefix).join(" "), passwords: [password, previousPassword] };
}

function createRedis(
	{ config, prefix, protect, opts }: Stackwide,
	keys: Keys,
	network: Network,
	cluster: Cluster,
	role: "state" | "cache",
	users: readonly ReturnType<typeof userOf>[],
): Cache["primary"] {
	const { redis } = config;
	const cache = new Cache(
		`redis-${role}`,
		{
			prefix,
			role,
			engine: redis.engine,
			engineVersion: redis.version,
			nodeType: redis[role].nodeType,
			replicas: redis[role].replicas,
			maxmemoryPolicy: role === "state" ? "noeviction" : "allkeys-lru",
			snapshotRetentionDays: redis[role].snapshotDays,
			snapshotWindow: redis.snapshotWindow,
			maintenanceWindow: redis.maintenanceWindow,
			autoMinorVersionUpgrade: true,
			applyImmediately: !protect,
			vpcId: network.vpcId,
			subnetIds: [...network.dataSubnetIds],
			clientSecurityGroupIds: { nodes: cluster.clusterSecurityGroupId },
			keyArn: keys.arns.data,
			users,
			logsKeyArn: keys.arns.logs,
			logRetentionDays: redis.logDays,
			protect,
		},
		opts,
	);
	return cache.primary;
}

function createPostgres(
	{ config, prefix, accountId, protect, opts }: Stackwide,
	keys: Keys,
	network: Network,
	cluster: Cluster,
	{ postgresAdmin }: Secrets,
): Database {
	const { postgres } = config;
	return new Database(
		"postgres",
		{
			prefix,
			accountId,
			engineMajor: postgres.version,
			instanceClass: postgres.instanceClass,
			storageGib: postgres.storageGib,
			maxStorageGib: postgres.maxStorageGib,
			multiAz: postgres.multiAz,
			replicas: postgres.replicas,
			backupRetentionDays: postgres.backupDays,
			backupWindow: postgres.backupWindow,
			maintenanceWindow: postgres.maintenanceWindow,
			applyImmediately: !protect,
			deletionProtection: postgres.deletionProtection,
			vpcId: network.vpcId,
			subnetIds: [...network.dataSubnetIds],
			clientSecurityGroupIds: { nodes: cluster.clusterSecurityGroupId },
			keyArn: keys.arns.data,
			adminUsername: postgresAdmin.username,
			adminPassword: postgresAdmin.password,
			databaseName: DATABASE_NAME,
			monitoringIntervalSeconds: 60,
			insightsMode: postgres.advancedInsights ? "advanced" : "standard",
			logsKeyArn: keys.arns.logs,
			logRetentionDays: postgres.logDays,
			protect,
		},
		opts,
	);
}
