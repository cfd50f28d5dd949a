import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { postgresMissing, redisMissing, startPostgres, startRedis, startRedisWithSentinel } from "./daemons.ts";

describe.skipIf(redisMissing)("a Redis of the test's own", () => {
	it("runs, freezes, goes on, dies and comes back empty", async () => {
		const redis = await startRedis();
		try {
			await redis.server.command("SET", "key", "value");
			redis.server.pause();
			await expect(redis.server.command("GET", "key")).rejects.toThrow();
			redis.server.resume();
			expect(await redis.server.command("GET", "key")).toBe("value");
			await redis.server.kill9();
			await redis.server.start();
			expect(await redis.server.command("GET", "key")).toBeNull();
		} finally {
			await redis.stop();
		}
	});

	it("fails over under three Sentinels, planned and by kill -9", async () => {
		const group = await startRedisWithSentinel({ sentinels: 3 });
		try {
			const [first, second] = group.servers;
			expect(await group.primary()).toBe(first);
			await group.failover();
			expect(await group.primary()).toBe(second);
			await sleep(6_000); // a Sentinel begins no second failover within the time-out of the first
			expect(await group.killPrimary()).toBe(first);
			expect(await first?.command("SET", "key", "value")).toBe("OK");
		} finally {
			await group.stop();
		}
	});

	it("is gone with the process that started it", async () => {
		const script = `const { startRedis } = await import(${JSON.stringify(`${import.meta.dirname}/daemons.ts`)});
			const { server, port } = await startRedis(); console.log(server.daemon.pid + " " + port);`;
		const child = spawn(process.execPath, ["--input-type=module", "-e", `${script} setInterval(() => {}, 1000)`]);
		const line = await new Promise<string>((resolve) => child.stdout.once("data", (data) => resolve(String(data))));
		const pid = Number(line.split(" ")[0]);
		expect(existsSync(`/proc/${pid}`)).toBe(true);
		child.kill("SIGKILL");
		await expect.poll(() => existsSync(`/proc/${pid}`), { timeout: 5_000 }).toBe(false);
	});
});

describe.skipIf(postgresMissing)("a PostgreSQL of the test's own", () => {
	it("streams to a replica that can be held back", async () => {
		const cluster = await startPostgres({ replicas: 1 });
		try {
			const [replica] = cluster.replicas;
			await cluster.primary.query("CREATE TABLE t (n int)");
			const count = async () => (await replica?.query<{ n: string }>("SELECT count(*) AS n FROM t"))?.[0]?.n;
			await expect.poll(() => count().catch(() => null)).toBe("0");
			await replica?.pauseReplay();
			await cluster.primary.query("INSERT INTO t VALUES (1)");
			await sleep(300);
			expect(await count()).toBe("0");
			await replica?.resumeReplay();
			await expect.poll(count).toBe("1");
		} finally {
			await cluster.stop();
		}
	});

	it("fails over to the standby without losing a commit, under the same address", async () => {
		const cluster = await startPostgres({ replicas: 1, standby: true });
		try {
			await cluster.primary.query("CREATE TABLE t (n int)");
			await cluster.primary.query("INSERT INTO t VALUES (1)");
			const { port } = cluster.primary;
			await cluster.failover();
			expect(cluster.primary.port).toBe(port);
			await cluster.primary.query("INSERT INTO t VALUES (2)");
			const seen = async () => (await cluster.replicas[0]?.query("SELECT n FROM t ORDER BY n"))?.map(({ n }) => n);
			await expect.poll(seen, { timeout: 15_000 }).toEqual([1, 2]);
		} finally {
			await cluster.stop();
		}
	});
});
