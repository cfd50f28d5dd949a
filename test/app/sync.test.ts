import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { Principal } from "../../app/model.ts";
import { SyncClient } from "../../app/ws/testing-client.ts";
import { missing } from "./daemons.ts";
import { principal, type Rig, startRig, until } from "./stores-rig.ts";
import { endpoint, issue, type SyncWorker, startSyncWorker } from "./sync-workers.ts";

describe.skipIf(missing)(`/sync through several workers${missing ? `: ${missing}` : ""}`, () => {
	let rig: Rig;
	let workers: SyncWorker[];
	const clients: SyncClient[] = [];

	beforeAll(async () => {
		rig = await startRig({ replicas: 1 });
		workers = await Promise.all(Array.from({ length: 3 }, () => startSyncWorker(rig, endpoint(rig.redis))));
	});

	afterEach(() => {
		for (const client of clients.splice(0)) client.close();
	});

	afterAll(async () => {
		await Promise.all(workers?.map((worker) => worker.close()) ?? []);
		await rig?.stop();
	});

	const worker = (index: number) => workers[index % workers.length] as SyncWorker;

	function client(index: number, token: string, previous?: SyncClient): SyncClient {
		const opened = new SyncClient(worker(index).host, { token, previous });
		clients.push(opened);
		return opened;
	}

	/** Agents that come, change and go, and some memory: through every worker, for as long as it is not told to stop. */
	function write(who: Principal): { stop(): Promise<void> } {
		let running = true;
		let failures = 0;
		const writer = async (index: number) => {
			const kept: string[] = [];
			for (let turn = 0; running; turn += 1) {
				const { services } = worker(index + turn);
				try {
					const { id } = await services.agents.spawn(who, { type: "coder", name: null, capabilities: [] });
					kept.push(id);
					await services.agents.report(who, id, { cpu: turn });
					await services.memory.store(who, { system: "swarm", namespace: "n", key: `${index}`, value: `${turn}` });
					if (kept.length > 3) await services.agents.remove(who, kept.shift() as string);
				} catch {
					// Whether it has happened is not known: the sequence will say.
					failures += 1;
					await sleep(50);
				}
				await sleep(2);
			}
		};
		const writers = [0, 1, 2].map(writer);
		return {
			async stop() {
				running = false;
				await Promise.all(writers);
				expect(failures).toBeLessThan(1_000);
			},
		};
	}

	/** What a client knows is what there is. */
	async function expectTruth(who: Principal, followers: readonly SyncClient[]): Promise<number> {
		const { seq, agents, tasks } = await worker(0).services.swarm.snapshot(who);
		await until(() => followers.every(({ last }) => (last ?? 0) >= seq));
		const truth = new Map([...agents, ...tasks].map((entity) => [entity.id, entity]));
		for (const { entities, breaches } of followers) {
			expect(breaches).toEqual([]);
			expect(entities).toEqual(truth);
		}
		return seq;
	}

	/** So many events there are, however long they take on this machine. */
	const written = (who: Principal, events: number) => until(async () => (await worker(0).services.events.head(who.workspace)) >= events);

	it("brings every client everything that anybody writes, in order, and the counts add up", async () => {
		const who = principal("everything");
		const { token } = await issue(worker(0), who.workspace);
		const writing = write(who);
		await sleep(100);
		const followers = Array.from({ length: 9 }, (_, index) => client(index, token));
		const started = await Promise.all(followers.map((follower) => follower.next("initial-state")));
		await written(who, 120);
		await writing.stop();
		const seq = await expectTruth(who, followers);
		expect(seq).toBeGreaterThanOrEqual(120);
		for (const [index, follower] of followers.entries()) expect(follower.counted).toBe(seq - (started[index]?.seq as number));
	});

	it("brings a client that loses its connection again and again exactly what it missed, through whichever worker", async () => {
		const who = principal("drops");
		const { token } = await issue(worker(0), who.workspace);
		const writing = write(who);
		let follower = client(0, token);
		const { seq: begin } = await follower.next("initial-state");
		let gaps = 0;
		for (let drop = 1; drop <= 20; drop += 1) {
			await sleep(20 + 7 * drop);
			follower.close();
			expect(follower.breaches).toEqual([]);
			gaps += follower.messages.filter(({ type }) => type === "gap").length;
			await sleep(5 * drop);
			follower = client(drop, token, follower);
			// Some are lost in the middle of catching up.
			await (drop % 3 > 0 ? follower.next("resumed") : follower.opened);
		}
		await writing.stop();
		const seq = await expectTruth(who, [follower]);
		expect(gaps).toBe(0);
		expect(follower.counted).toBe(seq - (begin as number));
	});

	it("brings a client of some topics those alone, with nothing missing", async () => {
		const who = principal("topics");
		const { token } = await issue(worker(0), who.workspace);
		const [everything, some] = [client(0, token), client(1, token)];
		await Promise.all([everything.next("initial-state"), some.next("initial-state")]);
		some.send({ type: "subscribe", entityType: "memory", requestId: "1" });
		await some.next("subscribed");
		const writing = write(who);
		await written(who, 60);
		await writing.stop();
		const seq = await expectTruth(who, [everything]);
		some.send({ type: "ping" });
		await some.next("pong");
		await until(() => some.updates.length === everything.updates.filter(({ type }) => type === "memory-update").length);
		expect(some.breaches).toEqual([]);
		expect(some.updates.map((update) => update.seq)).toEqual(
			everything.updates.filter(({ type }) => type === "memory-update").map((update) => update.seq),
		);
		expect(seq).toBeGreaterThan(50);
	});

	it("makes a swarm that begins anew the same for everybody", async () => {
		const who = principal("anew", "operator", "operator");
		const { token } = await issue(worker(0), who.workspace);
		const followers = [0, 1, 2].map((index) => client(index, token));
		await Promise.all(followers.map((follower) => follower.next("initial-state")));
		await worker(1).services.agents.spawn(who, { type: "coder", name: "old", capabilities: [] });
		const swarm = await worker(2).services.swarm.initialise(who, { name: "new", topology: "mesh", maxAgents: 4, strategy: null });
		await worker(0).services.agents.spawn(who, { type: "coder", name: "new", capabilities: [] });
		// What was before is sent as it was, and then the new state.
		await Promise.all(followers.map((follower) => follower.next(({ data }) => data?.swarms?.[0]?.name === "new")));
		await expectTruth(who, followers);
		for (const follower of followers) {
			const states = follower.messages.filter(({ type }) => type === "initial-state");
			expect(states.at(-1)?.data.swarms).toMatchObject([{ id: swarm.swarmId, name: "new" }]);
			expect([...follower.entities.values()]).toMatchObject([{ name: "new" }]);
		}
	});

	it("cuts the sockets of a revoked token on every worker within five seconds", async () => {
		const { token, credentialId } = await issue(worker(0), "revoked");
		const { token: other } = await issue(worker(0), "revoked");
		const followers = [0, 1, 2].map((index) => client(index, token));
		const bystander = client(1, other);
		await Promise.all([...followers, bystander].map((follower) => follower.next("initial-state")));
		const before = performance.now();
		await worker(0).services.identity.revoke(credentialId);
		const closes = await Promise.all(followers.map(({ closed }) => closed));
		expect(performance.now() - before).toBeLessThan(5_000);
		expect(closes.map(({ code }) => code)).toEqual([1008, 1008, 1008]);
		expect(bystander.socket.readyState).toBe(bystander.socket.OPEN);
		expect(await client(2, token).refused).toMatchObject({ status: 401 });
	});

	it("moves the clients of a worker that drains, and they miss nothing", async () => {
		const who = principal("drain");
		const leaving = await startSyncWorker(rig, endpoint(rig.redis));
		const { token } = await issue(leaving, who.workspace);
		const before = Array.from({ length: 30 }, () => new SyncClient(leaving.host, { token }));
		clients.push(...before);
		const begins = await Promise.all(before.map((follower) => follower.next("initial-state")));
		const writing = write(who);
		await sleep(200);
		const started = performance.now();
		const moved = before.map(async (follower, index) => {
			const { code } = await follower.closed;
			expect(code).toBe(1012);
			const { afterMs } = follower.messages.findLast(({ type }) => type === "reconnect") as { afterMs?: number };
			await sleep(afterMs as number);
			const again = client(index, token, follower);
			await again.next("resumed");
			return again;
		});
		await leaving.sockets.drain(3_000);
		const after = await Promise.all(moved);
		expect(performance.now() - started).toBeLessThan(5_000);
		await writing.stop();
		await leaving.close();
		const seq = await expectTruth(who, after);
		for (const [index, follower] of after.entries()) {
			expect(follower.counted).toBe(seq - (begins[index]?.seq as number));
		}
	});

	it("goes on after Redis was killed and is back, with nothing missing", async () => {
		const who = principal("redis-dies");
		const { token } = await issue(worker(0), who.workspace);
		const followers = Array.from({ length: 6 }, (_, index) => client(index, token));
		const begins = await Promise.all(followers.map((follower) => follower.next("initial-state")));
		const writing = write(who);
		await sleep(500);
		await rig.redis.server.kill9();
		await sleep(1_500);
		await rig.redis.server.start();
		await sleep(1_500);
		await writing.stop();
		const seq = await expectTruth(who, followers);
		for (const [index, follower] of followers.entries()) {
			expect(follower.messages.filter(({ type }) => type === "gap")).toEqual([]);
			expect(follower.counted).toBe(seq - (begins[index]?.seq as number));
			expect(follower.socket.readyState).toBe(follower.socket.OPEN);
		}
		expect(workers.flatMap(({ observed }) => observed.filter((line) => line.startsWith("fault")))).toEqual([]);
	});

	it("lets clients in while Redis is away", async () => {
		const who = principal("redis-away");
		const { token } = await issue(worker(0), who.workspace);
		await rig.redis.server.kill9();
		try {
			const follower = client(0, token);
			await follower.next("initial-state", 10_000);
			await worker(1).services.agents.spawn(who, { type: "coder", name: null, capabilities: [] });
			await expectTruth(who, [follower]);
		} finally {
			await rig.redis.server.start();
		}
	});
});
