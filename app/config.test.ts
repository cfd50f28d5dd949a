import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ConfigError, readJobsConfig, readMigrateConfig, readPodConfig, readTokenConfig, readWorkerConfig } from "./config.ts";

let secretsDir: string;
let good: Record<string, string>;

beforeAll(() => {
	secretsDir = mkdtempSync(path.join(tmpdir(), "af-config-"));
	for (const [file, text] of Object.entries({
		"postgres/username": "app_a",
		"postgres/password": "pw",
		"postgres-admin/username": "admin",
		"session/current": "k".repeat(40),
	})) {
		mkdirSync(path.dirname(path.join(secretsDir, file)), { recursive: true });
		writeFileSync(path.join(secretsDir, file), text);
	}
	good = {
		POD_IP: "10.0.3.4",
		STICKY_KEY: "key",
		PUBLIC_ORIGIN: "https://agentic.example.com",
		SECRETS_DIR: secretsDir,
		REDIS_STATE: "state.cache.example:6379",
		REDIS_CACHE: "cache.cache.example:6380",
		POSTGRES_PRIMARY: "db.example:5432",
		POSTGRES_DATABASE: "agentic_flow",
	};
});

afterAll(() => rmSync(secretsDir, { recursive: true }));

function faultsOf(read: () => unknown): string[] {
	try {
		read();
	} catch (error) {
		if (error instanceof ConfigError) return error.faults.map(({ at, what }) => `${at} ${what}`);
		throw error;
	}
	return [];
}

describe("a worker's settings", () => {
	it("are complete when only what has no default is given", () => {
		expect(readWorkerConfig(good)).toEqual({
			version: expect.stringMatching(/^\d+\.\d+\.\d+/),
			address: "10.0.3.4",
			port: 3101,
			metricsPort: 4101,
			stickyKey: "key",
			drainMs: 30_000,
			publicOrigin: "https://agentic.example.com",
			allowedHosts: [],
			allowedOrigins: [],
			legacyOpen: false,
			pingMs: 25_000,
			keepAliveMs: 180_000,
			terminals: null,
			workers: 1,
			rates: { principal: 500, address: 20_000 },
			shedDelayMs: 50,
			claimSilenceMs: 300_000,
			secretsDir,
			redis: {
				state: { kind: "endpoint", host: "state.cache.example", port: 6379, tls: true },
				cache: { kind: "endpoint", host: "cache.cache.example", port: 6380, tls: true },
			},
			postgres: {
				primary: { host: "db.example", port: 5432 },
				replicas: [],
				database: "agentic_flow",
				tls: true,
				pool: { primary: 4, replica: 4 },
			},
			log: { level: "info" },
			tracing: null,
		});
	});

	it("take Sentinels, replicas and lists", () => {
		const config = readWorkerConfig({
			...good,
			REDIS_STATE: "sentinel:state@127.0.0.1:26379,127.0.0.1:26380",
			REDIS_TLS: "false",
			POSTGRES_REPLICAS: "r1.example:5432, r2.example:5433",
			ALLOWED_HOSTS: "LOCALHOST:3001,agentic.example.com",
			ALLOWED_ORIGINS: "http://localhost:5173",
			LEGACY_OPEN: "1",
			OTEL_EXPORTER_OTLP_ENDPOINT: "http://jaeger:4318/",
			OTEL_TRACES_SAMPLER_ARG: "0.5",
		});
		expect(config.redis.state).toEqual({
			kind: "sentinels",
			name: "state",
			sentinels: [
				{ host: "127.0.0.1", port: 26379 },
				{ host: "127.0.0.1", port: 26380 },
			],
		});
		expect(config.postgres.replicas).toEqual([
			{ host: "r1.example", port: 5432 },
			{ host: "r2.example", port: 5433 },
		]);
		expect(config).toMatchObject({
			allowedHosts: ["localhost:3001", "agentic.example.com"],
			allowedOrigins: ["http://localhost:5173"],
			legacyOpen: true,
			tracing: { endpoint: "http://jaeger:4318", ratio: 0.5, serviceName: "agentic-flow" },
		});
	});

	it("are all found wrong at once, secrets and contradictions among them", () => {
		const bad = {
			PORT: "70000",
			POD_IP: "fe80::1",
			PUBLIC_ORIGIN: "https://agentic.example.com/app",
			ALLOWED_HOSTS: "*.example.com",
			LEGACY_OPEN: "yes",
			REDIS_STATE: "sentinel:state@127.0.0.1:26379",
			REDIS_CACHE: "127.0.0.1",
			POSTGRES_REPLICAS: "r1:5432,r2",
			POSTGRES_POOL_PRIMARY: "0",
			DRAIN_SECONDS: "1e9",
			SECRETS_DIR: path.join(secretsDir, "session"),
			LOG_LEVEL: "loud",
		};
		expect(faultsOf(() => readWorkerConfig(bad))).toEqual([
			'PORT is "70000", not a whole number from 1 to 64535',
			'DRAIN_SECONDS is "1e9", not a whole number from 1 to 3600',
			'POD_IP is "fe80::1", not an IPv4 address',
			"STICKY_KEY is missing",
			'PUBLIC_ORIGIN is "https://agentic.example.com/app", not an origin: scheme and host, without a path',
			'ALLOWED_HOSTS is "*.example.com", not a comma-separated list of hosts, each with its port where the port is not the scheme\'s own',
			'LEGACY_OPEN is "yes", not "true" or "false"',
			'REDIS_CACHE is "127.0.0.1", not host:port or sentinel:name@host:port,host:port',
			"POSTGRES_PRIMARY is missing",
			'POSTGRES_REPLICAS is "r1:5432,r2", not a comma-separated list of host:port',
			"POSTGRES_DATABASE is missing",
			'POSTGRES_POOL_PRIMARY is "0", not a whole number from 1 to 100',
			'LOG_LEVEL is "loud", not one of fatal, error, warn, info, debug, trace, silent',
			"REDIS_TLS is true, but Redis is found through Sentinels",
			`${secretsDir}/session/postgres/username is missing`,
			`${secretsDir}/session/postgres/password is missing`,
			`${secretsDir}/session/session/current is missing`,
		]);
	});

	it("do not open the server to everybody without the exact lists", () => {
		expect(faultsOf(() => readWorkerConfig({ ...good, LEGACY_OPEN: "true", ALLOWED_HOSTS: "a.example" }))).toEqual([
			"LEGACY_OPEN is true without ALLOWED_HOSTS and ALLOWED_ORIGINS",
		]);
	});

	it("are explained: what, why and how to mend it, without a stack", () => {
		const { STICKY_KEY: _, ...without } = good;
		expect(() => readWorkerConfig(without)).toThrow(
			[
				"cannot start: 1 setting is wrong",
				"  STICKY_KEY is missing",
				"    why: HAProxy and the workers compute the workers' names from it; where they differ, polling clients cannot connect",
				"    fix: set what HAProxy has as dynamic-cookie-key",
			].join("\n"),
		);
	});
});

