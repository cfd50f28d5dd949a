import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { ServiceError } from "../../app/ports.ts";
import type { Queryable } from "../../app/stores/postgres.ts";
import { missing, type PostgresServer } from "./daemons.ts";
import { type Rig, refusal, roles, startRig, until, type Worker } from "./stores-rig.ts";

const one = (client: Queryable) => client.query<{ one: number }>({ name: "test-one", text: "select 1 as one", values: [] });
const user = (client: Queryable) => client.query<{ user: string }>({ name: "test-user", text: "select current_user as user", values: [] });
const put = (client: Queryable, key: string) =>
	client.query({
		name: "test-put",
		text: "insert into swarms (workspace, id, name, topology, created_at) values ($1, '', '', '', now()) returning workspace",
		values: [key],
	});

describe.skipIf(missing)("the database's connections", () => {
	let rig: Rig;
	let worker: Worker;

	/** Reads without a pause until stopped, and says how the slowest went and what failed. */
	function reading() {
		let stopped = false;
		const outcome = { errors: [] as string[], slowest: 0, reads: 0 };
		const loop = async () => {
			while (!stopped) {
				const started = performance.now();
				await worker.database.read("reader", one).catch((error) => outcome.errors.push(String(error)));
				outcome.slowest = Math.max(outcome.slowest, performance.now() - started);
				outcome.reads += 1;
			}
		};
		const loops = Promise.all([loop(), loop(), loop(), loop()]);
		return async () => {
			stopped = true;
			await loops;
			return outcome;
		};
	}

	const replicaUp = (database = worker.database) => until(() => database.status.replicas.every((status) => status === "up"));
	const readsReplica = async ({ database, told }: Worker = worker) => {
		const before = told.statements.replica;
		await until(async () => {
			await database.read("reader", one);
			return told.statements.replica > before;
		});
	};

	describe("with a replica", () => {
		beforeAll(async () => {
			rig = await startRig({ replicas: 1 });
		});
		beforeEach(async () => {
			worker = rig.worker();
			await readsReplica();
		});
		afterAll(() => rig?.stop());

		it("cost no reader an error when the replica is killed, and find it again", async () => {
			const [replica] = rig.postgres.replicas as [PostgresServer];
			const stop = reading();
			await sleep(300);
			await replica.kill9();
			await sleep(700);
			expect(worker.database.status).toEqual({ primary: "up", replicas: ["down"] });
			await replica.start();
			await replicaUp();
			await readsReplica();
			const { errors, slowest } = await stop();
			expect(errors).toEqual([]);
			expect(slowest).toBeLessThan(1_500);
			expect(worker.told.fallbacks.down).toBeGreaterThan(0);
		});

		it("wait for a replica that hangs once, for little more than a second", async () => {
			const [replica] = rig.postgres.replicas as [PostgresServer];
			const stop = reading();
			await sleep(300);
			replica.pause();
			await until(() => worker.database.status.replicas[0] === "down");
			await sleep(1_000);
			replica.resume();
			await replicaUp();
			const { errors, slowest, reads } = await stop();
			expect(errors).toEqual([]);
			expect(reads).toBeGreaterThan(100);
			expect(slowest).toBeGreaterThan(500);
			expect(slowest).toBeLessThan(2_500);
		});

		it("give up at once while the primary is away, and go on by themselves when it is back", async () => {
			await rig.postgres.primary.kill9();
			expect(await refusal(worker.database.write(["writer"], (client) => put(client, "lost")))).toMatch(/^UNAVAILABLE: /);
			await until(() => worker.database.status.primary === "down");
			const started = performance.now();
			expect(await refusal(worker.database.write(["writer"], (client) => put(client, "lost")))).toBe(
				"UNAVAILABLE: the database cannot be reached",
			);
			expect(performance.now() - started).toBeLessThan(100);
			// Who has written nothing can still read.
			expect(await worker.database.read("reader", one)).toEqual([{ one: 1 }]);
			await rig.postgres.primary.start();
			await until(() => worker.database.status.primary === "up");
			await worker.database.write(["writer"], (client) => put(client, "kept"));
		});

		it("use the role of the secret files at each new connection, and the one before where that is refused", async () => {
			const fresh = () => rig.worker({ replicas: [] });
			expect(await fresh().database.readPrimary(user)).toEqual([{ user: roles.a.username }]);
			rig.secrets.use(roles.b, roles.a);
			expect(await fresh().database.readPrimary(user)).toEqual([{ user: roles.b.username }]);
			rig.secrets.use({ username: roles.a.username, password: "not set yet" }, roles.b);
			const early = fresh();
			expect(await early.database.readPrimary(user)).toEqual([{ user: roles.b.username }]);
			rig.secrets.use({ username: roles.a.username, password: "wrong" }, { username: roles.b.username, password: "wrong" });
			const refused = fresh();
			expect(await refusal(refused.database.readPrimary(user))).toBe("UNAVAILABLE: the database cannot be reached");
			rig.secrets.use(roles.a, roles.b);
			await until(() => refused.database.status.primary === "up");
			expect(await refused.database.readPrimary(user)).toEqual([{ user: roles.a.username }]);
		});

		it("say so when all of them are in use for too long", async () => {
			const small = rig.worker({ pool: { primary: 1, replica: 1 }, monitorMs: 60_000, timeoutsMs: { ...timeouts, connect: 200 } });
			await small.database.readPrimary(one);
			const slow = small.database.readPrimary((client) => client.query({ name: "test-sleep", text: "select pg_sleep(0.6)", values: [] }));
			expect(await refusal(small.database.readPrimary(one))).toBe("UNAVAILABLE: the database has too much to do");
			await slow;
			expect(small.database.status.primary).toBe("up");
			expect(await small.database.readPrimary(one)).toEqual([{ one: 1 }]);
		});

		it("send readers to the primary while a replica has none to spare", async () => {
			const small = rig.worker({ pool: { primary: 4, replica: 1 }, timeoutsMs: { ...timeouts, connect: 200 } });
			const onReplica = async () => {
				await small.database.read(null, one);
				return small.told.statements.replica > 0;
			};
			await until(onReplica);
			const before = small.told.fallbacks.down ?? 0;
			const slow = small.database.read(null, (client) => client.query({ name: "test-sleep", text: "select pg_sleep(0.6)", values: [] }));
			expect(await small.database.read(null, one)).toEqual([{ one: 1 }]);
			expect(small.told.fallbacks.down).toBe(before + 1);
			expect(small.database.status.replicas).toEqual(["up"]);
			await slow;
		});

		it("end a statement that takes too long, and leave nothing of its transaction", async () => {
			const short = rig.worker({ timeoutsMs: { ...timeouts, statement: 200 } });
			const slow = short.database.write(["writer"], async (client) => {
				await put(client, "half");
				await client.query({ name: "test-sleep", text: "select pg_sleep(2)", values: [] });
			});
			expect(await refusal(slow)).toBe("UNAVAILABLE: the database took too long");
			expect(await rig.postgres.primary.query("select from swarms where workspace = 'half'", [], rig.postgres.database)).toEqual([]);
			expect(await short.database.readPrimary(one)).toEqual([{ one: 1 }]);
		});

		it("roll back when the work throws, and hand its error on as it is", async () => {
			const mistake = new ServiceError("CONFLICT", "not so");
			const refused = worker.database.write(["writer"], async (client) => {
				await put(client, "taken back");
				throw mistake;
			});
			await expect(refused).rejects.toBe(mistake);
			const programming = worker.database.write(["writer"], (client) =>
				client.query({ name: "test-wrong", text: "select nothing", values: [] }),
			);
			await expect(programming).rejects.toThrow('column "nothing" does not exist');
			const swallowed = worker.database.write(["writer"], async (client) => {
				await client.query({ name: "test-wrong", text: "select nothing", values: [] }).catch(() => {});
			});
			await expect(swallowed).rejects.toThrow("the work went on after a statement that failed");
			const sent = worker.database.write(["writer"], async (client) => {
				await put(client, "taken back");
				void client.send({ name: "test-wrong", text: "select nothing", values: [] });
			});
			await expect(sent).rejects.toThrow('column "nothing" does not exist');
			expect(await rig.postgres.primary.query("select from swarms where workspace = 'taken back'", [], rig.postgres.database)).toEqual([]);
		});

		it("run work again that a deadlock cancelled", async () => {
			await worker.database.write([], (client) => put(client, "left"));
			await worker.database.write([], (client) => put(client, "right"));
			const touch = (client: Queryable, key: string) =>
				client.query({ name: "test-touch", text: "update swarms set id = id || 'x' where workspace = $1", values: [key] });
			let runs = 0;
			const crossing = (first: string, second: string) =>
				worker.database.write([], async (client) => {
					runs += 1;
					await touch(client, first);
					await sleep(100);
					await touch(client, second);
				});
			await Promise.all([crossing("left", "right"), crossing("right", "left")]);
			expect(runs).toBeGreaterThan(2);
			const rows = await rig.postgres.primary.query<{ id: string }>(
				"select id from swarms where workspace in ('left', 'right')",
				[],
				rig.postgres.database,
			);
			expect(rows).toEqual([{ id: "xx" }, { id: "xx" }]);
		});

		it("give bigint as a number and times as milliseconds", async () => {
			const rows = await worker.database.readPrimary((client) =>
				client.query({
					name: "test-types",
					text: "select 7::bigint as count, timestamptz '2026-01-02 03:04:05.678+01' as time",
					values: [],
				}),
			);
			expect(rows).toEqual([{ count: 7, time: Date.UTC(2026, 0, 2, 2, 4, 5, 678) }]);
		});

		it("refuse text that PostgreSQL cannot hold as the caller's mistake", async () => {
			expect(await refusal(worker.database.write([], (client) => put(client, "a\0b")))).toMatch(/^INVALID: /);
		});
	});

	describe("through a failover", () => {
		beforeAll(async () => {
			rig = await startRig({ replicas: 1, standby: true });
			worker = rig.worker();
			await readsReplica();
		});
		afterAll(() => rig?.stop());

		it("lose nothing that was acknowledged, and need no restart", async () => {
			const acknowledged: string[] = [];
			let stopped = false;
			let lastError = 0;
			const writer = async (name: string) => {
				for (let round = 0; !stopped; round++) {
					const key = `${name}-${round}`;
					try {
						await worker.database.write([name], (client) => put(client, key));
						acknowledged.push(key);
					} catch (error) {
						expect(error).toBeInstanceOf(ServiceError);
						lastError = performance.now();
						await sleep(20);
					}
				}
			};
			const writers = ["a", "b", "c", "d"].map(writer);
			await sleep(500);
			const before = performance.now();
			await rig.postgres.failover();
			const took = performance.now() - before;
			await sleep(1_500);
			stopped = true;
			await Promise.all(writers);
			const rows = await rig.postgres.primary.query<{ workspace: string }>("select workspace from swarms", [], rig.postgres.database);
			const stored = new Set(rows.map(({ workspace }) => workspace));
			expect(acknowledged.filter((key) => !stored.has(key))).toEqual([]);
			expect(acknowledged.length).toBeGreaterThan(100);
			expect(lastError - before).toBeGreaterThan(0);
			expect(lastError - before).toBeLessThan(took + 1_000);
			await replicaUp();
		});
	});
});

const timeouts = { connect: 2_000, statement: 5_000, lock: 2_000, idleInTransaction: 5_000 };
