import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { get, upgrade } from "./client.ts";
import { Daemon, missing } from "./daemon.ts";
import { addressesOf, settingsFor } from "./settings.ts";
import { Worker } from "./workers.ts";

describe.skipIf(missing)("the monitor", () => {
	let workers: Worker[];
	let daemon: Daemon;

	beforeEach(async () => {
		workers = [await Worker.listen("127.0.0.1", 0), await Worker.listen("127.0.0.1", 0)];
		daemon = await Daemon.start(await settingsFor(addressesOf(workers)), 2);
	});
	afterEach(async () => {
		await Promise.all([daemon.stop(), ...workers.map((worker) => worker.close())]);
	});

	const status = async (url: string) => (await get(url)).status;

	it("fails as soon as HAProxy drains, while everything is still served, until it closes and ends", async () => {
		const { socket } = await upgrade(daemon.url("/sync"));
		expect(await status(daemon.url("/haproxy/health"))).toBe(200);
		const started = Date.now();
		daemon.signal("SIGUSR1");

		await daemon.until(async () => (await status(daemon.url("/haproxy/health"))) === 503, "a failing monitor");
		expect(Date.now() - started).toBeLessThan(1_000);
		expect(await status(daemon.url("/who"))).toBe(200);
		expect(await status(daemon.admin("/ready")), "ready for whom the node still sends").toBe(200);

		let lastServed = 0;
		while ((await status(daemon.url("/who")).catch(() => 0)) === 200) lastServed = Date.now();
		expect(lastServed - started, "served through the whole drain").toBeGreaterThan(1_000);
		expect(socket.destroyed, "an open WebSocket outlives the listeners").toBe(false);

		const closed = new Promise((resolve) => socket.on("close", resolve));
		await closed;
		expect(Date.now() - started, "until the hard stop").toBeGreaterThan(2_500);
		await new Promise((resolve) => setTimeout(resolve, 500));
		expect(daemon.exited).toBe(true);
	});

	it("fails when no worker is left, and what is asked then is answered with 503 and a time to come back", async () => {
		for (const worker of workers) worker.ready = false;
		await daemon.until(async () => (await status(daemon.url("/haproxy/health"))) === 503, "a failing monitor");
		const answer = await get(daemon.url("/who"));
		expect(answer.status).toBe(503);
		expect(answer.headers["retry-after"]).toBe("2");
		expect(JSON.parse(answer.body)).toMatchObject({ error: "Service Unavailable", success: false });

		(workers[0] as Worker).ready = true;
		await daemon.until(async () => (await status(daemon.url("/haproxy/health"))) === 200, "a passing monitor");
		expect(await status(daemon.url("/who"))).toBe(200);
	});

	it("leaves the open WebSocket of a worker that says it is not ready alone", async () => {
		const { socket, headers } = await upgrade(daemon.url("/sync"));
		const worker = workers.find(({ name }) => name === headers["x-worker"]) as Worker;
		worker.ready = false;
		await daemon.until(async () => (await daemon.up("tunnels")) === 1, "one worker up");
		const echoed = new Promise((resolve) => socket.once("data", (data) => resolve(String(data))));
		socket.write("still here");
		expect(await echoed).toBe("still here");
		socket.destroy();
	});
});
