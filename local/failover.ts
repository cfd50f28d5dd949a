/** Planned failovers of the stores, as an operator of the cloud's would order them. */
import { setTimeout as sleep } from "node:timers/promises";
import type { LocalCluster, Tell } from "./cluster.ts";
import { REDIS_GROUP } from "./environment.ts";
import { askPostgres, askRedis, redisInfo } from "./services/ask.ts";
import type { Service } from "./services/service.ts";

const PATIENCE_MS = 30_000;

/** How long a replica may take to follow the new primary. */
const FOLLOW_MS = 5_000;

/** @returns milliseconds until the new primary took writes */
export async function failoverRedis({ ports, secrets }: LocalCluster, tell: Tell): Promise<{ ms: number }> {
	const { sentinel, redisState } = ports;
	const sentinelSays = async () =>
		Number(((await askRedis(sentinel, null, "SENTINEL", "get-master-addr-by-name", REDIS_GROUP)) as string[])[1]);
	const before = await sentinelSays();
	const started = performance.now();
	tell({ service: "redis-state", state: "restarting", ms: null });
	// It refuses for a while after the one before.
	await until(
		async () => (await askRedis(sentinel, null, "SENTINEL", "FAILOVER", REDIS_GROUP)) === "OK",
		"the Sentinel to agree to a failover",
	);
	const next = redisState.find((port) => port !== before) as number;
	await until(
		async () => (await sentinelSays()) === next && (await redisInfo(next, secrets.redisState, "replication")).role === "master",
		"the replica to be the primary",
	);
	const ms = performance.now() - started;
	await until(
		async () => (await redisInfo(before, secrets.redisState, "replication")).master_link_status === "up",
		"the old primary to follow the new one",
	);
	tell({ service: "redis-state", state: "ready", ms });
	return { ms };
}

/**
 * The primary is killed; the standby, which has every acknowledged commit, takes its place and its address, as the address of
 * a database in the cloud moves; the old primary is made anew as the standby.
 *
 * @returns milliseconds until the new primary took writes
 */
export async function failoverPostgres(cluster: LocalCluster, tell: Tell): Promise<{ ms: number }> {
	const { supervisor, ports, secrets } = cluster;
	const standby = ports.postgresStandby;
	const follows = async (port: number) => (await askPostgres<{ up: boolean }>(port, secrets.postgresAdmin, FOLLOWS))[0]?.up === true;
	if (!(await follows(standby).catch(() => false)))
		throw new Error("the standby does not follow the primary: there is nobody to fail over to");
	const started = performance.now();
	tell({ service: "postgres-primary", state: "stopping", ms: null });
	await supervisor.kill("postgres-primary");
	await askPostgres(standby, secrets.postgresAdmin, "select pg_promote()");
	await supervisor.stop(["postgres-standby", "postgres-primary"]);
	cluster.postgresActive = cluster.postgresActive === "a" ? "b" : "a";
	const service = (name: string) => cluster.topology.services.filter((each) => each.name === name);
	await supervisor.start(service("postgres-primary"), tell);
	const ms = performance.now() - started;
	await renewThoseThatCannotFollow(cluster, tell);
	// What has been the primary may have what nobody else has: it begins again with a copy.
	await supervisor.start(service("postgres-standby").map(renewed), tell);
	return { ms };
}

/** A replica may have got more of the old primary than the standby had. */
async function renewThoseThatCannotFollow({ supervisor, topology }: LocalCluster, tell: Tell): Promise<void> {
	const replicas = topology.services.filter(({ role, name }) => role === "postgres" && name.startsWith("postgres-replica"));
	for (const replica of replicas) {
		if (await within(FOLLOW_MS, () => replica.ready())) continue;
		await supervisor.stop([replica.name], tell);
		await supervisor.start([renewed(replica)], tell);
	}
}

function renewed(service: Service): Service {
	return { ...service, data: service.data && { ...service.data, renew: true } };
}

const FOLLOWS = "select pg_is_in_recovery() and exists (select from pg_stat_wal_receiver where status = 'streaming') as up";

async function until(condition: () => Promise<boolean>, what: string): Promise<void> {
	if (!(await within(PATIENCE_MS, condition))) throw new Error(`waited ${PATIENCE_MS / 1_000} s in vain for ${what}`);
}

async function within(milliseconds: number, condition: () => Promise<boolean>): Promise<boolean> {
	const deadline = performance.now() + milliseconds;
	while (!(await condition().catch(() => false))) {
		if (performance.now() > deadline) return false;
		await sleep(50);
	}
	return true;
}
