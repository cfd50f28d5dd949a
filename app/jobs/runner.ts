/** Takes jobs out of the queue and runs them, each in attempts of which PostgreSQL knows. */
import { setTimeout as sleep } from "node:timers/promises";
import { Worker } from "bullmq";
import type { Redis } from "ioredis";
import type { Principal, Role } from "../model.ts";
import type { RunningServices } from "../services/compose.ts";
import { CANCEL_CHANNEL, type JobMessage, say } from "../services/job-channel.ts";
import { AttemptOver } from "../services/once.ts";
import { gather } from "../services/turns.ts";
import { type Carried, deliveredIn, type JobQueue, QUEUE_PREFIX, type QueueName } from "../stores/job-queue.ts";
import {
	type Claimed,
	claimJobs,
	type Ended,
	endAttempts,
	type Found,
	giveBack,
	jobOf,
	lookAtJobs,
	type Outcome,
	renewLeases,
	unpark,
} from "../stores/jobs.ts";
import type { Database } from "../stores/postgres.ts";
import type { Tool, ToolRun } from "../tools/tool.ts";
import { Claim } from "./claim.ts";
import { backoffMs, outcomeOf } from "./outcome.ts";
import { Reporter } from "./reporter.ts";

export interface RunnerParts {
	readonly database: Database;
	readonly services: Pick<RunningServices, "forAttempt" | "channels" | "queue">;
	/** In the state group; the queue's reader makes another of its own from it. */
	readonly redis: Redis;
	/** @throws ToolError TOOL_UNAVAILABLE where there is none of that name */
	readonly toolNamed: (name: string) => Tool;
	readonly observe: RunnerObserver;
}

export interface RunnerSettings {
	/** As the jobs name who has them: no other process is called so. */
	readonly name: string;
	readonly queue: QueueName;
	/** Jobs that this process runs at once, and that one principal may have run at once in all of them. */
	readonly concurrency: number;
	readonly atOnce: number;
	/** For how long nobody else begins a job of this worker that is not heard of. */
	readonly leaseMs: number;
	/** The longest that one attempt may take. */
	readonly timeLimitMs: number;
}

/** Told what happens; must not throw. */
export interface RunnerObserver {
	/** @param waitedSeconds from being asked for to the first attempt; null for later ones */
	begun(tool: string, waitedSeconds: number | null): void;
	ended(tool: string, outcome: Outcome["state"], seconds: number): void;
	problem(what: string, error: unknown): void;
}

/** Why a tool is told to let go. */
export type LetGo = "cancelled" | "late" | "lost" | "stopping";

/** Milliseconds. */
const ms = {
	/** For a tool to let go; after that it is not waited for, and changes nothing any more. */
	grace: 5_000,
	/** After which a job is claimed that only looks something up and is not done yet. */
	unclaimed: 500,
	/** The longest wait for the row of a job that came before it, which is looked for first after 1 and then twice as long each time. */
	row: 256,
	/** Between two tries to say something to a database that is away. */
	again: 500,
	/** For what is begun when the worker is to stop, before it is given back. */
	margin: 3_000,
} as const;

/** What is said to the database together, and waits for it at most. */
const together = { together: 64, waiting: 10_000 } as const;

type Delivered = ReturnType<typeof deliveredIn>;

interface Running {
	readonly job: Claimed;
	readonly abort: AbortController;
	readonly claim: Claim;
	progress: number;
	message: string | null;
}

export class JobRunner {
	readonly #parts: RunnerParts;
	readonly #settings: RunnerSettings;
	readonly #running = new Map<string, Running>();
	readonly #worker: Worker<Carried>;
	readonly #look: (key: string, item: Asked<Delivered, Found | undefined>) => void;
	readonly #claim: (key: string, item: Asked<Delivered, Claimed | undefined>) => void;
	readonly #end: (key: string, item: Asked<Ending, void>) => void;
	readonly #renewal: NodeJS.Timeout;
	readonly #stopListening: () => void;
	#stopping = false;

