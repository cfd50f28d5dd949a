import { setTimeout as sleep } from "node:timers/promises";
import { Queue } from "bullmq";
import { describe, it } from "vitest";
import type { Job } from "../../app/model.ts";
import type { JobRequest } from "../../app/ports.ts";
import { missing } from "./daemons.ts";
import { type JobsRig, over, startJobsRig, user } from "./jobs-rig.ts";
import { type ServerProcess, until } from "./server-process.ts";

const alice = user("alice");

/** At most, on a machine that others use as well. Leases last 5 s, and are looked after all the time. */
const RECOVERY_MS = 120_000;

const many = { JOB_CONCURRENCY: "200", JOBS_PER_PRINCIPAL: "1000", JOB_LEASE_SECONDS: "5" };

/** Jobs that are asked for, and how many agents of each job's name there are in the end. */
async function effects(rig: JobsRig): Promise<Map<string, number>> {
	const rows = await rig.postgres.primary.query<{ name: string; count: string }>(
		"select name, count(*) as count from agents where name like 'effect-%' group by name",
		[],
		rig.postgres.database,
	);
	return new Map(rows.map(({ name, count }) => [name, Number(count)]));
}

/** Asks for so many, one by one; only what was acknowledged counts. */
async function submit(rig: JobsRig, count: number, milliseconds: number, tool = "spawn"): Promise<string[]> {
	const acknowledged: string[] = [];
	for (let index = 0; index < count; index += 1) {
		const job = await rig.edge.services.jobs
			.submit(alice, { tool, arguments: { action: "retrieve", name: `effect-${index}`, ms: milliseconds } })
			.catch(() => null);
		if (job !== null) acknowledged.push(job.id);
	}
	return acknowledged;
}

/** Jobs that are not over, as PostgreSQL has them. */
async function unfinished(rig: JobsRig): Promise<unknown[]> {
	const columns = "id, state, attempts, deliveries, losses, parked, worker, lease_until, queued_at, started_at, now()";
	return await rig.postgres.primary.query(`select ${columns} from jobs where state in ('queued', 'active')`, [], rig.postgres.database);
}

/** What is wrong with the ends of these jobs; nothing where each was done, and once. */
async function faults(rig: JobsRig, ids: readonly string[]): Promise<string[]> {
	if (new Set(ids).size !== ids.length) return ["an id was given to two jobs"];
	const ended = await over(rig.edge, alice, ids, RECOVERY_MS).catch(async (error: Error) => {
		throw new Error(`${error.message}: ${JSON.stringify(await unfinished(rig))}`);
	});
	const done = await effects(rig);
	return [...ended.values()].flatMap((job: Job) => {
		const name = job.arguments.name as string;
		if (job.state !== "completed") return [`${name} is ${job.state}`];
		return done.get(name) === 1 ? [] : [`${name} was done ${done.get(name) ?? 0} times`];
	});
}

