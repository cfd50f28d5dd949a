/** A migrated database with its replicas, a Redis, and as many workers' connections to both as a test wants. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { migrate } from "../../app/migrate.ts";
import type { Principal, Role, SyncEvent } from "../../app/model.ts";
import { ServiceError } from "../../app/ports.ts";
import { activityService } from "../../app/services/activities.ts";
import { agentService } from "../../app/services/agents.ts";
import { changer } from "../../app/services/changes.ts";
import { memoryService } from "../../app/services/memory.ts";
import { ReadCounts } from "../../app/services/read-counts.ts";
import { swarmService } from "../../app/services/swarm.ts";
import { taskService } from "../../app/services/tasks.ts";
import { announcementsIn, isWhole, messageOf } from "../../app/stores/event-text.ts";
import type { LsnKeeper } from "../../app/stores/lsn.ts";
import { lsnConnection, redisLsnKeeper } from "../../app/stores/lsn-keeper.ts";
import { connectDatabase, type Database, type DatabaseSettings } from "../../app/stores/postgres.ts";
import { connectRedis } from "../../app/stores/redis.ts";
import { postgresCredentials } from "../../app/stores/secrets.ts";
import { type PostgresCluster, type StandaloneRedis, startPostgres, startRedis } from "./daemons.ts";

export const roles = {
	a: { username: "server_a", password: "first secret" },
	b: { username: "server_b", password: "other secret" },
} as const;

/** What one worker's database told its observer. */
export interface Told {
	/** Reads sent to the primary, by reason. */
	readonly fallbacks: Record<string, number>;
	/** Statements, by server. */
	readonly statements: { primary: number; replica: number };
	unkept: number;
}

export interface Worker {
	readonly database: Database;
	readonly told: Told;
	close(): Promise<void>;
}

export interface Rig {
	readonly postgres: PostgresCluster;
	readonly redis: StandaloneRedis;
	readonly secrets: Secrets;
	/** Connected to both, as a process of its own would be; closed with the rig. */
	worker(overrides?: Partial<DatabaseSettings>): Worker;
	stop(): Promise<void>;
}

/** Starts everything, and migrates. */
export async function startRig(options: Parameters<typeof startPostgres>[0] = { replicas: 1 }): Promise<Rig> {
	const secrets = new Secrets();
	const [postgres, redis] = await Promise.all([startPostgres(options), startRedis()]);
	const workers: Worker[] = [];
	await secrets.write();
	await migrateWith(postgres, secrets);
	return {
		postgres,
		redis,
		secrets,
		worker(overrides = {}) {
			const worker = connectWorker(postgres, redis, secrets, overrides);
			workers.push(worker);
			return worker;
		},
		async stop() {
			await Promise.all(workers.map((worker) => worker.close()));
			await Promise.all([postgres.stop(), redis.stop()]);
			secrets.remove();
		},
	};
}

/** What role `migrate` does. @returns its log */
export async function migrateWith(postgres: PostgresCluster, secrets: Secrets, retentionMonths = 2): Promise<string[]> {
	const log: string[] = [];
	await migrate({
		primary: postgres,
		database: postgres.database,
		tls: false,
		adminFolder: secrets.admin,
		retentionMonths,
		timeoutsMs: { connect: 2_000, lock: 5_000 },
		log: (line) => log.push(line),
	});
	return log;
}

