/**
 * Real Redis and PostgreSQL for a test: from the programs of this machine, on loopback and free ports, in folders of their own
 * that are gone afterwards.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Redis } from "ioredis";
import pg from "pg";
import { Daemon, freePort } from "./daemon.ts";

const HOST = "127.0.0.1";

const redisServer = which("redis-server");
const postgresFolder = findPostgres();

/** Why there can be no Redis here, or null. */
export const redisMissing = redisServer ? null : "needs redis-server on the PATH";
/** Why there can be no PostgreSQL here, or null. */
export const postgresMissing = postgresFolder ? null : "needs PostgreSQL's programs on the PATH or below /usr/lib/postgresql";
/** Why there cannot be both here, or null. */
export const missing = redisMissing ?? postgresMissing;

export interface Address {
	readonly host: string;
	readonly port: number;
}

export class RedisServer implements Address {
	readonly host = HOST;
	readonly port: number;
	readonly daemon: Daemon;
	readonly #password: string | null;

	constructor(port: number, daemon: Daemon, password: string | null) {
		this.port = port;
		this.daemon = daemon;
		this.#password = password;
	}

	/** Sends one command, over a connection of its own. */
	async command(name: string, ...args: (string | number)[]): Promise<unknown> {
		return redisCommand(this.port, this.#password, name, args);
	}

	kill9(): Promise<void> {
		return this.daemon.kill9();
	}

	pause(): void {
		this.daemon.pause();
	}

	resume(): void {
		this.daemon.resume();
	}

	/** After {@link kill9}: with what was persisted, which is nothing unless its settings say so. */
	start(): Promise<void> {
		return this.daemon.start();
	}
}

export interface StandaloneRedis extends Address {
	readonly server: RedisServer;
	stop(): Promise<void>;
}

/**
 * One Redis without persistence.
 *
 * @param settings of redis.conf, such as `{ maxmemory: "32mb" }`; `requirepass` is understood by the helpers here too
 */
export async function startRedis(settings: Readonly<Record<string, string>> = {}): Promise<StandaloneRedis> {
	const folder = privateFolder();
	const server = await redisIn(folder, settings);
	const stop = async () => {
		await server.daemon.stop("SIGTERM");
		rmSync(folder, { recursive: true, force: true });
	};
	return { host: HOST, port: server.port, server, stop };
}

export interface SentinelRedis {
	/** The group's name, for REDIS_STATE=`sentinel:<name>@<host:port>,...`. */
	readonly name: string;
	/** The first is the primary at the beginning. */
	readonly servers: readonly RedisServer[];
	readonly sentinels: readonly RedisServer[];
	/** REDIS_STATE's value. */
	readonly url: string;
	/** Which server the Sentinels say is the primary. */
	primary(): Promise<RedisServer>;
	/** A planned failover; done when the Sentinels name another primary, and it says so itself. */
	failover(): Promise<void>;
	/** kill -9 of the primary; done when another has taken over. */
	killPrimary(): Promise<RedisServer>;
	stop(): Promise<void>;
}

/**
 * A primary and a replica, watched by Sentinels that give a primary up after a second of silence.
 *
 * @param options `sentinels` is 1 or 3; `settings` are of redis.conf
 */
export async function startRedisWithSentinel(
	options: { readonly sentinels?: number; readonly settings?: Readonly<Record<string, string>> } = {},
): Promise<SentinelRedis> {
	const { sentinels: count = 1, settings = {} } = options;
	const name = "state";
	const folder = privateFolder();
	const daemons: RedisServer[] = [];
	const stop = async () => {
		await Promise.all(daemons.toReversed().map(({ daemon }) => daemon.kill9()));
		rmSync(folder, { recursive: true, force: true });
	};
	try {
		const first = await redisIn(folder, settings);
		daemons.push(first);
		const auth: Record<string, string> = settings.requirepass ? { masterauth: settings.requirepass } : {};
		const second = await redisIn(folder, { ...settings, ...auth, replicaof: `${HOST} ${first.port}` });
		daemons.push(second);
		if (settings.requirepass) await first.command("CONFIG", "SET", "masterauth", settings.requirepass);
		const servers = [first, second];
		const sentinels: RedisServer[] = [];
		const quorum = Math.floor(count / 2) + 1;
		for (let index = 0; index < count; index++) sentinels.push(await sentinelIn(folder, name, first.port, quorum, settings));
		daemons.push(...sentinels);

		const named = async () => {
			const [, port] = (await (sentinels[0] as RedisServer).command("SENTINEL", "get-master-addr-by-name", name)) as string[];
			return servers.find((server) => server.port === Number(port)) as RedisServer;
		};
		const settled = async (not: RedisServer) => {
			const moved = async () => {
				const now = await named();
				return now !== not && ((await now.command("ROLE")) as unknown[])[0] === "master";
			};
			await until(moved, 30_000, "the Sentinels to name another primary");
			return named();
		};
		await until(
			async () => {
				const states = await Promise.all(
					sentinels.map(async (sentinel) => (await sentinel.command("SENTINEL", "replicas", name)) as string[][]),
				);
				const synced = /master_link_status:up/.test(String(await second.command("INFO", "replication")));
				const met = await Promise.all(
					sentinels.map(async (sentinel) => ((await sentinel.command("SENTINEL", "sentinels", name)) as unknown[]).length),
				);
				return synced && states.every((replicas) => replicas.length === 1) && met.every((others) => others === count - 1);
			},
			30_000,
			"the Sentinels to know the replica and each other",
		);
		return {
			name,
			servers,
			sentinels,
			url: `sentinel:${name}@${sentinels.map(({ host, port }) => `${host}:${port}`).join(",")}`,
			primary: named,
			failover: async () => {
				const before = await named();
				await until(
					() => (sentinels[0] as RedisServer).command("SENTINEL", "FAILOVER", name).then((answer) => answer === "OK"),
					15_000,
					"the Sentinel to agree to a failover",
				);
				await settled(before);
			},
			killPrimary: async () => {
				const before = await named();
				await before.kill9();
				return settled(before);
			},
			stop,
		};
	} catch (error) {
		await stop();
		throw error;
	}
}

export class PostgresServer implements Address {
	readonly host = HOST;
	readonly port: number;
	readonly daemon: Daemon;
	readonly data: string;

