import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { limitService, type RunningLimitService } from "../../app/services/limits.ts";
import { Buckets } from "../../app/stores/buckets.ts";
import { connectRedis } from "../../app/stores/redis.ts";
import { redisMissing, type StandaloneRedis, startRedis } from "./daemons.ts";
import { until } from "./stores-rig.ts";

/** What one worker may give out before it hears of the others, as the service says: half of the burst. */
const CREDIT = 0.5;

function limitWorker({ host, port }: StandaloneRedis) {
	const redis = connectRedis({ kind: "endpoint", host, port, tls: false, credentials: async () => null }, "limits", {
		enableOfflineQueue: false,
		autoResendUnfulfilledCommands: false,
		commandTimeout: 250,
	});
	const told: boolean[] = [];
	const service = limitService(new Buckets(redis), { workers: 4 }, { limitsShared: (together) => told.push(together) });
	const stop = () => {
		service.close();
		redis.disconnect();
	};
	return { service, redis, told, stop };
}

/** Takes as much as there is, at every turn, for a while. @returns how much there was */
async function greedy(
	service: RunningLimitService,
	bucket: string,
	limit: { perSecond: number; burst: number },
	forMs: number,
): Promise<number> {
	let taken = 0;
	for (const end = performance.now() + forMs; performance.now() < end; await sleep(1)) {
		while (service.take(bucket, 1, limit) === 0) taken += 1;
	}
	return taken;
}

