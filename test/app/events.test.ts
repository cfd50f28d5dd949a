import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { SyncEvent } from "../../app/model.ts";
import { changer, type EventPublisher } from "../../app/services/changes.ts";
import { type EventObserver, eventService } from "../../app/services/events.ts";
import { taskService } from "../../app/services/tasks.ts";
import { Channels, channelOptions } from "../../app/stores/channels.ts";
import { EventLog } from "../../app/stores/event-log.ts";
import { announcementsIn, textOf } from "../../app/stores/event-text.ts";
import type { Database } from "../../app/stores/postgres.ts";
import { connectRedis, type RedisSettings } from "../../app/stores/redis.ts";
import { missing, type SentinelRedis, startRedisWithSentinel } from "./daemons.ts";
import { principal, type Rig, startRig, until } from "./stores-rig.ts";

/** One that dies between its commit and its announcement. */
const dead: EventPublisher = { publish: () => {} };

function endpoint({ port }: { port: number }): RedisSettings {
	return { kind: "endpoint", host: "127.0.0.1", port, tls: false, credentials: async () => null };
}

/** The event service as one worker has it. */
function eventWorker(state: RedisSettings, database: Database) {
	const commands = connectRedis(state, "services", { commandTimeout: 2_000 });
	const subscriber = connectRedis(state, "channels", channelOptions);
	const told = { mended: 0, refilled: 0, lost: 0 };
	const observe: EventObserver = {
		eventsMended: (events) => (told.mended += events),
		eventsRefilled: (events) => (told.refilled += events),
		eventsLost: (events) => (told.lost += events),
		problem: () => {},
	};
	const channels = new Channels(subscriber, () => {});
	const service = eventService(new EventLog(commands, database), channels, observe);
	const stop = () => {
		service.close();
		channels.close();
		commands.disconnect();
		subscriber.disconnect();
	};
	return { service, commands, told, stop };
}

type EventWorker = ReturnType<typeof eventWorker>;

/** Writes through a worker: a task each, which makes two events. */
function writerOf(database: Database, publisher: EventPublisher, workspace: string) {
	const tasks = taskService(database, changer(database, publisher), { claimSilenceMs: 60_000 });
	return async (times: number, description = "one more") => {
		const task = { description, priority: "medium", strategy: null, dependencies: [] } as const;
		for (let time = 0; time < times; time += 1) await tasks.create(principal(workspace), task);
	};
}

/** Follows a workspace and keeps what it is told. */
async function follow({ service }: EventWorker, workspace: string) {
	const seqs: number[] = [];
	const events: SyncEvent[] = [];
	const gaps: [number, number][] = [];
	const stop = await service.subscribe(
		workspace,
		(event) => {
			seqs.push(event.seq);
			events.push(event);
		},
		(from, to) => gaps.push([from, to]),
	);
	return { seqs, events, gaps, stop };
}

function upTo(last: number, first = 1): number[] {
	return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}

/** One that is added to a workspace's stream past PostgreSQL. */
function eventOf(seq: number): SyncEvent {
	return { seq, entityType: "task", entityId: "t", action: "updated", data: { of: seq }, timestamp: 0 };
}

