import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Principal } from "../../app/model.ts";
import { missing } from "./daemons.ts";
import { type JobsRig, over, startJobsRig, user } from "./jobs-rig.ts";
import type { ServerProcess } from "./server-process.ts";
import { refusal } from "./stores-rig.ts";

const alice = user("alice");
const bob = user("bob");

describe.skipIf(missing)("a job", { timeout: 120_000 }, () => {
	let rig: JobsRig;
	let worker: ServerProcess;
	beforeAll(async () => {
		rig = await startJobsRig();
		worker = await rig.worker({ JOBS_PER_PRINCIPAL: "4" });
	}, 120_000);
	afterAll(() => rig?.stop());

	const jobs = () => rig.edge.services.jobs;

	it("is run by a worker, and its result comes to whoever waits", async () => {
		const job = await jobs().run(alice, { tool: "echo", arguments: { text: "a\u0000b", n: 1 } }, { ms: 20_000 });
		expect(job).toMatchObject({ state: "completed", result: { text: "a\u0000b", n: 1 }, attempts: 1, progress: 100, error: null });
		expect(await jobs().get(alice, job.id)).toEqual(job);
	});

	it("tells how it goes while it runs", async () => {
		const progress: [number, string | null][] = [];
		const outputs: string[] = [];
		const job = await jobs().run(
			alice,
			{ tool: "wait", arguments: { ms: 1_500 } },
			{
				ms: 20_000,
				listener: { progress: (percent, message) => void progress.push([percent, message]), output: (_, data) => void outputs.push(data) },
			},
		);
		expect(job.state).toBe("completed");
		expect(progress.length).toBeGreaterThanOrEqual(3);
		expect(progress).toEqual([...progress].sort(([a], [b]) => a - b));
		expect(outputs.join("")).toBe("begun\n");
	});

	it("is still there when nobody waits any longer", async () => {
		const job = await jobs().run(alice, { tool: "wait", arguments: { ms: 1_000 } }, { ms: 100 });
		expect(["queued", "active"]).toContain(job.state);
		expect((await jobs().wait(alice, job.id, { ms: 20_000 })).state).toBe("completed");
	});

	it("is its principal's alone", async () => {
		const { id } = await jobs().submit(alice, { tool: "wait", arguments: { ms: 3_000 } });
		for (const stranger of [bob, user("alice", "other")]) {
			const { get, cancel, retry, wait } = jobs();
			for (const attempt of [get, cancel, retry, (who: Principal) => wait(who, id, { ms: 10 })]) {
				expect(await refusal(attempt(stranger, id))).toContain("NOT_FOUND");
			}
			expect((await jobs().list(stranger, { limit: 100 })).map((job) => job.id)).not.toContain(id);
		}
		expect((await jobs().cancel(alice, id)).id).toBe(id);
	});

	it("is cancelled while it waits and while it runs, and stays so", async () => {
		const { id } = await jobs().submit(alice, { tool: "wait", arguments: { ms: 60_000 } });
		await expect.poll(async () => (await jobs().get(alice, id)).state, { timeout: 20_000 }).toBe("active");
		await jobs().cancel(alice, id);
		const ended = await jobs().wait(alice, id, { ms: 20_000 });
		expect(ended).toMatchObject({ state: "cancelled", error: { code: "CANCELLED" } });
		expect((await jobs().cancel(alice, id)).state).toBe("cancelled");
	});

	it("is one job for one idempotency key, and another request with it is a conflict", async () => {
		const request = { tool: "spawn", arguments: { name: "once" }, idempotencyKey: "k1" };
		const submitted = await Promise.all(Array.from({ length: 5 }, () => jobs().submit(alice, request)));
		const [first, ...rest] = submitted.map(({ id }) => id);
		expect(rest.every((id) => id === first)).toBe(true);
		expect((await jobs().run(alice, request, { ms: 20_000 })).id).toBe(first);
		const named = (await rig.edge.services.agents.list(alice)).filter(({ name }) => name === "once");
		expect(named).toHaveLength(1);
		expect(await refusal(jobs().submit(alice, { ...request, arguments: { name: "twice" } }))).toContain("CONFLICT");
		expect((await jobs().submit(bob, request)).id).not.toBe(first);
	});

	it("that its tool refuses has failed at once, and one that may succeed is tried again until it is dead", async () => {
		const refused = await jobs().run(alice, { tool: "fails", arguments: { code: "INVALID" } }, { ms: 20_000 });
		expect(refused).toMatchObject({ state: "failed", attempts: 1, error: { code: "INVALID", message: "it failed" } });
		const none = await jobs().run(alice, { tool: "no such", arguments: {} }, { ms: 20_000 });
		expect(none).toMatchObject({ state: "failed", error: { code: "TOOL_UNAVAILABLE" } });
		const dead = await jobs().run(alice, { tool: "faulty", arguments: {} }, { ms: 60_000 });
		expect(dead).toMatchObject({ state: "dead", attempts: dead.maxAttempts, error: { message: "a fault of the server's" } });
		expect(worker.output).toContain("secret inside");
		expect((await jobs().list(alice, { state: "dead", limit: 10 })).map(({ id }) => id)).toEqual([dead.id]);
		expect(await jobs().retry(alice, dead.id)).toMatchObject({ state: "queued" });
		expect((await over(rig.edge, alice, [dead.id])).get(dead.id)?.state).toBe("dead");
	});

	it("of one who asks for many takes no more than their share of the workers", async () => {
		const many = await Promise.all(Array.from({ length: 12 }, () => jobs().submit(alice, { tool: "wait", arguments: { ms: 2_000 } })));
		await expect.poll(async () => (await jobs().list(alice, { state: "active", limit: 50 })).length, { timeout: 20_000 }).toBe(4);
		const other = await jobs().run(bob, { tool: "echo", arguments: {} }, { ms: 20_000 });
		expect(other.state).toBe("completed");
		const open = await jobs().list(alice, { state: "queued", limit: 50 });
		expect(open.length).toBeGreaterThan(0);
		const ended = await over(
			rig.edge,
			alice,
			many.map(({ id }) => id),
		);
		expect([...ended.values()].every(({ state }) => state === "completed")).toBe(true);
	});

	it("of a higher priority is begun before those that wait", async () => {
		const carol = user("carol");
		const blockers = await Promise.all(Array.from({ length: 4 }, () => jobs().submit(carol, { tool: "wait", arguments: { ms: 1_500 } })));
		await expect.poll(async () => (await jobs().list(carol, { state: "active", limit: 50 })).length, { timeout: 20_000 }).toBe(4);
		const low = await Promise.all(
			Array.from({ length: 6 }, () => jobs().submit(carol, { tool: "wait", arguments: { ms: 500 }, priority: "low" })),
		);
		const critical = await jobs().submit(carol, { tool: "wait", arguments: { ms: 500 }, priority: "critical" });
		const ended = await over(
			rig.edge,
			carol,
			[...blockers, ...low, critical].map(({ id }) => id),
		);
		const began = (id: string) => ended.get(id)?.startedAt as number;
		expect(low.filter(({ id }) => began(id) < began(critical.id)).length).toBeLessThan(4);
	});

	describe("that only looks something up", () => {
		const look = (args: object = {}, who = alice) =>
			jobs().run(who, { tool: "memory_usage", arguments: { action: "retrieve", ...args } }, { ms: 20_000 });

		/** Every state that it has been changed to. */
		const statesOf = async (id: string) => {
			const rows = await rig.postgres.primary.query<{ state: string }>(
				"select state from seen where id = $1 order by number",
				[id],
				rig.postgres.database,
			);
			return rows.map(({ state }) => state);
		};

		beforeAll(async () => {
			for (const statement of [
				"create table seen (number serial, id uuid, state text)",
				`create function see() returns trigger language plpgsql security definer as
					$$ begin insert into seen (id, state) values (new.id, new.state); return new; end $$`,
				// A lease that is renewed is no change of state.
				"create trigger see after update on jobs for each row when (old.state <> new.state) execute function see()",
			])
				await rig.postgres.primary.query(statement, [], rig.postgres.database);
		});

		it("begins and ends in one change", async () => {
			const job = await look();
			expect(job).toMatchObject({ state: "completed", result: { looked: true }, attempts: 1, progress: 100 });
			expect(job.startedAt as number).toBeLessThanOrEqual(job.endedAt as number);
			expect(await jobs().get(alice, job.id)).toEqual(job);
			expect(await statesOf(job.id)).toEqual(["completed"]);
		});

		it("is claimed where it takes its time", async () => {
			const job = await look({ ms: 1_000 });
			expect(job).toMatchObject({ state: "completed", attempts: 1 });
			expect(await statesOf(job.id)).toEqual(["active", "completed"]);
		});

		it("is claimed before it changes something after all", async () => {
			const job = await look({ name: "looked" });
			expect(job).toMatchObject({ state: "completed", attempts: 1 });
			expect(await statesOf(job.id)).toEqual(["active", "completed"]);
		});

		it.each([
			["a moment", 300],
			["longer than anybody looks for it", 1_500],
		])("is done as soon as its row is committed, which takes %s", async (_, heldMs) => {
			const { primary, database } = rig.postgres;
			const held = primary.query(`do $$ begin lock table jobs in share mode; perform pg_sleep(${heldMs / 1_000}); end $$`, [], database);
			await expect
				.poll(() =>
					primary.query("select from pg_locks where mode = 'ShareLock' and granted and relation = 'jobs'::regclass", [], database),
				)
				.toHaveLength(1);
			const asked = performance.now();
			const looking = look();
			await held;
			const freed = performance.now();
			expect((await looking).state).toBe("completed");
			expect(freed - asked).toBeGreaterThan(heldMs / 3);
			expect(performance.now() - freed).toBeLessThan(1_000);
		});

		it("waits like any other where its principal has all it may have", async () => {
			const dave = user("dave");
			const waits = await Promise.all(Array.from({ length: 4 }, () => jobs().submit(dave, { tool: "wait", arguments: { ms: 1_500 } })));
			await expect.poll(async () => (await jobs().list(dave, { state: "active", limit: 50 })).length, { timeout: 20_000 }).toBe(4);
			const looked = await look({}, dave);
			expect(looked.state).toBe("completed");
			const ended = await over(
				rig.edge,
				dave,
				waits.map(({ id }) => id),
			);
			expect(looked.startedAt).toBeGreaterThanOrEqual(Math.min(...[...ended.values()].map(({ endedAt }) => endedAt as number)));
		});
	});

	it("is in the partition of its month, and so is what it has done", async () => {
		const { id } = await jobs().run(alice, { tool: "spawn", arguments: { name: "p" } }, { ms: 20_000 });
		const month = new Date().toISOString().slice(0, 7).replace("-", "");
		const [row] = await rig.postgres.primary.query<{ job: string; step: string }>(
			"select jobs.tableoid::regclass::text as job, job_steps.tableoid::regclass::text as step from jobs join job_steps on job = id where id = $1",
			[id],
			rig.postgres.database,
		);
		expect(row).toEqual({ job: `jobs_${month}`, step: `job_steps_${month}` });
	});

	it("begun by a worker that is told to stop is given back, and another one ends it", async () => {
		const { id } = await jobs().submit(bob, { tool: "wait", arguments: { ms: 12_000 } });
		await expect.poll(async () => (await jobs().get(bob, id)).state, { timeout: 20_000 }).toBe("active");
		const second = await rig.worker();
		worker.signal("SIGTERM");
		expect(await worker.exited).toBe(0);
		const job = (await over(rig.edge, bob, [id])).get(id);
		expect(job).toMatchObject({ state: "completed", attempts: 2 });
		second.signal("SIGTERM");
		expect(await second.exited).toBe(0);
	});
});