describe.skipIf(missing)("no acknowledged job is lost, and each is done once:", { timeout: 300_000 }, () => {
	/** 200 jobs, all begun, each in the second half of its time for some of them: then their worker is gone. */
	async function killedInFlight(rig: JobsRig, environment: Readonly<Record<string, string>> = {}): Promise<string[]> {
		const worker = await rig.worker({ ...many, ...environment });
		const ids = await submit(rig, 200, 4_000);
		await until(async () => (await effects(rig)).size > 20, "some of the jobs to have done what they do", 60_000);
		await worker.kill();
		return ids;
	}

	it("a job worker is killed with 200 jobs in flight", async ({ expect }) => {
		await using rig = await startJobsRig();
		const ids = await killedInFlight(rig);
		await rig.worker(many);
		rig.suspects(many);
		expect(await faults(rig, ids)).toEqual([]);
	});

	it("a job worker is killed over jobs that are begun without a claim and change something after all", async ({ expect }) => {
		await using rig = await startJobsRig();
		const worker = await rig.worker(many);
		const asking = submit(rig, 400, 20, "memory_usage");
		await until(async () => (await effects(rig)).size > 50, "some of the jobs to have done what they do", 60_000);
		await worker.kill();
		await rig.worker(many);
		rig.suspects(many);
		expect(await faults(rig, await asking)).toEqual([]);
	});

	it("without changes being made once, the same kill does some twice", async ({ expect }) => {
		await using rig = await startJobsRig();
		const ids = await killedInFlight(rig, { JOBS_WITHOUT: "once" });
		await rig.worker({ ...many, JOBS_WITHOUT: "once" });
		rig.suspects({ ...many, JOBS_WITHOUT: "once" });
		expect((await faults(rig, ids)).filter((fault) => fault.endsWith("2 times")).length).toBeGreaterThan(0);
	});

	it("Redis fails over under load, planned and not", async ({ expect }) => {
		await using rig = await startJobsRig({ sentinel: true });
		for (let index = 0; index < 2; index += 1) await rig.worker(many);
		// A worker that is too slow to renew a lease of 3 s counts as lost, and its jobs may become suspects.
		rig.suspects(many);
		const asking = submit(rig, 400, 300);
		await sleep(300);
		await rig.redis?.failover();
		await sleep(500);
		await rig.redis?.killPrimary();
		expect(await faults(rig, await asking)).toEqual([]);
	});

	it("Redis forgets everything", async ({ expect }) => {
		await using rig = await startJobsRig();
		const ids = await forgotten(rig, {});
		expect(await faults(rig, ids)).toEqual([]);
	});

	it("without the reconciler, a Redis that forgets takes jobs along", async ({ expect }) => {
		await using rig = await startJobsRig();
		const ids = await forgotten(rig, { JOBS_WITHOUT: "reconciler" });
		await sleep(10_000);
		const jobs = await Promise.all(ids.map((id) => rig.edge.services.jobs.get(alice, id)));
		expect(jobs.filter(({ state }) => state === "queued").length).toBe(100);
	});

	it("BullMQ's own ids are given out again after that, and a job's is not one of them", async ({ expect }) => {
		await using rig = await startJobsRig();
		const queue = new Queue("own-ids", { connection: rig.edge.redis });
		const before = [(await queue.add("job", {})).id, ...(await submit(rig, 1, 0))];
		await rig.edge.redis.flushall();
		const after = [(await queue.add("job", {})).id, ...(await submit(rig, 1, 0))];
		await queue.close();
		expect(after[0]).toBe(before[0]);
		expect(after[1]).not.toBe(before[1]);
	});

	/** 100 jobs of which Redis knows nothing any more. */
	async function forgotten(rig: JobsRig, environment: Readonly<Record<string, string>>): Promise<string[]> {
		const ids = await submit(rig, 100, 0);
		await rig.edge.redis.flushall();
		await rig.worker({ ...many, ...environment });
		return ids;
	}

	it("everything is killed, and started again", async ({ expect }) => {
		await using rig = await startJobsRig();
		const workers = [await rig.worker(many), await rig.worker(many)];
		const ids = await submit(rig, 200, 2_000);
		await Promise.all([...workers.map((worker) => worker.kill()), rig.postgres.primary.kill9(), rig.state.kill9()]);
		await Promise.all([rig.postgres.primary.start(), rig.state.start()]);
		await rig.worker(many);
		rig.suspects(many);
		expect(await faults(rig, ids)).toEqual([]);
	});

	it("PostgreSQL fails over to its standby under load", async ({ expect }) => {
		await using rig = await startJobsRig({ standby: true });
		for (let index = 0; index < 2; index += 1) await rig.worker(many);
		const asking = submit(rig, 200, 500);
		await sleep(300);
		await rig.postgres.failover();
		rig.suspects(many);
		expect(await faults(rig, await asking)).toEqual([]);
	});

	it("a poison job is dead in the end, and the others are done", async ({ expect }) => {
		await using rig = await startJobsRig();
		expect(await withPoison(rig, true)).toEqual({ poison: "dead", faults: [] });
	});

	it("so is one that is begun without a claim", async ({ expect }) => {
		await using rig = await startJobsRig();
		const poison = { tool: "memory_usage", arguments: { action: "retrieve", dies: true } };
		expect(await withPoison(rig, true, poison)).toEqual({ poison: "dead", faults: [] });
	});

	it("run among the others, the poison job takes some along", async ({ expect }) => {
		await using rig = await startJobsRig();
		const { faults } = await withPoison(rig, false);
		expect(faults.length).toBeGreaterThan(0);
	});
});

/** @param apart whether suspects are run apart from the others */
async function withPoison(
	rig: JobsRig,
	apart: boolean,
	poison: JobRequest = { tool: "poison", arguments: {} },
): Promise<{ poison: string; faults: string[] }> {
	const environment = { ...many, ...(apart ? {} : { JOBS_WITHOUT: "apart" }) };
	let worker: ServerProcess = await rig.worker(environment);
	let stopped = false;
	// As Kubernetes does, and the local supervisor.
	const keeper = (async () => {
		while (!stopped) {
			await worker.exited;
			// The poison may be quicker than its readiness.
			if (!stopped) ({ worker } = await rig.begin(environment));
		}
	})();
	if (apart) rig.suspects(many);
	// They take longer than a lease, so that they are under way whenever the poison is tried.
	const ids = await submit(rig, 4, 4_000);
	const { jobs } = rig.edge.services;
	await until(async () => (await jobs.list(alice, { state: "active", limit: 50 })).length === 4, "all to be under way", 30_000);
	const { id } = await jobs.submit(alice, poison);
	const ended = await over(rig.edge, alice, [id, ...ids], 240_000);
	stopped = true;
	await worker.kill();
	await keeper;
	const states = ids.map((each) => ended.get(each)?.state);
	return { poison: ended.get(id)?.state as string, faults: states.flatMap((state) => (state === "completed" ? [] : [String(state)])) };
}
