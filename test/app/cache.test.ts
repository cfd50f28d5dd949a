import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { cacheService } from "../../app/services/cache.ts";
import { Channels, channelOptions } from "../../app/stores/channels.ts";
import { connectRedis } from "../../app/stores/redis.ts";
import { SharedCache } from "../../app/stores/shared-cache.ts";
import { redisMissing, type StandaloneRedis, startRedis } from "./daemons.ts";
import { until } from "./stores-rig.ts";

const settings = { memoryBytes: 1_000_000, largestBytes: 200_000 };

function settingsOf({ host, port }: StandaloneRedis) {
	return { kind: "endpoint", host, port, tls: false, credentials: async () => null } as const;
}

/** The cache as one worker has it. */
function cacheWorker(state: StandaloneRedis, cache: StandaloneRedis) {
	const connections = {
		commands: connectRedis(settingsOf(state), "services", { commandTimeout: 2_000 }),
		subscriber: connectRedis(settingsOf(state), "channels", channelOptions),
		cache: connectRedis(settingsOf(cache), "cache", {
			enableOfflineQueue: false,
			autoResendUnfulfilledCommands: false,
			commandTimeout: 150,
		}),
	};
	const answered = { memory: 0, stale: 0, redis: 0, load: 0 };
	const problems: string[] = [];
	const channels = new Channels(connections.subscriber, () => {});
	const service = cacheService(
		{
			shared: new SharedCache(connections.cache, (error) => problems.push(String(error))),
			state: connections.commands,
			channels,
			observe: {
				cacheAnswered: (from) => {
					answered[from] += 1;
				},
				problem: (what) => problems.push(what),
			},
		},
		settings,
	);
	const ready = () => until(() => channels.connected && connections.cache.status === "ready" && connections.commands.status === "ready");
	const stop = () => {
		channels.close();
		for (const connection of Object.values(connections)) connection.disconnect();
	};
	return { service, channels, connections, answered, problems, ready, stop };
}

type CacheWorker = ReturnType<typeof cacheWorker>;

/** Something that is loaded: what it is now, how often it was asked for, and a gate that holds loads up. */
function source(value: unknown) {
	const state = { value, loads: 0, gate: Promise.resolve() };
	const load = async () => {
		state.loads += 1;
		const seen = state.value;
		await state.gate;
		return seen;
	};
	return { state, load };
}

const text = async (answer: Promise<{ body: Buffer }>) => (await answer).body.toString();

