import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createServices, type RunningServices } from "../../app/services/compose.ts";
import { connectRedis } from "../../app/stores/redis.ts";
import { missing, type StandaloneRedis, startRedis } from "./daemons.ts";
import { principal, type Rig, startRig, until } from "./stores-rig.ts";

const settings = {
	claimSilenceMs: 60_000,
	cache: { memoryBytes: 10_000_000, largestBytes: 1_000_000 },
	sessions: { idleMs: 60_000, longestMs: 600_000 },
	limits: { workers: 2 },
	terminals: null,
};

describe.skipIf(missing)(`the services of several workers${missing ? `: ${missing}` : ""}`, () => {
	let rig: Rig;
	let cacheRedis: StandaloneRedis;
	let workers: RunningServices[];
	const problems: unknown[] = [];

	beforeAll(async () => {
		[rig, cacheRedis] = await Promise.all([startRig({ replicas: 1 }), startRedis()]);
		const groups = { state: rig.redis, cache: cacheRedis };
		workers = Array.from({ length: 3 }, () =>
			createServices(
				{
					database: rig.worker().database,
					connect: (group, purpose, overrides) => {
						const { host, port } = groups[group];
						return connectRedis({ kind: "endpoint", host, port, tls: false, credentials: async () => null }, purpose, overrides);
					},
					observe: {
						eventsMended: () => {},
						eventsRefilled: () => {},
						eventsLost: () => {},
						cacheAnswered: () => {},
						limitsShared: () => {},
						problem: (what, error) => problems.push(what, error),
					},
				},
				settings,
			),
		);
		await until(() => workers.every(({ health }) => Object.values(health.dependencies()).every(({ status }) => status === "up")));
	});

	afterAll(async () => {
		await Promise.all(workers?.map((worker) => worker.close()) ?? []);
		await Promise.all([rig?.stop(), cacheRedis?.stop()]);
	});

	const worker = (index: number) => workers[index % 3] as RunningServices;

	/** The list of agents as the edge serves it. */
	async function agentsOf(services: RunningServices, who: ReturnType<typeof principal>): Promise<{ id: string }[]> {
		const { body } = await services.cache.get(`${who.workspace}:/api/hive/agents`, 1_000, 2_000, () => services.agents.list(who));
		return JSON.parse(body.toString());
	}

	/** A change as the edge makes it: the cache is outdated before it is answered. */
	async function spawn(services: RunningServices, who: ReturnType<typeof principal>): Promise<{ id: string }> {
		const agent = await services.agents.spawn(who, { type: "coder", name: null, capabilities: [] });
		await services.cache.invalidate(`${who.workspace}:`);
		return agent;
	}

	it("let a principal read what it has written, in kept lists too, through whichever worker", async () => {
		let stale = 0;
		await Promise.all(
			Array.from({ length: 6 }, async (_, writer) => {
				const who = principal(`kept-${writer}`);
				for (let time = 0; time < 50; time += 1) {
					const { id } = await spawn(worker(time + writer), who);
					const seen = await agentsOf(worker(time + writer + 1 + (time % 2)), who);
					if (!seen.some((agent) => agent.id === id)) stale += 1;
				}
			}),
		);
		expect(stale).toBe(0);
	});

	it("tell of a change only when a kept list has it", async () => {
		const who = principal("told");
		await agentsOf(worker(1), who);
		let stale = 0;
		let told = 0;
		const stop = await worker(1).events.subscribe(
			"told",
			async ({ entityType, entityId }) => {
				if (entityType !== "agent") return;
				const seen = await agentsOf(worker(1), who);
				if (!seen.some(({ id }) => id === entityId)) stale += 1;
				told += 1;
			},
			() => {},
		);
		// Nobody but the services themselves outdates the cache here.
		for (let time = 0; time < 50; time += 1) await worker(0).agents.spawn(who, { type: "coder", name: null, capabilities: [] });
		await until(() => told === 50);
		expect(stale).toBe(0);
		stop();
	});

	it("say what is away and since when, and that it is back", async () => {
		const { health } = worker(0);
		const before = health.dependencies();
		expect(Object.keys(before).toSorted()).toEqual(["postgres", "postgres-replicas", "redis-cache", "redis-state"]);
		expect(before["postgres-replicas"]).toMatchObject({ status: "up", detail: "1 of 1 can be read from" });
		const begun = Date.now();
		cacheRedis.server.pause();
		await until(() => health.dependencies()["redis-cache"]?.status === "down");
		expect(health.dependencies()["redis-cache"]?.since).toBeGreaterThanOrEqual(begun);
		expect(health.dependencies()["redis-state"]).toEqual(before["redis-state"]);
		cacheRedis.server.resume();
		await until(() => health.dependencies()["redis-cache"]?.status === "up");
		await rig.postgres.replicas[0]?.kill9();
		await until(() => health.dependencies()["postgres-replicas"]?.status === "down");
		expect(health.dependencies().postgres).toEqual(before.postgres);
		await rig.postgres.replicas[0]?.start();
		await until(() => health.dependencies()["postgres-replicas"]?.status === "up");
	});

	it("end with nothing left behind", async () => {
		const last = worker(2);
		const clients = async () =>
			String(await rig.redis.server.command("CLIENT", "LIST")).match(/name=af-(services|limits|channels)/g)?.length;
		const before = (await clients()) as number;
		await last.close();
		await sleep(50);
		expect(await clients()).toBe(before - 3);
		expect(JSON.stringify(problems)).not.toContain("TypeError");
	});
});
