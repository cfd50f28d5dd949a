import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { freePort } from "./daemon.ts";
import { missing, type PostgresCluster, type StandaloneRedis, startPostgres, startRedis } from "./daemons.ts";
import { ask, ServerProcess, type Setting, settingOf, until } from "./server-process.ts";

describe.skipIf(missing)("a worker", () => {
	let postgres: PostgresCluster;
	let state: StandaloneRedis;
	let cache: StandaloneRedis;
	let setting: Setting;
	const running: ServerProcess[] = [];

	beforeAll(async () => {
		[postgres, state, cache] = await Promise.all([startPostgres({ replicas: 1 }), startRedis(), startRedis()]);
		setting = settingOf(postgres, `${state.host}:${state.port}`, cache);
		const migration = new ServerProcess("migrate", setting.environment);
		expect(await migration.exited, migration.output).toBe(0);
		expect(migration.log.at(-1)).toMatchObject({ message: "the database is up to date", "log.logger": "migrate" });
	});

	afterEach(async () => {
		await Promise.all(running.splice(0).map((each) => each.kill()));
	});

	afterAll(async () => {
		setting?.remove();
		await Promise.all([postgres?.stop(), state?.stop(), cache?.stop()]);
	});

	async function start(more: Readonly<Record<string, string>> = {}): Promise<{ port: number; worker: ServerProcess }> {
		const port = await freePort();
		const worker = new ServerProcess("worker", { ...setting.environment, PORT: String(port), ...more });
		running.push(worker);
		await worker.ready(port);
		return { port, worker };
	}

	const spawnAgent = (port: number, name: string) => ask(port, "/api/hive/agents", { method: "POST", body: { type: "coder", name } });

	it("shares everything with the other workers, and tells what it depends on", async () => {
		const [one, other] = await Promise.all([start(), start()]);
		const created = await spawnAgent(one.port, "c1");
		expect(created).toMatchObject({ status: 200, body: { name: "c1", status: "idle" } });
		const { text } = await ask(other.port, "/api/hive/agents");
		expect(JSON.parse(text).map(({ name }: { name: string }) => name)).toContain("c1");
		await until(async () => (await ask(other.port, "/health")).body.status === "healthy", "health");
		expect(await ask(other.port, "/health")).toMatchObject({
			status: 200,
			body: {
				status: "healthy",
				dependencies: { postgres: { status: "up" }, "redis-state": { status: "up" }, "redis-cache": { status: "up" } },
			},
		});
		expect((await ask(one.port, "/health/live")).status).toBe(200);
	});

	it("serves its metrics apart from everything else, by route template", async () => {
		const { port } = await start();
		await ask(port, "/api/hive/tasks/task-17", { method: "DELETE" });
		const { text, headers } = await ask(port + 1_000, "/metrics");
		expect(headers["content-type"]).toContain("text/plain");
		expect(text).toMatch(/http_request_duration_seconds_count\{route="\/api\/hive\/tasks\/:taskId",method="DELETE",status="\d+"\} 1/);
		expect(text).not.toContain("task-17");
		expect(text).toMatch(/^dependency_up\{dependency="postgres"\} 1$/m);
		expect(text).toMatch(/^agents \d+$/m);
		expect((await ask(port, "/metrics")).status).toBe(404);
	});

	it("stays ready without Redis, says that it is degraded, and recovers by itself", async () => {
		const { port, worker } = await start();
		await state.server.kill9();
		try {
			await until(async () => (await ask(port, "/api/health")).body.status === "degraded", "degraded health");
			expect((await ask(port, "/health/ready")).status).toBe(200);
			expect((await ask(port, "/health")).body).toMatchObject({ dependencies: { "redis-state": { status: "down" } } });
		} finally {
			await state.server.start();
		}
		await until(async () => (await ask(port, "/api/health")).body.status === "ok", "health again");
		expect((await spawnAgent(port, "after")).status).toBe(200);
		expect(worker.child.exitCode).toBeNull();
	});

	it("starts without Redis and PostgreSQL, and serves when they come", async () => {
		await Promise.all([state.server.kill9(), cache.server.kill9(), postgres.primary.kill9()]);
		const starting = start();
		const { port, worker } = await starting.finally(() =>
			Promise.all([state.server.start(), cache.server.start(), postgres.primary.start()]),
		);
		expect(worker.log.some(({ message }) => message === "ready")).toBe(true);
		await until(async () => (await spawnAgent(port, "late")).status === 200, "an agent");
	});

	it.each(["SIGTERM", "SIGINT"] as const)(
		"finishes the request under way, answers who comes meanwhile, and exits 0: %s",
		async (signal) => {
			const { port, worker } = await start();
			expect((await spawnAgent(port, "warm")).status).toBe(200);
			postgres.primary.pause();
			const answer = spawnAgent(port, `during ${signal}`);
			await sleep(200);
			worker.signal(signal);
			await sleep(300);
			// Whoever asks for work has heard nothing yet: it is still answered.
			expect(await ask(port, "/health/ready")).toMatchObject({ status: 503, headers: { connection: "close" } });
			postgres.primary.resume();
			expect((await answer).status).toBe(200);
			expect(await worker.exited).toBe(0);
			expect(worker.log.map(({ message }) => message)).toEqual(expect.arrayContaining(["draining", "drained"]));
		},
	);

	it("stops at once when it is told so again", async () => {
		const { port, worker } = await start();
		expect((await spawnAgent(port, "warm")).status).toBe(200);
		postgres.primary.pause();
		try {
			const answer = spawnAgent(port, "never").catch((error: Error) => error);
			await sleep(200);
			worker.signal("SIGTERM");
			await sleep(1_200);
			worker.signal("SIGTERM");
			expect(await worker.exited).toBe(1);
			expect(await answer).toBeInstanceOf(Error);
		} finally {
			postgres.primary.resume();
		}
	});

	it("is out within its drain, whatever hangs", async () => {
		const { port, worker } = await start({ DRAIN_SECONDS: "1" });
		// A client that sends half a request, and then nothing.
		const half = connect(port, "127.0.0.1", () =>
			half.write("POST /api/hive/agents HTTP/1.1\r\nHost: agentic.test\r\nContent-Length: 10\r\n\r\n{"),
		);
		half.on("error", () => {});
		await sleep(300);
		const before = performance.now();
		worker.signal("SIGTERM");
		expect(await worker.exited).toBe(0);
		expect(performance.now() - before).toBeLessThan(3_000);
	});

	it("does not start with a bad configuration, and says everything that is wrong with it", async () => {
		const { PORT: _, ...environment } = { ...setting.environment, PORT: "" };
		const bad = new ServerProcess("worker", { ...environment, REDIS_STATE: "nowhere", STICKY_KEY: "", SECRETS_DIR: "/nonexistent" });
		expect(await bad.exited).toBe(2);
		expect(bad.output.split("\n").filter((line) => /^ {2}\S/.test(line))).toEqual([
			"  STICKY_KEY is missing",
			'  REDIS_STATE is "nowhere", not host:port or sentinel:name@host:port,host:port',
			"  /nonexistent/postgres/username is missing",
			"  /nonexistent/postgres/password is missing",
			"  /nonexistent/session/current is missing",
		]);
		expect(bad.output).not.toContain("    at ");
	});
});

describe("other roles", () => {
	it("are listed when there is no such role", async () => {
		const wrong = new ServerProcess("serve", {});
		expect(await wrong.exited).toBe(2);
		expect(wrong.output).toBe("usage: node main.ts server | migrate | jobs | terminal-host | token | import\n");
	});

	it.each(["jobs", "terminal-host"])("%s names every setting that is wrong", async (role) => {
		const wrong = new ServerProcess(role, { LOG_LEVEL: "loud" });
		expect(await wrong.exited).toBe(2);
		expect(wrong.output).toMatch(/^cannot start: \d+ settings are wrong\n/);
		expect(wrong.output).toContain("LOG_LEVEL");
		expect(wrong.output).toContain("REDIS_STATE is missing");
	});
});
