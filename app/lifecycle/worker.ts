/** One worker: the server's parts, put together, from its start to its end. */
import cluster from "node:cluster";
import { setTimeout as sleep } from "node:timers/promises";
import type { FastifyInstance } from "fastify";
import { readWorkerConfig, type WorkerConfig } from "../config.ts";
import { seconds } from "../contract.ts";
import { buildApp } from "../http/app.ts";
import { legacyPrincipal } from "../http/authenticate.ts";
import { addressOf, allowedOrigins } from "../http/origins.ts";
import { sessionCookies } from "../http/session-cookie.ts";
import type { HttpSettings, WorkerState } from "../http/settings.ts";
import { createLog } from "../observe/log.ts";
import { createMetrics } from "../observe/metrics.ts";
import { httpObserver, type Observing, problemsOf, socketObserver } from "../observe/observers.ts";
import { countEverything } from "../stores/figures.ts";
import { maintain } from "../stores/maintenance.ts";
import { socketLimits } from "../ws/settings.ts";
import { attachSockets, type Sockets } from "../ws/sockets.ts";
import { startHousekeeping } from "./housekeeping.ts";
import { drainable } from "./http-drain.ts";
import { type LoadMonitor, monitorLoad } from "./load.ts";
import { serveMetrics } from "./metrics-server.ts";
import { httpSettings, serviceSettings } from "./part-settings.ts";
import { askReady } from "./probes.ts";
import { sessionKeys } from "./session-keys.ts";
import { stopOnOrder } from "./stop.ts";
import { openStores, type Stores } from "./stores.ts";

/**
 * Connections that may wait to be accepted: as many as Linux lets there be. Beyond that the kernel resets them, and a node
 * that is lost sends thousands here at once.
 */
const BACKLOG = 4_096;

/** What is away at the start is waited for so long, milliseconds, and not longer: the rest can be served without it. */
const PATIENCE_MS = 3_000;
const RETRY_MS = 50;

/**
 * How long connections are accepted in a drain, and kept where they stay idle, milliseconds; and most of a drain that may go by with
 * it. HAProxy knows after 3 s that a worker is not ready, with a check every 2 s and the next one a second later, and gives up
 * connections that it has not used for 5 s.
 */
const LINGER_MS = 5_000;
const LINGER_SHARE = 0.5;

/** In a drain sockets are sent elsewhere within this time, and within this share of the drain. */
const MOVE_MS = 10_000;
const MOVE_SHARE = 0.6;

const CLAIMS_MS = 5_000;
const MAINTENANCE_MS = 3_600_000;

/** How old counts of everything may be, milliseconds. All workers share them. */
const FIGURES_MS = 30_000;

/**
 * Starts, and returns when the worker listens; it then lives until it is told to stop. What it depends on may be away, then
 * as well as now.
 *
 * @throws ConfigError with every fault
 */
export async function runWorker(environment: NodeJS.ProcessEnv): Promise<void> {
	const config = readWorkerConfig(environment);
	const { log, flush } = createLog(config.log, "worker", config.version);
	const tracing =
		config.tracing &&
		(await import("../observe/tracing.ts")).startTracing(config.tracing, config.version, `${config.address}:${config.port}`);
	const observing: Observing = { log, metrics: createMetrics(), tracing };
	const load = monitorLoad(config.shedDelayMs);
	let phase: "starting" | "ready" | "draining" = "starting";
	const stopping = new AbortController();
	const state = (): WorkerState => (phase === "ready" && load.stalled ? "stalled" : phase);

	const stores = openStores(config, observing, { ...serviceSettings(config), terminals: config.terminals }, { purpose: "worker" });
	const { app, sockets } = await buildEdge(config, observing, stores, { load, state, stopping: stopping.signal });
	const drainHttp = drainable(app.server);
	watch(observing, stores, sockets, load);
	const releaseMetrics = serveMetrics(observing.metrics, config.address, config.metricsPort, log);
	const stopChores = startChores(observing, stores);

	// Where PM2 is gone Node would exit at once, in the middle of whatever is under way.
	if (cluster.worker !== undefined) cluster.worker.exitedAfterDisconnect = true;
	stopOnOrder(process, {
		drainMs: config.drainMs,
		log,
		last: flush,
		async drain() {
			phase = "draining";
			stopChores();
			releaseMetrics();
			const lingerMs = Math.min(LINGER_MS, config.drainMs * LINGER_SHARE);
			// Who waits for a job has its answer by then, or is told where it will be.
			setTimeout(() => stopping.abort(), lingerMs);
			const moved = sockets.drain(Math.min(MOVE_MS, config.drainMs * MOVE_SHARE));
			await Promise.all([moved, drainHttp({ lingerMs, released: () => isReleased(config) })]);
			await app.close();
			await stores.close();
			await tracing?.stop();
			load.stop();
		},
	});
	await Promise.race([connected(stores), sleep(PATIENCE_MS)]);
	await app.listen({ host: config.address, port: config.port, backlog: BACKLOG });
	phase = "ready";
	log.info({ "server.address": config.address, "server.port": config.port }, "ready");
	// For PM2, where it has started this.
	process.send?.("ready");
}

