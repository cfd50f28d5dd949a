import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { STICKY_COOKIE, seconds } from "../../app/contract.ts";
import { type Follower, SocketFollower, SyncFollower, startTicks, type Ticks, type Transport } from "./followers.ts";
import { type FailedCall, type HttpLoad, lostOf, startLoad } from "./http-load.ts";
import { DRAIN_SECONDS, missing, type Nodes, startNodes } from "./nodes.ts";
import { Pace } from "./pace.ts";
import { ask, until } from "./server-process.ts";

/**
 * Milliseconds after which a socket is back: what a client waits before it comes again, by its own choice or as it was
 * asked, and what is then left for its connection.
 */
const CLIENT_MS = 1_500;
const SERVER_MS = 500;

/** So many times slower than it could be, a machine is too busy with other things to tell anything. */
const STARVED = 8;
/** A look at the database that took too long has consequences for so long. */
const STARVED_FOR_MS = 3_000;

/** Milliseconds after which the failure of a store is over. */
const TROUBLE_MS = 10_000;

const transports: readonly Transport[] = ["polling", "websocket", "upgrading"];

describe.skipIf(missing)(`three nodes of two workers behind HAProxy${missing ? `: ${missing}` : ""}`, { timeout: 240_000 }, () => {
	let nodes: Nodes;
	const pace = new Pace();
	const followers: Follower[] = [];

	beforeAll(async () => {
		nodes = await startNodes();
	}, 240_000);

	afterEach(() => {
		for (const follower of followers.splice(0)) follower.close();
	});

	afterAll(async () => {
		await pace.stop();
		await nodes?.stop();
	}, 120_000);

	const post = (target: string, body: object) => ask(nodes.port, target, { method: "POST", body });

	function follow<F extends Follower>(follower: F): F {
		followers.push(follower);
		return follower;
	}

	/** Socket.IO clients of each kind, and clients of /sync. */
	async function everyKind(ticks: Ticks, count: number) {
		const sockets = transports.flatMap((transport) =>
			[true, false].flatMap((jar) => Array.from({ length: count }, () => follow(new SocketFollower(nodes.host, ticks, transport, jar)))),
		);
		const syncs = Array.from({ length: 3 * count }, () => follow(new SyncFollower(nodes.host)));
		await Promise.all([...sockets, ...syncs].map((follower) => follower.ready()));
		await until(() => sockets.every(({ last }) => last > 0), "the first ticks to arrive");
		return { sockets, syncs };
	}

	/** Everybody is there, knows everything, and missed nothing that it was not told of. */
	async function expectWhole({ sockets, syncs }: Awaited<ReturnType<typeof everyKind>>, ticks: Ticks): Promise<void> {
		await ticks.stop();
		await until(() => sockets.every(({ last }) => last === ticks.count), "every Socket.IO client to hear of the last tick");
		const state = (await ask(nodes.port, "/sync/api/state")).body as { seq: number; agents: { id: string }[]; tasks: { id: string }[] };
		for (const { client } of syncs) {
			await until(() => (client.last ?? 0) >= state.seq, "every client of /sync to get to the end");
			expect([...client.entities.keys()].sort()).toEqual([...state.agents, ...state.tasks].map(({ id }) => id).sort());
		}
		for (const follower of followers) follower.close();
		expect([...sockets, ...syncs].flatMap(({ faults }) => faults)).toEqual([]);
	}

	/** Everybody who was away was back in time. A machine that others slow down slows down the server's part. */
	function expectBack(): void {
		const late = followers
			.flatMap(({ absences }) => absences)
			.filter(({ from, to }) => to - from > CLIENT_MS + SERVER_MS * pace.slowdown(from, to))
			.map(
				({ from, to, why }) =>
					`${why}: away for ${to - from} ms, on a machine ${pace.slowdown(from, to).toFixed(1)} times as slow as it could be`,
			);
		expect(late).toEqual([]);
	}

	/** A wait for a connection that runs out says nothing on a machine which is many times too slow. */
	function failuresOf({ failed }: HttpLoad): string[] {
		const starved = ({ what, from, to }: FailedCall) =>
			/database (has too much to do|cannot be reached)/.test(what) && pace.slowdown(from - STARVED_FOR_MS, to) > STARVED;
		return failed.filter((call) => !starved(call)).map(({ what }) => what);
	}

	it("are one swarm, whoever is asked, and stay so when a node dies", async () => {
		const { swarmId } = (await post("/api/hive/init", { name: "one" })).body;
		for (let agent = 1; agent <= 5; agent++) await post("/api/hive/agents", { type: "coder", name: `agent ${agent}` });
		const same = { status: 200, body: { swarmId, agents: expect.toSatisfy((agents) => agents.length === 5) } };
		const expectSame = async (ports: readonly number[]) => {
			for (const port of ports) expect(await ask(port, "/api/hive/status")).toMatchObject(same);
		};
		await expectSame([...nodes.workers().keys()]);
		const cookies = new Set<unknown>();
		for (let call = 0; call < 18; call++) {
			const answer = await ask(nodes.port, "/api/hive/status");
			expect(answer).toMatchObject(same);
			cookies.add(String(answer.headers["set-cookie"]).match(`${STICKY_COOKIE}=(\\w+)`)?.[1]);
		}
		expect(cookies.size).toBe(6);

		const [, dead] = nodes.pods as [unknown, (typeof nodes.pods)[0]];
		await dead.kill9();
		await expectSame(Array(30).fill(nodes.port));
		await dead.start();
		await nodes.balancer.until(async () => (await nodes.balancer.up("http")) === 6, "all workers back");
		await expectSame(dead.workerPorts);
	});

	it("let in every Socket.IO client, however it connects, with cookies and without, and tell it everything", async () => {
		const ticks = startTicks(nodes.port, 50);
		const { sockets } = await everyKind(ticks, 20);
		expect(sockets).toHaveLength(120);
		await until(() => sockets.slice(80).every(({ transport }) => transport === "websocket"), "the upgrades");
		expect(Map.groupBy(sockets, ({ transport }) => transport).get("polling")).toHaveLength(40);
		expect(new Set(sockets.map(({ worker }) => worker)).size).toBeGreaterThan(3);
		const answers = sockets.map(({ socket }) => new Promise((resolve) => socket.once("performance:report", resolve)));
		for (const { socket } of sockets) socket.emit("get:performance");
		for (const answer of await Promise.all(answers)) expect(answer).toMatchObject({ report: { uptimeSeconds: expect.any(Number) } });
		await expectWhole({ sockets, syncs: [] }, ticks);
		expect(sockets.flatMap(({ absences }) => absences)).toEqual([]);
	});

	it("fail no request when the workers of every node are replaced, and every socket is back at once with nothing missing", async () => {
		const before = nodes.workers();
		const ticks = startTicks(nodes.port, 60);
		const clients = await everyKind(ticks, 2);
		const load = startLoad(nodes.port, { readers: 4, writers: 4 });
		const said = nodes.balancer.log.length;
		for (const pod of nodes.pods) await pod.reload();
		await sleep(2_500);
		await load.stop();
		expect(failuresOf(load)).toEqual([]);
		expect(load.reads).toBeGreaterThan(200);
		for (const [port, pid] of nodes.workers()) expect(pid).not.toBe(before.get(port));
		// From the first to the last moment there is one at every port that is ready, and says so.
		expect(nodes.balancer.log.slice(said)).not.toContain(" is DOWN");
		await expectWhole(clients, ticks);
		expect(followers.filter(({ absences }) => absences.length === 0)).toEqual([]);
		expectBack();
		expect(await lostOf(load, nodes.port)).toEqual([]);
	});

	it.each<[string, (stores: Nodes) => Promise<unknown>]>([
		["a planned failover of Redis", ({ state }) => state.failover()],
		["the death of Redis' primary", ({ state }) => state.killPrimary()],
		["the death of a read replica", ({ postgres }) => (postgres.replicas[0] as (typeof postgres.replicas)[0]).kill9()],
		["the death of PostgreSQL's primary", ({ postgres }) => postgres.failover()],
	])("lose no acknowledged write to %s, are themselves again within ten seconds, and restart nothing", async (name, strike) => {
		const before = nodes.workers();
		const ticks = startTicks(nodes.port, 60);
		const clients = await everyKind(ticks, 1);
		const load = startLoad(nodes.port, { readers: 3, writers: 5 });
		await sleep(1_000);
		const struck = Date.now();
		await strike(nodes);
		const over = Date.now();
		const quietSince = () => Math.max(over, load.failed.at(-1)?.to ?? 0);
		await until(() => Date.now() - quietSince() > 4_000 || Date.now() - struck > 2 * TROUBLE_MS, "quiet", 3 * TROUBLE_MS);
		await load.stop();
		expect(load.failed.filter(({ from }) => from - struck > TROUBLE_MS)).toEqual([]);
		// Trouble, but none that nobody foresaw.
		expect(load.failed.filter(({ what }) => what.includes(": 500 "))).toEqual([]);
		if (name.includes("read replica")) expect(failuresOf(load)).toEqual([]);
		expect(load.acknowledged.length).toBeGreaterThan(20);
		expect(await lostOf(load, nodes.port)).toEqual([]);
		await expectWhole(clients, ticks);
		expect(nodes.workers()).toEqual(before);
		for (const pid of before.values()) expect(() => process.kill(pid, 0)).not.toThrow();
	});

	it("go on without a node that is told to stop, which ends in time and cuts off nothing", async () => {
		const [leaving] = nodes.pods as [(typeof nodes.pods)[0]];
		const ticks = startTicks(nodes.port, 60);
		const clients = await everyKind(ticks, 2);
		const load = startLoad(nodes.port, { readers: 4, writers: 4 });
		await sleep(500);
		const told = performance.now();
		leaving.entry.signal("SIGTERM");
		expect(await leaving.entry.exited).toBe(0);
		expect(performance.now() - told).toBeLessThan((DRAIN_SECONDS + seconds.killMargin) * 1_000);
		expect(leaving.processes).toEqual([]);
		await sleep(2_500);
		await load.stop();
		expect(failuresOf(load)).toEqual([]);
		await expectWhole(clients, ticks);
		expectBack();
	});
});
