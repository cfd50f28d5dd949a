import { setTimeout as sleep } from "node:timers/promises";
import { Redis } from "ioredis";
import { io, type Socket } from "socket.io-client";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { connectRedis, type RedisSettings } from "../../app/stores/redis.ts";
import { type MemoryServices, memoryServices, principalOf } from "../../app/ws/testing.ts";
import { startWorker, type TestWorker } from "../../app/ws/testing-worker.ts";
import { redisMissing, type StandaloneRedis, startRedis, startRedisWithSentinel } from "./daemons.ts";
import { until } from "./stores-rig.ts";
import { endpoint } from "./sync-workers.ts";

const people = [principalOf("ada"), principalOf("ann"), principalOf("bob", "elsewhere")];
const sockets: Socket[] = [];
const cleanup: (() => Promise<unknown>)[] = [];

/** The connection of the whole worker to Redis is the test's, and so is its end. */
async function start(services: MemoryServices, settings: RedisSettings): Promise<TestWorker> {
	const redis = connectRedis(settings, "worker");
	const worker = await startWorker(services, { redis });
	cleanup.push(async () => {
		await worker.stop();
		redis.disconnect();
	});
	return worker;
}

function client({ host }: TestWorker, subject: string, auth: object = {}): Socket {
	const socket = io(`http://${host}`, {
		transports: ["websocket"],
		auth: { token: `token-${subject}`, ...auth },
		reconnection: false,
		forceNew: true,
	});
	sockets.push(socket);
	return socket;
}

/** The payload of the next event of a name. */
// biome-ignore lint/suspicious/noExplicitAny: a test looks into whatever came
async function next(socket: Socket, name: string): Promise<any> {
	return new Promise((resolve, reject) => {
		const timer = setTimeout(() => reject(new Error(`no ${name}`)), 10_000);
		socket.once(name, (payload: unknown) => {
			clearTimeout(timer);
			resolve(payload);
		});
	});
}

function hear(socket: Socket, name: string): { type?: string }[] {
	const heard: { type?: string }[] = [];
	socket.on(name, (payload: { type?: string }) => heard.push(payload));
	return heard;
}

/** Until what one worker announces is heard at another. */
async function untilJoined(from: Socket, to: Socket): Promise<void> {
	const heard = hear(to, "agent:spawned");
	await until(async () => {
		from.emit("action:spawn-agent", { type: "probe" });
		await sleep(200);
		return heard.length > 0;
	});
	to.off("agent:spawned");
	await sleep(300);
}

async function closeAll(): Promise<void> {
	for (const socket of sockets.splice(0)) socket.disconnect();
	for (const undo of cleanup.splice(0).reverse()) await undo();
}