	constructor(port: number, daemon: Daemon, data: string) {
		this.port = port;
		this.daemon = daemon;
		this.data = data;
	}

	/** Runs SQL as the administrator, over a connection of its own. */
	async query<Row extends pg.QueryResultRow>(text: string, values: readonly unknown[] = [], database = "postgres"): Promise<Row[]> {
		const client = new pg.Client({ host: HOST, port: this.port, user: "postgres", database, connectionTimeoutMillis: 2_000 });
		client.on("error", () => {});
		await client.connect();
		try {
			return (await client.query<Row>(text, [...values])).rows;
		} finally {
			await client.end();
		}
	}

	kill9(): Promise<void> {
		return this.daemon.kill9();
	}

	pause(): void {
		this.daemon.pause();
	}

	resume(): void {
		this.daemon.resume();
	}

	/** After {@link kill9}: recovers what was committed. */
	start(): Promise<void> {
		return this.daemon.start();
	}

	/** On a replica: receives, and no longer applies. */
	async pauseReplay(): Promise<void> {
		await this.query("SELECT pg_wal_replay_pause()");
		const paused = async () => (await this.query<{ s: string }>("SELECT pg_get_wal_replay_pause_state() AS s"))[0]?.s === "paused";
		await until(paused, 10_000, "replay to pause");
	}

