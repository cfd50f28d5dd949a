/** What production insists on, and every stack of its data. */
import type { Fault } from "../../core/errors.ts";
import type { StackConfig } from "../config.ts";
import type { Rule } from "./rule.ts";

/**
 * A demand of production's: what is wrong, or null where it is met. Each is a rule of its own, so that a section that
 * cannot be read hides only the demands on itself.
 */
function demand(at: string, broken: (config: StackConfig) => string | null, why: string, fix: string): Rule {
	return (config) => {
		if (config.environment !== "production") return [];
		const what = broken(config);
		return what === null ? [] : [{ at, what, why, fix }];
	};
}

function isProtected(at: string, setting: (config: StackConfig) => boolean): Rule {
	return demand(at, (config) => (setting(config) ? null : "is false"), "one wrong command could delete production", "set it to true");
}

export const productionRules = {
	domain: demand(
		"domain",
		({ domain }) => (domain ? null : "is missing"),
		"production serves HTTPS only, and a certificate needs a name",
		"give domain.name and domain.hostedZoneId",
	),
	threeZones: demand(
		"aws.availabilityZones",
		({ aws: { availabilityZones } }) => (availabilityZones.length >= 3 ? null : `has ${availabilityZones.length} zones`),
		"production keeps its capacity when a zone is lost, which takes three",
		"list at least three zone ids",
	),
	standby: demand(
		"postgres.multiAz",
		({ postgres }) => (postgres.multiAz ? null : "is false"),
		"without a standby the database is down until it is restored by hand",
		"set it to true",
	),
	backups: demand(
		"postgres.backupDays",
		({ postgres: { backupDays } }) => (backupDays >= 7 ? null : `is ${backupDays}`),
		"a mistake may be noticed a week later",
		"set it to 7 or more",
	),
	redisReplica: demand(
		"redis.state.replicas",
		({ redis }) => (redis.state.replicas >= 1 ? null : "is 0"),
		"without a replica there is nothing to fail over to",
		"set it to 1 or more",
	),
	auditLogs: demand(
		"cluster.logTypes",
		({ cluster: { logTypes } }) =>
			["api", "audit", "authenticator"].every((type) => logTypes.includes(type as "api")) ? null : `has ${logTypes.join(", ") || "none"}`,
		"who did what in production must be known afterwards",
		"name api, audit and authenticator at least",
	),
	protectedDatabase: isProtected("postgres.deletionProtection", ({ postgres }) => postgres.deletionProtection),
	protectedLoadBalancer: isProtected("loadBalancer.deletionProtection", ({ loadBalancer }) => loadBalancer.deletionProtection),
	protectedCluster: isProtected("cluster.deletionProtection", ({ cluster }) => cluster.deletionProtection),

	replicasNeedBackups: ({ postgres: { replicas, backupDays } }) =>
		replicas > 0 && backupDays === 0
			? [
					{
						at: "postgres.backupDays",
						what: `is 0, with ${replicas} read replica${replicas > 1 ? "s" : ""}`,
						why: "RDS makes replicas from backups, and refuses them without",
						fix: "set it to 1 or more, or postgres.replicas to 0",
					},
				]
			: [],

	storage: ({ postgres: { storageGib, maxStorageGib } }) =>
		maxStorageGib < storageGib * 1.1
			? [
					{
						at: "postgres.maxStorageGib",
						what: `is ${maxStorageGib}, less than a tenth above storageGib, which is ${storageGib}`,
						why: "RDS refuses a limit that leaves no room to grow",
						fix: `set it to ${Math.ceil(storageGib * 1.1)} or more`,
					},
				]
			: [],

	redisVersions: ({ environment, redis: { engine, version, cache } }) => {
		const faults: Fault[] = [];
		if ((engine === "redis") !== (version === "7.1")) {
			faults.push({
				at: "redis.version",
				what: `is ${version}, which ${engine} does not have`,
				why: "Redis stops at 7.1; Valkey starts at 7.2",
				fix: engine === "redis" ? 'set it to "7.1", or redis.engine to valkey' : 'set it to "7.2" or an 8.x',
			});
		}
		if (environment === "production" && cache.replicas === 0) {
			faults.push({
				at: "redis.cache.replicas",
				what: "is 0",
				why: "production keeps its cache when a zone is lost, or the database takes all of its load",
				fix: "set it to 1 or more",
			});
		}
		return faults;
	},
} satisfies Record<string, Rule>;