/** Secret files, as they are mounted. */
export class Secrets {
	readonly #root = mkdtempSync(path.join(tmpdir(), "af-secrets-"));
	readonly admin = path.join(this.#root, "postgres-admin");
	readonly postgres = path.join(this.#root, "postgres");

	/** At first both roles are set, and the server uses `a`. */
	async write(): Promise<void> {
		await mkdir(this.admin, { recursive: true });
		await mkdir(this.postgres, { recursive: true });
		put(this.admin, "", { username: "postgres", password: "" });
		put(this.admin, "current-", roles.a);
		put(this.admin, "previous-", roles.b);
		this.use(roles.a, roles.b);
	}

	/** The roles the server is to use from now on. */
	use(current: { username: string; password: string }, previous: { username: string; password: string }): void {
		put(this.postgres, "", current);
		put(this.postgres, "previous-", previous);
	}

	/** The roles the migration is to set. */
	set(current: { username: string; password: string }, previous: { username: string; password: string }): void {
		put(this.admin, "current-", current);
		put(this.admin, "previous-", previous);
	}

	remove(): void {
		rmSync(this.#root, { recursive: true, force: true });
	}
}

function put(folder: string, prefix: string, { username, password }: { username: string; password: string }): void {
	writeFileSync(path.join(folder, `${prefix}username`), username);
	writeFileSync(path.join(folder, `${prefix}password`), `${password}\n`);
}

function connectWorker(postgres: PostgresCluster, redis: StandaloneRedis, secrets: Secrets, overrides: Partial<DatabaseSettings>): Worker {
	const settings = { kind: "endpoint", host: redis.host, port: redis.port, tls: false, credentials: async () => null } as const;
	const connection = connectRedis(settings, "lsn", lsnConnection);
	const keeper: LsnKeeper = redisLsnKeeper(connection, 10_000);
	const told: Told = { fallbacks: {}, statements: { primary: 0, replica: 0 }, unkept: 0 };
	const database = connectDatabase(
		{
			primary: postgres,
			replicas: postgres.replicas,
			database: postgres.database,
			tls: false,
			credentials: () => postgresCredentials(secrets.postgres),
			applicationName: "test",
			pool: { primary: 8, replica: 8 },
			timeoutsMs: { connect: 2_000, statement: 5_000, lock: 2_000, idleInTransaction: 5_000 },
			staleMs: 3_000,
			monitorMs: 200,
			...overrides,
		},
		keeper,
		{
			fallback: (reason) => {
				told.fallbacks[reason] = (told.fallbacks[reason] ?? 0) + 1;
			},
			unkept: () => {
				told.unkept += 1;
			},
			statement: (server, name) => {
				// Looking after the servers is no read.
				if (!name.startsWith("lsn-")) told.statements[server] += 1;
				return () => {};
			},
			problem: () => {},
		},
	);
	const close = async () => {
		await database.close();
		connection.disconnect();
	};
	return { database, told, close };
}

/** The services of one worker, and what they published. */
export function servicesOn(database: Database, claimSilenceMs = 60_000) {
	const published: SyncEvent[] = [];
	const change = changer(database, { publish: (_, events) => published.push(...announcementsIn(messageOf(events)).filter(isWhole)) });
	const reads = new ReadCounts(database, () => {});
	return {
		published,
		swarm: swarmService(database, change),
		agents: agentService(database, change),
		tasks: taskService(database, change, { claimSilenceMs }),
		activities: activityService(database),
		reads,
		memory: memoryService(database, change, async () => {}, reads),
	};
}

export type Domain = ReturnType<typeof servicesOn>;

export function principal(workspace: string, name = "somebody", ...roles: Role[]): Principal {
	return { id: `token:${name}`, roles: ["member", ...roles], workspace, expiresAt: null, credentialId: name };
}

/** The code of the ServiceError that a promise rejects with, and its message. */
export async function refusal(promise: Promise<unknown>): Promise<string> {
	const error = await promise.then(
		() => null,
		(reason: unknown) => reason,
	);
	return error instanceof ServiceError ? `${error.code}: ${error.message}` : `not refused: ${error}`;
}

/** Waits until it holds. @throws Error after 15 s */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
	const deadline = performance.now() + 15_000;
	while (!(await condition())) {
		if (performance.now() > deadline) throw new Error(`waited in vain until ${condition}`);
		await new Promise((go) => setTimeout(go, 20));
	}
}
