import { once } from "node:events";
import { describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { ServiceError } from "../../ports.ts";
import { memoryServices, principalOf } from "../testing.ts";
import { ORIGIN, startWorker } from "../testing-worker.ts";
import { ada, agent, client, worker } from "./clients.fixture.ts";

describe("who may come in", () => {
	it.each([
		["no credential at all may say who it is in its first message", {}],
		["and a page may too", { origin: ORIGIN }],
	])("%s", async (_what, options) => {
		const { host, services } = await worker();
		agent(services, "a", "x");
		const socket = client(host, options);
		await socket.opened;
		socket.send({ type: "auth", token: "token-ada", since: 0 });
		expect(await socket.next("resumed")).toMatchObject({ seq: 1 });
	});

	it("a session cookie is a credential", async () => {
		const { host } = await worker();
		const socket = client(host, { origin: ORIGIN, headers: { cookie: "other=1; session=ada" } });
		expect(await socket.next("initial-state")).toBeDefined();
	});

	it.each([
		["a wrong token", { token: "token-eve" }, 401],
		["a header that is no token", { headers: { Authorization: "Basic x" } }, 401],
		["a wrong cookie", { headers: { cookie: "session=eve" } }, 401],
		["a foreign origin", { token: "token-ada", origin: "https://evil.example" }, 403],
		["the origin null", { token: "token-ada", origin: "null" }, 403],
		["another port of a known origin", { token: "token-ada", origin: `${ORIGIN}:8443` }, 403],
		["a foreign host", { token: "token-ada", headers: { Host: "evil.example" } }, 403],
	])("%s is refused", async (_what, options, status) => {
		const { host } = await worker();
		expect(await client(host, options).refused).toMatchObject({ status });
	});

	it("a token in the URL is none", async () => {
		const { host } = await worker(undefined, { limits: { authMs: 500 } });
		const socket = new WebSocket(`ws://${host}/sync?token=token-ada&access_token=token-ada`);
		const messages: unknown[] = [];
		socket.on("message", (message) => messages.push(message));
		expect((await once(socket, "close"))[0]).toBe(1008);
		expect(messages).toEqual([]);
	});

	it("who does not say who it is in time is closed", async () => {
		const { host } = await worker(undefined, { limits: { authMs: 500 } });
		expect(await client(host, {}).closed).toEqual({ code: 1008, reason: "A credential was not given in time." });
	});

	it.each([
		["a wrong token", { type: "auth", token: "token-eve" }, "A valid credential is needed."],
		["anything else", { type: "ping" }, "A credential is needed first."],
	])("whose first message is %s is closed", async (_what, message, reason) => {
		const { host } = await worker();
		const socket = client(host, {});
		await socket.opened;
		socket.send(message);
		expect(await socket.closed).toEqual({ code: 1008, reason });
		expect(socket.messages).toEqual([]);
	});

	it("without a credential nobody is let in, but where that is wanted", async () => {
		const legacy = principalOf("local", "default", { id: "legacy:local" });
		const { host } = await worker(undefined, { legacy });
		expect(await client(host, {}).next("initial-state")).toBeDefined();
		expect(await client(host, { origin: "https://evil.example" }).refused).toMatchObject({ status: 403 });
		expect(await client(host, { token: "token-eve" }).refused).toMatchObject({ status: 401 });
	});

	it("one principal, and one address, have a bounded number of connections", async () => {
		const { host } = await worker(memoryServices([ada, principalOf("eve")]), {
			limits: { connectionsPerPrincipal: 2, connectionsPerAddress: 3 },
		});
		const [one, two] = [client(host), client(host)];
		await Promise.all([one.next("initial-state"), two.next("initial-state")]);
		expect(await client(host).refused).toMatchObject({ status: 429 });
		const other = client(host, { token: "token-eve" });
		await other.next("initial-state");
		expect(await client(host, { token: "token-eve" }).refused).toMatchObject({ status: 429 });
		one.close();
		await expect
			.poll(async () => {
				const again = client(host, { token: "token-eve" });
				return Promise.race([again.refused.then(({ status }) => status), again.next("initial-state").then(({ type }) => type)]);
			})
			.toBe("initial-state");
	});

	it("a database that is away is no reason to say that a credential is wrong", async () => {
		const { host, services } = await worker();
		services.failure = new Error("no database");
		expect(await client(host).refused).toMatchObject({ status: 503 });
	});
});

describe("the end of a credential", () => {
	it("cuts its sockets at once when it is revoked, and nobody else's", async () => {
		const { host, services } = await worker();
		const [mine, other] = [client(host), client(host, { token: "token-bob" })];
		await mine.next("initial-state");
		await other.next("initial-state");
		services.end("credential-ada");
		expect(await mine.closed).toEqual({ code: 1008, reason: "The credential has ended." });
		expect(other.socket.readyState).toBe(other.socket.OPEN);
		expect(await client(host).refused).toMatchObject({ status: 401 });
	});

	it("cuts its sockets when its time has come", async () => {
		const soon = principalOf("soon", "default", { expiresAt: Date.now() + 700 });
		const { host } = await worker(memoryServices([soon]));
		const started = Date.now();
		const socket = client(host, { token: "token-soon" });
		await socket.next("initial-state");
		expect(await socket.closed).toMatchObject({ code: 1008 });
		expect(Date.now() - started).toBeLessThan(5_000);
	});
});

describe("what one socket may send", () => {
	it("is bounded in messages", async () => {
		const { host } = await worker(undefined, { limits: { messagesPerSecond: 20 } });
		const socket = client(host);
		await socket.next("initial-state");
		for (let index = 0; index < 60; index += 1) socket.send({ type: "ping" });
		expect(await socket.closed).toEqual({ code: 1008, reason: "Too many messages." });
	});

	it("is bounded in nonsense", async () => {
		const { host } = await worker(undefined, { limits: { faults: 3 } });
		const socket = client(host);
		await socket.next("initial-state");
		for (let index = 0; index < 4; index += 1) socket.send({ type: "?" });
		expect(await socket.closed).toMatchObject({ code: 1008, reason: "Too many messages that make no sense." });
		expect(socket.messages.filter(({ type }) => type === "error")).toHaveLength(3);
	});
});

describe("the heartbeat", () => {
	it("ends a socket that does not answer, and keeps one that does", async () => {
		const { host, sockets } = await worker(undefined, { pingMs: 500, pingTimeoutMs: 300 });
		const dead = client(host, { token: "token-ada", autoPong: false });
		const alive = client(host);
		await dead.next("initial-state");
		await alive.next("initial-state");
		expect(await dead.closed).toMatchObject({ code: 1006 });
		await new Promise((resolve) => setTimeout(resolve, 1_200));
		expect(sockets.counts().sync).toBe(1);
	});

	it("brings true figures, where there are any, to those who want them", async () => {
		const { host } = await worker(undefined, { pingMs: 500, pingTimeoutMs: 300, performance: () => ({ cpu: 12 }) });
		const [wants, doesNot] = [client(host), client(host)];
		await doesNot.next("initial-state");
		doesNot.send({ type: "subscribe", entityType: "task", requestId: "r" });
		expect(await wants.next("performance-update")).toMatchObject({ data: { cpu: 12 } });
		await doesNot.next("subscribed");
		const asks = client(host);
		await asks.opened;
		asks.send({ type: "subscribe", entityType: "performance" });
		expect(await asks.next("performance-update", 300), "at once").toMatchObject({ data: { cpu: 12 } });
		const before = doesNot.messages.length;
		await new Promise((resolve) => setTimeout(resolve, 600));
		expect(doesNot.messages.slice(before)).toEqual([]);
	});
});

describe("dependencies that fail", () => {
	it("close a client with a word to try again, and the next one succeeds", async () => {
		const { host, services } = await worker();
		const fromToken = services.identity.fromToken;
		services.failure = new ServiceError("UNAVAILABLE", "no events", 1);
		services.identity.fromToken = async () => ada;
		expect(await client(host).closed).toEqual({ code: 1013, reason: "Not available at the moment." });
		services.failure = new Error("a bug");
		expect(await client(host).closed).toEqual({ code: 1011, reason: "Internal error." });
		services.failure = null;
		services.identity.fromToken = fromToken;
		expect(await client(host).next("initial-state")).toBeDefined();
	});
});

describe("a worker that drains", () => {
	it("tells its clients to come again, and leaves whoever comes anew without an answer, so that a balancer asks another one", async () => {
		const services = memoryServices([ada]);
		const started = await startWorker(services);
		const sockets = Array.from({ length: 20 }, () => client(started.host));
		await Promise.all(sockets.map((socket) => socket.next("initial-state")));
		const draining = started.sockets.drain(1_000);
		const [error] = await once(client(started.host).socket, "error");
		expect(error.code).toBe("ECONNRESET");
		const closes = await Promise.all(sockets.map(({ closed }) => closed));
		expect(new Set(closes.map(({ code }) => code))).toEqual(new Set([1012]));
		const afterMs = sockets.map(({ messages }) => messages.find(({ type }) => type === "reconnect")?.afterMs as number);
		expect(new Set(afterMs).size).toBeGreaterThan(5);
		expect(Math.max(...afterMs)).toBeLessThan(1_000);
		await draining;
		expect(started.sockets.counts()).toEqual({ sync: 0, socketIo: 0, mcp: 0, workspaces: 0 });
		expect(services.subscriptions()).toBe(0);
		await new Promise((resolve) => started.server.close(resolve));
	});

	it.each(["/sync", "/socket.io/?EIO=4&transport=polling"])(
		"answers nobody who was still being looked at when it began: %s",
		async (path) => {
			const { host, sockets, services, observed } = await worker();
			const { promise: known, resolve: tell } = Promise.withResolvers<void>();
			const { fromToken } = services.identity;
			let asked = false;
			services.identity.fromToken = async (token) => {
				asked = true;
				await known;
				return fromToken(token);
			};
			const headers = { authorization: "Bearer token-ada" };
			const ended = path.startsWith("/sync")
				? once(client(host, { headers }).socket, "error").then(([error]) => error.code)
				: fetch(`http://${host}${path}`, { headers }).catch((error) => error.cause.code);
			await expect.poll(() => asked).toBe(true);
			const draining = sockets.drain(1_000);
			tell();
			expect(await ended).toMatch(/^(ECONNRESET|UND_ERR_SOCKET)$/);
			expect(observed).toContain("refused draining");
			await draining;
		},
	);
});

describe("other paths", () => {
	it.each([
		["/mcp", 401],
		["/nothing", 404],
		["/sync/", 404],
	])("%s is refused plainly", async (path, status) => {
		const { host } = await worker();
		const socket = new WebSocket(`ws://${host}${path}`);
		const answered = await new Promise<number>((resolve) => {
			socket.on("error", () => {});
			socket.on("unexpected-response", (_request, response) => resolve(response.statusCode ?? 0));
		});
		socket.terminate();
		expect(answered).toBe(status);
	});
});