/**
 * Whether a worker that drains may let go of its port. On a reload its successor is at the same port and ready, which it is not
 * itself; and where PM2 is gone, the next one waits for the port.
 */
async function isReleased({ address, port }: WorkerConfig): Promise<boolean> {
	return (cluster.isWorker && !process.connected) || (await askReady(address, port)) === 200;
}

/** When the stores answer: the first requests are not to be told that they are away. */
async function connected({ database, redis }: Stores): Promise<void> {
	await Promise.all([
		until(async () => void (await redis.ping())),
		until(async () => void (await database.readPrimary((client) => client.query({ name: "ping", text: "select 1", values: [] })))),
	]);
}

async function until(attempt: () => Promise<void>): Promise<void> {
	for (const end = performance.now() + PATIENCE_MS; performance.now() < end; await sleep(RETRY_MS)) {
		try {
			return await attempt();
		} catch {
			// Not yet.
		}
	}
}

/** HTTP and sockets on one server, which does not listen yet. */
async function buildEdge(
	config: WorkerConfig,
	observing: Observing,
	{ services, redis }: Stores,
	life: Pick<HttpSettings, "state" | "stopping"> & { readonly load: LoadMonitor },
): Promise<{ app: FastifyInstance; sockets: Sockets }> {
	const problem = problemsOf("secrets", observing);
	const keys = sessionKeys(config.secretsDir, (error) => problem("the session keys cannot be read again", error));
	const settings = httpSettings(config, { ...life, sessionKeys: keys, sockets: () => sockets.counts() });
	const app = buildApp(services, settings, httpObserver(observing));
	await app.ready();
	const sockets = attachSockets(
		app.server,
		observing.tracing?.forSockets(services) ?? services,
		{
			version: config.version,
			worker: { stickyKey: config.stickyKey, address: config.address, port: config.port },
			origins: allowedOrigins(settings),
			legacy: config.legacyOpen ? legacyPrincipal : null,
			sessionOf: sessionCookies(keys).sessionOf,
			addressOf: (request) => addressOf(request, settings.trustProxy),
			redis,
			performance: () => performanceOf(life.load),
			pingMs: config.pingMs,
			pingTimeoutMs: seconds.pingTimeout * 1_000,
			limits: socketLimits,
		},
		socketObserver(observing),
	);
	return { app, sockets };
}

/** This worker's own figures: the host's are elsewhere. */
function performanceOf(load: LoadMonitor): Readonly<Record<string, unknown>> {
	return {
		eventLoopDelayMs: Math.round(load.delayP99Ms * 10) / 10,
		eventLoopUtilization: Math.round(load.utilization * 1_000) / 1_000,
		memoryBytes: process.memoryUsage.rss(),
		uptimeSeconds: Math.floor(process.uptime()),
	};
}

function watch({ metrics }: Observing, { database, services }: Stores, sockets: Sockets, load: LoadMonitor): void {
	metrics.watch({
		load: () => ({ delaySeconds: load.delayP99Ms / 1_000, utilization: load.utilization, level: load.level() }),
		sockets: () => sockets.counts(),
		pools() {
			const { primary, replicas } = database.pools;
			return [{ server: "primary", ...primary }, ...replicas.map((figures, index) => ({ server: `replica-${index + 1}`, ...figures }))];
		},
		dependencies: () => services.health.dependencies(),
		async business() {
			try {
				const { body } = await services.cache.get("figures:all", FIGURES_MS, FIGURES_MS, () => countEverything(database));
				return JSON.parse(body.toString());
			} catch {
				return null;
			}
		},
	});
}

function startChores(observing: Observing, { database, services, redis }: Stores): () => void {
	const { log, metrics } = observing;
	const claims = async () => metrics.claimsExpired.inc(await services.tasks.expireClaims());
	const maintenance = async () => {
		for (const line of await maintain(database)) log.info({ "event.action": "maintenance" }, line);
	};
	return startHousekeeping(
		redis,
		[
			{ name: "claims", everyMs: CLAIMS_MS, work: claims },
			{ name: "maintenance", everyMs: MAINTENANCE_MS, work: maintenance },
		],
		problemsOf("housekeeping", observing),
	);
}
