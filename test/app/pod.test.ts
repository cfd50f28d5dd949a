import { Agent, get } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { missing, type PostgresCluster, type StandaloneRedis, startPostgres, startRedis } from "./daemons.ts";
import { isAlive, Pod } from "./pod-process.ts";
import { ask, ServerProcess, type Setting, settingOf, until } from "./server-process.ts";

describe.skipIf(missing)("a pod", () => {
	let postgres: PostgresCluster;
	let redis: StandaloneRedis;
	let setting: Setting;
	let pod: Pod;
	/** Of its two workers. */
	let ports: readonly [number, number];

	beforeAll(async () => {
		[postgres, redis] = await Promise.all([startPostgres(), startRedis()]);
		setting = settingOf(postgres, `${redis.host}:${redis.port}`, redis);
		expect(await new ServerProcess("migrate", setting.environment).exited).toBe(0);
	});

	beforeEach(async () => {
		// Whoever comes without a credential is one principal, and the load of these tests is that one.
		// And a machine that others use as well makes workers late, which is no reason here to refuse anything.
		pod = await Pod.create(2, { ...setting.environment, PRINCIPAL_RATE: "100000", SHED_DELAY_MS: "5000" });
		ports = pod.workerPorts as [number, number];
		await pod.start();
		// What they log comes a moment after their first answer.
		await until(() => pod.workers.size === 2, "both workers");
	});

	afterEach(() => pod.remove());

	afterAll(async () => {
		setting?.remove();
		await Promise.all([postgres?.stop(), redis?.stop()]);
	});

	it("keeps every worker's port through a reload, and fails no request meanwhile", async () => {
		const before = pod.workers;
		expect([...before.keys()].sort()).toEqual(ports);
		const load = requestsTo(ports);
		await sleep(300);
		await pod.reload();
		await sleep(300);
		const { answered, failed } = await load.stop();
		const after = pod.workers;
		expect([...after.keys()].sort()).toEqual(ports);
		for (const port of ports) expect(after.get(port)).not.toBe(before.get(port));
		expect(failed).toEqual([]);
		expect(answered).toBeGreaterThan(100);
		await until(async () => (await ask(ports[0] + 1_000, "/metrics")).text.includes(`sockets_open`), "metrics of the new worker");
	});

	it("has a worker back within seconds that was killed, and is ready meanwhile", async () => {
		const pid = pod.workers.get(ports[0]) as number;
		process.kill(pid, "SIGKILL");
		const killed = performance.now();
		await sleep(100);
		expect((await ask(pod.port, "/health/ready")).status).toBe(200);
		await pod.entry.ready(ports[0]);
		expect(performance.now() - killed).toBeLessThan(10_000);
		expect(pod.workers.get(ports[0])).not.toBe(pid);
	});

	it("lets all workers finish together, and exits 0", async () => {
		const create = (port: number) => ask(port, "/api/hive/agents", { method: "POST", body: { type: "coder", name: "c" } });
		for (const port of ports) expect((await create(port)).status).toBe(200);
		postgres.primary.pause();
		const answers = ports.map(create);
		await sleep(300);
		pod.entry.signal("SIGTERM");
		await sleep(700);
		expect((await ask(pod.port, "/health/ready")).status).toBe(503);
		expect((await ask(pod.port, "/health/live")).status).toBe(200);
		const draining = () => pod.entry.log.filter(({ message }) => message === "draining").length;
		expect(draining()).toBe(2);
		postgres.primary.resume();
		expect((await Promise.all(answers)).map(({ status }) => status)).toEqual([200, 200]);
		expect(await pod.entry.exited).toBe(0);
		expect(pod.entry.log.filter(({ message }) => message === "drained")).toHaveLength(2);
		expect(pod.processes).toEqual([]);
	});

	it("ends with PM2, and takes its workers along, which finish what is under way", async () => {
		postgres.primary.pause();
		const answers = ports.map((port) => ask(port, "/api/hive/agents", { method: "POST", body: { type: "coder" } }));
		await sleep(300);
		process.kill(pod.pm2, "SIGKILL");
		expect(await pod.entry.exited).toBe(1);
		postgres.primary.resume();
		expect((await Promise.all(answers)).map(({ status }) => status)).toEqual([200, 200]);
		await until(() => [...pod.workers.values()].every((worker) => !isAlive(worker)), "the workers to end");
	});

	it("leaves nothing behind when it is killed itself", async () => {
		const pids = [...pod.workers.values(), pod.pm2];
		await pod.entry.kill();
		await until(() => pids.every((pid) => !isAlive(pid)), "PM2 and the workers to end");
	});

	it("writes nothing but lines of JSON", async () => {
		pod.entry.signal("SIGTERM");
		await pod.entry.exited;
		expect(pod.entry.output.split("\n").filter((line) => line !== "" && !line.startsWith("{"))).toEqual([]);
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
