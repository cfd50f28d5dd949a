import { setTimeout as sleep } from "node:timers/promises";
import type { Redis } from "ioredis";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { lsnConnection, redisLsnKeeper } from "../../app/stores/lsn-keeper.ts";
import { connectRedis, type RedisSettings } from "../../app/stores/redis.ts";
import { redisMissing, type SentinelRedis, type StandaloneRedis, startRedis, startRedisWithSentinel } from "./daemons.ts";
import { until } from "./stores-rig.ts";

const opened: Redis[] = [];

function connect(settings: RedisSettings, overrides?: Parameters<typeof connectRedis>[2]): Redis {
	const redis = connectRedis(settings, "test", overrides);
	opened.push(redis);
	return redis;
}

function endpoint({ host, port }: StandaloneRedis, credentials: RedisSettings["credentials"] = async () => null): RedisSettings {
	return { kind: "endpoint", host, port, tls: false, credentials };
}

afterEach(() => {
	for (const redis of opened.splice(0)) redis.disconnect();
});

describe.skipIf(redisMissing)("a connection to one Redis", () => {
	let redis: StandaloneRedis;
	beforeAll(async () => {
		redis = await startRedis();
	});
	afterAll(() => redis?.stop());

	it("says what it is for", async () => {
		const connection = connect(endpoint(redis));
		await connection.ping();
		expect(await redis.server.command("CLIENT", "LIST")).toContain("name=af-test");
	});

	it("fails commands while the server is away, and works again when it is back", async () => {
		const connection = connect(endpoint(redis));
		await connection.ping();
		await redis.server.kill9();
		const started = performance.now();
		await expect(connection.set("af:key", "1")).rejects.toThrow();
		expect(performance.now() - started).toBeLessThan(2_000);
		await redis.server.start();
		await until(() => connection.status === "ready");
		expect(await connection.set("af:key", "2")).toBe("OK");
	});

	it("asks for user and password at each connect", async () => {
		await redis.server.command("ACL", "SETUSER", "rotating", "on", ">first", "~*", "&*", "+@all");
		let password = "first";
		const connection = connect(endpoint(redis, async () => ({ username: "rotating", password })));
		expect(await connection.call("ACL", "WHOAMI")).toBe("rotating");
		password = "second";
		await redis.server.command("ACL", "SETUSER", "rotating", "resetpass", ">second");
		await redis.server.command("CLIENT", "KILL", "USER", "rotating");
		await until(() => connection.status === "ready");
		expect(await connection.call("ACL", "WHOAMI")).toBe("rotating");
		const copy = connection.duplicate();
		opened.push(copy);
		expect(await copy.call("ACL", "WHOAMI")).toBe("rotating");
	});

	it("goes on with the password read last while the files cannot be read", async () => {
		await redis.server.command("ACL", "SETUSER", "lasting", "on", ">secret", "~*", "&*", "+@all");
		let asked = 0;
		const credentials = async () => {
			asked += 1;
			if (asked > 1) throw new Error("no such file");
			return { username: "lasting", password: "secret" };
		};
		const connection = connect(endpoint(redis, credentials));
		await connection.ping();
		await redis.server.command("CLIENT", "KILL", "USER", "lasting");
		await until(() => asked === 2 && connection.status === "ready");
		expect(await connection.call("ACL", "WHOAMI")).toBe("lasting");
	});

	it("stays closed when it is closed while it still asks for its password", async () => {
		let answer = () => {};
		const asked = new Promise<null>((resolve) => {
			answer = () => resolve(null);
		});
		const connection = connect(endpoint(redis, () => asked));
		connection.disconnect();
		answer();
		await sleep(300);
		expect(connection.status).toBe("end");
	});

	it("finds no server, and neither throws nor ends the process", async () => {
		const connection = connect({ kind: "endpoint", host: "127.0.0.1", port: 1, tls: false, credentials: async () => null });
		await expect(connection.get("af:key")).rejects.toThrow();
		expect(connection.status).not.toBe("end");
	});
});

