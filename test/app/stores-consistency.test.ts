import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Queryable } from "../../app/stores/postgres.ts";
import { missing } from "./daemons.ts";
import { type Rig, startRig, until, type Worker } from "./stores-rig.ts";

const WORKERS = 3;
const WRITERS = 20;

const write = (client: Queryable, key: string, value: string) =>
	client.query({
		name: "test-write",
		text: `insert into swarms (workspace, id, name, topology, created_at) values ($1, $2, '', '', now())
			on conflict (workspace) do update set id = excluded.id`,
		values: [key, value],
	});

const read = async (client: Queryable, key: string) => {
	const rows = await client.query<{ id: string }>({ name: "test-read", text: "select id from swarms where workspace = $1", values: [key] });
	return rows[0]?.id;
};

describe.skipIf(missing)("a principal's own writes", () => {
	let rig: Rig;
	let workers: Worker[];

	beforeAll(async () => {
		rig = await startRig({ replicas: 2 });
		workers = Array.from({ length: WORKERS }, () => rig.worker());
		await until(async () => {
			await Promise.all(workers.map(({ database }) => database.read(null, (client) => read(client, "none"))));
			return workers.every(({ told }) => told.statements.replica > 0);
		});
	});
	afterAll(() => rig?.stop());

	/** Lets every replica apply a commit so many milliseconds after it was made. */
	async function delayReplay(milliseconds: number): Promise<void> {
		for (const replica of rig.postgres.replicas) {
			await replica.query(`alter system set recovery_min_apply_delay = '${milliseconds}ms'`);
			await replica.query("select pg_reload_conf()");
		}
	}

	const sum = (count: (worker: Worker) => number) => workers.reduce((total, worker) => total + count(worker), 0);

	it("are seen by 10,000 reads right after them, through another worker and while the replicas lag", async () => {
		await delayReplay(6);
		let stale = 0;
		const before = { replica: sum(({ told }) => told.statements.replica), lagging: sum(({ told }) => told.fallbacks.lagging ?? 0) };
		const pairs = async (writer: number) => {
			for (let round = 0; round < 10_000 / WRITERS; round++) {
				const [key, value] = [`writer-${writer}`, `${round}`];
				await (workers[(writer + round) % WORKERS] as Worker).database.write([key], (client) => write(client, key, value));
				// Some reads meet a replica that is behind, some one that has just caught up.
				if (round % 3 > 0) await sleep((round % 3) * 4 - 2 + Math.random() * 3);
				const seen = await (workers[(writer + round + 1) % WORKERS] as Worker).database.read(key, (client) => read(client, key));
				if (seen !== value) stale += 1;
			}
		};
		const lagging = () => sum(({ told }) => told.fallbacks.lagging ?? 0) - before.lagging;
		// On a busy machine reads come late, and find the replicas level: then there are more of them.
		const end = performance.now() + 40_000;
		do await Promise.all(Array.from({ length: WRITERS }, (_, writer) => pairs(writer)));
		while (lagging() <= 500 && performance.now() < end);
		await delayReplay(0);
		expect(stale).toBe(0);
		expect(sum(({ told }) => told.statements.replica) - before.replica).toBeGreaterThan(1_000);
		expect(lagging()).toBeGreaterThan(500);
	});

	it("would be missed by a read that asks for the replica's position in the same statement", async () => {
		const [replica] = rig.postgres.replicas;
		const reader = new pg.Client({ host: replica?.host, port: replica?.port, user: "postgres", database: rig.postgres.database });
		const writer = new pg.Client({ host: rig.postgres.host, port: rig.postgres.port, user: "postgres", database: rig.postgres.database });
		await Promise.all([reader.connect(), writer.connect()]);
		let stale = 0;
		try {
			for (let round = 0; stale === 0 && round < 20_000; round++) {
				await writer.query({ name: "w", text: "update swarms set id = $1 where workspace = 'writer-0'", values: [`again-${round}`] });
				const { rows: at } = await writer.query({ name: "l", text: "select pg_current_wal_lsn()::text as lsn" });
				for (let fresh = false; !fresh; ) {
					const text = "select id, pg_last_wal_replay_lsn() >= $1::pg_lsn as fresh from swarms where workspace = 'writer-0'";
					const { rows } = await reader.query({ name: "r", text, values: [at[0].lsn] });
					fresh = rows[0].fresh;
					if (fresh && rows[0].id !== `again-${round}`) stale += 1;
				}
			}
		} finally {
			await Promise.all([reader.end(), writer.end()]);
		}
		expect(stale).toBeGreaterThan(0);
	});

	it("are seen while Redis goes and comes back without what it knew", async () => {
		await delayReplay(20);
		let stale = 0;
		let done = false;
		const pairs = async (writer: number) => {
			for (let round = 0; !done; round++) {
				const [key, value] = [`redis-${writer}`, `${round}`];
				await (workers[(writer + round) % WORKERS] as Worker).database.write([key], (client) => write(client, key, value));
				const seen = await (workers[(writer + round + 1) % WORKERS] as Worker).database.read(key, (client) => read(client, key));
				if (seen !== value) stale += 1;
			}
		};
		const running = Array.from({ length: 8 }, (_, writer) => pairs(writer));
		for (let times = 0; times < 3; times++) {
			await sleep(300);
			await rig.redis.server.kill9();
			await sleep(500);
			await rig.redis.server.start();
		}
		await sleep(1_500);
		done = true;
		await Promise.all(running);
		await delayReplay(0);
		expect(stale).toBe(0);
		expect(sum(({ told }) => told.fallbacks.unknown ?? 0)).toBeGreaterThan(0);
		expect(sum(({ told }) => told.unkept)).toBe(0);
		await until(async () => {
			const before = sum(({ told }) => told.statements.replica);
			await (workers[0] as Worker).database.read(null, (client) => read(client, "none"));
			return sum(({ told }) => told.statements.replica) > before;
		});
	});

	it("are seen after Redis has forgotten them, as its replica may after a failover", async () => {
		const [writing, reading] = [rig.worker({ staleMs: 60_000 }), rig.worker({ staleMs: 60_000 })];
		await writing.database.write(["forgotten"], (client) => write(client, "forgotten", "old"));
		await until(async () => {
			const seen = await reading.database.read("forgotten", (client) => read(client, "forgotten"));
			return seen === "old" && reading.told.statements.replica > 0;
		});
		for (const replica of rig.postgres.replicas) await replica.pauseReplay();
		await writing.database.write(["forgotten"], (client) => write(client, "forgotten", "new"));
		await rig.redis.server.kill9();
		await rig.redis.server.start();
		await sleep(1_000);
		expect(await rig.redis.server.command("KEYS", "af:lsn:*")).toEqual([]);
		expect(await reading.database.read("forgotten", (client) => read(client, "forgotten"))).toBe("new");
		for (const replica of rig.postgres.replicas) await replica.resumeReplay();
	});

	it("are waited for no longer than a moment where neither Redis nor a replica takes note of them", async () => {
		await rig.redis.server.kill9();
		for (const replica of rig.postgres.replicas) await replica.pauseReplay();
		const [worker] = workers as [Worker];
		const started = performance.now();
		await worker.database.write(["somebody"], (client) => write(client, "unkept", "1"));
		expect(performance.now() - started).toBeLessThan(2_500);
		expect(worker.told.unkept).toBe(1);
		expect(await worker.database.read("somebody", (client) => read(client, "unkept"))).toBe("1");
		for (const replica of rig.postgres.replicas) await replica.resumeReplay();
		await rig.redis.server.start();
	});

	it("of others are never older than the settings allow", async () => {
		const replica = rig.postgres.replicas;
		const worker = rig.worker({ staleMs: 500 });
		await until(async () => {
			await worker.database.read(null, (client) => read(client, "none"));
			return worker.told.statements.replica > 0;
		});
		for (const each of replica) await each.pauseReplay();
		await worker.database.write([], (client) => write(client, "others", "new"));
		await sleep(1_200);
		expect(worker.database.status.replicas).toEqual(["lagging", "lagging"]);
		expect(await worker.database.read("another", (client) => read(client, "others"))).toBe("new");
		expect(worker.told.fallbacks.lagging).toBeGreaterThan(0);
		for (const each of replica) await each.resumeReplay();
		await until(() => worker.database.status.replicas.every((status) => status === "up"));
	});
});
