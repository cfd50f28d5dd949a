import { once } from "node:events";
import { Agent } from "node:http";
import { connect } from "node:net";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { stickyCookie } from "../../app/sticky-cookie.ts";
import { type Answer, get, upgrade } from "./client.ts";
import { Daemon, freePort, missing } from "./daemon.ts";
import { addressesOf, settingsFor } from "./settings.ts";
import { type Seen, Worker } from "./workers.ts";

describe.skipIf(missing)("a request through HAProxy", () => {
	let workers: Worker[];
	let behindProxy: Daemon;
	let direct: Daemon;

	beforeAll(async () => {
		workers = [await Worker.listen("127.0.0.1", 0), await Worker.listen("127.0.0.1", 0)];
		const servers = addressesOf(workers);
		const behind = await settingsFor(servers);
		const mounted = { address: "127.0.0.1", port: await freePort(), tls: null, mount: "/sync" };
		const connection = await settingsFor(servers, { client: { kind: "connection" } });
		[behindProxy, direct] = await Promise.all([
			Daemon.start(behind, 2),
			Daemon.start({ ...connection, binds: [...connection.binds, mounted] }, 2),
		]);
	}, 30_000);

	afterAll(async () => {
		await Promise.all([behindProxy?.stop(), direct?.stop(), ...(workers ?? []).map((worker) => worker.close())]);
	});
	afterEach(() => {
		for (const worker of workers) Object.assign(worker, { dieAt: null, answerHeaders: {} });
	});

	const seen = ({ body }: Answer) => JSON.parse(body) as Seen;
	const total = () => workers.reduce((sum, { count }) => sum + count, 0);
	const cookieOf = ({ host, port }: Worker) => `agentic_worker=${stickyCookie("a-key-of-these-tests", host, port)}`;

	describe("says who the client is", () => {
		const FORGED = { "X-Forwarded-For": "6.6.6.6, 7.7.7.7, 203.0.113.9", "X-Forwarded-Proto": "https" };

		it("by the last hop of X-Forwarded-For, and only that, behind a load balancer", async () => {
			const { headers } = seen(await get(behindProxy.url("/who"), { headers: FORGED }));
			expect(headers["x-forwarded-for"]).toBe("203.0.113.9");
			expect(headers["x-forwarded-proto"]).toBe("https");
			await behindProxy.until(() => behindProxy.log.includes('"client":"203.0.113.9"'), "the log line");
		});

		it("by each request alone, although a load balancer sends many clients' over one connection", async () => {
			const agent = new Agent({ keepAlive: true, maxSockets: 1 });
			const ask = async (headers: Record<string, string>) =>
				seen(await get(behindProxy.url("/who"), { agent, headers })).headers["x-forwarded-for"];
			expect(await ask({ "X-Forwarded-For": "203.0.113.1" })).toBe("203.0.113.1");
			expect(await ask({ "X-Forwarded-For": "203.0.113.2" })).toBe("203.0.113.2");
			expect(await ask({})).toBe("127.0.0.1");
			agent.destroy();
		});

		it("by the last of several headers, whatever the client put before it", async () => {
			const headers = { "X-Forwarded-For": ["6.6.6.6", "203.0.113.9"], "X-Forwarded-Proto": ["https", "http"] };
			const answer = seen(await get(behindProxy.url("/who"), { headers }));
			expect(answer.headers["x-forwarded-for"]).toBe("203.0.113.9");
			expect(answer.headers["x-forwarded-proto"]).toBe("http");
		});

		it("by the connection where the last hop is no address", async () => {
			const { headers } = seen(await get(behindProxy.url("/who"), { headers: { "X-Forwarded-For": "6.6.6.6, nobody" } }));
			expect(headers["x-forwarded-for"]).toBe("127.0.0.1");
		});

		it("by the connection where clients connect directly", async () => {
			const { headers } = seen(await get(direct.url("/who"), { headers: FORGED }));
			expect(headers["x-forwarded-for"]).toBe("127.0.0.1");
			expect(headers["x-forwarded-proto"]).toBe("http");
		});

		it("and drops what else a client could claim", async () => {
			const claims = { Forwarded: "for=6.6.6.6", "X-Forwarded-Host": "evil", "X-Real-IP": "6.6.6.6", Proxy: "http://evil", X_Bad: "1" };
			const { headers } = seen(await get(behindProxy.url("/who"), { headers: claims }));
			expect(Object.keys(headers).sort()).toEqual(["host", "x-forwarded-for", "x-forwarded-proto", "x-request-id"]);
		});

		it("and is not told for how long the worker would keep a connection", async () => {
			const direct = await fetch(`http://${(workers[0] as Worker).host}:${(workers[0] as Worker).port}/who`);
			expect(direct.headers.get("keep-alive")).toBe("timeout=60");
			expect((await get(behindProxy.url("/who"))).headers).not.toHaveProperty("keep-alive");
		});

		it("and carries one request id to the worker, back to the client and into the log", async () => {
			const answer = await get(behindProxy.url("/who?token=abc"), { headers: { "X-Request-Id": "mine" } });
			const id = seen(answer).headers["x-request-id"] as string;
			expect(id).toMatch(/^[0-9a-f-]{36}$/);
			expect(answer.headers["x-request-id"]).toBe(id);
			await behindProxy.until(() => behindProxy.log.includes(id), "the log line");
			const line = behindProxy.log.split("\n").find((text) => text.includes(id)) as string;
			expect(JSON.parse(line)).toMatchObject({ path: "/who", status: 200, backend: "http", method: "GET" });
		});

		it("is a line of JSON in the log whatever its path has in it", async () => {
			const [host, port] = ["127.0.0.1", behindProxy.settings.binds[0]?.port as number];
			const socket = connect(port, host);
			const path = '/a"b\\c,"status":1';
			socket.write(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
			await once(socket.resume(), "end");
			const lines = () => behindProxy.log.split("\n").filter((text) => text.includes("c,"));
			await behindProxy.until(() => lines().length > 0, "the log line");
			expect(JSON.parse(lines()[0] as string)).toMatchObject({ path, status: 200 });
		});
	});

	describe("that fails", () => {
		it("is sent to another worker when it is a GET and its worker dies over it", async () => {
			const [dying, other] = workers as [Worker, Worker];
			dying.dieAt = "/fragile";
			const before = total();
			const answer = await get(behindProxy.url("/fragile"), { headers: { Cookie: cookieOf(dying) } });
			expect(answer.status).toBe(200);
			expect(seen(answer).worker).toBe(other.name);
			expect(answer.cookie, "the client stays with its new worker").toBe(cookieOf(other).split("=")[1]);
			expect(total() - before).toBe(2);
		});

		it("is not sent again when it is a POST, and says so in the server's own words", async () => {
			for (const worker of workers) worker.dieAt = "/fragile";
			const before = total();
			const answer = await get(behindProxy.url("/fragile"), { method: "POST", body: "{}" });
			expect(total() - before).toBe(1);
			expect(answer.status).toBe(502);
			expect(answer.headers["retry-after"]).toBe("1");
			expect(JSON.parse(answer.body)).toEqual({
				error: "Bad Gateway",
				message: "The connection to the server was lost",
				success: false,
				timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.000Z$/),
			});
		});

		it("is not sent again when it belongs to an Engine.IO session", async () => {
			for (const worker of workers) worker.dieAt = "/socket.io/";
			const before = total();
			const sid = `${cookieOf(workers[0] as Worker).split("=")[1]}.x`;
			expect((await get(behindProxy.url(`/socket.io/?sid=${sid}`))).status).toBe(502);
			expect(total() - before).toBe(1);
		});

		it.each([
			["TRACE", "/", {}, 405],
			["POST", "/", { "Content-Length": "10001" }, 413],
		])("is refused: %s %s %j with %i, before any worker sees it", async (method, path, headers, status) => {
			const before = total();
			const answer = await get(behindProxy.url(path), { method, headers });
			expect(answer.status).toBe(status);
			expect(JSON.parse(answer.body)).toMatchObject({ success: false });
			expect(total()).toBe(before);
		});

		it("is cut off when its headers come too slowly", async () => {
			const socket = connect(behindProxy.settings.binds[0]?.port as number, "127.0.0.1");
			socket.write("GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ");
			const started = Date.now();
			const [answer] = await once(socket, "data");
			expect(String(answer)).toContain("408");
			expect(Date.now() - started).toBeLessThan(4_000);
			socket.destroy();
		});
	});

	describe("on a native port", () => {
		it("finds the port's own service at its root", async () => {
			expect(seen(await get(direct.url("/", 1))).url).toBe("/sync");
			expect(seen(await get(direct.url("/health?x=1", 1))).url).toBe("/sync/health?x=1");
			expect(seen(await get(direct.url("/sync", 1))).url).toBe("/sync");
			expect(seen(await get(direct.url("/", 0))).url).toBe("/");
			const { socket, headers } = await upgrade(direct.url("/", 1));
			expect(headers["x-url"]).toBe("/sync");
			socket.destroy();
		});
	});

	it("is answered by a worker that has just come up, beside the tunnels that are open there", async () => {
		const back = workers[1] as Worker;
		for (const ready of [false, true]) {
			back.ready = ready;
			await behindProxy.until(async () => (await behindProxy.up("tunnels")) === (ready ? 2 : 1), "the worker to go and to come");
		}
		const headers = { Cookie: cookieOf(back) };
		const { socket, headers: accepted } = await upgrade(behindProxy.url("/sync"), headers);
		expect(accepted["x-worker"]).toBe(back.name);
		const answers = await Promise.all([1, 2, 3].map(() => get(behindProxy.url("/socket.io/?EIO=4"), { headers })));
		expect(answers.map((answer) => [answer.status, seen(answer).worker])).toEqual(Array(3).fill([200, back.name]));
		socket.destroy();
	});

	it("that opens a tunnel finds a living worker though half of them have just died, which have the fewest", async () => {
		const four = await Promise.all(Array.from({ length: 4 }, () => Worker.listen("127.0.0.1", 0)));
		const settings = await settingsFor(addressesOf(four));
		const unnoticed = { ...settings.check, intervalMs: 60_000, fastIntervalMs: 60_000, downIntervalMs: 60_000 };
		const daemon = await Daemon.start({ ...settings, check: unnoticed }, 4);
		await Promise.all(four.slice(2).map((worker) => worker.close()));
		const opened = await Promise.allSettled(Array.from({ length: 20 }, () => upgrade(daemon.url("/sync"))));
		await Promise.all([daemon.stop(), ...four.slice(0, 2).map((worker) => worker.close())]);
		// Each of the ten tries may meet a dead one by chance: a tunnel in a hundred meets no other.
		expect(opened.filter(({ status }) => status === "fulfilled").length).toBeGreaterThan(15);
	});

	it("is as fast beside 500 idle WebSockets as without them", async () => {
		const median = async () => {
			const times: number[] = [];
			for (let index = 0; index < 200; index += 1) {
				const started = performance.now();
				expect((await get(behindProxy.url("/who"))).status).toBe(200);
				times.push(performance.now() - started);
			}
			return times.sort((a, b) => a - b)[100] as number;
		};
		const without = await median();
		const opened = await Promise.all(Array.from({ length: 500 }, () => upgrade(behindProxy.url("/sync"))));
		// A worker takes four plain requests at a time here: 500 tunnels counted among them would stop everything.
		expect(workers.map(({ sockets }) => sockets.size)).toEqual([250, 250]);
		const beside = await median();
		for (const { socket } of opened) socket.destroy();
		expect(beside / without, `${without.toFixed(2)} ms without, ${beside.toFixed(2)} ms beside them`).toBeLessThan(3);
	});

	it("on the admin port finds metrics of real servers, and nothing else", async () => {
		const { status, body } = await get(behindProxy.admin("/metrics"));
		expect(status).toBe(200);
		expect(body).toContain('haproxy_server_status{proxy="http",server="w1",state="UP"} 1');
		expect((await get(behindProxy.admin("/stats"))).status).toBe(404);
	});
});
