/** Jobs as they go: an edge that asks for them in the test's process, and job workers in processes of their own. */
import path from "node:path";
import { readJobsConfig } from "../../app/config.ts";
import { type JobParts, openJobParts } from "../../app/lifecycle/job-parts.ts";
import type { Job, Principal } from "../../app/model.ts";
import { createLog } from "../../app/observe/log.ts";
import { freePort } from "./daemon.ts";
import {
	type PostgresCluster,
	type RedisServer,
	type SentinelRedis,
	type StandaloneRedis,
	startPostgres,
	startRedis,
	startRedisWithSentinel,
} from "./daemons.ts";
import { ServerProcess, type Setting, settingOf, until } from "./server-process.ts";

const entry = path.join(import.meta.dirname, "job-worker.ts");

export interface JobsRig extends AsyncDisposable {
	readonly postgres: PostgresCluster;
	readonly redis: SentinelRedis | null;
	/** The one server of the state group, where there is no Sentinel. */
	readonly state: RedisServer;
	readonly setting: Setting;
	/** As a worker of the API has it. */
	readonly edge: JobParts;
	/** Starts a job worker, whatever becomes of it. */
	begin(environment?: Readonly<Record<string, string>>): Promise<{ worker: ServerProcess; port: number }>;
	/** Starts one, and waits until it is ready. */
	worker(environment?: Readonly<Record<string, string>>): Promise<ServerProcess>;
	/** From now on there is a process for suspects, started again whenever it is gone. */
	suspects(environment?: Readonly<Record<string, string>>): void;
	stop(): Promise<void>;
}

/** @param options `sentinel`: a group of Redis that can fail over; `standby`: a PostgreSQL that can */
export async function startJobsRig(
	options: { sentinel?: boolean; standby?: boolean; settings?: Record<string, string> } = {},
): Promise<JobsRig> {
	const persistent = { appendonly: "yes", appendfsync: "everysec", ...options.settings };
	const [postgres, state, cache] = await Promise.all([
		startPostgres({ standby: options.standby ?? false }),
		options.sentinel ? startRedisWithSentinel({ settings: persistent }) : startRedis(persistent),
		startRedis(),
	]);
	const sentinel = "sentinels" in state ? (state as SentinelRedis) : null;
	const url = sentinel?.url ?? `${(state as StandaloneRedis).host}:${(state as StandaloneRedis).port}`;
	const setting = settingOf(postgres, url, cache);
	const processes: ServerProcess[] = [];
	let stopped = false;
	const migration = new ServerProcess("migrate", setting.environment);
	if ((await migration.exited) !== 0) throw new Error(migration.output);
	const config = readJobsConfig({ ...setting.environment, PORT: "3999", LOG_LEVEL: "silent" });
	const edge = await openJobParts(config, createLog({ level: "silent" }, "edge", "test").log, "jobs");
	const begin: JobsRig["begin"] = async (environment = {}) => {
		const port = await freePort([0, 1_000]);
		const own = { PORT: String(port), LOG_LEVEL: "warn", ...environment };
		const worker = new ServerProcess("jobs", { ...setting.environment, ...own }, undefined, entry);
		processes.push(worker);
		return { worker, port };
	};
	const rig: Omit<JobsRig, typeof Symbol.asyncDispose> = {
		postgres,
		redis: sentinel,
		get state() {
			return "server" in state ? state.server : (state.servers[0] as RedisServer);
		},
		setting,
		edge,
		begin,
		async worker(environment = {}) {
			const { worker, port } = await begin(environment);
			return await worker.ready(port);
		},
		suspects(environment = {}) {
			const start = () => {
				if (stopped) return;
				const suspects = new ServerProcess(
					"suspects",
					{ ...setting.environment, PORT: "3998", LOG_LEVEL: "warn", ...environment },
					undefined,
					entry,
				);
				processes.push(suspects);
				void suspects.exited.then(start);
			};
			start();
		},
		async stop() {
			stopped = true;
			await Promise.all(processes.map((process) => process.kill()));
			await edge.close();
			setting.remove();
			await Promise.all([postgres.stop(), state.stop(), cache.stop()]);
		},
	};
	return Object.assign(rig, { [Symbol.asyncDispose]: rig.stop });
}

export function user(name: string, workspace = "team"): Principal {
	return { id: `token:${name}`, roles: ["member"], workspace, expiresAt: null, credentialId: name };
}

/** Waits until all of them are over, and returns them. */
export async function over(
	edge: JobParts,
	principal: Principal,
	ids: readonly string[],
	milliseconds = 120_000,
): Promise<Map<string, Job>> {
	const ended = new Map<string, Job>();
	await until(
		async () => {
			for (const id of ids.filter((each) => !ended.has(each))) {
				const job = await edge.services.jobs.get(principal, id);
				if (job.state !== "queued" && job.state !== "active") ended.set(id, job);
			}
			return ended.size === ids.length;
		},
		() => `${ids.length - ended.size} of ${ids.length} jobs to end`,
		milliseconds,
	);
	return ended;
}