describe.skipIf(redisMissing)(`Socket.IO through several workers${redisMissing ? `: ${redisMissing}` : ""}`, () => {
	let redis: StandaloneRedis;
	let look: Redis;

	beforeAll(async () => {
		redis = await startRedis();
		look = new Redis(redis.port, { lazyConnect: false });
		look.on("error", () => {});
	});

	afterEach(closeAll);

	afterAll(async () => {
		look?.disconnect();
		await redis?.stop();
	});

	async function threeWorkers(): Promise<{ services: MemoryServices; workers: [TestWorker, TestWorker, TestWorker] }> {
		const services = memoryServices(people);
		const settings = endpoint(redis);
		return { services, workers: [await start(services, settings), await start(services, settings), await start(services, settings)] };
	}

	it("tells an action to everybody of the workspace once, on whichever worker, and to nobody else", async () => {
		const { workers } = await threeWorkers();
		const caller = client(workers[0], "ada");
		const colleagues = [...workers, ...workers].map((worker) => client(worker, "ann"));
		const strangers = workers.map((worker) => client(worker, "bob"));
		await Promise.all([caller, ...colleagues, ...strangers].map((socket) => next(socket, "connected")));
		await untilJoined(caller, colleagues[1] as Socket);
		await untilJoined(caller, colleagues[2] as Socket);
		const heard = [caller, ...colleagues, ...strangers].map((socket) => hear(socket, "agent:spawned"));
		caller.emit("action:spawn-agent", { type: "coder" });
		await until(() => heard.slice(0, 7).every((list) => list.length > 0));
		await sleep(200);
		expect(heard.map((list) => list.map(({ type }) => type))).toEqual([...Array(7).fill(["coder"]), [], [], []]);
	});

	it("sends the updates of rooms from each worker to its own sockets, and nothing of it through Redis", async () => {
		const { services, workers } = await threeWorkers();
		const agent = await services.agents.spawn(people[0] as (typeof people)[0], { type: "coder", name: null, capabilities: [] });
		const followers = workers.map((worker) => client(worker, "ada"));
		const heard = followers.map((socket) => hear(socket, "agent:update"));
		await Promise.all(followers.map((socket) => next(socket, "connected")));
		for (const socket of followers) socket.emit("subscribe:agent", { agentId: agent.id });
		await Promise.all(followers.map((socket) => next(socket, "subscribed")));
		const before = await look.xlen("af:sio");
		for (let cpu = 0; cpu < 5; cpu += 1) {
			await services.agents.report(people[0] as (typeof people)[0], agent.id, { cpu });
			await sleep(50);
		}
		await until(() => heard.every((list) => list.length === 5));
		expect(await look.xlen("af:sio")).toBe(before);
	});

	it("keeps everything it has in Redis below its own prefix", async () => {
		const keys = await look.keys("*");
		expect(keys).toContain("af:sio");
		expect(keys.filter((key) => !key.startsWith("af:"))).toEqual([]);
	});

	describe("a connection that is lost", () => {
		/** A client with a position, lost; and what was announced since. */
		async function lost() {
			const { services, workers } = await threeWorkers();
			const [socket, colleague] = [client(workers[0], "ada"), client(workers[2], "ann")];
			await Promise.all([next(socket, "connected"), next(colleague, "connected")]);
			await untilJoined(colleague, socket);
			const { _pid: pid, _lastOffset: offset } = socket as unknown as { _pid: string; _lastOffset: string };
			(socket.io as unknown as { engine: { close(): void } }).engine.close();
			await until(async () => (await look.exists(`af:sio:session:${pid}`)) === 1);
			colleague.emit("action:spawn-agent", { type: "missed" });
			await next(colleague, "agent:spawned");
			return { services, workers, pid, offset };
		}

		it("is taken up on another worker, with what was announced meanwhile and a snapshot", async () => {
			const { workers, pid, offset } = await lost();
			const again = client(workers[1], "ada", { pid, offset });
			const heard = hear(again, "agent:spawned");
			expect(await next(again, "system:snapshot")).toMatchObject({ agents: expect.arrayContaining([]) });
			expect(heard.map(({ type }) => type)).toEqual(["missed"]);
		});

		it("is not taken up by anybody else, nor with a credential that has ended", async () => {
			const { services, workers, pid, offset } = await lost();
			const thief = client(workers[1], "bob", { pid, offset });
			const heard: unknown[] = [];
			thief.onAny((name) => heard.push(name));
			expect((await next(thief, "connect_error")).message).toBe("A valid credential is needed.");
			services.end("credential-ada");
			const late = client(workers[1], "ada", { pid, offset });
			expect((await next(late, "connect_error")).message).toBe("A valid credential is needed.");
			expect(heard).toEqual([]);
		});
	});

	it("leaves no connection to Redis behind", async () => {
		const mine = async () => ((await look.client("LIST")) as string).split("\n").filter((line) => line.includes("name=af-worker")).length;
		await until(async () => (await mine()) === 0);
		const { workers } = await threeWorkers();
		await next(client(workers[0], "ada"), "connected");
		expect(await mine()).toBeGreaterThan(6);
		await closeAll();
		await until(async () => (await mine()) === 0);
	});

	it("goes on while Redis is away, without haste, and is whole again when it is back", async () => {
		const { workers } = await threeWorkers();
		const [caller, near, far] = [client(workers[0], "ada"), client(workers[0], "ann"), client(workers[1], "ann")];
		await Promise.all([caller, near, far].map((socket) => next(socket, "connected")));
		await untilJoined(caller, far);
		await redis.server.kill9();
		await sleep(500);
		const before = process.cpuUsage();
		await sleep(2_000);
		const { user, system } = process.cpuUsage(before);
		expect((user + system) / 2_000_000).toBeLessThan(0.5);
		// Its own clients can be told all the same.
		const heard = hear(near, "agent:spawned");
		caller.emit("action:spawn-agent", { type: "alone" });
		expect((await next(caller, "agent:spawned")).type).toBe("alone");
		await until(() => heard.length === 1);
		// Others come and go.
		const guest = client(workers[2], "ada");
		await next(guest, "connected");
		guest.disconnect();
		(near.io as unknown as { engine: { close(): void } }).engine.close();
		await sleep(300);
		await redis.server.start();
		await untilJoined(caller, far);
		expect(workers.flatMap(({ observed }) => observed.filter((line) => line.startsWith("fault")))).toEqual([]);
	});

	it("starts without Redis, and is joined to the others as soon as there is one", async () => {
		const late = await startRedis();
		cleanup.push(() => late.stop());
		await late.server.kill9();
		const services = memoryServices(people);
		const settings = endpoint(late);
		const workers = [await start(services, settings), await start(services, settings)] as const;
		const [caller, far] = [client(workers[0], "ada"), client(workers[1], "ann")];
		await Promise.all([caller, far].map((socket) => next(socket, "connected")));
		caller.emit("get:agents");
		await next(caller, "agents:list");
		await late.server.start();
		await untilJoined(caller, far);
	});

	it("follows the primary through a planned failover and the death of it", async () => {
		const group = await startRedisWithSentinel();
		cleanup.push(() => group.stop());
		const settings: RedisSettings = { kind: "sentinels", name: group.name, sentinels: group.sentinels, credentials: async () => null };
		const services = memoryServices(people);
		const workers = [await start(services, settings), await start(services, settings)] as const;
		const [caller, far] = [client(workers[0], "ada"), client(workers[1], "ann")];
		await Promise.all([caller, far].map((socket) => next(socket, "connected")));
		await untilJoined(caller, far);
		await group.failover();
		await untilJoined(caller, far);
		await group.killPrimary();
		await untilJoined(caller, far);
		expect([caller, far].map(({ connected }) => connected)).toEqual([true, true]);
	});
});
