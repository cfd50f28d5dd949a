/** A job worker: takes jobs from the queue, and looks after the queue in turn with the others. */
import { readJobsConfig } from "../config.ts";
import { ports } from "../contract.ts";
import { createLog } from "../observe/log.ts";
import { problemsOf } from "../observe/observers.ts";
import { forgetKeys } from "../stores/jobs.ts";
import { toolNamed } from "../tools/tools.ts";
import { startHousekeeping } from "./housekeeping.ts";
import { createReconciler, createRunner, openJobParts } from "./job-parts.ts";
import { serveMetrics } from "./metrics-server.ts";
import { serveProbes } from "./probes.ts";
import { stopOnOrder } from "./stop.ts";
import { keepSuspectsApart } from "./suspects.ts";

/** Milliseconds. */
const ms = { look: 2_000, keys: 600_000, suspectsIdle: 10_000 } as const;

/** Keys that are forgotten at once. */
const KEYS = 10_000;

/**
 * Starts, and returns when it takes jobs; it then lives until it is told to stop.
 *
 * @throws ConfigError with every fault
 */
export async function runJobs(environment: NodeJS.ProcessEnv): Promise<void> {
	const config = readJobsConfig(environment);
	const { log, flush } = createLog(config.log, "jobs", config.version);
	const parts = await openJobParts(config, log, "jobs");
	const { observing, services, database, redis } = parts;
	const problem = problemsOf("jobs", observing);
	let state: "ready" | "draining" = "ready";

	const runner = createRunner(config, parts, {
		queue: "jobs",
		concurrency: config.concurrency,
		toolNamed: (name) => toolNamed(name, config.tools),
	});
	const releaseApart = keepSuspectsApart(services.queue, problem);
	const reconciler = createReconciler(config, parts);
	const stopChores = startHousekeeping(
		redis,
		[
			{ name: "jobs", everyMs: ms.look, work: async () => observing.metrics.jobs.reconciled(await reconciler.look()) },
			{ name: "job-keys", everyMs: ms.keys, work: async () => void (await database.write([], (client) => forgetKeys(client, KEYS))) },
		],
		problem,
	);
	observing.metrics.watchJobs({ running: () => runner.running, figures: () => services.jobs.figures() });
	const releaseMetrics = serveMetrics(observing.metrics, config.address, config.port + ports.metricsOffset, log);
	const releaseProbes = await serveProbes(config.address, config.port, () => state);
	stopOnOrder(process, {
		drainMs: config.drainMs,
		log,
		last: flush,
		async drain() {
			state = "draining";
			stopChores();
			releaseMetrics();
			await Promise.all([runner.stop(config.drainMs - ms.look), releaseApart()]);
			releaseProbes();
			await parts.close();
		},
	});
	log.info({ "server.address": config.address, "server.port": config.port }, "ready");
}

/**
 * Runs jobs that have cost workers, one at a time, until there are none: what {@link keepSuspectsApart} starts.
 *
 * @throws ConfigError with every fault
 */
export async function runSuspects(environment: NodeJS.ProcessEnv): Promise<void> {
	const config = readJobsConfig(environment);
	const { log, flush } = createLog(config.log, "suspects", config.version);
	const parts = await openJobParts(config, log, "suspects");
	const runner = createRunner(config, parts, { queue: "suspects", concurrency: 1, toolNamed: (name) => toolNamed(name, config.tools) });
	let idleSince = performance.now();
	const timer = setInterval(() => {
		if (runner.running > 0) idleSince = performance.now();
		else if (performance.now() - idleSince > ms.suspectsIdle) process.emit("SIGTERM");
	}, 500);
	stopOnOrder(process, {
		drainMs: config.drainMs,
		log,
		last: flush,
		async drain() {
			clearInterval(timer);
			await runner.stop(config.drainMs - ms.look);
			await parts.close();
		},
	});
}