describe.skipIf(redisMissing)(`limits${redisMissing ? `: ${redisMissing}` : ""}`, () => {
	let redis: StandaloneRedis;
	let workers: ReturnType<typeof limitWorker>[];
	let number = 0;
	let bucket: string;

	beforeAll(async () => {
		redis = await startRedis();
		workers = Array.from({ length: 4 }, () => limitWorker(redis));
		await until(() => workers.every((worker) => worker.redis.status === "ready"));
	});

	afterAll(async () => {
		for (const { stop } of workers ?? []) stop();
		await redis?.stop();
	});

	beforeEach(() => {
		number += 1;
		bucket = `b${number}`;
	});

	const services = () => workers.map(({ service }) => service);

	it.each([
		{ perSecond: 200, burst: 50 },
		{ perSecond: 1_000, burst: 200 },
		{ perSecond: 10, burst: 4 },
	])("gives out $perSecond a second over four workers together, and at once no more than $burst and their credit", async (limit) => {
		const forMs = 3_000;
		const taken = await Promise.all(services().map((service) => greedy(service, bucket, limit, forMs)));
		const total = taken.reduce((sum, each) => sum + each, 0);
		const refilled = (limit.perSecond * forMs) / 1_000;
		expect(total).toBeGreaterThanOrEqual(0.9 * refilled);
		expect(total).toBeLessThanOrEqual(1.05 * refilled + limit.burst + workers.length * Math.max(1, CREDIT * limit.burst));
	});

	it("takes back later what was given out on credit", async () => {
		const limit = { perSecond: 100, burst: 100 };
		// At once on all workers: each gives its credit.
		const first = services().map((service) => {
			let taken = 0;
			while (service.take(bucket, 1, limit) === 0) taken += 1;
			return taken;
		});
		expect(first).toEqual([50, 50, 50, 50]);
		await sleep(50);
		// Who settled before the others did hears of them with the next request.
		for (const service of services()) service.take(bucket, 1, limit);
		await sleep(50);
		for (const service of services()) expect(service.take(bucket, 1, limit)).toBeGreaterThan(0.3);
		// 200 and a few of 100 were given, and 10 or so have come back.
		expect(Number(await redis.server.command("HGET", `af:limit:${bucket}`, "balance"))).toBeLessThan(-80);
	});

	it("says after how many seconds there is room, and then there is", async () => {
		const limit = { perSecond: 5, burst: 2 };
		const [one] = services() as [RunningLimitService];
		while (one.take(bucket, 1, limit) === 0) await sleep(30);
		await sleep(50);
		const seconds = one.take(bucket, 1, limit);
		expect(seconds).toBeGreaterThan(0);
		expect(seconds).toBeLessThanOrEqual(0.2);
		await sleep(seconds * 1_000 + 2);
		expect(one.take(bucket, 1, limit)).toBe(0);
	});

	it("lets one worker know what another has given out", async () => {
		const limit = { perSecond: 1, burst: 10 };
		const [one, other] = services() as [RunningLimitService, RunningLimitService];
		for (let time = 0; time < 10; time += 1) {
			expect(one.take(bucket, 1, limit)).toBe(0);
			await sleep(30);
		}
		expect(other.take(bucket, 1, limit)).toBe(0);
		await sleep(50);
		expect(other.take(bucket, 1, limit)).toBeGreaterThan(0);
	});

	it("lets the others know soon of much, and of little within half a second", async () => {
		const limit = { perSecond: 1, burst: 1_000 };
		const [one] = services() as [RunningLimitService];
		const left = async () => Number(await redis.server.command("HGET", `af:limit:${bucket}`, "balance"));
		expect(one.take(bucket, 1, limit)).toBe(0);
		await sleep(100);
		expect(await left()).toBe(0);
		await until(async () => (await left()) > 0);
		expect(one.take(bucket, 200, limit)).toBe(0);
		await sleep(100);
		expect(await left()).toBeLessThan(810);
	});

	it("charges what a request costs, at most the whole burst", async () => {
		const limit = { perSecond: 1, burst: 10 };
		const [one] = services() as [RunningLimitService];
		expect(one.take(bucket, 20, limit)).toBe(0);
		await sleep(50);
		expect(one.take(bucket, 10, limit)).toBeGreaterThan(9);
	});

	it("keeps buckets apart", async () => {
		const limit = { perSecond: 1, burst: 1 };
		const [one] = services() as [RunningLimitService];
		expect(one.take(`${bucket}:a`, 1, limit)).toBe(0);
		expect(one.take(`${bucket}:b`, 1, limit)).toBe(0);
		expect(one.take(`${bucket}:a`, 1, limit)).toBeGreaterThan(0);
	});

	it("asks Redis a few times a second, whatever is taken, and never for what is refused", async () => {
		const limit = { perSecond: 1_000_000, burst: 1_000_000 };
		const [one] = services() as [RunningLimitService];
		const before = await calls(redis);
		let taken = 0;
		for (const end = performance.now() + 1_000; performance.now() < end; await sleep(1)) {
			for (let time = 0; time < 100; time += 1) if (one.take(`${bucket}:${taken % 500}`, 1, limit) === 0) taken += 1;
		}
		expect(taken).toBeGreaterThan(10_000);
		// Of each bucket little is taken.
		expect((await calls(redis)) - before).toBeLessThan(40);
		const alone = await calls(redis);
		for (const end = performance.now() + 1_000; performance.now() < end; await sleep(1)) one.take(bucket, 8_000, limit);
		// Of this one much.
		expect((await calls(redis)) - alone).toBeGreaterThan(10);
		while (one.take(bucket, 1, { perSecond: 0.001, burst: 1 }) === 0);
		await sleep(600);
		const refusing = await calls(redis);
		for (const end = performance.now() + 500; performance.now() < end; await sleep(1)) one.take(bucket, 1, { perSecond: 0.001, burst: 1 });
		// The workers count themselves every five seconds.
		expect((await calls(redis)) - refusing).toBeLessThanOrEqual(workers.length);
	});

	it("leaves nothing in Redis of a bucket that is full again", async () => {
		const [one] = services() as [RunningLimitService];
		expect(one.take(bucket, 1, { perSecond: 10, burst: 10 })).toBe(0);
		await until(async () => (await redis.server.command("EXISTS", `af:limit:${bucket}`)) === 1);
		const left = Number(await redis.server.command("PTTL", `af:limit:${bucket}`));
		expect(left).toBeGreaterThan(0);
		expect(left).toBeLessThanOrEqual(1_100);
	});

	it("keeps to each worker's share while Redis is away, and to the whole when it is back", async () => {
		const limit = { perSecond: 200, burst: 40 };
		await until(async () => (await redis.server.command("ZCARD", "af:limit-workers")) === 4);
		await redis.server.kill9();
		for (const { service } of workers) service.take(`${bucket}:before`, 1, limit);
		await until(() => workers.every(({ told }) => told.at(-1) === false));
		const forMs = 2_000;
		const taken = await Promise.all(services().map((service) => greedy(service, bucket, limit, forMs)));
		for (const each of taken) {
			expect(each).toBeGreaterThanOrEqual(0.9 * 100);
			expect(each).toBeLessThanOrEqual(1.1 * (100 + 10));
		}
		await redis.server.start();
		await until(() => {
			for (const { service } of workers) service.take(`${bucket}:again`, 1, limit);
			return workers.every(({ told }) => told.at(-1) === true);
		});
		const [alone] = services() as [RunningLimitService];
		expect(await greedy(alone, `${bucket}:alone`, limit, 1_000)).toBeGreaterThan(180);
	});
});

/** How many scripts were run. */
async function calls(redis: StandaloneRedis): Promise<number> {
	const info = String(await redis.server.command("INFO", "commandstats"));
	return Number(/cmdstat_evalsha:calls=(\d+)/.exec(info)?.[1] ?? 0);
}
