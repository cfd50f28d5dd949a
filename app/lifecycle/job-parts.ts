/** The parts of a job worker, put together. */
import { randomBytes } from "node:crypto";
import type { JobsConfig } from "../config.ts";
import { Reconciler } from "../jobs/reconciler.ts";
import { JobRunner } from "../jobs/runner.ts";
import type { Log } from "../observe/log.ts";
import { createMetrics } from "../observe/metrics.ts";
import { jobObserver, type Observing } from "../observe/observers.ts";
import type { QueueName } from "../stores/job-queue.ts";
import type { Tool } from "../tools/tool.ts";
import { serviceSettings } from "./part-settings.ts";
import { openStores, type Stores } from "./stores.ts";

/** The longest that a tool may take, milliseconds: as the original has it. */
const TIME_LIMIT_MS = 300_000;

/** After which a job that was to be put into the queue must be there, milliseconds. */
const SETTLED_MS = 5_000;

/** Workers that a job may cost. */
const MOST_LOSSES = 4;

/** What a job worker works with. */
export interface JobParts extends Stores {
	readonly observing: Observing;
}

/** Everything that connects to something. Nothing waits for it. @param purpose in the names of its connections */
export async function openJobParts(config: JobsConfig, log: Log, purpose: QueueName): Promise<JobParts> {
	const tracing =
		config.tracing &&
		(await import("../observe/tracing.ts")).startTracing(config.tracing, config.version, `${purpose}-${config.address}:${config.port}`);
	const observing: Observing = { log, metrics: createMetrics(), tracing };
	const settings = serviceSettings({ workers: 1, claimSilenceMs: config.claimSilenceMs });
	// The queue's reader waits for as long as it takes, and so does what is told to it.
	const stores = openStores(config, observing, settings, { purpose, options: { maxRetriesPerRequest: null } });
	const close = async () => {
		await stores.close();
		await tracing?.stop();
	};
	return { ...stores, observing, close };
}

/** @param toolNamed throws ToolError TOOL_UNAVAILABLE where there is none of that name */
export function createRunner(
	config: JobsConfig,
	{ database, services, redis, observing }: JobParts,
	how: { readonly queue: QueueName; readonly concurrency: number; readonly toolNamed: (name: string) => Tool },
): JobRunner {
	return new JobRunner(
		{ database, services, redis, toolNamed: how.toolNamed, observe: jobObserver(observing) },
		{
			// A process that comes after this one, with its address, is another worker.
			name: `${config.address}:${config.port} ${process.pid}.${randomBytes(4).toString("hex")}`,
			queue: how.queue,
			concurrency: how.concurrency,
			atOnce: config.perPrincipal,
			leaseMs: config.leaseMs,
			timeLimitMs: TIME_LIMIT_MS,
		},
	);
}

export function createReconciler(config: JobsConfig, { database, services, redis }: JobParts): Reconciler {
	return new Reconciler(
		{ database, queue: services.queue, redis },
		{ atOnce: config.perPrincipal, mostLosses: MOST_LOSSES, settledMs: SETTLED_MS },
	);
}