	constructor(parts: RunnerParts, settings: RunnerSettings) {
		this.#parts = parts;
		this.#settings = settings;
		const { name, leaseMs, atOnce } = settings;
		const { database } = parts;
		this.#look = this.#together("jobs cannot be looked at", (delivered) =>
			database.readPrimary((client) => lookAtJobs(client, delivered, atOnce)),
		);
		this.#claim = this.#together("jobs cannot be begun", (delivered) =>
			database.writeOne((client) => claimJobs(client, delivered, { worker: name, leaseMs, atOnce })),
		);
		this.#end = gather(together, (_, asked) => this.#endTogether(asked));
		this.#worker = new Worker<Carried>(settings.queue, (entry) => this.#take(deliveredIn(entry)), {
			connection: parts.redis,
			prefix: QUEUE_PREFIX,
			concurrency: settings.concurrency,
			removeOnComplete: { count: 0 },
			removeOnFail: { count: 0 },
			// Whose a job is, its lease says; that a lost worker's entries come back at once is of no use before the lease ends.
			stalledInterval: settings.leaseMs,
			lockDuration: 2 * settings.leaseMs,
		});
		this.#worker.on("error", (error) => parts.observe.problem("the queue cannot be read", error));
		this.#renewal = setInterval(() => void this.#renew(), settings.leaseMs / 4).unref();
		this.#stopListening = parts.services.channels.listen(CANCEL_CHANNEL, (id) => this.#letGo(id, "cancelled")).stop;
	}

	/** Jobs that are being run. */
	get running(): number {
		return this.#running.size;
	}

	/** Takes no more jobs, waits for those begun, and gives back what is not done in time. */
	async stop(patienceMs: number): Promise<void> {
		this.#stopping = true;
		await this.#worker.pause(true).catch(() => {});
		const end = performance.now() + patienceMs - ms.margin;
		while (this.#running.size > 0 && performance.now() < end) await sleep(50);
		for (const id of this.#running.keys()) this.#letGo(id, "stopping");
		while (this.#running.size > 0 && performance.now() < end + ms.margin) await sleep(20);
		clearInterval(this.#renewal);
		this.#stopListening();
		await this.#worker.close(true).catch(() => {});
	}

	#letGo(id: string, why: LetGo): void {
		this.#running.get(id)?.abort.abort(why);
	}

	/** What the queue carried may be long over, or another worker's: then there is nothing to do. */
	async #take(delivered: Delivered): Promise<void> {
		if (delivered.looksUp) {
			const found = await this.#find(delivered);
			if (found?.state !== "queued") return;
			if (found.room) return await this.#run(found, delivered, async () => (await ask(this.#claim, delivered)) !== undefined);
		}
		const job = await ask(this.#claim, delivered);
		if (job !== undefined) await this.#run(job, delivered, null);
	}

	/** What only looks something up is given to the queue while its row is being committed, or before that has even begun. */
	async #find(delivered: Delivered): Promise<Found | undefined> {
		for (let wait = 1; ; wait *= 2) {
			const found = await ask(this.#look, delivered);
			if (found !== undefined || wait > ms.row) return found;
			await sleep(wait);
		}
	}

	/** @param claims claims the job, for an attempt that begins without; null where it has it */
	async #run(job: Claimed, { deliveries }: Delivered, claims: (() => Promise<boolean>) | null): Promise<void> {
		const { observe, redis } = this.#parts;
		const claim = new Claim({ job: job.id, attempt: job.attempts }, claims);
		const running: Running = { job, claim, abort: new AbortController(), progress: 0, message: null };
		this.#running.set(job.id, running);
		const begun = performance.now();
		const claimNow = () => claim.make().catch(() => running.abort.abort("lost" satisfies LetGo));
		const slow = claims === null ? undefined : setTimeout(claimNow, ms.unclaimed);
		observe.begun(job.tool, job.attempts === 1 ? (Date.now() - job.createdAt) / 1_000 : null);
		const late = setTimeout(() => running.abort.abort("late" satisfies LetGo), this.#settings.timeLimitMs);
		const reporter = new Reporter((message) => void say(redis, job, message));
		let outcome: Outcome | "over" | "give-back";
		try {
			const result = await this.#call(running, reporter);
			outcome = outcomeOf(job, { result });
		} catch (error) {
			const why = running.abort.signal.aborted ? (running.abort.signal.reason as LetGo) : null;
			if (error instanceof AttemptOver || why === "lost") outcome = "over";
			else if (why === "stopping") outcome = "give-back";
			else
				outcome = outcomeOf(job, { error, why, timeLimitMs: this.#settings.timeLimitMs }, (fault) =>
					observe.problem(`tool ${job.tool} failed`, fault),
				);
		}
		clearTimeout(late);
		clearTimeout(slow);
		reporter.close();
		try {
			if (outcome === "over") return;
			if (claim.isAsked || outcome === "give-back" || outcome.state !== "completed") {
				await claim.make();
				await ask(this.#end, { job, outcome });
			} else {
				const unclaimed = { deliveries, startedAt: job.startedAt as number };
				await ask(this.#end, { job, outcome: { ...outcome, unclaimed } });
			}
			if (outcome !== "give-back") observe.ended(job.tool, outcome.state, (performance.now() - begun) / 1_000);
		} catch (error) {
			if (!(error instanceof AttemptOver)) throw error;
		} finally {
			this.#running.delete(job.id);
		}
	}

	/** The tool's answer; a tool that does not let go in time is left behind. */
	async #call(running: Running, reporter: Reporter): Promise<unknown> {
		const { job, abort, claim } = running;
		const attempt = { job: job.id, attempt: job.attempts, claimed: () => claim.make() };
		const { services, step } = this.#parts.services.forAttempt(attempt);
		const tool = this.#parts.toolNamed(job.tool);
		const run: ToolRun = {
			jobId: job.id,
			principal: principalOf(job),
			services,
			signal: abort.signal,
			step,
			progress(percent, message) {
				running.progress = Math.min(100, Math.max(0, percent));
				running.message = message ?? null;
				reporter.progress(running.progress, running.message);
			},
			output: (stream, data) => reporter.output(stream, data),
		};
		const left = Promise.withResolvers<never>();
		abort.signal.addEventListener("abort", () => setTimeout(() => left.reject(new Error("the tool did not let go")), ms.grace).unref(), {
			once: true,
		});
		return await Promise.race([tool(job.arguments, run), left.promise]);
	}

	/** One statement for all that are asked for meanwhile. @param what is told where it fails, which is tried again */
	#together<J extends Claimed>(
		what: string,
		statement: (delivered: readonly Delivered[]) => Promise<J[]>,
	): (key: string, item: Asked<Delivered, J | undefined>) => void {
		return gather(together, async (_, asked) => {
			const jobs = await this.#insist(what, () => statement(asked.map(({ item }) => item)));
			const byId = new Map((jobs ?? []).map((job) => [job.id, job]));
			for (const { item, done } of asked) done(byId.get(item.id));
		});
	}

	async #endTogether(asked: readonly Asked<Ending, void>[]): Promise<void> {
		const outcomes = asked.flatMap(({ item: { outcome } }) => (outcome === "give-back" ? [] : [outcome]));
		const given = asked.flatMap(({ item: { job, outcome } }) => (outcome === "give-back" ? [{ id: job.id, attempt: job.attempts }] : []));
		const { database, redis } = this.#parts;
		const byId = new Map(asked.map(({ item }) => [item.job.id, item]));
		const ended = await this.#insist("the end of jobs cannot be written", () =>
			database.writeOne((client) => endAttempts(client, outcomes)),
		);
		for (const end of ended ?? []) {
			const { job, outcome } = byId.get(end.id) as Ending;
			if (end.state === "queued") this.#enqueue([end], backoffMs(job.failures + 1));
			else void say(redis, job, overOf(job, end, outcome as Outcome), (outcome as Outcome).unclaimed === null);
		}
		if (given.length > 0) {
			const back = await this.#insist("jobs cannot be given back", () => database.writeOne((client) => giveBack(client, given)));
			this.#enqueue(back ?? [], 0);
		}
		const crowded = (ended ?? []).flatMap(({ id, crowded }) => (crowded ? [(byId.get(id) as Ending).job] : []));
		const freed = uniquePrincipals([...crowded, ...given.map(({ id }) => (byId.get(id) as Ending).job)]);
		if (freed.length > 0) await this.#makeRoom(freed);
		for (const { done } of asked) done();
	}

	/** What these principals have waiting, for the room that is free now. Where it fails, the next end or the reconciler does it. */
	async #makeRoom(principals: Parameters<typeof unpark>[1]): Promise<void> {
		try {
			this.#enqueue(await this.#parts.database.writeOne((client) => unpark(client, principals, this.#settings.atOnce)), 0);
		} catch (error) {
			this.#parts.observe.problem("jobs that wait for room cannot be begun", error);
		}
	}

	#enqueue(deliveries: Parameters<JobQueue["add"]>[0], delayMs: number): void {
		const { services, observe } = this.#parts;
		services.queue
			.add(deliveries, delayMs)
			.catch((error: unknown) => observe.problem("jobs wait to be found: the queue did not take them", error));
	}

	/** Until it succeeds, or the worker is to stop: then somebody else will find it undone. */
	async #insist<T>(what: string, attempt: () => Promise<T>): Promise<T | null> {
		for (;;) {
			try {
				return await attempt();
			} catch (error) {
				this.#parts.observe.problem(what, error);
				if (this.#stopping) return null;
				await sleep(ms.again);
			}
		}
	}

	async #renew(): Promise<void> {
		const asked = [...this.#running.values()].filter(({ claim }) => claim.isMade);
		if (asked.length === 0) return;
		const positions = asked.map(({ job, progress, message }) => ({ id: job.id, attempt: job.attempts, progress, message }));
		const { name, leaseMs } = this.#settings;
		try {
			const ours = await this.#parts.database.writeOne((client) => renewLeases(client, name, leaseMs, positions));
			const byId = new Map(ours.map((each) => [each.id, each]));
			for (const { job } of asked) {
				const still = byId.get(job.id);
				// One that is ending at this moment is in neither.
				if (still === undefined) this.#letGo(job.id, "lost");
				else if (still.cancelled) this.#letGo(job.id, "cancelled");
			}
		} catch (error) {
			this.#parts.observe.problem("leases of jobs cannot be renewed", error);
		}
	}
}