describe.skipIf(missing)(`events${missing ? `: ${missing}` : ""}`, () => {
	let rig: Rig;
	let database: Database;
	let state: RedisSettings;
	let workers: EventWorker[];

	/** Of the events in a workspace's stream. */
	async function numbersIn(workspace: string): Promise<number[]> {
		const entries = (await rig.redis.server.command("XRANGE", `af:events:${workspace}`, "-", "+")) as [string, string[]][];
		return entries.flatMap(([, [, text]]) => announcementsIn(text as string).map(({ seq }) => seq));
	}

	beforeAll(async () => {
		rig = await startRig({ replicas: 0 });
		database = rig.worker().database;
		state = endpoint(rig.redis);
		workers = [eventWorker(state, database), eventWorker(state, rig.worker().database), eventWorker(state, rig.worker().database)];
	});

	afterAll(async () => {
		for (const worker of workers ?? []) worker.stop();
		await rig?.stop();
	});

	const worker = (index: number) => workers[index] as EventWorker;

	it("gives every follower on every worker all events in order, each once, however many write at once", async () => {
		const followers = await Promise.all(workers.map((each) => follow(each, "order")));
		await Promise.all(workers.map(({ service }) => writerOf(database, service, "order")(40)));
		await until(() => followers.every(({ seqs }) => seqs.length >= 240));
		for (const { seqs, gaps } of followers) {
			expect(seqs).toEqual(upTo(240));
			expect(gaps).toEqual([]);
		}
		for (const { stop } of followers) stop();
	});

	it("carries an event just as it was written, line breaks and all", async () => {
		const description = 'a\nb\r\n"c" \\n \u2028 \u{1f41d}';
		const follower = await follow(worker(1), "same");
		await writerOf(database, worker(0).service, "same")(1, description);
		await until(() => follower.events.length === 2);
		const plain = ({ json: _, data, ...rest }: SyncEvent) => ({ ...rest, data });
		const committed = await new EventLog(worker(0).commands, database).committed("same", 0, 10);
		expect(follower.events.map(plain)).toEqual(committed.map(plain));
		expect(follower.events).toEqual(await worker(2).service.since("same", 0, 10));
		expect(follower.events[0]).toMatchObject({ seq: 1, entityType: "task", action: "created", data: { description } });
		follower.stop();
	});

	it("begins with the event after the head, and sends nothing after stop", async () => {
		await writerOf(database, worker(0).service, "later")(2);
		const follower = await follow(worker(1), "later");
		expect(await worker(1).service.head("later")).toBe(4);
		await writerOf(database, worker(0).service, "later")(1);
		await until(() => follower.seqs.length === 2);
		follower.stop();
		await writerOf(database, worker(0).service, "later")(1);
		await sleep(100);
		expect(follower.seqs).toEqual([5, 6]);
	});

	it("leaves nobody behind when a writer dies between its commit and its announcement", async () => {
		const followers = await Promise.all(workers.map((each) => follow(each, "died")));
		await writerOf(database, worker(0).service, "died")(1);
		await writerOf(database, dead, "died")(3);
		const before = performance.now();
		await until(() => followers.every(({ seqs }) => seqs.length === 8));
		expect(performance.now() - before).toBeLessThan(4_000);
		for (const { seqs } of followers) expect(seqs).toEqual(upTo(8));
		expect(workers.reduce((sum, { told }) => sum + told.mended, 0)).toBeGreaterThanOrEqual(6);
		expect(await numbersIn("died")).toEqual(upTo(8));
		for (const { stop } of followers) stop();
	});

	it("finds an event that was never announced as soon as the next one is", async () => {
		const follower = await follow(worker(1), "next");
		await writerOf(database, dead, "next")(1);
		await writerOf(database, worker(0).service, "next")(1);
		const before = performance.now();
		await until(() => follower.seqs.length === 4);
		expect(performance.now() - before).toBeLessThan(600);
		expect(follower.seqs).toEqual(upTo(4));
		follower.stop();
	});

	it("loses nothing when the connection that listens breaks again and again", async () => {
		const followers = await Promise.all(workers.map((each) => follow(each, "broken")));
		const writing = Promise.all(workers.map(({ service }) => writerOf(database, service, "broken")(50)));
		for (let time = 0; time < 5; time += 1) {
			await sleep(40);
			await rig.redis.server.command("CLIENT", "KILL", "TYPE", "pubsub");
		}
		await writing;
		await until(() => followers.every(({ seqs }) => seqs.length >= 300));
		for (const { seqs, gaps } of followers) {
			expect(seqs).toEqual(upTo(300));
			expect(gaps).toEqual([]);
		}
		for (const { stop } of followers) stop();
	});

	it("says which events are not to be had any more, and goes on", async () => {
		const follower = await follow(worker(1), "gone");
		await writerOf(database, dead, "gone")(2);
		await rig.postgres.primary.query("delete from events_outbox where workspace = 'gone'", [], rig.postgres.database);
		await writerOf(database, worker(0).service, "gone")(1);
		await until(() => follower.seqs.length === 2);
		expect(follower.gaps).toEqual([[1, 4]]);
		expect(follower.seqs).toEqual([5, 6]);
		follower.stop();
	});

	it("sends an event that is too large for Redis all the same", async () => {
		const follower = await follow(worker(1), "large");
		const change = changer(database, worker(0).service);
		const data = "x".repeat(100_000);
		await change(
			principal("large"),
			async () => {},
			async (_, { happened }) => happened("memory", "one", "created", data),
		);
		await writerOf(database, worker(0).service, "large")(1);
		await until(() => follower.seqs.length === 3);
		expect(follower.events[0]?.data).toBe(data);
		expect(await worker(2).service.since("large", 0, 10)).toEqual(follower.events);
		expect(Number(await rig.redis.server.command("MEMORY", "USAGE", "af:events:large"))).toBeLessThan(20_000);
		follower.stop();
	});

	it("joins what was missed to what comes live without a hole while others write", async () => {
		const writing = Promise.all(workers.map(({ service }) => writerOf(database, service, "join")(40)));
		const joined = await Promise.all(
			upTo(20).map(async (_, index) => {
				await sleep(index * 10);
				const each = worker(index % 3);
				const follower = await follow(each, "join");
				const missed: SyncEvent[] = [];
				for (let position = 0; ; ) {
					const page = await each.service.since("join", position, 7);
					if (page === null) throw new Error("nothing is lost here");
					missed.push(...page);
					if (page.length === 0) return { follower, missed };
					position = (page.at(-1) as SyncEvent).seq;
				}
			}),
		);
		await writing;
		const complete = () => joined.map(({ follower, missed }) => [...new Set([...missed.map(({ seq }) => seq), ...follower.seqs])]);
		await until(() => complete().every((seqs) => seqs.length >= 240));
		for (const seqs of complete()) expect(seqs).toEqual(upTo(240));
		for (const { follower } of joined) follower.stop();
	});

	describe("since", () => {
		const seqsSince = async (workspace: string, seq: number, limit: number) =>
			(await worker(1).service.since(workspace, seq, limit))?.map((event) => event.seq) ?? null;

		it("answers from the stream, and without it from PostgreSQL", async () => {
			await writerOf(database, worker(0).service, "since")(5);
			await until(async () => (await numbersIn("since")).length === 10);
			expect(await seqsSince("since", 3, 4)).toEqual([4, 5, 6, 7]);
			await rig.redis.server.command("XDEL", "af:events:since", "6-0");
			expect(await seqsSince("since", 3, 4)).toEqual([4, 5, 6, 7]);
			await rig.redis.server.command("DEL", "af:events:since");
			expect(await seqsSince("since", 3, 4)).toEqual([4, 5, 6, 7]);
			expect(await seqsSince("since", 0, 100)).toEqual(upTo(10));
		});

		it("answers with nothing at the head, and null for a position that nobody has got to", async () => {
			expect(await seqsSince("since", 10, 5)).toEqual([]);
			expect(await seqsSince("since", 11, 5)).toBeNull();
			expect(await seqsSince("nobody", 0, 5)).toEqual([]);
		});

		it("answers null where events were dropped for their age", async () => {
			await rig.postgres.primary.query("delete from events_outbox where workspace = 'since' and seq <= 5", [], rig.postgres.database);
			expect(await seqsSince("since", 3, 4)).toBeNull();
			expect(await seqsSince("since", 5, 4)).toEqual([6, 7, 8, 9]);
		});

		it("answers from PostgreSQL what a writer has not announced", async () => {
			await writerOf(database, worker(0).service, "unannounced")(1);
			await writerOf(database, dead, "unannounced")(1);
			expect(await seqsSince("unannounced", 0, 10)).toEqual([1, 2, 3, 4]);
		});
	});

	it("keeps about the last ten thousand events in Redis", async () => {
		const log = new EventLog(worker(0).commands, database);
		for (let first = 1; first < 15_000; first += 100)
			await log.append(
				"bounded",
				upTo(first + 99, first).map((seq) => textOf(eventOf(seq))),
			);
		const kept = await numbersIn("bounded");
		expect(kept.length).toBeGreaterThanOrEqual(10_000);
		expect(kept.length).toBeLessThan(10_300);
		expect(kept.at(-1)).toBe(15_000);
		expect(await log.streamHeads(["bounded"], 0)).toEqual([{ head: 15_000, lookAfter: false }]);
	});

	it("settles doubles and disorder among announcements", async () => {
		const log = new EventLog(worker(0).commands, database);
		for (const seq of [1, 2, 2, 4, 3, 4]) await log.append("doubles", [textOf(eventOf(seq))]);
		const entries = (await rig.redis.server.command("XRANGE", "af:events:doubles", "-", "+")) as [string, string[]][];
		expect(entries.map(([id]) => id)).toEqual(["1-0", "2-0", "4-0"]);
	});

	it("reads past what was mended and then announced by its writer as well", async () => {
		const log = new EventLog(worker(0).commands, database);
		const run = (from: number, to: number) =>
			log.append(
				"overlap",
				upTo(to, from).map((seq) => textOf(eventOf(seq))),
			);
		await run(1, 6);
		await run(4, 9);
		await run(2, 3);
		expect((await numbersIn("overlap")).length).toBe(12);
		const seqs = async (after: number, limit: number) => (await log.after("overlap", after, limit, 9)).events.map(({ seq }) => seq);
		expect(await seqs(0, 100)).toEqual(upTo(9));
		expect(await seqs(4, 2)).toEqual([5, 6]);
		expect(await seqs(6, 100)).toEqual([7, 8, 9]);
	});

	it("takes no notice of what another version has said, and finds it in PostgreSQL", async () => {
		const follower = await follow(worker(1), "versions");
		const write = writerOf(database, worker(0).service, "versions");
		await writerOf(database, dead, "versions")(1);
		await worker(0).commands.xadd("af:events:versions", "2-0", "e", '[{"seq":1},{"seq":2}]');
		await worker(0).commands.publish("af:events:versions", '[{"seq":1},{"seq":2}]');
		await write(1);
		await until(() => follower.seqs.length === 4);
		expect(follower.seqs).toEqual([1, 2, 3, 4]);
		expect(follower.gaps).toEqual([]);
		follower.stop();
	});

	it("reads more than it asks Redis for at a time", async () => {
		const log = new EventLog(worker(0).commands, database);
		for (const seq of upTo(200)) await log.append("many", [textOf(eventOf(seq))]);
		const { events, head } = await log.after("many", 10, 150, 200);
		expect(events.map(({ seq, data, action }) => [seq, data, action])).toEqual(upTo(160, 11).map((seq) => [seq, { of: seq }, "updated"]));
		expect(head).toBeNull();
	});

	it("drops a stream that is from before the database was set back", async () => {
		const log = new EventLog(worker(0).commands, database);
		await log.append("set-back", [textOf(eventOf(50))]);
		const follower = await follow(worker(1), "set-back");
		await until(async () => (await rig.redis.server.command("EXISTS", "af:events:set-back")) === 0);
		await writerOf(database, worker(0).service, "set-back")(1);
		await until(() => follower.seqs.length === 2);
		expect(follower.seqs).toEqual([1, 2]);
		follower.stop();
	});

	it("goes on while Redis is away, and as before when it is back", async () => {
		const followers = await Promise.all(workers.map((each) => follow(each, "away")));
		const write = writerOf(database, worker(0).service, "away");
		await write(5);
		await rig.redis.server.kill9();
		await write(5);
		const late = await follow(worker(2), "away-later");
		await writerOf(database, worker(0).service, "away-later")(1);
		await until(() => followers.every(({ seqs }) => seqs.length === 20) && late.seqs.length === 2);
		await rig.redis.server.start();
		await write(5);
		await until(() => followers.every(({ seqs }) => seqs.length === 30));
		for (const { seqs, gaps } of followers) {
			expect(seqs).toEqual(upTo(30));
			expect(gaps).toEqual([]);
		}
		// Live again, and not by looking.
		await until(async () => String(await rig.redis.server.command("PUBSUB", "NUMSUB", "af:events:away")) === "af:events:away,3");
		await until(() => worker(0).commands.status === "ready");
		const before = performance.now();
		await write(1);
		await until(() => followers.every(({ seqs }) => seqs.length === 32));
		expect(performance.now() - before).toBeLessThan(500);
		for (const { stop } of [...followers, late]) stop();
	});

	it("asks PostgreSQL for its followers once a second for all workers together", async () => {
		const others = [eventWorker(state, database), eventWorker(state, database), eventWorker(state, database)];
		const asked = rig.worker();
		const counting = Array.from({ length: 6 }, () => eventWorker(state, asked.database));
		const followers = await Promise.all([...others, ...counting].map((each) => follow(each, "quiet")));
		const before = asked.told.statements.primary;
		const began = performance.now();
		await sleep(3_000);
		// Whoever asks has it to itself for 900 ms; a busy machine sleeps for longer than it was told to.
		const turns = Math.ceil((performance.now() - began) / 900);
		expect(asked.told.statements.primary - before).toBeLessThanOrEqual(turns + 1);
		for (const { stop } of followers) stop();
		for (const each of [...others, ...counting]) each.stop();
	});

	describe("with a failover of Redis", () => {
		let group: SentinelRedis;

		beforeAll(async () => {
			group = await startRedisWithSentinel();
		});

		afterAll(() => group?.stop());

		it.each([
			["planned", () => group.failover()],
			["by kill -9", () => group.killPrimary()],
		])("%s: every follower gets every event in order, without a restart", async (how, failOver) => {
			const workspace = `failover ${how}`;
			const sentinels: RedisSettings = { kind: "sentinels", sentinels: group.sentinels, name: group.name, credentials: async () => null };
			const followed = [eventWorker(sentinels, database), eventWorker(sentinels, database)];
			const followers = await Promise.all(followed.map((each) => follow(each, workspace)));
			let writing = true;
			const done = Promise.all(
				followed.map(async ({ service }) => {
					let written = 0;
					for (const write = writerOf(database, service, workspace); writing; written += 1) {
						await write(1);
						await sleep(5);
					}
					return written;
				}),
			);
			await sleep(300);
			await failOver();
			await sleep(1_000);
			writing = false;
			const events = 2 * (await done).reduce((sum, written) => sum + written, 0);
			const before = performance.now();
			await until(() => followers.every(({ seqs }) => seqs.length >= events));
			expect(performance.now() - before).toBeLessThan(10_000);
			for (const { seqs, gaps } of followers) {
				expect(seqs).toEqual(upTo(events));
				expect(gaps).toEqual([]);
			}
			// Live again.
			await until(() => followed.every(({ commands }) => commands.status === "ready"));
			await sleep(1_500);
			const live = performance.now();
			await writerOf(database, (followed[0] as EventWorker).service, workspace)(1);
			await until(() => followers.every(({ seqs }) => seqs.length === events + 2));
			expect(performance.now() - live).toBeLessThan(500);
			for (const each of followed) each.stop();
		});
	});
});
