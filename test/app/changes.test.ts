import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { missing } from "./daemons.ts";
import { type Domain, principal, type Rig, refusal, servicesOn, startRig, type Worker } from "./stores-rig.ts";

describe.skipIf(missing)(`changes that are asked for at the same time${missing ? `: ${missing}` : ""}`, () => {
	let rig: Rig;
	let workers: Worker[];
	let domains: Domain[];
	const ada = principal("together", "ada");
	const bob = principal("together", "bob");

	beforeAll(async () => {
		rig = await startRig({ replicas: 1 });
		workers = [rig.worker(), rig.worker()];
		domains = workers.map(({ database }) => servicesOn(database));
	});

	afterAll(() => rig?.stop());

	const spawn = (domain: Domain, who = ada) => domain.agents.spawn(who, { type: "coder", name: null, capabilities: [] });

	it("are committed together, and each has its own number, time and events", async () => {
		const [domain] = domains as [Domain];
		const before = await transactions(rig);
		const agents = await Promise.all(Array.from({ length: 60 }, (_, index) => spawn(domain, index % 2 === 0 ? ada : bob)));
		expect((await transactions(rig)) - before).toBeLessThan(40);
		expect(agents.map(({ name }) => name)).toEqual(agents.map((_, index) => `coder-${index + 1}`));
		const seqs = domain.published.map(({ seq }) => seq);
		expect(seqs).toEqual(seqs.map((_, index) => index + 1));
		const [{ different }] = (await rig.postgres.primary.query<{ different: number }>(
			"select count(distinct created_at)::int as different from agents where workspace = 'together'",
			[],
			rig.postgres.database,
		)) as [{ different: number }];
		expect(different).toBe(60);
	});

	it("are seen at once by everybody who made one, through whichever worker", async () => {
		const [one, other] = domains as [Domain, Domain];
		for (let round = 0; round < 20; round++) {
			const pairs = [ada, bob].map(async (who) => {
				const { id } = await spawn(one, who);
				return (await other.agents.list(who)).some((agent) => agent.id === id);
			});
			expect(await Promise.all(pairs)).toEqual([true, true]);
		}
	});

	it("that are refused take no other along, and are told why", async () => {
		const [domain] = domains as [Domain];
		const before = (await domain.agents.list(ada)).length;
		const outcomes = await Promise.all(
			Array.from({ length: 30 }, async (_, index) =>
				index % 3 === 0 ? refusal(domain.agents.remove(ada, `agent-none-${index}`)) : (await spawn(domain)).id,
			),
		);
		expect(outcomes.filter((outcome) => outcome.startsWith("NOT_FOUND: there is no agent agent-none-"))).toHaveLength(10);
		expect(outcomes.filter((outcome) => /^agent-\d+-/.test(outcome))).toHaveLength(20);
		expect(await domain.agents.list(ada)).toHaveLength(before + 20);
		const seqs = domain.published.map(({ seq }) => seq);
		expect(new Set(seqs).size).toBe(seqs.length);
	});

	it("are told in their order, also where those that depend on nothing are made beside each other", async () => {
		const [domain] = domains as [Domain];
		const create = (index: number, dependencies: readonly string[] = []) =>
			domain.tasks.create(ada, { description: `task ${index}`, priority: "medium", strategy: null, dependencies });
		await Promise.all(Array.from({ length: 60 }, (_, index) => create(index)));
		// Of this test alone: the server's own count may still get what others have done before.
		const [{ tasks, together }] = (await rig.postgres.primary.query<{ tasks: number; together: number }>(
			"select count(*)::int as tasks, count(distinct xmin::text)::int as together from tasks where workspace = 'together'",
			[],
			rig.postgres.database,
		)) as [{ tasks: number; together: number }];
		expect(tasks).toBe(60);
		expect(together).toBeLessThan(40);
		// What is refused is made again by itself, and so is what it was together with.
		const told = domain.published.length;
		const outcomes = await Promise.all(
			Array.from({ length: 60 }, async (_, index) => {
				if (index % 20 === 7) return await refusal(create(index, ["task-none"]));
				if (index % 10 === 3) return (await spawn(domain)).id;
				return (await create(index)).id;
			}),
		);
		expect(outcomes.filter((outcome) => outcome === "INVALID: there is no task task-none to depend on")).toHaveLength(3);
		const events = domain.published.slice(told);
		const first = (events[0] as (typeof events)[number]).seq;
		expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => first + index));
		const made = outcomes.filter((outcome) => !outcome.startsWith("INVALID"));
		for (const id of made) {
			const at = events.findIndex(({ entityId, action }) => entityId === id && action === "created");
			expect(events[at + 1]).toMatchObject({ entityType: "activity", action: "created" });
			expect(JSON.stringify(events[at + 1]?.data)).toContain(id);
		}
		const rows = await rig.postgres.primary.query<{ seq: string; entity_id: string; created_at: Date }>(
			"select seq, entity_id, to_char(created_at, 'HH24:MI:SS.US') as created_at from events_outbox where workspace = 'together' and seq >= $1 order by seq",
			[first],
			rig.postgres.database,
		);
		expect(rows.map(({ entity_id }) => entity_id)).toEqual(events.map(({ entityId }) => entityId));
		// Each change has a time of its own: its events all have that.
		expect(new Set(rows.map(({ created_at }) => String(created_at))).size).toBe(made.length);
	});

	it("that are asked for while another waits for the workspace are committed with it", async () => {
		const [one, other] = domains as [Domain, Domain];
		const [eve, joe] = [principal("late", "eve"), principal("late", "joe")];
		const create = (who: typeof eve) =>
			one.tasks.create(who, { description: "late", priority: "medium", strategy: null, dependencies: [] });
		const held = rig.postgres.primary.query(
			"do $$ begin perform pg_advisory_xact_lock(hashtextextended('late', 0)); perform pg_sleep(0.5); end $$",
			[],
			rig.postgres.database,
		);
		await sleep(100);
		const first = create(eve);
		await sleep(100);
		const late = Array.from({ length: 10 }, () => create(joe));
		const [, , created] = await Promise.all([held, first, ...late]);
		const [{ together }] = (await rig.postgres.primary.query<{ together: number }>(
			"select count(distinct xmin::text)::int as together from tasks where workspace = 'late'",
			[],
			rig.postgres.database,
		)) as [{ together: number }];
		expect(together).toBe(1);
		// Of whoever came late, too, it is known how far a replica has to be.
		const tasks = await other.tasks.list(joe);
		expect(tasks).toHaveLength(11);
		expect(tasks).toContainEqual(created);
	});

	it("that cannot be stored take no other along, though nobody waits for their statement", async () => {
		const [domain] = domains as [Domain];
		const who = principal("unstorable", "ada");
		const told = domain.published.length;
		const outcomes = await Promise.all(
			Array.from({ length: 12 }, (_, index) => {
				const priority = (index % 4 === 2 ? "none at all" : "low") as "low";
				const task = { description: `task ${index}`, priority, strategy: null, dependencies: [] };
				return domain.tasks.create(who, task).then(
					({ description }) => description,
					({ message }: Error) => message,
				);
			}),
		);
		expect(outcomes.filter((outcome) => outcome.includes('violates check constraint "tasks_priority_check"'))).toHaveLength(3);
		const created = outcomes.filter((outcome) => outcome.startsWith("task"));
		expect(created).toHaveLength(9);
		expect((await domain.tasks.list(who)).map(({ description }) => description).sort()).toEqual(created.sort());
		expect(domain.published.slice(told).map(({ seq }) => seq)).toEqual(Array.from({ length: 18 }, (_, index) => index + 1));
	});

	it("that begin a swarm anew take along what came before them, and nothing that comes after", async () => {
		const [domain] = domains as [Domain];
		const eve = principal("anew", "eve");
		const begin = () => domain.swarm.initialise(eve, { topology: "mesh", name: "anew", strategy: null, maxAgents: 50 });
		// The first is committed by itself; all that come meanwhile, together.
		const outcomes = [spawn(domain, eve), spawn(domain, eve), spawn(domain, eve), begin(), spawn(domain, eve), spawn(domain, eve)];
		await Promise.all(outcomes);
		expect((await domain.agents.list(eve)).map(({ name }) => name).sort()).toEqual(["coder-1", "coder-2"]);
		const types = (await domain.activities.list(eve, 100)).map(({ type }) => type);
		expect(types).toEqual(["agent_spawned", "agent_spawned", "swarm_initialised"]);
	});

	it("that wait in too great a number are refused, and may be asked for again", async () => {
		const [domain] = domains as [Domain];
		const outcomes = await Promise.all(
			Array.from({ length: 700 }, () =>
				domain.memory.store(ada, { system: "swarm", namespace: "n", key: "k", value: "v" }).then(
					() => "stored",
					({ message }: Error) => message,
				),
			),
		);
		expect([...new Set(outcomes)].sort()).toEqual(["stored", "too many changes at once"]);
		expect(outcomes.filter((outcome) => outcome === "stored").length).toBeGreaterThanOrEqual(500);
		await domain.memory.store(ada, { system: "swarm", namespace: "n", key: "k", value: "w" });
	});
});

/** Transactions committed so far, about. */
async function transactions(rig: Rig): Promise<number> {
	const sql = "select pg_stat_force_next_flush(), xact_commit::int as n from pg_stat_database where datname = 'agentic_flow'";
	return Number((await rig.postgres.primary.query<{ n: number }>(sql, [], rig.postgres.database))[0]?.n);
}