/** Something that is asked of the database together with others of its kind. */
interface Asked<T, A> {
	readonly item: T;
	done(answer: A): void;
}

interface Ending {
	readonly job: Claimed;
	readonly outcome: Outcome | "give-back";
}

/** Bytes of a result's JSON that is told; a longer one has to be asked for. */
const TOLD = 65_536;

function overOf(job: Claimed, { state, progress, message, endedAt }: Ended, { result, error }: Outcome): JobMessage {
	if (result !== null && Buffer.byteLength(result) > TOLD) return { kind: "over" };
	const last = { ...job, state, progress, message, endedAt, error, result: result === null ? null : JSON.parse(result) };
	return { kind: "over", job: jobOf(last) };
}

function ask<T, A>(take: (key: string, asked: Asked<T, A>) => void, item: T): Promise<A> {
	return new Promise((done) => take("", { item, done }));
}

function uniquePrincipals(jobs: readonly Claimed[]): { workspace: string; principal: string }[] {
	return [...new Map(jobs.map(({ workspace, principal }) => [`${workspace}\n${principal}`, { workspace, principal }])).values()];
}

/** Whoever asked for the job, as they were then. */
function principalOf({ principal, roles, workspace, id }: Claimed): Principal {
	return { id: principal, roles: roles as readonly Role[], workspace, expiresAt: null, credentialId: `job:${id}` };
}
