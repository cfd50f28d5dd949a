/**
 * BullMQ alone: `worker` does nothing, well; `producer` adds jobs, a number of them at a time or at a pace, and waits for
 * each as BullMQ has it. Argument: role and port of Redis.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { Queue, QueueEvents, Worker } from "bullmq";
import { Redis } from "ioredis";

/** What a producer is told to do. */
export interface ProducerOrder {
	/** Jobs under way at once; without meaning where there is a rate. */
	readonly inFlight: number;
	/** Jobs a second; null for as many as there can be. */
	readonly rate: number | null;
	readonly warmMs: number;
	readonly ms: number;
}

/** What it did. */
export interface Produced {
	readonly perSecond: number;
	readonly latencies: readonly number[];
}

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
	const load = ({ inFlight, rate }: ProducerOrder, ms: number) => (rate === null ? closed(inFlight, ms) : open(rate, ms));
	process.on("message", async (order: ProducerOrder) => {
		await load(order, order.warmMs);
		process.send?.({ event: "counting" });
		const started = performance.now();
		const latencies = await load(order, order.ms);
		const seconds = (performance.now() - started) / 1_000;
		process.send?.({ event: "counted" });
		process.send?.({ perSecond: latencies.length / seconds, latencies } satisfies Produced);
	});

	async function one(from = performance.now()): Promise<number> {
		const job = await queue.add("job", { action: "retrieve", key: "bench" }, keep);
		await job.waitUntilFinished(events);
		return performance.now() - from;
	}

	/** Each as soon as the one before is done. */
	async function closed(inFlight: number, milliseconds: number): Promise<number[]> {
		const latencies: number[] = [];
		const end = performance.now() + milliseconds;
		const line = async () => {
			while (performance.now() < end) latencies.push(await one());
		};
		await Promise.all(Array.from({ length: inFlight }, line));
		return latencies;
	}

	/** Each at its time, whatever has become of those before; its latency counts from then. */
	async function open(rate: number, milliseconds: number): Promise<number[]> {
		const under: Promise<number>[] = [];
		// Not all producers at the same moment.
		const began = performance.now() + (Math.random() * 1_000) / rate;
		for (let due = began; due < began + milliseconds; due += 1_000 / rate) {
			await sleep(Math.max(0, due - performance.now()));
			under.push(one(due));
		}
		return await Promise.all(under);
	}
}
process.send?.("ready");
