import { createHash } from "node:crypto";
import type { Redis } from "ioredis";
import { validate as isUuid, v7 as uuidv7 } from "uuid";
import { isOver, type Job, type Principal } from "../model.ts";
import { type JobRequest, type JobService, ServiceError } from "../ports.ts";
import type { Channels } from "../stores/channels.ts";
import type { JobQueue } from "../stores/job-queue.ts";
import {
	cancelJob,
	countEndedToday,
	type Delivery,
	findJob,
	forgetStep,
	insertJobs,
	type JobRecord,
	jobOf,
	listJobs,
	type NewJob,
	queueFigures,
	rankOf,
	retryJob,
	takeKey,
} from "../stores/jobs.ts";
import type { Database } from "../stores/postgres.ts";
import { demandBytes, demandLength } from "./demand.ts";
import { CANCEL_CHANNEL, Ears, JobTalk, say } from "./job-channel.ts";
import { BEGUN, recordName } from "./once.ts";
import { deadline } from "./patience.ts";
import { gather } from "./turns.ts";

/** Bytes of the arguments' JSON; characters of a key; jobs of a listing; how often a job is tried. */
const limits = { arguments: 4 * 1_048_576, key: 255, listed: 200, attempts: 3 } as const;

/** Jobs that may wait: a principal's, and all. */
const room = { principal: 5_000, all: 100_000 } as const;

/** Milliseconds. */
const ms = {
	/** For which the job is held back until what is said of it can be heard. */
	hearing: 250,
	/** Between two looks into the database while a job is waited for: what was said of its end may have been lost. */
	look: 1_000,
	/** Before the first of them where somebody else asked for the job: the end of one that only looks something up is told to nobody else. */
	firstLook: 50,
	/** A commit that took longer than this may have been given up by who looked for it: well below what that one waits. */
	early: 200,
	/** For which figures are kept, and those that take longer to find. */
	figures: 2_000,
	counts: 30_000,
} as const;

/** Jobs committed together; that wait for it at most. */
const perWorker = { together: 128, waiting: 5_000 } as const;

export interface JobParts {
	readonly database: Database;
	readonly queue: JobQueue;
	/** In the state group. */
	readonly redis: Redis;
	readonly channels: Channels;
	/** Whether a call of a tool only looks something up. */
	readonly looksUp: (tool: string, args: Readonly<Record<string, unknown>>) => boolean;
	readonly onProblem: (what: string, error: unknown) => void;
}

/** Who waits for a new job, for somebody. */
interface Waiter {
	/** Under which it is told of the job. */
	readonly name: string;
	/** What is said of the job can be heard. */
	readonly heard: Promise<void>;
	/** Told that the job is committed; before it is given to the queue, unless it only looks something up. */
	readonly begun: ((job: Job) => void) | undefined;
}

/** A new job that waits for its transaction. */
interface Asked {
	readonly job: NewJob;
	committed(at: number): void;
	failed(error: unknown): void;
}

