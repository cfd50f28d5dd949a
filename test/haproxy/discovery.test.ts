import { Agent } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { stickyCookie } from "../../app/sticky-cookie.ts";
import { get, upgrade } from "./client.ts";
import { Daemon, missing } from "./daemon.ts";
import { DnsResponder, type Pod } from "./dns.ts";
import { namesIn, settingsFor } from "./settings.ts";
import { type Seen, Worker } from "./workers.ts";

const NAMESPACE = "agentic-flow";
const PORTS = { w1: 3101, w2: 3102, w3: 3103, w4: 3104 };
const SLOTS = 40;
/** A network of 127.0.0.0/8 that is this run's alone, so that two runs do not meet. */
const NETWORK = `127.${1 + (process.pid % 250)}.${1 + (Math.floor(process.pid / 250) % 250)}`;

describe.skipIf(missing)("workers found by DNS", () => {
	const workers = new Map<string, Worker>();
	const pods: Pod[] = [];
	let dns: DnsResponder;
	let first: Daemon;
	let second: Daemon;

	beforeAll(async () => {
		for (let index = 0; index < SLOTS; index += 1) pods.push({ address: `${NETWORK}.${index + 1}`, ports: PORTS });
		for (const { address } of pods) {
			for (const port of Object.values(PORTS)) workers.set(`${address}:${port}`, await Worker.listen(address, port));
		}
		dns = await DnsResponder.listen(`workers.${NAMESPACE}.svc.cluster.local`);
		dns.pods = pods.slice(0, 20);
		[first, second] = await Promise.all([
			Daemon.start(await settingsFor(namesIn(NAMESPACE, dns.port, SLOTS)), 80),
			Daemon.start(await settingsFor(namesIn(NAMESPACE, dns.port, SLOTS)), 80),
		]);
	}, 60_000);

	afterAll(async () => {
		await Promise.all([first?.stop(), second?.stop(), dns?.close(), ...[...workers.values()].map((worker) => worker.close())]);
	});

	const key = () => first.settings.sticky.key;
	const cookieOf = (worker: { host: string; port: number }) => stickyCookie(key(), worker.host, worker.port);
	const withCookie = (cookie: string) => ({ headers: { Cookie: `session=1; agentic_worker=${cookie}; theme=dark` } });
	const seen = (body: string) => JSON.parse(body) as Seen;

	it("are all up when 20 pods of 4 workers are in one answer", async () => {
		expect(await first.up("http")).toBe(80);
		expect(await second.up("tunnels")).toBe(80);
		expect(dns.longest).toBeGreaterThan(2_000);
	});

	it("each get the cookie the worker computes for itself, from both HAProxies", async () => {
		const agent = new Agent({ keepAlive: true, maxSockets: 8 });
		for (const daemon of [first, second]) {
			const answers = await Promise.all(Array.from({ length: 160 }, () => get(daemon.url("/who"), { agent })));
			const cookies = new Map(answers.map(({ body, cookie }) => [seen(body).worker, cookie]));
			expect(cookies.size).toBe(80);
			for (const [name, cookie] of cookies) expect([name, cookie]).toEqual([name, cookieOf(workers.get(name) as Worker)]);
		}
		agent.destroy();
	});

	it("are reached by their cookie through either HAProxy, and never see it", async () => {
		for (const worker of [...workers.values()].slice(0, 80)) {
			for (const daemon of [first, second]) {
				const answer = await get(daemon.url("/who"), withCookie(cookieOf(worker)));
				expect(seen(answer.body).worker).toBe(worker.name);
				expect(answer.cookie).toBeNull();
				expect(seen(answer.body).headers.cookie).toBe("session=1; theme=dark");
			}
		}
	});

	it("are reached by the Engine.IO session id of a client without cookies", async () => {
		for (const worker of [...workers.values()].slice(0, 80)) {
			for (const daemon of [first, second]) {
				const path = `/socket.io/?EIO=4&transport=polling&sid=${cookieOf(worker)}.YWJj-_123`;
				const answer = await get(daemon.url(path));
				expect(seen(answer.body).worker).toBe(worker.name);
				expect(seen(answer.body).url).toBe(path);
				expect(seen(answer.body).headers.cookie).toBeUndefined();
			}
		}
	});

	it("are reached by the session id although the browser's cookie names another", async () => {
		const [one, other] = [...workers.values()] as [Worker, Worker];
		const path = `/socket.io/?EIO=4&transport=polling&sid=${cookieOf(one)}.abc`;
		const answer = await get(first.url(path), { method: "POST", body: "2", ...withCookie(cookieOf(other)) });
		expect(seen(answer.body).worker).toBe(one.name);
		expect(seen(answer.body).headers.cookie).toBe("session=1; theme=dark");
		const { socket, headers } = await upgrade(first.url(path), withCookie(cookieOf(other)).headers);
		expect(headers["x-worker"]).toBe(one.name);
		socket.destroy();
	});

	it("are not confused by session ids that name nobody", async () => {
		for (const sid of ["0123456789abcdef.gone", "abc", "x%3B%20agentic_worker%3D1.y", "%0d%0aX: y"]) {
			const { status, body } = await get(first.url(`/socket.io/?sid=${encodeURI(sid)}`), { headers: { Cookie: "a=b" } });
			expect(status).toBe(200);
			expect(seen(body).headers.cookie).toBe("a=b");
		}
	});

	it("leave without an error for the clients that were theirs", async () => {
		const leaving = workers.get(`${pods[0]?.address}:3101`) as Worker;
		const headers = withCookie(cookieOf(leaving)).headers;
		expect(seen((await get(first.url("/who"), { headers })).body).worker).toBe(leaving.name);
		const { socket } = await upgrade(first.url("/sync"), headers);

		dns.pods = pods.slice(1, 20);
		const answers: number[] = [];
		await first.until(async () => {
			answers.push((await get(first.url("/who"), { headers })).status);
			return (await first.up("http")) === 76;
		}, "76 workers up");
		await sleep(300);

		const moved = await get(first.url("/who"), { headers });
		expect(new Set(answers)).toEqual(new Set([200]));
		expect(seen(moved.body).worker).not.toBe(leaving.name);
		expect(moved.cookie).toBe(cookieOf(workers.get(seen(moved.body).worker) as Worker));
		expect(socket.destroyed, "its open WebSocket lives on").toBe(false);
		socket.destroy();
	});

	it("stay when DNS does not answer", async () => {
		dns.silent = true;
		await sleep(3_000);
		expect(await first.up("http")).toBe(76);
		dns.silent = false;
	});

	it("are all up when 40 pods of 4 workers are in one answer", async () => {
		dns.pods = pods;
		await first.until(async () => (await first.up("http")) === 160 && (await first.up("tunnels")) === 160, "160 workers up");
		expect(dns.longest).toBeLessThan(8_192);
		const last = workers.get(`${pods.at(-1)?.address}:3104`) as Worker;
		expect(seen((await get(first.url("/who"), withCookie(cookieOf(last)))).body).worker).toBe(last.name);
	});
});
