/** What production insists on, and every stack of its data. */
import type { Fault } from "../../core/errors.ts";
import type { Rule } from "./rule.ts";

export const productionRules = {
	production: ({ environment, aws, domain, cluster, loadBalancer, postgres, redis }) => {
		if (environment !== "production") return [];
		const faults: Fault[] = [];
		const demand = (holds: boolean, at: string, what: string, why: string, fix: string) => {
			if (!holds) faults.push({ at, what, why, fix });
		};
		demand(
			domain !== undefined,
			"domain",
			"is missing",
			"production serves HTTPS only, and a certificate needs a name",
			"give domain.name and domain.hostedZoneId",
		);
		demand(
			aws.availabilityZones.length >= 3,
			"aws.availabilityZones",
			`has ${aws.availabilityZones.length} zones`,
			"production keeps its capacity when a zone is lost, which takes three",
			"list at least three zone ids",
		);
		demand(
			postgres.multiAz,
			"postgres.multiAz",
			"is false",
			"without a standby the database is down until it is restored by hand",
			"set it to true",
		);
		demand(
			postgres.backupDays >= 7,
			"postgres.backupDays",
			`is ${postgres.backupDays}`,
			"a mistake may be noticed a week later",
			"set it to 7 or more",
		);
		demand(
			redis.state.replicas >= 1,
			"redis.state.replicas",
			"is 0",
			"without a replica there is nothing to fail over to",
			"set it to 1 or more",
		);
		for (const [at, protectedNow] of [
			["postgres.deletionProtection", postgres.deletionProtection],
			["loadBalancer.deletionProtection", loadBalancer.deletionProtection],
			["cluster.deletionProtection", cluster.deletionProtection],
		] as const) {
			demand(protectedNow, at, "is false", "one wrong command could delete production", "set it to true");
		}
		return faults;
	},

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