export function jobService({ database, queue, redis, channels, looksUp, onProblem }: JobParts): JobService {
	const talk = new JobTalk(channels);
	/** Transactions of this worker's that insert jobs now. */
	let inserting = 0;
	const insert = gather<Asked>(perWorker, async (_, asked) => {
		inserting += 1;
		try {
			const at = await database.writeOne((client) =>
				insertJobs(
					client,
					asked.map(({ job }) => job),
				),
			);
			for (const { committed } of asked) committed(at);
		} catch (error) {
			for (const { failed } of asked) failed(error);
		} finally {
			inserting -= 1;
		}
	});
	const figures = kept(ms.figures, () => database.readPrimary((client) => queueFigures(client, room.principal)));

	const endedToday = kept(ms.counts, () => database.read(null, countEndedToday));

	/**
	 * Commits it and gives it to the queue, unless it is there already. Whether the queue takes it is of no matter: job workers
	 * look for what the queue has lost.
	 */
	async function commit(principal: Principal, request: JobRequest, id: string, waiter: Waiter | null): Promise<Job> {
		const asked = newJob(principal, request, id, waiter?.name ?? null);
		await demandRoom(principal);
		const first = { id, deliveries: 1, rank: rankOf(asked.priority), losses: 0, looksUp: looksUp(request.tool, request.arguments) };
		// Whoever looks something up waits for its row, so that the two ways can be gone at once. Where others are being
		// committed this one has to wait for them, and it would be too early.
		const early = first.looksUp && inserting === 0 && request.idempotencyKey === undefined;
		const began = performance.now();
		const committed = commitNow(principal, request, { ...asked, early });
		// That it fails is told where it is waited for.
		committed.catch(() => {});
		await waiter?.heard;
		if (early) void enqueue(first);
		const done = await committed;
		waiter?.begun?.(done);
		if (done.id === id && !(early && performance.now() - began < ms.early)) await enqueue(first);
		return done;
	}

	async function commitNow(principal: Principal, request: JobRequest, job: NewJob): Promise<Job> {
		const { id } = job;
		if (request.idempotencyKey === undefined) {
			return await new Promise<Job>((done, failed) => {
				insert("jobs", { job, committed: (at) => done(fresh(job, request, at)), failed });
			});
		}
		const key = { workspace: principal.workspace, principal: principal.id, key: request.idempotencyKey, job: id, request: digestOf(job) };
		const { same, found } = await database.write([], async (client) => {
			const taken = await takeKey(client, key);
			if (taken.job === id) await insertJobs(client, [job]);
			return { ...taken, found: await findJob(client, principal.workspace, principal.id, taken.job) };
		});
		if (!same) throw new ServiceError("CONFLICT", "this idempotency key stands for another request");
		return jobOf(demandJob(found));
	}

	async function demandRoom(principal: Principal): Promise<void> {
		// Where they cannot be had the job cannot be committed either, and that is what is told.
		const now = await figures().catch(() => null);
		if (now === null) return;
		if (now.queued >= room.all) throw new ServiceError("UNAVAILABLE", "too many jobs wait; try again later", 5);
		if (now.full.includes(`${principal.workspace}\n${principal.id}`)) {
			throw new ServiceError("RATE_LIMITED", `${room.principal} of your jobs wait already; try again when some are done`, 5);
		}
	}

	async function enqueue(delivery: Delivery): Promise<void> {
		await queue.add([delivery]).catch((error: unknown) => onProblem("a job waits to be found: the queue did not take it", error));
	}

	async function find(principal: Principal, id: string): Promise<JobRecord> {
		demandId(id);
		return demandJob(await database.readPrimary((client) => findJob(client, principal.workspace, principal.id, id)));
	}

	/** Until it is over, or `giveUp` is aborted. */
	async function follow(principal: Principal, job: Job, ears: Ears, giveUp: AbortSignal, patience: number = ms.look): Promise<Job> {
		let now = job;
		for (let next = patience; !isOver(now) && !giveUp.aborted; next = ms.look) {
			await ears.over(next, giveUp);
			if (ears.last !== null) return ears.last;
			if (giveUp.aborted && !ears.isOver) break;
			try {
				now = jobOf(await find(principal, job.id));
			} catch (error) {
				if (error instanceof ServiceError && error.code !== "UNAVAILABLE") throw error;
				onProblem("a job cannot be looked at", error);
			}
		}
		return now;
	}

	return {
		async submit(principal, request) {
			return await commit(principal, request, uuidv7(), null);
		},

		async run(principal, request, { ms: patience, signal, listener, begun }) {
			const id = uuidv7();
			let ears = new Ears((hear) => talk.waitFor(id, hear), listener);
			const { giveUp, clear } = deadline(patience, signal);
			try {
				const job = await commit(principal, request, id, { name: talk.name, heard: ears.ready(ms.hearing), begun });
				const others = job.id !== id;
				if (others) {
					ears.stop();
					ears = new Ears((hear) => talk.follow(job.id, hear), listener);
				}
				return await follow(principal, job, ears, giveUp, others ? ms.firstLook : ms.look);
			} finally {
				ears.stop();
				clear();
			}
		},

		async wait(principal, id, { ms: patience, signal, listener }) {
			demandId(id);
			const { giveUp, clear } = deadline(patience, signal);
			const ears = new Ears((hear) => talk.follow(id, hear), listener);
			try {
				await ears.ready(ms.hearing);
				return await follow(principal, jobOf(await find(principal, id)), ears, giveUp, ms.firstLook);
			} finally {
				ears.stop();
				clear();
			}
		},

		async get(principal, id) {
			return jobOf(await find(principal, id));
		},

		async list(principal, { state, limit, before }) {
			if (before !== undefined && !isUuid(before)) throw new ServiceError("INVALID", "before is the id of a job");
			const query = { state: state ?? null, before: before ?? null, limit: Math.min(limit, limits.listed) };
			const found = await database.readPrimary((client) => listJobs(client, principal.workspace, principal.id, query));
			return found.map(jobOf);
		},

		async cancel(principal, id) {
			demandId(id);
			const job = demandJob(await database.write([], (client) => cancelJob(client, principal.workspace, principal.id, id)));
			// Its worker finds out by itself a little later where this is lost.
			if (job.state === "active") await redis.publish(CANCEL_CHANNEL, id).catch(() => {});
			if (job.state === "cancelled") await say(redis, job, { kind: "over" });
			return jobOf(job);
		},

		async retry(principal, id) {
			demandId(id);
			const delivery = await database.write([], async (client) => {
				const found = await retryJob(client, principal.workspace, principal.id, id);
				if (found !== undefined) await forgetStep(client, id, recordName(BEGUN));
				return found;
			});
			const job = await find(principal, id);
			if (delivery === undefined)
				throw new ServiceError("CONFLICT", `job ${id} is ${job.state}: only one that is dead or failed can be retried`);
			await enqueue(delivery);
			return jobOf(job);
		},

		async figures() {
			const [{ queued, active, dead, oldestSeconds }, ended] = await Promise.all([figures(), endedToday()]);
			return { queued, active, endedToday: ended, dead, oldestSeconds };
		},
	};
}

