/**
 * BullMQ alone: `worker` does nothing, well; `producer` adds jobs, a number of them at a time, and waits for each as
 * BullMQ has it. Argument: role and port of Redis.
 */
import { Queue, QueueEvents, Worker } from "bullmq";
import { Redis } from "ioredis";
import { latencyOf } from "../kit/stats.ts";

const [role, port] = process.argv.slice(2);
const connect = () => new Redis(Number(port), { maxRetriesPerRequest: null });
/** Whoever waits for a job still has to find it. */
const keep = { removeOnComplete: { count: 1_000 }, removeOnFail: { count: 1_000 } };

if (role === "worker") {
	const worker = new Worker("bench", async (job) => job.data, { connection: connect(), concurrency: 20 });
	await worker.waitUntilReady();
	process.on("message", () => process.send?.({}));
} else {
	const queue = new Queue<object>("bench", { connection: connect() });
	const events = new QueueEvents("bench", { connection: connect() });
	// Every job that is waited for listens to it.
	events.setMaxListeners(0);
	queue.setMaxListeners(0);
	await Promise.all([queue.waitUntilReady(), events.waitUntilReady()]);
	process.on("message", async ({ inFlight, warmMs, ms }: { inFlight: number; warmMs: number; ms: number }) => {
		await load(inFlight, warmMs);
		process.send?.({ event: "counting" });
		const started = performance.now();
		const latencies = await load(inFlight, ms);
		const seconds = (performance.now() - started) / 1_000;
		process.send?.({ event: "counted" });
		process.send?.({ perSecond: latencies.length / seconds, latency: latencyOf(latencies) });
	});

	async function load(inFlight: number, milliseconds: number): Promise<number[]> {
		const latencies: number[] = [];
		const end = performance.now() + milliseconds;
		await Promise.all(
			Array.from({ length: inFlight }, async () => {
				while (performance.now() < end) {
					const begun = performance.now();
					const job = await queue.add("job", { action: "retrieve", key: "bench" }, keep);
					await job.waitUntilFinished(events);
					latencies.push(performance.now() - begun);
				}
			}),
		);
		return latencies;
	}
}
process.send?.("ready");
