/** The whole of it on this machine: nodes with their workers, HAProxy in front as the project configures it, real stores behind. */
import { env, paths } from "../../app/contract.ts";
import { Daemon as Balancer, missing as haproxyMissing } from "../haproxy/daemon.ts";
import { settingsFor } from "../haproxy/settings.ts";
import { freePort } from "./daemon.ts";
import {
	type PostgresCluster,
	type SentinelRedis,
	type StandaloneRedis,
	startPostgres,
	startRedis,
	startRedisWithSentinel,
	missing as storesMissing,
} from "./daemons.ts";
import { Pod } from "./pod-process.ts";
import { ServerProcess, settingOf } from "./server-process.ts";

/** Why there can be none of it here, or null. */
export const missing = storesMissing ?? haproxyMissing;

const NODES = 3;
const WORKERS = 2;

/** What a worker has for its drain. */
export const DRAIN_SECONDS = 10;

const STICKY_KEY = "a-key-of-these-tests";

export interface Nodes {
	readonly postgres: PostgresCluster;
	readonly state: SentinelRedis;
	readonly cache: StandaloneRedis;
	readonly pods: readonly Pod[];
	readonly balancer: Balancer;
	/** Of HAProxy. */
	readonly port: number;
	/** Where HAProxy serves MCP at `/`. */
	readonly mcpPort: number;
	/** What the workers are told. */
	readonly environment: Readonly<Record<string, string>>;
	/** `127.0.0.1:<port>`, a name that the workers answer to. */
	readonly host: string;
	/** Process ids of all workers, by port. */
	workers(): Map<number, number>;
	stop(): Promise<void>;
}

/** Starts everything: a Redis primary with replica and Sentinel, another Redis as cache, a PostgreSQL primary with replicas. */
export async function startNodes(): Promise<Nodes> {
	const cleanup: (() => unknown)[] = [];
	const stop = async () => {
		for (const undo of cleanup.splice(0).toReversed()) await undo();
	};
	try {
		const opened = <T extends { stop(): Promise<void> }>(part: T): T => {
			cleanup.push(() => part.stop());
			return part;
		};
		const [postgres, state, cache] = await Promise.all([
			startPostgres({ replicas: 1, standby: true }).then(opened),
			startRedisWithSentinel().then(opened),
			startRedis().then(opened),
		]);
		const setting = settingOf(postgres, state.url, cache);
		cleanup.push(() => setting.remove());
		const migration = new ServerProcess("migrate", setting.environment);
		if ((await migration.exited) !== 0) throw new Error(`the migration failed:\n${migration.output}`);

		const [port, mcpPort] = [await freePort(), await freePort()];
		const host = `127.0.0.1:${port}`;
		const environment = {
			...setting.environment,
			[env.stickyKey]: STICKY_KEY,
			[env.allowedHosts]: `agentic.test,${host},127.0.0.1:${mcpPort}`,
			[env.drainSeconds]: String(DRAIN_SECONDS),
			// Whoever comes without a credential is one principal, and all clients of these tests are that one.
			PRINCIPAL_RATE: "100000",
			ADDRESS_RATE: "100000",
			// All of it on a few processors: a worker that starts has the others wait, which is no reason to refuse anything.
			SHED_DELAY_MS: "5000",
			[env.poolPrimary]: "8",
			[env.poolReplica]: "8",
		};
		const pods: Pod[] = [];
		for (let node = 0; node < NODES; node++) pods.push(await Pod.create(WORKERS, environment));
		cleanup.push(() => Promise.all(pods.map((pod) => pod.remove())));
		await Promise.all(pods.map((pod) => pod.start()));

		const balancer = opened(await startBalancer(port, mcpPort, pods));
		return {
			postgres,
			state,
			cache,
			pods,
			balancer,
			port,
			mcpPort,
			environment,
			host,
			workers: () => new Map(pods.flatMap((pod) => [...pod.workers])),
			stop,
		};
	} catch (error) {
		await stop();
		throw error;
	}
}

/** With the numbers that the stacks have. */
async function startBalancer(port: number, mcpPort: number, pods: readonly Pod[]): Promise<Balancer> {
	const servers = pods.flatMap(({ workerPorts }, node) =>
		workerPorts.map((worker, index) => ({ name: `n${node + 1}-w${index + 1}`, host: "127.0.0.1", port: worker })),
	);
	const { sticky, timeouts, ...rest } = await settingsFor({ kind: "addresses", servers });
	const settings = {
		...rest,
		binds: [
			{ address: "127.0.0.1", port, tls: null, mount: null },
			{ address: "127.0.0.1", port: mcpPort, tls: null, mount: paths.mcp },
		],
		client: { kind: "connection" } as const,
		sticky: { ...sticky, key: STICKY_KEY },
		http: { maxPerWorker: 64, maxQueuePerWorker: 64 },
		check: {
			path: rest.check.path,
			intervalMs: 2_000,
			fastIntervalMs: 1_000,
			downIntervalMs: 2_000,
			timeoutMs: 2_000,
			rise: 2,
			fall: 2,
		},
		timeouts: { ...timeouts, clientMs: 90_000, serverMs: 60_000, pollMs: 90_000, tunnelMs: 90_000, keepAliveMs: 90_000, queueMs: 5_000 },
	};
	return Balancer.start(settings, servers.length);
}