function newJob(principal: Principal, request: JobRequest, id: string, waiter: string | null): Omit<NewJob, "early"> {
	const text = JSON.stringify(request.arguments);
	if (Buffer.byteLength(text) > limits.arguments)
		throw new ServiceError("INVALID", `the arguments have more than ${limits.arguments} bytes`);
	demandBytes("tool", request.tool, 200);
	if (request.idempotencyKey !== undefined) {
		if (request.idempotencyKey === "") throw new ServiceError("INVALID", "the idempotency key is empty");
		demandLength("the idempotency key", request.idempotencyKey, limits.key);
	}
	return {
		id,
		workspace: principal.workspace,
		principal: principal.id,
		roles: principal.roles,
		tool: request.tool,
		arguments: text,
		priority: request.priority ?? "medium",
		maxAttempts: limits.attempts,
		waiter,
	};
}

function digestOf(job: NewJob): Buffer {
	return createHash("sha256")
		.update(JSON.stringify([job.tool, job.arguments, job.priority]))
		.digest();
}

/** A job that nobody has begun. */
function fresh({ id, tool, priority, maxAttempts }: NewJob, request: JobRequest, createdAt: number): Job {
	return {
		id,
		tool,
		arguments: request.arguments,
		state: "queued",
		priority,
		attempts: 0,
		maxAttempts,
		progress: 0,
		message: null,
		result: null,
		error: null,
		createdAt,
		startedAt: null,
		endedAt: null,
	};
}

function demandId(id: string): void {
	if (!isUuid(id)) throw noJob();
}

function demandJob(job: JobRecord | undefined): JobRecord {
	if (job === undefined) throw noJob();
	return job;
}

function noJob(): ServiceError {
	return new ServiceError("NOT_FOUND", "there is no such job");
}

/** What was asked for last, for so long; one question at a time. */
function kept<T>(milliseconds: number, ask: () => Promise<T>): () => Promise<T> {
	let answer: Promise<T> | null = null;
	let until = 0;
	return () => {
		if (answer === null || performance.now() >= until) {
			until = performance.now() + milliseconds;
			const asked = ask();
			asked.catch(() => {
				if (answer === asked) answer = null;
			});
			answer = asked;
		}
		return answer;
	};
}
