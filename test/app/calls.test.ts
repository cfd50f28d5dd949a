import type { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Principal } from "../../app/model.ts";
import { CallStore } from "../../app/stores/calls.ts";
import { connectRedis } from "../../app/stores/redis.ts";
import { redisMissing, type StandaloneRedis, startRedis } from "./daemons.ts";

const principal = (name: string, workspace = "team"): Principal => ({
	id: `token:${name}`,
	roles: ["member"],
	workspace,
	expiresAt: null,
	credentialId: name,
});
const ada = principal("ada");

describe.skipIf(redisMissing)(`which job stands behind a request${redisMissing ? `: ${redisMissing}` : ""}`, () => {
	let server: StandaloneRedis;
	const connections: Redis[] = [];
	/** Of two workers. */
	let one: CallStore;
	let two: CallStore;

	beforeAll(async () => {
		server = await startRedis();
		const connect = () => {
			const { host, port } = server;
			const redis = connectRedis({ kind: "endpoint", host, port, tls: false, credentials: async () => null }, "test", {
				commandTimeout: 2_000,
			});
			connections.push(redis);
			return new CallStore(redis);
		};
		[one, two] = [connect(), connect()];
	});

	afterAll(async () => {
		for (const redis of connections) redis.disconnect();
		await server?.stop();
	});

	it("is known to every worker until it is answered", async () => {
		expect(await one.begin(ada, "s", "1", "job")).toBe(true);
		expect(await two.cancel(ada, "s", "1")).toBe("job");
		await one.end(ada, "s", "1");
		expect(await two.cancel(ada, "s", "1")).toBeNull();
	});

	it("is told to be unwanted where the cancellation came first", async () => {
		expect(await two.cancel(ada, "s", "2")).toBeNull();
		expect(await one.begin(ada, "s", "2", "job")).toBe(false);
	});

	it("is cancelled by one of the two, in whichever order they come", async () => {
		const outcomes = await Promise.all(
			Array.from({ length: 200 }, async (_, each) => {
				const request = `race ${each}`;
				const [wanted, job] = await Promise.all([one.begin(ada, "s", request, "job"), two.cancel(ada, "s", request)]);
				return !wanted || job === "job";
			}),
		);
		expect(outcomes.filter((cancelled) => !cancelled)).toEqual([]);
	});

	it("is nobody else's, and no other session's or request's", async () => {
		await one.begin(ada, "s", "3", "job");
		for (const [who, session, request] of [
			[principal("eve"), "s", "3"],
			[principal("ada", "other"), "s", "3"],
			[ada, "t", "3"],
			[ada, "s", '"3"'],
			// Parts that would run into each other.
			[principal("ada:s", "team"), "", "3"],
		] as const) {
			expect(await two.cancel(who, session, request)).toBeNull();
			if (who !== ada || session !== "s") expect(await two.close(who, session)).toEqual([]);
		}
	});

	it("is given up with its session, and kept for no longer than anybody waits", async () => {
		await one.begin(ada, "u", "1", "a");
		await one.begin(ada, "u", "2", "b");
		await one.cancel(ada, "u", "3");
		const lives = await Promise.all((await connections[0]?.keys("af:call:*"))?.map((key) => connections[0]?.ttl(key)) ?? []);
		expect(lives.length).toBeGreaterThan(3);
		for (const seconds of lives) expect(seconds).toSatisfy((ttl) => ttl > 0 && ttl <= 3_600);
		expect((await two.close(ada, "u")).sort()).toEqual(["a", "b"]);
		expect(await one.close(ada, "u")).toEqual([]);
	});

	it("cannot be known while Redis is away, which is said as such", async () => {
		await server.server.kill9();
		for (const asked of [() => one.begin(ada, "v", "1", "job"), () => one.cancel(ada, "v", "1"), () => one.close(ada, "v")]) {
			await expect(asked()).rejects.toMatchObject({ code: "UNAVAILABLE" });
		}
		await server.server.start();
	});
});