	async resumeReplay(): Promise<void> {
		await this.query("SELECT pg_wal_replay_resume()");
	}
}

export interface PostgresCluster extends Address {
	/** The server at the primary's address now. */
	readonly primary: PostgresServer;
	readonly replicas: readonly PostgresServer[];
	/** A database for the test; the administrator `postgres` needs no password, everybody else does. */
	readonly database: string;
	/**
	 * kill -9 of the primary; the synchronous standby takes its address over, as an RDS endpoint moves, and the replicas follow.
	 * Needs `standby`, and works once.
	 */
	failover(): Promise<void>;
	stop(): Promise<void>;
}

/**
 * A primary and its streaming replicas (pg_basebackup). From 127.0.0.1 the role `postgres` is trusted, others need their password.
 *
 * @param options `replicas` to read from; `standby`: one more, synchronous, for {@link PostgresCluster.failover} alone;
 *   `settings` are of postgresql.conf, for every server
 */
export async function startPostgres(
	options: { readonly replicas?: number; readonly standby?: boolean; readonly settings?: Readonly<Record<string, string>> } = {},
): Promise<PostgresCluster> {
	const { replicas: count = 0, standby: withStandby = false, settings = {} } = options;
	const user = process.getuid?.() === 0 ? postgresUser() : undefined;
	const folder = privateFolder();
	if (user) chownSync(folder, user.uid, user.gid);
	const servers: PostgresServer[] = [];
	const stop = async () => {
		// SIGINT is PostgreSQL's fast shutdown. Replicas first: a primary waits for what it has to send them.
		for (const server of servers.toReversed()) await server.daemon.stop("SIGINT");
		rmSync(folder, { recursive: true, force: true });
	};
	const run = (program: string, args: string[]) =>
		execFileSync(path.join(postgresFolder as string, program), args, { cwd: folder, ...user, stdio: ["ignore", "ignore", "pipe"] });
	const launch = async (name: string, own: Readonly<Record<string, string>>) => {
		const port = await freePort();
		const data = path.join(folder, name);
		const args = postgresArguments(data, port, { ...settings, ...own });
		const ready = () => acceptsConnections(port);
		const daemon = new Daemon({ program: path.join(postgresFolder as string, "postgres"), args, folder, scratch: folder, user, ready });
		const server = new PostgresServer(port, daemon, data);
		servers.push(server);
		await daemon.start();
		return server;
	};
	try {
		run("initdb", ["-D", "primary", "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"]);
		writeFileSync(path.join(folder, "primary", "pg_hba.conf"), ACCESS);
		let primary = await launch("primary", {});
		const copy = async (name: string) => {
			run("pg_basebackup", [
				"-h",
				HOST,
				"-p",
				String(primary.port),
				"-U",
				"postgres",
				"-D",
				name,
				"-X",
				"stream",
				"-c",
				"fast",
				"--no-sync",
			]);
			const signalFile = path.join(folder, name, "standby.signal");
			writeFileSync(signalFile, "");
			if (user) chownSync(signalFile, user.uid, user.gid);
			return launch(name, { primary_conninfo: `host=${HOST} port=${primary.port} user=postgres application_name=${name}` });
		};
		const replicas: PostgresServer[] = [];
		for (let index = 0; index < count; index++) replicas.push(await copy(`replica${index}`));
		let standby = withStandby ? await copy("standby") : null;
		if (standby) {
			await primary.query("ALTER SYSTEM SET synchronous_standby_names = 'standby'");
			await primary.query("SELECT pg_reload_conf()");
		}
		const attached = async () => Number((await primary.query<{ n: string }>(STREAMING))[0]?.n) === servers.length - 1;
		await until(attached, 15_000, "the replicas to stream");
		if (standby) await until(async () => (await primary.query(SYNCHRONOUS)).length === 1, 15_000, "the standby to be synchronous");
		await primary.query("CREATE DATABASE agentic_flow");
		return {
			host: HOST,
			port: primary.port,
			get primary() {
				return primary;
			},
			replicas,
			database: "agentic_flow",
			failover: async () => {
				if (!standby) throw new Error("failover needs a standby that has not been used");
				const next = standby;
				standby = null;
				await primary.kill9();
				await next.query("SELECT pg_promote()");
				await next.daemon.stop("SIGINT");
				const args = postgresArguments(next.data, primary.port, { ...settings, synchronous_standby_names: "" });
				const ready = () => acceptsConnections(primary.port);
				const daemon = new Daemon({ program: path.join(postgresFolder as string, "postgres"), args, folder, scratch: folder, user, ready });
				primary = new PostgresServer(primary.port, daemon, next.data);
				servers.unshift(primary);
				await daemon.start();
			},
			stop,
		};
	} catch (error) {
		await stop();
		throw error;
	}
}

const ACCESS = `host all postgres 127.0.0.1/32 trust
host replication postgres 127.0.0.1/32 trust
host all all 127.0.0.1/32 scram-sha-256
`;

const STREAMING = "SELECT count(*) AS n FROM pg_stat_replication WHERE state = 'streaming'";
const SYNCHRONOUS = "SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'";

function postgresArguments(data: string, port: number, settings: Readonly<Record<string, string>>): string[] {
	const all = {
		listen_addresses: HOST,
		port: String(port),
		unix_socket_directories: "",
		// A killed process loses nothing by it; a killed machine would.
		fsync: "off",
		// The default leaves files in /dev/shm behind after kill -9.
		dynamic_shared_memory_type: "mmap",
		shared_buffers: "32MB",
		max_connections: "200",
		wal_keep_size: "256MB",
		hot_standby_feedback: "on",
		wal_retrieve_retry_interval: "200ms",
		...settings,
	};
	return ["-D", data, ...Object.entries(all).flatMap(([key, value]) => ["-c", `${key}=${value}`])];
}

async function acceptsConnections(port: number): Promise<boolean> {
	const client = new pg.Client({ host: HOST, port, user: "postgres", database: "postgres", connectionTimeoutMillis: 1_000 });
	client.on("error", () => {});
	await client.connect();
	await client.end();
	return true;
}

async function redisIn(folder: string, settings: Readonly<Record<string, string>>): Promise<RedisServer> {
	const port = await freePort();
	const own = mkdtempSync(path.join(folder, "redis-"));
	const defaults = {
		bind: HOST,
		port: String(port),
		dir: own,
		save: '""',
		"repl-diskless-sync-delay": "0",
		"repl-ping-replica-period": "1",
	};
	return redisProcess(own, port, { ...defaults, ...settings }, [], settings.requirepass ?? null);
}

async function sentinelIn(
	folder: string,
	name: string,
	primaryPort: number,
	quorum: number,
	settings: Readonly<Record<string, string>>,
): Promise<RedisServer> {
	const port = await freePort();
	const own = mkdtempSync(path.join(folder, "sentinel-"));
	const watch = {
		bind: HOST,
		port: String(port),
		dir: own,
		"sentinel monitor": `${name} ${HOST} ${primaryPort} ${quorum}`,
		"sentinel down-after-milliseconds": `${name} 1000`,
		"sentinel failover-timeout": `${name} 5000`,
		...(settings.requirepass && { "sentinel auth-pass": `${name} ${settings.requirepass}` }),
	};
	return redisProcess(own, port, watch, ["--sentinel"], null);
}

async function redisProcess(
	folder: string,
	port: number,
	settings: Readonly<Record<string, string>>,
	flags: string[],
	password: string | null,
): Promise<RedisServer> {
	const file = path.join(folder, "redis.conf");
	const lines = Object.entries(settings).map(([key, value]) => `${key} ${value}`);
	writeFileSync(file, `${lines.join("\n")}\n`);
	const ready = async () => (await redisCommand(port, password, "PING", [])) === "PONG";
	const server = new RedisServer(
		port,
		new Daemon({ program: redisServer as string, args: [file, ...flags], folder, scratch: path.dirname(folder), ready }),
		password,
	);
	await server.daemon.start();
	return server;
}

async function redisCommand(port: number, password: string | null, name: string, args: (string | number)[]): Promise<unknown> {
	const options = { host: HOST, port, connectTimeout: 1_000, commandTimeout: 2_000, lazyConnect: true, retryStrategy: () => null };
	const redis = new Redis(password ? { ...options, password } : options);
	redis.on("error", () => {});
	try {
		await redis.connect();
		return await redis.call(name, ...args);
	} finally {
		redis.disconnect();
	}
}

async function until(condition: () => Promise<boolean>, milliseconds: number, what: string): Promise<void> {
	const deadline = Date.now() + milliseconds;
	while (!(await condition().catch(() => false))) {
		if (Date.now() > deadline) throw new Error(`waited ${milliseconds / 1000} s in vain for ${what}`);
		await sleep(50);
	}
}

function privateFolder(): string {
	return mkdtempSync(path.join(tmpdir(), "af-test-"));
}

function which(program: string): string | null {
	return (
		(process.env.PATH ?? "")
			.split(path.delimiter)
			.map((folder) => path.join(folder, program))
			.find(existsSync) ?? null
	);
}

/** The folder with all that is needed: the PATH's, or Debian's, which keeps the server off the PATH, one folder a version. */
function findPostgres(): string | null {
	const debian = "/usr/lib/postgresql";
	const versions = existsSync(debian) ? readdirSync(debian).sort((one, other) => Number(other) - Number(one)) : [];
	const folders = [...(process.env.PATH ?? "").split(path.delimiter), ...versions.map((version) => path.join(debian, version, "bin"))];
	const needed = ["postgres", "initdb", "pg_basebackup"];
	return folders.find((folder) => needed.every((program) => existsSync(path.join(folder, program)))) ?? null;
}

/** PostgreSQL refuses to run as root; Debian's package makes a user for it. */
function postgresUser(): { uid: number; gid: number } {
	const number = (flag: string) => Number(spawnSync("id", [flag, "postgres"], { encoding: "utf8" }).stdout);
	return { uid: number("-u"), gid: number("-g") };
}
