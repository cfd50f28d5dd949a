/** The environment as complete, plain settings: every default is here, and every fault is reported at once. */
import { readFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import path from "node:path";
import { z } from "zod";
import { env, ports, SECRETS_DIR, seconds, secretFiles, workersPerPod } from "./contract.ts";
import type { TerminalHostSettings } from "./terminals/settings.ts";

export interface ServerAddress {
	readonly host: string;
	readonly port: number;
}

/** Where a Redis group is: one address that leads to its primary, or the Sentinels that know it. */
export type RedisAddress =
	| ({ readonly kind: "endpoint"; readonly tls: boolean } & ServerAddress)
	| { readonly kind: "sentinels"; readonly name: string; readonly sentinels: readonly ServerAddress[] };

/** Of the role `migrate`. */
export interface MigrateConfig {
	readonly version: string;
	readonly secretsDir: string;
	readonly postgres: { readonly primary: ServerAddress; readonly database: string; readonly tls: boolean };
	readonly retentionMonths: number;
	readonly log: LogConfig;
}

/** Of the command `token`. */
export interface TokenConfig {
	readonly secretsDir: string;
	readonly redis: { readonly state: RedisAddress };
	readonly postgres: {
		readonly primary: ServerAddress;
		readonly replicas: readonly ServerAddress[];
		readonly database: string;
		readonly tls: boolean;
	};
}

/** Of the command `import`. */
export type ImportConfig = Pick<MigrateConfig, "secretsDir" | "postgres">;

/** Of one worker. */
export interface WorkerConfig {
	readonly version: string;
	/** The address it listens on, and HAProxy reaches it at. */
	readonly address: string;
	readonly port: number;
	readonly metricsPort: number;
	readonly stickyKey: string;
	/** From the order to stop to the exit, milliseconds. */
	readonly drainMs: number;
	readonly publicOrigin: string;
	readonly allowedHosts: readonly string[];
	readonly allowedOrigins: readonly string[];
	readonly legacyOpen: boolean;
	/** How often an idle socket is pinged, and when a silent connection is closed, milliseconds. */
	readonly pingMs: number;
	readonly keepAliveMs: number;
	/** Null where there are none. */
	readonly terminals: {
		readonly perPrincipal: number;
		/** Whether clients without a credential may have any. */
		readonly anonymous: boolean;
	} | null;
	/** Workers of this pod: a first idea of how many there are. */
	readonly workers: number;
	/** Requests a second: of one principal, and of one client address, which may be a whole office. */
	readonly rates: { readonly principal: number; readonly address: number };
	/** How late its event loop must be before it refuses what is cheapest to refuse, milliseconds. */
	readonly shedDelayMs: number;
	/** For how long neither a claimed task nor its agent may be silent, milliseconds. */
	readonly claimSilenceMs: number;
	readonly secretsDir: string;
	readonly redis: { readonly state: RedisAddress; readonly cache: RedisAddress };
	readonly postgres: MigrateConfig["postgres"] & {
		readonly replicas: readonly ServerAddress[];
		/** Most connections to the primary, and to each replica. */
		readonly pool: { readonly primary: number; readonly replica: number };
	};
	readonly log: LogConfig;
	readonly tracing: TracingConfig | null;
}

/** Of a host of users' shells. */
export interface TerminalHostConfig {
	readonly version: string;
	/** Where it answers probes: nobody balances to it. */
	readonly address: string;
	readonly port: number;
	readonly drainMs: number;
	readonly secretsDir: string;
	readonly redis: { readonly state: RedisAddress };
	readonly host: Omit<TerminalHostSettings, "firstUid">;
	/** The first of the shells' user ids, where this process may change users. */
	readonly firstUid: number;
	readonly log: LogConfig;
}

/** Of a pod's entry process. */
export interface PodConfig {
	readonly version: string;
	/** The address that its workers listen on too. */
	readonly address: string;
	/** Where it answers for all of its workers. */
	readonly port: number;
	readonly workerPorts: readonly number[];
	/** Memory at which PM2 replaces a worker, MiB. */
	readonly workerMemoryMib: number;
	readonly drainMs: number;
	readonly pm2Home: string;
	readonly log: LogConfig;
}

/** Of a job worker. */
export interface JobsConfig
	extends Pick<WorkerConfig, "version" | "drainMs" | "claimSilenceMs" | "secretsDir" | "redis" | "postgres" | "log" | "tracing"> {
	/** Where it answers probes: nobody balances to it. */
	readonly address: string;
	readonly port: number;
	/** Jobs it runs at once; and that one principal may have run at once in all job workers. */
	readonly concurrency: number;
	readonly perPrincipal: number;
	/** For how long nobody else begins the jobs of a worker that is not heard of, milliseconds. */
	readonly leaseMs: number;
	/** The command that runs tools which the server has no implementation of, and milliseconds that it may take. */
	readonly tools: { readonly claudeFlowBin: string | null; readonly commandMs: number };
}

export interface LogConfig {
	readonly level: LogLevel;
}

export interface TracingConfig {
	/** Base URL of an OTLP/HTTP receiver: traces go to `/v1/traces` below it. */
	readonly endpoint: string;
	/** Share of the requests that nobody has decided about yet: 0 to 1. */
	readonly ratio: number;
	readonly serviceName: string;
}

const logLevels = ["fatal", "error", "warn", "info", "debug", "trace", "silent"] as const;
export type LogLevel = (typeof logLevels)[number];

/** Settings of the server's own, beside those of its contract. OpenTelemetry's names are its specification's. */
const ownEnv = {
	legacyOpen: "LEGACY_OPEN",
	principalRate: "PRINCIPAL_RATE",
	addressRate: "ADDRESS_RATE",
	shedDelayMs: "SHED_DELAY_MS",
	claimSilenceSeconds: "CLAIM_SILENCE_SECONDS",
	jobsPerPrincipal: "JOBS_PER_PRINCIPAL",
	jobLeaseSeconds: "JOB_LEASE_SECONDS",
	claudeFlowBin: "CLAUDE_FLOW_BIN",
	claudeFlowSeconds: "CLAUDE_FLOW_SECONDS",
	terminalsPerPrincipal: "TERMINALS_PER_PRINCIPAL",
	anonymousShell: "ANONYMOUS_SHELL",
	terminalShell: "TERMINAL_SHELL",
	terminalSessions: "TERMINAL_SESSIONS",
	terminalIdleSeconds: "TERMINAL_IDLE_SECONDS",
	terminalDetachedSeconds: "TERMINAL_DETACHED_SECONDS",
	terminalLifetimeSeconds: "TERMINAL_LIFETIME_SECONDS",
	terminalOutputKib: "TERMINAL_OUTPUT_KIB",
	terminalProcesses: "TERMINAL_PROCESSES",
	terminalMemoryMib: "TERMINAL_MEMORY_MIB",
	logLevel: "LOG_LEVEL",
	otlpEndpoint: "OTEL_EXPORTER_OTLP_ENDPOINT",
	traceRatio: "OTEL_TRACES_SAMPLER_ARG",
	serviceName: "OTEL_SERVICE_NAME",
} as const;

const names = { ...env, ...ownEnv };

/** What is wrong with one setting. */
export interface ConfigFault {
	/** The environment variable, or the secret's file. */
	readonly at: string;
	readonly what: string;
	readonly why: string;
	readonly fix: string;
}

/** Everything that is wrong with the settings. */
export class ConfigError extends Error {
	readonly faults: readonly ConfigFault[];

	constructor(faults: readonly ConfigFault[]) {
		const list = faults.map(({ at, what, why, fix }) => `  ${at} ${what}\n    why: ${why}\n    fix: ${fix}`);
		super(`cannot start: ${faults.length} ${faults.length === 1 ? "setting is" : "settings are"} wrong\n${list.join("\n")}`);
		this.name = "ConfigError";
		this.faults = faults;
	}
}

/** Text that must be `expected`: what `parse` makes of it, or undefined where it is not. */
function text<T>(expected: string, parse: (given: string) => T | undefined) {
	return z.string("is missing").transform((given, context) => {
		const value = parse(given);
		if (value !== undefined) return value;
		context.addIssue({ code: "custom", message: `is "${given}", not ${expected}` });
		return z.NEVER;
	});
}

const whole = (least: number, most: number) =>
	text(`a whole number from ${least} to ${most}`, (given) =>
		/^\d{1,9}$/.test(given) && Number(given) >= least && Number(given) <= most ? Number(given) : undefined,
	);
const boolean = () => text(`"true" or "false"`, (given) => ({ true: true, "1": true, false: false, "0": false })[given]);
const absolutePath = () => text("an absolute path", (given) => (path.isAbsolute(given) ? given : undefined));
const nonEmpty = () => text("a name", (given) => given);
const origin = () => text("an origin: scheme and host, without a path", originOf);
const server = () => text("host:port", serverOf);
const redis = () => text("host:port or sentinel:name@host:port,host:port", redisOf);
const list = <T>(expected: string, parse: (given: string) => T | undefined) =>
	text(`a comma-separated list of ${expected}`, (given) => everyOf(given.split(","), parse));

/** One entry a setting: how its text is read, its default, and what to tell whoever got it wrong. */
const settings = {
	port: whole(1, 65_535 - ports.metricsOffset)
		.default(ports.firstWorker)
		.meta({
			why: `a worker listens on it; the next worker of the pod takes the next one, and metrics are ${ports.metricsOffset} above`,
			fix: `leave it out for ${ports.firstWorker}, or set a port from 1 to ${65_535 - ports.metricsOffset}`,
		}),
	workers: whole(workersPerPod.min, workersPerPod.max)
		.default(workersPerPod.min)
		.meta({
			why: "that many processes share the work of a pod",
			fix: `set a number from ${workersPerPod.min} to ${workersPerPod.max}`,
		}),
	workerMemoryMib: whole(64, 65_536).default(512).meta({
		why: "PM2 replaces a worker that uses more",
		fix: "set the MiB one worker may use, from 64 to 65536",
	}),
	drainSeconds: whole(1, 3_600).default(seconds.drain).meta({
		why: "a worker that stops has so long to finish what it is doing",
		fix: "set seconds, from 1 to 3600",
	}),
	podIp: text("an IPv4 address", (given) => z.ipv4().safeParse(given).data)
		.default("127.0.0.1")
		.meta({
			why: "the workers listen on it, and with the port and STICKY_KEY it makes the name by which HAProxy knows a worker",
			fix: "set the IPv4 address at which HAProxy reaches this pod",
		}),
	stickyKey: nonEmpty().meta({
		why: "HAProxy and the workers compute the workers' names from it; where they differ, polling clients cannot connect",
		fix: "set what HAProxy has as dynamic-cookie-key",
	}),
	publicOrigin: origin().meta({
		why: "browsers find the server there: its pages may call it, and cookies are made for it",
		fix: "set what the address bar shows, such as https://agentic.example.com",
	}),
	allowedHosts: list("hosts, each with its port where the port is not the scheme's own", hostOf).default([]).meta({
		why: "requests for any other host are refused",
		fix: "set exact names, such as agentic.example.com,localhost:3001",
	}),
	allowedOrigins: list("origins", originOf).default([]).meta({
		why: "pages of any other origin are refused",
		fix: "set exact origins, such as https://agentic.example.com,http://localhost:5173",
	}),
	legacyOpen: boolean().default(false).meta({
		why: "it decides whether clients without a credential are let in",
		fix: "leave it out, or set true together with ALLOWED_HOSTS and ALLOWED_ORIGINS",
	}),
	principalRate: whole(1, 1_000_000).default(500).meta({
		why: "one principal may ask so often in a second; twice as often for a moment",
		fix: "set requests a second, from 1 to 1000000",
	}),
	addressRate: whole(1, 1_000_000).default(20_000).meta({
		why: "one client address may ask so often in a second; a whole office may be behind it",
		fix: "set requests a second, from 1 to 1000000",
	}),
	shedDelayMs: whole(10, 60_000).default(50).meta({
		why: "a busy worker refuses requests when its event loop is so late: first documents, from twice as much reads, from four times nearly all",
		fix: "leave it out for 50, or set milliseconds, from 10 to 60000",
	}),
	claimSilenceSeconds: whole(1, 86_400).default(300).meta({
		why: "a claimed task of which nothing is heard for so long goes back to pending",
		fix: "set seconds, from 1 to 86400",
	}),
	pingSeconds: whole(1, 300).default(seconds.ping).meta({
		why: "idle sockets are pinged so often; whatever is in front must wait longer",
		fix: "set seconds, from 1 to 300",
	}),
	keepAliveSeconds: whole(1, 7_200).default(180).meta({
		why: "a silent connection is closed then; whatever is in front must close it before",
		fix: "set seconds, from 1 to 7200",
	}),
	terminals: boolean().default(false).meta({ why: "it says whether there are terminal hosts", fix: "set true or false" }),
	terminalsPerPrincipal: whole(1, 100).default(8).meta({
		why: "one principal has at most so many terminals",
		fix: "set a number from 1 to 100",
	}),
	anonymousShell: boolean().default(false).meta({
		why: "it decides whether clients without a credential may run commands",
		fix: "leave it out, unless everybody who reaches the server may run commands on it",
	}),
	terminalHomes: absolutePath().default(path.join(tmpdir(), "agentic-flow-terminals")).meta({
		why: "shells get their homes below it, and what is in it at the start is left over and deleted",
		fix: "set a folder that nobody else uses",
	}),
	terminalFirstUid: whole(1_000, 999_999_000).default(40_000).meta({
		why: "shells run as this user and the 999 after it, each as another, where this process is root",
		fix: "set the first of a thousand user ids that nobody has",
	}),
	terminalShell: absolutePath().default("/bin/bash").meta({ why: "terminals run it", fix: "set the absolute path of a shell" }),
	terminalSessions: whole(1, 900).default(100).meta({ why: "one host has at most so many terminals", fix: "set a number from 1 to 900" }),
	terminalIdleSeconds: whole(1, 86_400).default(1_800).meta({
		why: "a terminal ends in which nothing goes in or out for so long",
		fix: "set seconds, from 1 to 86400",
	}),
	terminalDetachedSeconds: whole(1, 86_400).default(600).meta({
		why: "a terminal ends that nobody is connected to for so long",
		fix: "set seconds, from 1 to 86400",
	}),
	terminalLifetimeSeconds: whole(1, 604_800).default(43_200).meta({
		why: "a terminal ends after so long, whatever it does",
		fix: "set seconds, from 1 to 604800",
	}),
	terminalOutputKib: whole(1, 1_000_000).default(1_024).meta({
		why: "a terminal writes at most so much in a second; its programs wait",
		fix: "set units of 1024 characters, from 1 to 1000000",
	}),
	terminalHostOutputKib: whole(1, 1_000_000).default(1_024).meta({
		why: "all terminals of a host together write at most so much in a second; those that write a lot divide it between them",
		fix: "set units of 1024 characters, from 1 to 1000000",
	}),
	terminalProcesses: whole(4, 10_000).default(128).meta({
		why: "a terminal has at most so many processes, where its user is its own",
		fix: "set a number from 4 to 10000",
	}),
	terminalMemoryMib: whole(16, 1_000_000).default(1_024).meta({
		why: "a process of a terminal has at most so much memory for its data",
		fix: "set MiB, from 16 to 1000000",
	}),
	secretsDir: absolutePath()
		.default(SECRETS_DIR)
		.meta({
			why: "credentials are read from the files below it",
			fix: `leave it out for ${SECRETS_DIR}, or set the folder that holds them`,
		}),
	redisState: redis().meta({
		why: "sessions, events and what workers tell each other go through it",
		fix: "set host:port of the primary, or sentinel:name@host:port,host:port",
	}),
	redisCache: redis().meta({
		why: "ready answers are kept in it, apart from the state, so that a full cache stops nothing else",
		fix: "set host:port of the cache's primary, or sentinel:name@host:port,host:port",
	}),
	redisTls: boolean().default(true).meta({
		why: "connections to Redis are encrypted unless it is false",
		fix: "leave it out, or set false where Redis has no TLS or is found through Sentinels",
	}),
	postgresPrimary: server().meta({ why: "all durable data is there", fix: "set host:port of the primary" }),
	postgresReplicas: list("host:port", serverOf).default([]).meta({
		why: "reads go to the replicas",
		fix: "set host:port of each, separated by commas; leave it empty where there are none",
	}),
	postgresDatabase: nonEmpty().meta({ why: "all durable data is in it", fix: "set the database's name" }),
	postgresTls: boolean().default(true).meta({
		why: "connections to PostgreSQL are encrypted and its certificate is checked unless it is false",
		fix: "leave it out, or set false where PostgreSQL has no TLS",
	}),
	poolPrimary: whole(1, 100).default(4).meta({
		why: "a worker opens at most so many connections to the primary",
		fix: "set a number from 1 to 100",
	}),
	poolReplica: whole(1, 100).default(4).meta({
		why: "a worker opens at most so many connections to each replica",
		fix: "set a number from 1 to 100",
	}),
	jobConcurrency: whole(1, 1_000).default(16).meta({
		why: "a job worker runs so many jobs at once",
		fix: "set a number from 1 to 1000",
	}),
	jobsPerPrincipal: whole(1, 10_000).default(64).meta({
		why: "one principal has at most so many jobs run at once, whatever waits; the others' are not held up by them",
		fix: "set a number from 1 to 10000",
	}),
	jobLeaseSeconds: whole(2, 600).default(15).meta({
		why: "jobs of a worker that is not heard of for so long are begun by another one",
		fix: "leave it out for 15, or set seconds, from 2 to 600",
	}),
	claudeFlowBin: absolutePath().optional().meta({
		why: "tools that the server has no implementation for are run by this command",
		fix: "leave it out, and they say that they are unavailable; or set the command's absolute path",
	}),
	claudeFlowSeconds: whole(1, 300).default(60).meta({
		why: "a tool that the command runs is ended after so long",
		fix: "leave it out for 60, or set seconds, from 1 to 300",
	}),
	retentionMonths: whole(1, 120).default(12).meta({
		why: "activities and events are kept for so many months",
		fix: "set a number from 1 to 120",
	}),
	pm2Home: absolutePath()
		.optional()
		.meta({ why: "PM2 keeps its sockets and files there", fix: "set a folder of this pod's own that can be written to" }),
	logLevel: text(`one of ${logLevels.join(", ")}`, (given) => logLevels.find((level) => level === given))
		.default("info")
		.meta({
			why: "nothing less important is logged",
			fix: `set one of ${logLevels.join(", ")}`,
		}),
	otlpEndpoint: text("an http(s) URL", (given) => (URL.canParse(given) && /^https?:/.test(given) ? given.replace(/\/$/, "") : undefined))
		.optional()
		.meta({ why: "traces are sent there", fix: "leave it out for no traces, or set the OTLP/HTTP receiver, such as http://jaeger:4318" }),
	traceRatio: text("a number from 0 to 1", (given) => (Number(given) >= 0 && Number(given) <= 1 ? Number(given) : undefined))
		.default(0.01)
		.meta({ why: "so large a share of the requests is traced", fix: "set a number from 0 to 1, such as 0.01" }),
	serviceName: nonEmpty().default("agentic-flow").meta({ why: "traces and logs carry it", fix: "set a name" }),
} satisfies { readonly [S in keyof typeof names]?: z.ZodType };

type Setting = keyof typeof settings;
type Values = { readonly [S in Setting]: z.output<(typeof settings)[S]> };
type Environment = Readonly<Record<string, string | undefined>>;

const migrateSettings = ["secretsDir", "postgresPrimary", "postgresDatabase", "postgresTls", "retentionMonths", "logLevel"] as const;
const tokenSettings = [
	"secretsDir",
	"redisState",
	"redisTls",
	"postgresPrimary",
	"postgresReplicas",
	"postgresDatabase",
	"postgresTls",
] as const;
/** What no other role is told. */
const jobsAlone = ["jobConcurrency", "jobsPerPrincipal", "jobLeaseSeconds", "claudeFlowBin", "claudeFlowSeconds"] as const;
const terminalHostAlone = [
	"terminalHomes",
	"terminalFirstUid",
	"terminalShell",
	"terminalSessions",
	"terminalIdleSeconds",
	"terminalDetachedSeconds",
	"terminalLifetimeSeconds",
	"terminalOutputKib",
	"terminalHostOutputKib",
	"terminalProcesses",
	"terminalMemoryMib",
] as const;
const jobsSettings = [
	"port",
	"podIp",
	"drainSeconds",
	...jobsAlone,
	"claimSilenceSeconds",
	"secretsDir",
	"redisState",
	"redisCache",
	"redisTls",
	"postgresPrimary",
	"postgresReplicas",
	"postgresDatabase",
	"postgresTls",
	"poolPrimary",
	"poolReplica",
	"logLevel",
	"otlpEndpoint",
	"traceRatio",
	"serviceName",
] as const;
const terminalHostSettings = [
	"port",
	"podIp",
	"drainSeconds",
	"secretsDir",
	"redisState",
	"redisTls",
	...terminalHostAlone,
	"logLevel",
] as const;
const importSettings = ["secretsDir", "postgresPrimary", "postgresDatabase", "postgresTls"] as const;
const podSettings = ["port", "workers", "workerMemoryMib", "drainSeconds", "podIp", "pm2Home", "logLevel"] as const;
const notOfWorkers: readonly Setting[] = ["workerMemoryMib", "pm2Home", "retentionMonths", ...jobsAlone, ...terminalHostAlone];
const workerSettings = (Object.keys(settings) as Setting[]).filter((setting) => !notOfWorkers.includes(setting));

/** @throws ConfigError with every fault */
export function readMigrateConfig(environment: Environment): MigrateConfig {
	const { values, faults } = read(environment, migrateSettings);
	faults.push(...secretFaults(values.secretsDir, [[secretFiles.postgresAdmin, "username"]]));
	if (faults.length > 0) throw new ConfigError(faults);
	return {
		version: VERSION,
		secretsDir: values.secretsDir,
		postgres: { primary: values.postgresPrimary, database: values.postgresDatabase, tls: values.postgresTls },
		retentionMonths: values.retentionMonths,
		log: { level: values.logLevel },
	};
}

/** @throws ConfigError with every fault */
export function readTokenConfig(environment: Environment): TokenConfig {
	const { values, faults } = read(environment, tokenSettings);
	faults.push(...sentinelFaults(values as Partial<Values>), ...secretFaults(values.secretsDir, postgresSecrets));
	if (faults.length > 0) throw new ConfigError(faults);
	return {
		secretsDir: values.secretsDir,
		redis: { state: withTls(values.redisState, values.redisTls) },
		postgres: {
			primary: values.postgresPrimary,
			replicas: values.postgresReplicas,
			database: values.postgresDatabase,
			tls: values.postgresTls,
		},
	};
}

/** @throws ConfigError with every fault */
export function readImportConfig(environment: Environment): ImportConfig {
	const { values, faults } = read(environment, importSettings);
	faults.push(...secretFaults(values.secretsDir, postgresSecrets));
	if (faults.length > 0) throw new ConfigError(faults);
	return {
		secretsDir: values.secretsDir,
		postgres: { primary: values.postgresPrimary, database: values.postgresDatabase, tls: values.postgresTls },
	};
}

/** @throws ConfigError with every fault */
export function readWorkerConfig(environment: Environment): WorkerConfig {
	const { values, faults } = read(environment, workerSettings);
	faults.push(...workerFaults(values as Partial<Values>));
	if (faults.length > 0) throw new ConfigError(faults);
	return {
		version: VERSION,
		address: values.podIp,
		port: values.port,
		metricsPort: values.port + ports.metricsOffset,
		stickyKey: values.stickyKey,
		drainMs: values.drainSeconds * 1_000,
		publicOrigin: values.publicOrigin,
		allowedHosts: values.allowedHosts,
		allowedOrigins: values.allowedOrigins,
		legacyOpen: values.legacyOpen,
		pingMs: values.pingSeconds * 1_000,
		keepAliveMs: values.keepAliveSeconds * 1_000,
		terminals: values.terminals ? { perPrincipal: values.terminalsPerPrincipal, anonymous: values.anonymousShell } : null,
		workers: values.workers,
		rates: { principal: values.principalRate, address: values.addressRate },
		shedDelayMs: values.shedDelayMs,
		claimSilenceMs: values.claimSilenceSeconds * 1_000,
		secretsDir: values.secretsDir,
		...storesOf(values),
		log: { level: values.logLevel },
		tracing: tracingOf(values),
	};
}

/**
 * Checks the workers' settings as well, so that a pod with a fault stops before it starts any.
 *
 * @throws ConfigError with every fault
 */
export function readPodConfig(environment: Environment): PodConfig {
	const { values, faults } = read(environment, [...new Set([...workerSettings, ...podSettings])]);
	faults.push(...workerFaults(values as Partial<Values>));
	if (faults.length > 0) throw new ConfigError(faults);
	const port = values.port - ports.firstWorker + ports.pod;
	return {
		version: VERSION,
		address: values.podIp,
		port,
		workerPorts: Array.from({ length: values.workers }, (_, index) => values.port + index),
		workerMemoryMib: values.workerMemoryMib,
		drainMs: values.drainSeconds * 1_000,
		pm2Home: values.pm2Home ?? path.join(tmpdir(), `agentic-flow-pm2-${values.podIp}-${values.port}`),
		log: { level: values.logLevel },
	};
}

/** Of a process that nobody balances to: it knows its address only where it is told; else it listens on all. */
function probesAt(environment: Environment, { podIp, port }: Pick<Values, "podIp" | "port">): { address: string; port: number } {
	return { address: environment[names.podIp] ? podIp : "0.0.0.0", port: environment[names.port] ? port : ports.pod };
}

/** @throws ConfigError with every fault */
export function readJobsConfig(environment: Environment): JobsConfig {
	const { values, faults } = read(environment, jobsSettings);
	faults.push(...sentinelFaults(values as Partial<Values>), ...secretFaults(values.secretsDir, postgresSecrets));
	if (faults.length > 0) throw new ConfigError(faults);
	return {
		version: VERSION,
		...probesAt(environment, values),
		drainMs: values.drainSeconds * 1_000,
		concurrency: values.jobConcurrency,
		perPrincipal: values.jobsPerPrincipal,
		leaseMs: values.jobLeaseSeconds * 1_000,
		tools: { claudeFlowBin: values.claudeFlowBin ?? null, commandMs: values.claudeFlowSeconds * 1_000 },
		claimSilenceMs: values.claimSilenceSeconds * 1_000,
		secretsDir: values.secretsDir,
		...storesOf(values),
		log: { level: values.logLevel },
		tracing: tracingOf(values),
	};
}

type StoreValues = Pick<
	Values,
	| "redisState"
	| "redisCache"
	| "redisTls"
	| "postgresPrimary"
	| "postgresReplicas"
	| "postgresDatabase"
	| "postgresTls"
	| "poolPrimary"
	| "poolReplica"
>;

function storesOf(values: StoreValues): Pick<WorkerConfig, "redis" | "postgres"> {
	return {
		redis: { state: withTls(values.redisState, values.redisTls), cache: withTls(values.redisCache, values.redisTls) },
		postgres: {
			primary: values.postgresPrimary,
			replicas: values.postgresReplicas,
			database: values.postgresDatabase,
			tls: values.postgresTls,
			pool: { primary: values.poolPrimary, replica: values.poolReplica },
		},
	};
}

function tracingOf({
	otlpEndpoint,
	traceRatio,
	serviceName,
}: Pick<Values, "otlpEndpoint" | "traceRatio" | "serviceName">): TracingConfig | null {
	return otlpEndpoint === undefined ? null : { endpoint: otlpEndpoint, ratio: traceRatio, serviceName };
}

/** @throws ConfigError with every fault */
export function readTerminalHostConfig(environment: Environment): TerminalHostConfig {
	const { values, faults } = read(environment, terminalHostSettings);
	faults.push(...sentinelFaults(values as Partial<Values>), ...secretFaults(values.secretsDir, [[secretFiles.redisTerminals, "username"]]));
	if (faults.length > 0) throw new ConfigError(faults);
	return {
		version: VERSION,
		...probesAt(environment, values),
		drainMs: values.drainSeconds * 1_000,
		secretsDir: values.secretsDir,
		redis: { state: withTls(values.redisState, values.redisTls) },
		firstUid: values.terminalFirstUid,
		host: {
			name: hostname(),
			homes: values.terminalHomes,
			shell: values.terminalShell,
			limits: {
				sessions: values.terminalSessions,
				idleMs: values.terminalIdleSeconds * 1_000,
				detachedMs: values.terminalDetachedSeconds * 1_000,
				lifetimeMs: values.terminalLifetimeSeconds * 1_000,
				outputPerSecond: values.terminalOutputKib * 1_024,
				hostOutputPerSecond: values.terminalHostOutputKib * 1_024,
				keptOutput: KEPT_OUTPUT,
				processes: values.terminalProcesses,
				memoryMib: values.terminalMemoryMib,
				openFiles: 1_024,
			},
		},
		log: { level: values.logLevel },
	};
}

/** UTF-16 units of a terminal's output that are kept for who comes back. */
const KEPT_OUTPUT = 262_144;

/** An empty variable is one that is not there. */
function read<S extends Setting>(environment: Environment, wanted: readonly S[]): { values: Pick<Values, S>; faults: ConfigFault[] } {
	const values: Partial<Record<Setting, unknown>> = {};
	const faults: ConfigFault[] = [];
	for (const setting of wanted) {
		const schema = settings[setting] as z.ZodType;
		const result = schema.safeParse(environment[names[setting]] || undefined);
		if (result.success) {
			values[setting] = result.data;
			continue;
		}
		const { why, fix } = schema.meta() as { why: string; fix: string };
		for (const { message } of result.error.issues) faults.push({ at: names[setting], what: message, why, fix });
	}
	return { values: values as Pick<Values, S>, faults };
}

/** What no setting shows alone. A setting that is wrong by itself is undefined here. */
function workerFaults(values: Partial<Values>): ConfigFault[] {
	const { legacyOpen, allowedHosts, allowedOrigins, secretsDir } = values;
	const faults = sentinelFaults(values);
	if (legacyOpen && (allowedHosts?.length === 0 || allowedOrigins?.length === 0)) {
		faults.push({
			at: names.legacyOpen,
			what: `is true without ${names.allowedHosts} and ${names.allowedOrigins}`,
			why: "without credentials only the exact lists keep other people's pages out",
			fix: `set both lists, or leave ${names.legacyOpen} out`,
		});
	}
	return [...faults, ...secretFaults(secretsDir, [...postgresSecrets, [secretFiles.session, "current"]])];
}

function sentinelFaults({ redisState, redisCache, redisTls }: Partial<Values>): ConfigFault[] {
	if (!redisTls || [redisState, redisCache].every((address) => address?.kind !== "sentinels")) return [];
	return [
		{
			at: names.redisTls,
			what: "is true, but Redis is found through Sentinels",
			why: "connections that Sentinels lead to are not encrypted",
			fix: "set false, on a network that nobody else is on; or name the primary's own address",
		},
	];
}

const postgresSecrets = [
	[secretFiles.postgres, "username"],
	[secretFiles.postgres, "password"],
] as const;

function secretFaults(folder: string | undefined, needed: readonly (readonly [string, string])[]): ConfigFault[] {
	if (folder === undefined) return [];
	return needed.flatMap(([credential, name]) => {
		const file = path.join(folder, credential, name);
		const what = whyUnreadable(file);
		if (what === null) return [];
		return [
			{ at: file, what, why: "secrets are read from files and from nowhere else", fix: `write it, or point ${names.secretsDir} elsewhere` },
		];
	});
}

function whyUnreadable(file: string): string | null {
	try {
		return readFileSync(file).length > 0 ? null : "is empty";
	} catch (error) {
		return (error as NodeJS.ErrnoException).code === "ENOENT" ? "is missing" : `cannot be read: ${(error as NodeJS.ErrnoException).code}`;
	}
}

function originOf(given: string): string | undefined {
	return URL.canParse(given) && /^https?:/.test(given) && new URL(given).origin === given ? given : undefined;
}

function hostOf(given: string): string | undefined {
	const host = given.toLowerCase();
	return /^(\[[0-9a-f:.]+\]|[a-z0-9.-]+)(:\d{1,5})?$/.test(host) ? host : undefined;
}

function serverOf(given: string): ServerAddress | undefined {
	const [, host, port] = /^(\[[0-9a-f:.]+\]|[^:@\s,]+):(\d{1,5})$/i.exec(given) ?? [];
	if (host === undefined || Number(port) < 1 || Number(port) > 65_535) return undefined;
	return { host: host.replace(/^\[|\]$/g, ""), port: Number(port) };
}

type UndecidedRedis = ({ readonly kind: "endpoint" } & ServerAddress) | Extract<RedisAddress, { kind: "sentinels" }>;

function redisOf(given: string): UndecidedRedis | undefined {
	const [, name, servers] = /^sentinel:([^@]+)@(.+)$/.exec(given) ?? [];
	if (name !== undefined && servers !== undefined) {
		const sentinels = everyOf(servers.split(","), serverOf);
		return sentinels && { kind: "sentinels", name, sentinels };
	}
	const address = serverOf(given);
	return address && { kind: "endpoint", ...address };
}

function withTls(address: UndecidedRedis, tls: boolean): RedisAddress {
	return address.kind === "endpoint" ? { ...address, tls } : address;
}

function everyOf<T>(parts: readonly string[], parse: (part: string) => T | undefined): T[] | undefined {
	const values = parts.map((part) => parse(part.trim()));
	return values.every((value) => value !== undefined) ? (values as T[]) : undefined;
}

const VERSION: string = JSON.parse(readFileSync(path.join(import.meta.dirname, "package.json"), "utf8")).version;