describe.skipIf(redisMissing)("a connection through Sentinels", () => {
	let redis: SentinelRedis;
	beforeAll(async () => {
		redis = await startRedisWithSentinel();
	});
	afterAll(() => redis?.stop());

	it("writes to the new primary within 10 s of a planned failover and of a kill -9", async () => {
		const settings: RedisSettings = {
			kind: "sentinels",
			sentinels: redis.sentinels,
			name: redis.name,
			credentials: async () => null,
		};
		const connection = connect(settings);
		let stopped = false;
		let lastError = 0;
		let written = 0;
		const writing = (async () => {
			while (!stopped) {
				await connection.set("af:count", String(written + 1)).then(
					() => {
						written += 1;
					},
					() => {
						lastError = performance.now();
					},
				);
				await sleep(5);
			}
		})();
		await sleep(300);
		for (const disturb of [() => redis.failover(), () => redis.killPrimary()]) {
			const before = performance.now();
			await disturb();
			const wrote = written;
			await until(() => written > wrote + 20);
			expect(lastError - before).toBeLessThan(10_000);
			const primary = await redis.primary();
			expect(Number(await primary.command("GET", "af:count"))).toBeGreaterThan(wrote);
		}
		stopped = true;
		await writing;
	});

	it("is never given up, though a Sentinel tells of the new primary while that is being looked for", async () => {
		const group = await startRedisWithSentinel();
		const settings: RedisSettings = { kind: "sentinels", sentinels: group.sentinels, name: group.name, credentials: async () => null };
		const connections = Array.from({ length: 5 }, () => connect(settings));
		const allReady = () => connections.every(({ status }) => status === "ready");
		await until(allReady);
		// What ioredis does at a Sentinel's word; when that comes is not in a test's hands.
		const connectorOf = (connection: Redis) => (connection as unknown as { connector: { disconnect(): void } }).connector;
		const telling = setInterval(() => {
			for (const connection of connections) if (connection.status === "connecting") connectorOf(connection).disconnect();
		}, 20);
		await group.killPrimary();
		clearInterval(telling);
		await until(allReady);
		await group.stop();
	});
});

describe.skipIf(redisMissing)("the keeper of positions", () => {
	let redis: StandaloneRedis;
	beforeAll(async () => {
		redis = await startRedis();
	});
	afterAll(() => redis?.stop());

	const keeper = async (ttlMs = 10_000) => {
		const connection = connect(endpoint(redis), lsnConnection);
		const made = redisLsnKeeper(connection, ttlMs);
		await until(() => made.reachableSince !== null);
		return { keeper: made, connection };
	};

	it("keeps the later position, in whatever order two workers note theirs", async () => {
		const [one, other] = [await keeper(), await keeper()];
		await one.keeper.keep("token:a", 0x1_0000_0010n);
		await other.keeper.keep("token:a", 0xffff_fff0n);
		expect(await one.keeper.kept("token:a")).toBe(0x1_0000_0010n);
		expect(await other.keeper.kept("token:a")).toBe(0x1_0000_0010n);
		expect(await other.keeper.kept("token:b")).toBeNull();
	});

	it("forgets a position after its time", async () => {
		const { keeper: short } = await keeper(50);
		await short.keep("token:short", 5n);
		expect(await short.kept("token:short")).toBe(5n);
		await sleep(80);
		expect(await short.kept("token:short")).toBeNull();
	});

	it("says that it does not know while Redis is away or silent, and when it is reachable again", async () => {
		const { keeper: made } = await keeper();
		const first = made.reachableSince as number;
		redis.server.pause();
		const started = performance.now();
		await expect(made.kept("token:a")).rejects.toThrow();
		expect(performance.now() - started).toBeLessThan(1_000);
		redis.server.resume();
		await redis.server.kill9();
		await until(() => made.reachableSince === null);
		await expect(made.keep("token:a", 1n)).rejects.toThrow("Redis is away");
		await redis.server.start();
		await until(() => made.reachableSince !== null);
		expect(made.reachableSince).toBeGreaterThan(first);
	});
});
