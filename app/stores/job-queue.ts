import { Queue } from "bullmq";
import type { Redis } from "ioredis";
import { redisKeys } from "../contract.ts";
import type { Delivery } from "./jobs.ts";

/** `jobs` for all; `suspects` for those that have cost workers, which are run one by one and apart. */
export const queueNames = ["jobs", "suspects"] as const;
export type QueueName = (typeof queueNames)[number];

/** Before every key of BullMQ's. */
export const QUEUE_PREFIX = `${redisKeys.all}bull`;

/** All that the queue carries. Whoever takes it asks PostgreSQL for the rest. */
export interface Carried {
	readonly id: string;
}

/** A worker may be lost for any reason, and with it many jobs that are to be run again soon. Twice is no chance any more. */
const SUSPICIOUS_LOSSES = 2;

/** What an entry is called whose job only looks something up, and what all others are. */
const names = { looksUp: "look", other: "job" } as const;

/** BullMQ's priorities begin at 1; the least comes first. */
const FIRST_PRIORITY = 1;

/**
 * The queue in which job workers find what to do. It may forget, and may say things twice: what there is to do is in
 * PostgreSQL. BullMQ's own ids repeat after a failover, so that each entry is named after the job.
 */
export class JobQueue {
	readonly #queues: { readonly [name in QueueName]: Queue<Carried> };
	readonly #redis: Redis;

	/** @param redis in the state group; whoever made it closes it */
	constructor(redis: Redis, onProblem: (error: unknown) => void) {
		const open = (name: QueueName) => {
			const queue = new Queue<Carried>(name, {
				connection: redis,
				prefix: QUEUE_PREFIX,
				defaultJobOptions: { removeOnComplete: true, removeOnFail: true, stackTraceLimit: 1 },
			});
			queue.on("error", onProblem);
			return queue;
		};
		this.#redis = redis;
		this.#queues = { jobs: open("jobs"), suspects: open("suspects") };
	}

	/**
	 * @param delayMs before they are to be begun
	 * @throws where Redis is away, or has no room
	 */
	async add(deliveries: readonly Delivery[], delayMs = 0): Promise<void> {
		this.#demandRedis();
		for (const name of queueNames) {
			const entries = deliveries.filter((delivery) => queueOf(delivery) === name).map((delivery) => entryOf(delivery, delayMs));
			if (entries.length === 1) {
				const [{ name: title, data, opts }] = entries as [(typeof entries)[0]];
				await this.#queues[name].add(title, data, opts);
			} else if (entries.length > 0) await this.#queues[name].addBulk(entries);
		}
	}

	/** Those of them that are not in the queue. */
	async missing<D extends Delivery>(deliveries: readonly D[]): Promise<D[]> {
		this.#demandRedis();
		const pipeline = this.#redis.pipeline();
		for (const delivery of deliveries) pipeline.exists(`${QUEUE_PREFIX}:${queueOf(delivery)}:${entryId(delivery)}`);
		const answers = (await pipeline.exec()) ?? [];
		const failed = answers.find(([error]) => error !== null);
		if (failed !== undefined) throw failed[0] as Error;
		return deliveries.filter((_, index) => answers[index]?.[1] === 0);
	}

	/** Entries that nobody has begun. */
	async waiting(name: QueueName): Promise<number> {
		this.#demandRedis();
		return await this.#queues[name].getJobCountByTypes("waiting", "prioritized");
	}

	/** BullMQ would wait for it as long as it takes. */
	#demandRedis(): void {
		if (this.#redis.status !== "ready") throw new Error("Redis is away");
	}

	async close(): Promise<void> {
		await Promise.all(queueNames.map((name) => this.#queues[name].close().catch(() => {})));
	}
}

function queueOf({ losses }: Delivery): QueueName {
	return losses < SUSPICIOUS_LOSSES ? "jobs" : "suspects";
}

/** An entry's name, and what it names. */
function entryId({ id, deliveries }: Pick<Delivery, "id" | "deliveries">): string {
	return `${id}-${deliveries}`;
}

/** What an entry of the queue is about. One that comes again may have taken a worker along, and is not only looked at any more. */
export function deliveredIn(entry: {
	readonly id?: string;
	readonly name: string;
	readonly attemptsStarted: number;
	readonly data: Carried;
}): Pick<Delivery, "id" | "deliveries"> & { readonly looksUp: boolean } {
	const { id } = entry.data;
	const looksUp = entry.name === names.looksUp && entry.attemptsStarted <= 1;
	return { id, deliveries: Number(entry.id?.slice(id.length + 1)), looksUp };
}

function entryOf(delivery: Delivery, delayMs: number) {
	const opts = { jobId: entryId(delivery), priority: delivery.rank + FIRST_PRIORITY, ...(delayMs > 0 ? { delay: delayMs } : {}) };
	return { name: delivery.looksUp ? names.looksUp : names.other, data: { id: delivery.id }, opts };
}
