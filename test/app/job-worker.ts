/**
 * A job worker as it is deployed, but with tools of the test's, and, as JOBS_WITHOUT says, without one of its protections:
 * `reconciler`, `once` (changes are made as often as a job is run) or `apart` (suspects are run among the others).
 */
import { setTimeout as sleep } from "node:timers/promises";
import { readJobsConfig } from "../../app/config.ts";
import { createReconciler, createRunner, openJobParts } from "../../app/lifecycle/job-parts.ts";
import { serveProbes } from "../../app/lifecycle/probes.ts";
import { stopOnOrder } from "../../app/lifecycle/stop.ts";
import { createLog } from "../../app/observe/log.ts";
import { problemsOf } from "../../app/observe/observers.ts";
import { testTools } from "./job-tools.ts";

const without = process.env.JOBS_WITHOUT;
const suspects = process.argv.includes("suspects");
const config = readJobsConfig(process.env);
const { log, flush } = createLog(config.log, suspects ? "suspects" : "jobs", config.version);
const parts = await openJobParts(config, log, suspects ? "suspects" : "jobs");
const { services } = parts;
const unprotected = { ...services, forAttempt: () => ({ services, step: (_: string, decide: () => Promise<unknown>) => decide() }) };
const from = without === "once" ? { ...parts, services: unprotected as unknown as typeof services } : parts;
const problem = problemsOf("jobs", parts.observing);

const runners = [
	createRunner(config, from, {
		queue: suspects ? "suspects" : "jobs",
		concurrency: suspects ? 1 : config.concurrency,
		toolNamed: testTools,
	}),
];
if (without === "apart")
	runners.push(createRunner(config, from, { queue: "suspects", concurrency: config.concurrency, toolNamed: testTools }));
const reconciler = createReconciler(config, parts);
let stopped = false;
const looks = (async () => {
	while (!stopped && !suspects && without !== "reconciler") {
		await reconciler.look().catch((error: unknown) => problem("a look failed", error));
		await sleep(500);
	}
})();
let state: "ready" | "draining" = "ready";
const release = suspects ? () => {} : await serveProbes(config.address, config.port, () => state);
stopOnOrder(process, {
	drainMs: config.drainMs,
	log,
	last: flush,
	async drain() {
		state = "draining";
		stopped = true;
		await looks;
		for (const runner of runners) await runner.stop(config.drainMs - 1_000);
		release();
		await parts.close();
	},
});
