/** The settings of a worker's parts: what its configuration says, and what is the same everywhere. */
import path from "node:path";
import type { RedisAddress, WorkerConfig } from "../config.ts";
import { secretFiles } from "../contract.ts";
import type { HttpSettings } from "../http/settings.ts";
import type { ServiceSettings } from "../services/compose.ts";
import type { DatabaseSettings } from "../stores/postgres.ts";
import type { RedisSettings } from "../stores/redis.ts";
import { postgresCredentials, readCredentials } from "../stores/secrets.ts";

const MIB = 1_048_576;
const HOUR_MS = 3_600_000;

/** For how long it is kept what a principal has written, milliseconds: well above {@link DatabaseSettings.staleMs}. */
export const POSITION_TTL_MS = 10_000;

export function databaseSettings({
	postgres,
	secretsDir,
	address,
	port,
}: Pick<WorkerConfig, "postgres" | "secretsDir" | "address" | "port">): DatabaseSettings {
	const folder = path.join(secretsDir, secretFiles.postgres);
	return {
		...postgres,
		credentials: () => postgresCredentials(folder),
		applicationName: `agentic-flow ${address}:${port}`,
		timeoutsMs: { connect: 2_000, statement: 5_000, lock: 2_000, idleInTransaction: 5_000 },
		staleMs: 3_000,
		monitorMs: 500,
	};
}

/** @param group which of the two, and so which credential */
export function redisSettings<Group extends "state" | "cache">(
	{ redis, secretsDir }: { readonly redis: { readonly [group in Group]: RedisAddress }; readonly secretsDir: string },
	group: Group,
): RedisSettings {
	const folder = path.join(secretsDir, group === "state" ? secretFiles.redisState : secretFiles.redisCache);
	const address: RedisAddress = redis[group];
	return { ...address, credentials: () => readCredentials(folder) };
}

export function serviceSettings({ workers, claimSilenceMs }: Pick<WorkerConfig, "workers" | "claimSilenceMs">): ServiceSettings {
	return {
		claimSilenceMs,
		cache: { memoryBytes: 32 * MIB, largestBytes: MIB },
		sessions: { idleMs: 12 * HOUR_MS, longestMs: 7 * 24 * HOUR_MS },
		limits: { workers },
		// Of those that serve sockets alone.
		terminals: null,
	};
}

export function httpSettings(
	config: WorkerConfig,
	parts: Pick<HttpSettings, "sessionKeys" | "load" | "state" | "stopping" | "sockets">,
): HttpSettings {
	const { version, publicOrigin, allowedHosts, allowedOrigins, legacyOpen, rates } = config;
	return {
		version,
		publicOrigin,
		allowedHosts,
		allowedOrigins,
		legacyOpen,
		trustProxy: true,
		bodyLimitBytes: 10 * MIB,
		maxHeaderBytes: 16_384,
		headersTimeoutMs: 10_000,
		requestTimeoutMs: 60_000,
		keepAliveTimeoutMs: config.keepAliveMs,
		limits: {
			principal: { perSecond: rates.principal, burst: 2 * rates.principal },
			address: { perSecond: rates.address, burst: 2 * rates.address },
			login: { perSecond: 2, burst: 20 },
		},
		...parts,
	};
}
