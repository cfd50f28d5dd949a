/** What AWS offers for the data stores, and how many connections a database class takes. Pure data, no resources. */

/**
 * RDS instance classes a stack may use. Memory is nominal, in GiB.
 * https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/Concepts.DBInstanceClass.Summary.html
 */
export const databaseClasses = {
	"db.t4g.medium": { vcpus: 2, memoryGib: 4 },
	"db.t4g.large": { vcpus: 2, memoryGib: 8 },
	"db.m7g.large": { vcpus: 2, memoryGib: 8 },
	"db.m7g.xlarge": { vcpus: 4, memoryGib: 16 },
	"db.m7g.2xlarge": { vcpus: 8, memoryGib: 32 },
	"db.m7g.4xlarge": { vcpus: 16, memoryGib: 64 },
	"db.r7g.large": { vcpus: 2, memoryGib: 16 },
	"db.r7g.xlarge": { vcpus: 4, memoryGib: 32 },
	"db.r7g.2xlarge": { vcpus: 8, memoryGib: 64 },
	"db.r7g.4xlarge": { vcpus: 16, memoryGib: 128 },
} as const;

export type DatabaseClass = keyof typeof databaseClasses;

/**
 * ElastiCache node types a stack may use. Memory is what the engine gets, in GiB; a quarter of it is kept back for
 * snapshots and failover by `reserved-memory-percent`. https://aws.amazon.com/elasticache/pricing/
 */
export const cacheNodeTypes = {
	"cache.t4g.small": { vcpus: 2, memoryGib: 1.37 },
	"cache.t4g.medium": { vcpus: 2, memoryGib: 3.09 },
	"cache.m7g.large": { vcpus: 2, memoryGib: 6.38 },
	"cache.m7g.xlarge": { vcpus: 4, memoryGib: 12.93 },
	"cache.m7g.2xlarge": { vcpus: 8, memoryGib: 26.04 },
	"cache.m7g.4xlarge": { vcpus: 16, memoryGib: 52.26 },
	"cache.r7g.large": { vcpus: 2, memoryGib: 13.07 },
	"cache.r7g.xlarge": { vcpus: 4, memoryGib: 26.32 },
	"cache.r7g.2xlarge": { vcpus: 8, memoryGib: 52.82 },
	"cache.r7g.4xlarge": { vcpus: 16, memoryGib: 105.81 },
} as const;

export type CacheNodeType = keyof typeof cacheNodeTypes;

const GIB = 2 ** 30;

/** RDS's default is LEAST({DBInstanceClassMemory/9531392}, 5000). https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/CHAP_Limits.html */
const BYTES_PER_CONNECTION = 9_531_392;
const MOST_CONNECTIONS = 5000;

/**
 * DBInstanceClassMemory is what RDS's own processes leave, and AWS does not publish it. Defaults read from running
 * instances are 91 % (db.m5.large: 823 of 901) to 95 % (db.m6g.xlarge: 1705 of 1802) of the nominal memory's share
 * (https://github.com/app-sre/aws-resource-exporter, pkg/rds.go), so nine tenths is on the safe side.
 */
const USABLE_MEMORY = 0.9;

/** Kept for superusers (superuser_reserved_connections, 3) and for rds_superuser (rds.rds_superuser_reserved_connections, 2). */
const RESERVED_CONNECTIONS = 5;

/** Connections that roles without privileges can hold at once, under RDS's default for the class. An estimate from below. */
export function maxConnections(instanceClass: DatabaseClass): number {
	const memory = databaseClasses[instanceClass].memoryGib * GIB * USABLE_MEMORY;
	return Math.min(Math.floor(memory / BYTES_PER_CONNECTION), MOST_CONNECTIONS) - RESERVED_CONNECTIONS;
}