describe("a pod's settings", () => {
	it("put its own port below those of its workers", () => {
		expect(readPodConfig({ ...good, WORKERS: "3", PM2_HOME: "/pm2", WORKER_MEMORY_MIB: "700" })).toMatchObject({
			address: "10.0.3.4",
			port: 3100,
			workerPorts: [3101, 3102, 3103],
			workerMemoryMib: 700,
			pm2Home: "/pm2",
		});
	});

	it("include those of its workers, so that it starts none that cannot run", () => {
		expect(faultsOf(() => readPodConfig({ ...good, WORKERS: "9", STICKY_KEY: "" }))).toEqual([
			'WORKERS is "9", not a whole number from 1 to 8',
			"STICKY_KEY is missing",
		]);
	});
});

describe("the command that tools are run by", () => {
	it("is none, unless it is given", () => {
		expect(readJobsConfig(good).tools).toEqual({ claudeFlowBin: null, commandMs: 60_000 });
		const given = { CLAUDE_FLOW_BIN: "/opt/claude-flow", CLAUDE_FLOW_SECONDS: "300" };
		expect(readJobsConfig({ ...good, ...given }).tools).toEqual({ claudeFlowBin: "/opt/claude-flow", commandMs: 300_000 });
	});

	it("is found by its absolute path alone, and ended after five minutes at most", () => {
		expect(faultsOf(() => readJobsConfig({ ...good, CLAUDE_FLOW_BIN: "npx claude-flow", CLAUDE_FLOW_SECONDS: "301" }))).toEqual([
			'CLAUDE_FLOW_BIN is "npx claude-flow", not an absolute path',
			'CLAUDE_FLOW_SECONDS is "301", not a whole number from 1 to 300',
		]);
	});
});

it("the migration asks for no more than it needs", () => {
	const { POSTGRES_PRIMARY, POSTGRES_DATABASE, SECRETS_DIR } = good as Record<string, string>;
	expect(readMigrateConfig({ POSTGRES_PRIMARY, POSTGRES_DATABASE, SECRETS_DIR, RETENTION_MONTHS: "3" })).toEqual({
		version: expect.any(String),
		secretsDir,
		postgres: { primary: { host: "db.example", port: 5432 }, database: "agentic_flow", tls: true },
		retentionMonths: 3,
		log: { level: "info" },
	});
});

describe("the settings of the command token", () => {
	it("are those of PostgreSQL, the state Redis and the secrets, and no others", () => {
		const { SECRETS_DIR, REDIS_STATE, POSTGRES_PRIMARY, POSTGRES_DATABASE } = good;
		expect(readTokenConfig({ SECRETS_DIR, REDIS_STATE, POSTGRES_PRIMARY, POSTGRES_DATABASE, PORT: "nonsense" })).toEqual({
			secretsDir,
			redis: { state: { kind: "endpoint", host: "state.cache.example", port: 6379, tls: true } },
			postgres: { primary: { host: "db.example", port: 5432 }, replicas: [], database: "agentic_flow", tls: true },
		});
	});

	it("are reported all at once where they are wrong", () => {
		expect(
			faultsOf(() => readTokenConfig({ SECRETS_DIR: "/nonexistent", REDIS_STATE: "sentinel:state@a:1", POSTGRES_PRIMARY: "x" })),
		).toEqual([
			'POSTGRES_PRIMARY is "x", not host:port',
			"POSTGRES_DATABASE is missing",
			"REDIS_TLS is true, but Redis is found through Sentinels",
			"/nonexistent/postgres/username is missing",
			"/nonexistent/postgres/password is missing",
		]);
	});
});
