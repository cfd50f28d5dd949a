import { execFile } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { Agent, get } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { freePort } from "./daemon.ts";
import { missing, type PostgresCluster, type StandaloneRedis, startPostgres, startRedis } from "./daemons.ts";
import { ask, ServerProcess, type Setting, settingOf, until } from "./server-process.ts";

const pm2 = path.join(import.meta.dirname, "..", "..", "node_modules", "pm2", "bin", "pm2");

describe.skipIf(missing)("a pod", () => {
	let postgres: PostgresCluster;
	let redis: StandaloneRedis;
	let setting: Setting;
	let pod: ServerProcess;
	let home: string;
	let podPort: number;
	/** Of its two workers. */
	let ports: [number, number];

	beforeAll(async () => {
		[postgres, redis] = await Promise.all([startPostgres(), startRedis()]);
		setting = settingOf(postgres, `${redis.host}:${redis.port}`, redis);
		expect(await new ServerProcess("migrate", setting.environment).exited).toBe(0);
	});

	beforeEach(async () => {
		podPort = await freePort();
		ports = [podPort + 1, podPort + 2];
		home = mkdtempSync(path.join(tmpdir(), "af-pm2-"));
		chmodSync(home, 0o777);
		const environment = { ...setting.environment, PORT: String(ports[0]), WORKERS: "2", PM2_HOME: home, HOME: "/nonexistent" };
		// As in the image: nobody in particular, who may write to PM2_HOME and /tmp alone.
		pod = new ServerProcess("server", environment, process.getuid?.() === 0 ? 65_534 : undefined);
		await pod.ready(podPort);
		await Promise.all(ports.map((port) => pod.ready(port)));
	});

	afterEach(async () => {
		await pod.kill();
		await until(() => processesOf(home).length === 0, "the pod's processes to be gone");
		rmSync(home, { recursive: true, force: true });
	});

	afterAll(async () => {
		setting?.remove();
		await Promise.all([postgres?.stop(), redis?.stop()]);
	});

	/** Process ids by port, as the last worker there has logged itself. */
	function workers(): Map<unknown, number> {
		const ready = pod.log.filter(({ message, ...rest }) => message === "ready" && rest["log.logger"] === "worker");
		return new Map(ready.map((line) => [line["server.port"], Number(line["process.pid"])]));
	}

	it("keeps every worker's port through a reload, and fails no request meanwhile", async () => {
		const before = workers();
		expect([...before.keys()].sort()).toEqual(ports);
		const load = requestsTo(ports);
		await sleep(300);
		await promisify(execFile)(process.execPath, [pm2, "reload", "all"], { env: { PATH: process.env.PATH, PM2_HOME: home } });
		await sleep(300);
		const { answered, failed } = await load.stop();
		const after = workers();
		expect([...after.keys()].sort()).toEqual(ports);
		for (const port of ports) expect(after.get(port)).not.toBe(before.get(port));
		expect(failed).toEqual([]);
		expect(answered).toBeGreaterThan(100);
		await until(async () => (await ask(ports[0] + 1_000, "/metrics")).text.includes(`sockets_open`), "metrics of the new worker");
	});

	it("has a worker back within three seconds that was killed, and is ready meanwhile", async () => {
		const pid = workers().get(ports[0]) as number;
		process.kill(pid, "SIGKILL");
		const killed = performance.now();
		await sleep(100);
		expect((await ask(podPort, "/health/ready")).status).toBe(200);
		await pod.ready(ports[0]);
		expect(performance.now() - killed).toBeLessThan(3_000);
		expect(workers().get(ports[0])).not.toBe(pid);
	});

	it("lets all workers finish together, and exits 0", async () => {
		const create = (port: number) => ask(port, "/api/hive/agents", { method: "POST", body: { type: "coder", name: "c" } });
		for (const port of ports) expect((await create(port)).status).toBe(200);
		postgres.primary.pause();
		const answers = ports.map(create);
		await sleep(300);
		pod.signal("SIGTERM");
		await sleep(700);
		expect((await ask(podPort, "/health/ready")).status).toBe(503);
		expect((await ask(podPort, "/health/live")).status).toBe(200);
		const draining = () => pod.log.filter(({ message }) => message === "draining").length;
		expect(draining()).toBe(2);
		postgres.primary.resume();
		expect((await Promise.all(answers)).map(({ status }) => status)).toEqual([200, 200]);
		expect(await pod.exited).toBe(0);
		expect(pod.log.filter(({ message }) => message === "drained")).toHaveLength(2);
		expect(processesOf(home)).toEqual([]);
	});

	it("ends with PM2, and takes its workers along", async () => {
		const pid = Number(readFileSync(path.join(home, "pm2.pid"), "utf8"));
		process.kill(pid, "SIGKILL");
		expect(await pod.exited).toBe(1);
		await until(() => [...workers().values()].every((worker) => !isAlive(worker)), "the workers to end");
	});

	it("leaves nothing behind when it is killed itself", async () => {
		const pids = [...workers().values(), Number(readFileSync(path.join(home, "pm2.pid"), "utf8"))];
		await pod.kill();
		await until(() => pids.every((pid) => !isAlive(pid)), "PM2 and the workers to end");
	});

	it("writes nothing but lines of JSON", async () => {
		pod.signal("SIGTERM");
		await pod.exited;
		expect(pod.output.split("\n").filter((line) => line !== "" && !line.startsWith("{"))).toEqual([]);
	});
});

it.skipIf(missing)("a pod with a bad configuration starts nothing, and says all that is wrong", async () => {
	const pod = new ServerProcess("server", { WORKERS: "0", POD_IP: "here" });
	expect(await pod.exited).toBe(2);
	for (const fault of ['WORKERS is "0"', 'POD_IP is "here"', "STICKY_KEY is missing", "POSTGRES_PRIMARY is missing"])
		expect(pod.output).toContain(fault);
});

/** Asks for something, over and over, on connections that are kept, as a balancer does. */
function requestsTo(ports: readonly number[]): { stop(): Promise<{ answered: number; failed: string[] }> } {
	const agent = new Agent({ keepAlive: true });
	const failed: string[] = [];
	let answered = 0;
	let on = true;
	const one = (port: number) =>
		new Promise<void>((resolve) => {
			const sent = get({ host: "127.0.0.1", port, path: "/api/hive/status", headers: { host: "agentic.test" }, agent }, (response) => {
				response.resume().once("end", resolve);
				if (response.statusCode === 200) answered += 1;
				else failed.push(String(response.statusCode));
			});
			sent.once("error", (error) => {
				failed.push(error.message);
				resolve();
			});
		});
	const callers = ports.flatMap((port) =>
		Array.from({ length: 4 }, async () => {
			while (on) {
				await one(port);
				await sleep(5);
			}
		}),
	);
	return {
		async stop() {
			on = false;
			await Promise.all(callers);
			agent.destroy();
			return { answered, failed };
		},
	};
}

function isAlive(pid: number): boolean {
	return existsSync(`/proc/${pid}`) && !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
}

/** Processes that have a folder as their PM2_HOME. */
function processesOf(home: string): number[] {
	const pids = readdirSync("/proc")
		.filter((name) => /^\d+$/.test(name))
		.map(Number);
	return pids.filter((pid) => {
		try {
			return isAlive(pid) && readFileSync(`/proc/${pid}/environ`, "utf8").split("\0").includes(`PM2_HOME=${home}`);
		} catch {
			return false;
		}
	});
}