describe.skipIf(redisMissing)(`cache${redisMissing ? `: ${redisMissing}` : ""}`, () => {
	let state: StandaloneRedis;
	let redis: StandaloneRedis;
	let a: CacheWorker;
	let b: CacheWorker;
	let number = 0;
	let key: string;

	beforeAll(async () => {
		[state, redis] = await Promise.all([startRedis(), startRedis()]);
		[a, b] = [cacheWorker(state, redis), cacheWorker(state, redis)];
		await Promise.all([a.ready(), b.ready()]);
	});

	afterAll(async () => {
		a?.stop();
		b?.stop();
		await Promise.all([state?.stop(), redis?.stop()]);
	});

	beforeEach(() => {
		number += 1;
		key = `w${number}:list`;
	});

	it("answers with JSON and a strong ETag of it, the same on every worker", async () => {
		const { load } = source([{ id: 1 }]);
		const one = await a.service.get(key, 1_000, 1_000, load);
		const other = await b.service.get(key, 1_000, 1_000, load);
		expect(one.body.toString()).toBe('[{"id":1}]');
		expect(one.etag).toMatch(/^"[\w-]{22}"$/);
		expect(other).toMatchObject({ body: one.body, etag: one.etag });
		expect((await a.service.get(`${key}:2`, 1_000, 1_000, async () => [{ id: 2 }])).etag).not.toBe(one.etag);
	});

	it("loads once for all who ask on all workers", async () => {
		const { state: from, load } = source("once");
		from.gate = sleep(60);
		const answers = await Promise.all(
			Array.from({ length: 100 }, (_, index) => text((index % 2 ? a : b).service.get(key, 1_000, 1_000, load))),
		);
		expect(new Set(answers)).toEqual(new Set(['"once"']));
		expect(from.loads).toBe(1);
	});

	it("answers from memory, asking nobody", async () => {
		const { state: from, load } = source(1);
		await a.service.get(key, 10_000, 0, load);
		const before = { ...a.answered };
		for (let time = 0; time < 10; time += 1) await a.service.get(key, 10_000, 0, load);
		expect(a.answered.memory - before.memory).toBe(10);
		expect(from.loads).toBe(1);
	});

	it("has at hand what it answered with, while that is fresh and nobody has changed it", async () => {
		const { load } = source(1);
		const hand = () => a.service.atHand(key, 200, 10_000);
		expect(hand()).toBeNull();
		const answer = await a.service.get(key, 200, 10_000, load);
		const before = a.answered.memory;
		expect([hand(), hand()]).toEqual([answer, answer]);
		expect(hand()).toBe(answer);
		expect(a.answered.memory - before).toBe(3);
		await b.service.invalidate(key);
		await until(() => hand() === null);
		await a.service.get(key, 200, 10_000, load);
		expect(hand()).not.toBeNull();
		await sleep(210);
		expect(hand()).toBeNull();
	});

	it("has what is stale at hand while it is read anew, by this worker or by another, and no longer than both times", async () => {
		const { state: from, load } = source("old");
		const hand = ({ service }: typeof a) => service.atHand(key, 400, 600)?.body.toString();
		const get = ({ service }: typeof a) => text(service.get(key, 400, 600, load));
		await Promise.all([get(a), get(b)]);
		from.value = "new";
		await sleep(420);
		from.gate = sleep(150);
		expect([hand(a), hand(b)]).toEqual([undefined, undefined]);
		expect(await Promise.all([get(a), get(b)])).toEqual(['"old"', '"old"']);
		const before = a.answered.stale;
		expect([hand(a), hand(b)]).toEqual(['"old"', '"old"']);
		expect(a.answered.stale - before).toBe(1);
		await until(() => hand(a) === '"new"' && hand(b) === '"new"');
		await sleep(420);
		from.gate = sleep(1_000);
		await get(a);
		expect(hand(a)).toBe('"new"');
		await sleep(620);
		expect(hand(a)).toBeUndefined();
	});

	it("keeps what ends by itself until then and no longer, on every worker", async () => {
		const { state: from, load } = source("mortal");
		const ends = Date.now() + 400;
		const get = ({ service }: typeof a) => service.get(key, 10_000, 10_000, load, () => (from.value === "mortal" ? ends : null));
		expect([await text(get(a)), await text(get(b))]).toEqual(['"mortal"', '"mortal"']);
		expect(a.service.atHand(key, 10_000, 10_000)).not.toBeNull();
		from.value = "next";
		while (Date.now() < ends - 50) await sleep(5);
		expect(await text(get(a))).toBe('"mortal"');
		await sleep(60);
		expect(a.service.atHand(key, 10_000, 10_000)).toBeNull();
		expect([await text(get(b)), await text(get(a))]).toEqual(['"next"', '"next"']);
		expect(from.loads).toBeLessThanOrEqual(3);
	});

	it("answers what is stale at once, and reads it anew behind that, on one worker", async () => {
		const { state: from, load } = source("old");
		await Promise.all([a.service.get(key, 50, 5_000, load), b.service.get(key, 50, 5_000, load)]);
		from.value = "new";
		from.gate = sleep(200);
		await sleep(70);
		const begun = performance.now();
		expect(await Promise.all([text(a.service.get(key, 50, 5_000, load)), text(b.service.get(key, 50, 5_000, load))])).toEqual([
			'"old"',
			'"old"',
		]);
		expect(performance.now() - begun).toBeLessThan(100);
		await until(async () => (await text(a.service.get(key, 50, 5_000, load))) === '"new"');
		expect(from.loads).toBeLessThanOrEqual(3);
	});

	it("does not answer what is older than both times", async () => {
		const { state: from, load } = source("old");
		await a.service.get(key, 30, 30, load);
		from.value = "new";
		await sleep(80);
		expect(await text(a.service.get(key, 30, 30, load))).toBe('"new"');
		expect(await text(b.service.get(key, 30, 30, load))).toBe('"new"');
	});

	it("keeps no failure, and tells it to all who wait for it", async () => {
		const failing = async () => {
			await sleep(20);
			throw new Error("away");
		};
		const results = await Promise.allSettled([a.service.get(key, 1_000, 0, failing), a.service.get(key, 1_000, 0, failing)]);
		expect(results.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
		const begun = performance.now();
		expect(await text(b.service.get(key, 1_000, 0, source("there").load))).toBe('"there"');
		// The lease of who failed is over.
		expect(performance.now() - begun).toBeLessThan(150);
	});

	it("takes over from a worker that has died while loading", async () => {
		const hanging = a.service.get(key, 1_000, 0, () => new Promise(() => {}));
		hanging.catch(() => {});
		await sleep(30);
		const begun = performance.now();
		expect(await text(b.service.get(key, 1_000, 0, source("mine").load))).toBe('"mine"');
		const waited = performance.now() - begun;
		expect(waited).toBeGreaterThan(200);
		expect(waited).toBeLessThan(600);
	});

	describe("invalidate", () => {
		it("outdates what begins with these parts, on every worker, and nothing else", async () => {
			const keys = [`${key}:a`, `${key}:b:c`, `${key}2:a`];
			const { state: from, load } = source("old");
			for (const each of [a, b]) for (const name of keys) await each.service.get(name, 60_000, 0, load);
			from.value = "new";
			await a.service.invalidate(`${key}:`);
			for (const each of [a, b]) {
				expect(await Promise.all(keys.map((name) => text(each.service.get(name, 60_000, 0, load))))).toEqual(['"new"', '"new"', '"old"']);
			}
		});

		it("is waited for by whoever asks whether it was announced, and by nobody afterwards", async () => {
			const { state: from, load } = source("old");
			for (const each of [a, b]) await each.service.get(key, 60_000, 0, load);
			from.value = "new";
			let done = false;
			void a.service.invalidate(`${key}:`).then(() => {
				done = true;
			});
			await a.service.announced(key);
			expect(done).toBe(true);
			for (const each of [a, b]) expect(await text(each.service.get(key, 60_000, 0, load))).toBe('"new"');
			const asked = performance.now();
			await a.service.announced(key);
			expect(performance.now() - asked).toBeLessThan(5);
		});

		it("outdates what is only in Redis, for a worker that begins afterwards", async () => {
			const { state: from, load } = source("old");
			await a.service.get(key, 60_000, 0, load);
			from.value = "new";
			await a.service.invalidate(key);
			const late = cacheWorker(state, redis);
			expect(await text(late.service.get(key, 60_000, 0, load))).toBe('"new"');
			late.stop();
		});

		it("wins over a load that began before it: on the same worker, on another, and in Redis", async () => {
			for (const [loading, invalidating] of [
				[a, a],
				[a, b],
			] as const) {
				key += ":again";
				const { state: from, load } = source("old");
				const gate = Promise.withResolvers<void>();
				from.gate = gate.promise;
				const early = text(loading.service.get(key, 60_000, 0, load));
				await until(() => from.loads === 1);
				from.value = "new";
				await invalidating.service.invalidate(key);
				// Asked after the change: not with those who asked before, and not kept from loading by them.
				from.gate = Promise.resolve();
				const late = cacheWorker(state, redis);
				await late.ready();
				for (const each of [loading, invalidating, late]) expect(await text(each.service.get(key, 60_000, 0, load))).toBe('"new"');
				gate.resolve();
				expect(await early).toBe('"old"');
				await sleep(20);
				for (const each of [a, b, late]) expect(await text(each.service.get(key, 60_000, 0, load))).toBe('"new"');
				expect(from.loads).toBe(2);
				late.stop();
			}
		});

		it("never lets anybody see an older value than was written before it asked", async () => {
			const late = cacheWorker(state, redis);
			await late.ready();
			const workers = [a, b, late];
			let written = 0;
			let acknowledged = 0;
			const seenBehind: number[] = [];
			const load = async () => {
				const seen = written;
				await sleep(Math.random() * 3);
				return seen;
			};
			let writing = true;
			const readers = workers.flatMap(({ service }) =>
				Array.from({ length: 8 }, async () => {
					while (writing) {
						const known = acknowledged;
						const seen = Number(await text(service.get(key, 40, 40, load)));
						seenBehind.push(known - seen);
					}
				}),
			);
			for (let change = 1; change <= 500; change += 1) {
				written = change;
				await (workers[change % 3] as CacheWorker).service.invalidate(`w${number}:`);
				acknowledged = change;
				if (change % 7 === 0) await sleep(2);
			}
			writing = false;
			await Promise.all(readers);
			expect(seenBehind.length).toBeGreaterThan(1_000);
			expect(seenBehind.filter((behind) => behind > 0)).toEqual([]);
			late.stop();
		});

		it("is announced once for changes that come together", async () => {
			const before = await commandsOf(state, "publish");
			await Promise.all(Array.from({ length: 50 }, () => a.service.invalidate(key)));
			expect((await commandsOf(state, "publish")) - before).toBe(1);
		});
	});

	it("does not trust its memory while it cannot hear of changes", async () => {
		const { state: from, load } = source("old");
		await b.service.get(key, 60_000, 0, load);
		from.value = "new";
		b.connections.subscriber.disconnect(true);
		await until(() => !b.channels.connected);
		await a.service.invalidate(key);
		expect(await text(b.service.get(key, 60_000, 0, load))).toBe('"new"');
		await b.ready();
		expect(await text(b.service.get(key, 60_000, 0, load))).toBe('"new"');
	});

	it("keeps no more in memory than it may", async () => {
		const { load } = source("x".repeat(100_000));
		for (let index = 0; index < 30; index += 1) await a.service.get(`${key}:${index}`, 60_000, 0, load);
		const before = a.answered.memory;
		for (let index = 0; index < 30; index += 1) await a.service.get(`${key}:${29 - index}`, 60_000, 0, load);
		expect(a.answered.memory - before).toBeLessThanOrEqual(10);
		const large = source("x".repeat(300_000));
		await a.service.get(`${key}:large`, 60_000, 0, large.load);
		await b.service.get(`${key}:large`, 60_000, 0, large.load);
		expect(large.state.loads).toBe(2);
	});

	describe("with the cache's Redis away", () => {
		beforeEach(async () => {
			await Promise.all([a.ready(), b.ready()]);
			// It may still be left alone after a failure.
			await until(async () => {
				const before = a.answered.redis + b.answered.redis;
				number += 1;
				key = `w${number}:list`;
				for (const each of [a, b, a, b]) await each.service.get(key, 1, 60_000, async () => null);
				return a.answered.redis + b.answered.redis > before;
			});
			number += 1;
			key = `w${number}:list`;
		});

		it.each([
			["dead", () => redis.server.kill9(), () => redis.server.start()],
			["hanging", async () => redis.server.pause(), async () => redis.server.resume()],
		])("%s: answers from memory or by loading, soon and without an error", async (_, breakIt, mend) => {
			const { state: from, load } = source("old");
			await a.service.get(key, 60_000, 0, load);
			await breakIt();
			const times: number[] = [];
			for (let time = 0; time < 20; time += 1) {
				const begun = performance.now();
				expect(await text(a.service.get(key, 60_000, 0, load))).toBe('"old"');
				expect(await text(b.service.get(`${key}:${time}`, 60_000, 0, load))).toBe('"old"');
				times.push(performance.now() - begun);
				await sleep(10);
			}
			expect(times.filter((time) => time > 100).length).toBeLessThanOrEqual(1);
			expect(Math.max(...times)).toBeLessThan(400);
			expect(from.loads).toBe(21);
			// Changes still reach the others.
			from.value = "new";
			const begun = performance.now();
			await b.service.invalidate(key);
			expect(performance.now() - begun).toBeLessThan(400);
			expect(await text(a.service.get(key, 60_000, 0, load))).toBe('"new"');
			await mend();
		});

		it("takes nothing from it afterwards that was outdated meanwhile, though it was never told", async () => {
			const { state: from, load } = source("old");
			await a.service.get(key, 60_000, 0, load);
			expect(await redis.server.command("EXISTS", `af:cache:entry:${key}`)).toBe(1);
			redis.server.pause();
			from.value = "new";
			await a.service.invalidate(key);
			redis.server.resume();
			await sleep(1_500);
			for (const each of [a, b]) expect(await text(each.service.get(key, 60_000, 0, load))).toBe('"new"');
		});
	});
});

/** How often a command was called. */
async function commandsOf(redis: StandaloneRedis, name: string): Promise<number> {
	const info = String(await redis.server.command("INFO", "commandstats"));
	return Number(new RegExp(`cmdstat_${name}:calls=(\\d+)`).exec(info)?.[1] ?? 0);
}
