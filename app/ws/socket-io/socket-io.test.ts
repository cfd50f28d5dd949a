import { once } from "node:events";
import { io, type ManagerOptions, type Socket, type SocketOptions } from "socket.io-client";
import { afterEach, describe, expect, it } from "vitest";
import { ServiceError } from "../../ports.ts";
import { stickyCookie } from "../../sticky-cookie.ts";
import type { SocketLimits, SocketSettings } from "../settings.ts";
import { type MemoryServices, memoryServices, principalOf } from "../testing.ts";
import { frame, RawClient } from "../testing-raw.ts";
import { ORIGIN, startWorker, type TestWorker } from "../testing-worker.ts";

const ada = principalOf("ada");
const ann = principalOf("ann");
const bob = principalOf("bob", "elsewhere");
const cleanup: (() => unknown)[] = [];

afterEach(async () => {
	for (const undo of cleanup.splice(0).reverse()) await undo();
});

async function worker(
	services: MemoryServices = memoryServices([ada, ann, bob]),
	changes: Partial<Omit<SocketSettings, "limits">> & { readonly limits?: Partial<SocketLimits> } = {},
): Promise<TestWorker & { services: MemoryServices }> {
	const started = await startWorker(services, changes);
	cleanup.push(() => started.stop());
	return { ...started, services };
}

function client(host: string, subject = "ada", options: Partial<ManagerOptions & SocketOptions> = {}): Socket {
	const socket = io(`http://${host}`, {
		transports: ["websocket"],
		auth: { token: `token-${subject}` },
		reconnection: false,
		forceNew: true,
		...options,
	});
	cleanup.push(() => socket.disconnect());
	return socket;
}

/** The payload of the next event of a name. */
// biome-ignore lint/suspicious/noExplicitAny: a test looks into whatever came
async function next(socket: Socket, name: string): Promise<any> {
	return new Promise((resolve, reject) => {
		const timer = setTimeout(() => reject(new Error(`no ${name}`)), 5_000);
		socket.once(name, (payload: unknown) => {
			clearTimeout(timer);
			resolve(payload);
		});
	});
}

/** Everything a client hears from now on, as `[name, payload]`. */
function ears(socket: Socket): [string, unknown][] {
	const heard: [string, unknown][] = [];
	socket.onAny((name, payload) => heard.push([name, payload]));
	return heard;
}

const quiet = () => new Promise((resolve) => setTimeout(resolve, 150));
const recently = expect.stringMatching(/^\d{4}-\d\d-\d\dT/);

describe("a client connects", () => {
	it.each<[string, Partial<ManagerOptions & SocketOptions>]>([
		["by polling alone", { transports: ["polling"] }],
		["by WebSocket alone", { transports: ["websocket"] }],
		["by polling, and goes on by WebSocket", { transports: ["polling", "websocket"] }],
		["with a token in a header", { transports: ["polling"], auth: {}, extraHeaders: { Authorization: "Bearer token-ada" } }],
		[
			"with a session cookie, from a page",
			{ transports: ["websocket"], auth: {}, extraHeaders: { Cookie: "session=ada", Origin: ORIGIN } },
		],
	])("%s", async (_what, options) => {
		const { host, port } = await worker();
		const socket = client(host, "ada", options);
		expect(await next(socket, "connected")).toEqual({ socketId: socket.id, timestamp: recently, server: "agentic-flow", version: "1.2.3" });
		const { engine } = socket.io as unknown as { engine: { id: string; transport: { name: string } } };
		expect(engine.id).toMatch(new RegExp(`^${stickyCookie("key", "127.0.0.1", port)}\\.[\\w-]{24}$`));
		if (options.transports?.length === 2) await expect.poll(() => engine.transport.name).toBe("websocket");
	});

	it("without a credential only where that is wanted", async () => {
		const open = await worker(undefined, { legacy: principalOf("local", "default", { id: "legacy:local" }) });
		expect(await next(client(open.host, "", { auth: {} }), "connected")).toBeDefined();
		const closed = await worker();
		const error = await next(client(closed.host, "", { auth: {} }), "connect_error");
		expect(error.message).toBe("A valid credential is needed.");
		expect(error.data).toEqual({ message: "A valid credential is needed.", error: "A valid credential is needed.", timestamp: recently });
	});

	it("not with a wrong token, whatever way it takes", async () => {
		const { host, observed } = await worker();
		expect((await next(client(host, "eve"), "connect_error")).message).toBe("A valid credential is needed.");
		const header = client(host, "", { transports: ["polling"], auth: {}, extraHeaders: { Authorization: "Bearer token-eve" } });
		expect((await next(header, "connect_error")).context.status).toBe(401);
		expect(observed).toContain("refused credential");
	});

	it("not with a token in the URL", async () => {
		const { host } = await worker();
		const socket = client(host, "", { auth: {}, query: { token: "token-ada", Authorization: "Bearer token-ada" } });
		expect((await next(socket, "connect_error")).message).toBe("A valid credential is needed.");
	});

	it("only so many times, and gives its places back", async () => {
		const { host, sockets } = await worker(undefined, { limits: { connectionsPerPrincipal: 2, connectionsPerAddress: 3 } });
		const [one, two] = [client(host), client(host, "ada", { transports: ["polling"] })];
		await Promise.all([next(one, "connected"), next(two, "connected")]);
		expect((await next(client(host), "connect_error")).message).toBe("Too many connections.");
		await expect.poll(() => sockets.counts().socketIo).toBe(2);
		await next(client(host, "ann"), "connected");
		expect((await next(client(host, "bob", { transports: ["polling"] }), "connect_error")).context.status).toBe(429);
		one.disconnect();
		two.disconnect();
		await expect.poll(() => sockets.counts().socketIo).toBe(1);
		await next(client(host), "connected");
	});

	it("not when there are too many at once: it is asked to come again", async () => {
		const { host } = await worker(undefined, { limits: { admission: { perSecond: 0.1, burst: 1 } } });
		const polling = (path = "/socket.io/?EIO=4&transport=polling") => fetch(`http://${host}${path}`, { headers: { Origin: ORIGIN } });
		expect((await polling()).status).toBe(200);
		const refused = await polling();
		expect(refused.status).toBe(503);
		expect(Number(refused.headers.get("retry-after"))).toBeGreaterThanOrEqual(1);
		expect(refused.headers.get("access-control-allow-origin")).toBe(ORIGIN);
		expect(await refused.json()).toEqual({
			success: false,
			error: "Service Unavailable",
			message: "Too many new connections.",
			timestamp: recently,
		});
	});

	it("who has not said who it is in time is let go", async () => {
		const { host, sockets } = await worker(undefined, { limits: { authMs: 300 } });
		const raw = await RawClient.open(host, "/socket.io/?EIO=4&transport=websocket");
		await raw.ended;
		await expect.poll(() => sockets.counts().socketIo).toBe(0);
	});
});

describe("a request", () => {
	it.each<[string, Record<string, string>, number]>([
		["from a foreign origin", { Origin: "https://evil.example" }, 403],
		["from the origin null", { Origin: "null" }, 403],
	])("%s is refused, in a session too", async (_what, headers, status) => {
		const { host } = await worker();
		const url = `http://${host}/socket.io/?EIO=4&transport=polling`;
		const answer = await fetch(url, { headers });
		expect(answer.status).toBe(status);
		expect(answer.headers.get("access-control-allow-origin")).toBeNull();
		const sid = JSON.parse((await (await fetch(url)).text()).slice(1)).sid;
		expect((await fetch(`${url}&sid=${sid}`, { method: "POST", body: "40", headers })).status).toBe(status);
		expect((await fetch(`${url}&sid=${sid}`, { method: "POST", body: "40" })).status).toBe(200);
	});

	it("of an allowed page is answered so that the page may read it", async () => {
		const { host } = await worker();
		const url = `http://${host}/socket.io/?EIO=4&transport=polling`;
		for (const method of ["GET", "OPTIONS"]) {
			const answer = await fetch(url, { method, headers: { Origin: ORIGIN, "Access-Control-Request-Method": "POST" } });
			expect(answer.ok).toBe(true);
			expect(answer.headers.get("access-control-allow-origin")).toBe(ORIGIN);
			expect(answer.headers.get("access-control-allow-credentials")).toBe("true");
		}
	});

	it("for anything else reaches the rest of the server", async () => {
		const { host } = await worker();
		expect(await (await fetch(`http://${host}/anything`)).text()).toBe("plain");
		expect(await (await fetch(`http://${host}/socket.io/socket.io.js`)).text()).toBe("plain");
	});

	it("of a session nobody knows is answered so that its client begins anew", async () => {
		const { host } = await worker();
		const answer = await fetch(`http://${host}/socket.io/?EIO=4&transport=polling&sid=0123456789abcdef.x`);
		expect([answer.status, await answer.json()]).toEqual([400, { code: 1, message: "Session ID unknown" }]);
	});
});

describe("subscriptions", () => {
	it("bring the updates of one entity, to those who asked", async () => {
		const { host, services } = await worker();
		const agent = await services.agents.spawn(ada, { type: "coder", name: "c", capabilities: [] });
		const [one, other] = [client(host), client(host, "ann")];
		await Promise.all([next(one, "connected"), next(other, "connected")]);
		const heard = ears(other);
		one.emit("subscribe:agent", { agentId: agent.id });
		expect(await next(one, "subscribed")).toEqual({ type: "agent", id: agent.id, timestamp: recently });
		await services.agents.report(ada, agent.id, { status: "busy" });
		await services.agents.report(ada, agent.id, { cpu: 3 });
		expect(await next(one, "agent:update")).toEqual({
			agentId: agent.id,
			action: "updated",
			data: { ...agent, status: "busy", cpu: 3 },
			seq: 3,
			timestamp: 1_700_000_000_000,
		});
		one.emit("unsubscribe:agent", { agentId: agent.id });
		expect(await next(one, "unsubscribed")).toEqual({ type: "agent", id: agent.id, timestamp: recently });
		const later = ears(one);
		await services.agents.report(ada, agent.id, { status: "idle" });
		await quiet();
		expect([...heard, ...later]).toEqual([]);
	});

	it("work for swarms and tasks alike", async () => {
		const { host, services } = await worker();
		const swarm = await services.swarm.initialise(ada, { name: "s", topology: "mesh", maxAgents: 3, strategy: null });
		const task = await services.tasks.create(ada, { description: "d", priority: "low", strategy: null, dependencies: [] });
		const socket = client(host);
		await next(socket, "connected");
		socket.emit("subscribe:swarm", { swarmId: swarm.swarmId });
		await next(socket, "subscribed");
		socket.emit("subscribe:task", { taskId: task.id });
		await next(socket, "subscribed");
		void services.tasks.progress(ada, task.id, 40);
		expect(await next(socket, "task:update")).toMatchObject({ taskId: task.id, data: { progress: 40 } });
		services.publish("default", { entityType: "swarm", entityId: swarm.swarmId, data: { name: "t" } });
		expect(await next(socket, "swarm:update")).toMatchObject({ swarmId: swarm.swarmId, data: { name: "t" } });
	});

	it.each(["swarm", "agent", "task"] as const)("to another workspace's %s find nothing", async (kind) => {
		const { host, services } = await worker();
		const ids = {
			swarm: (await services.swarm.initialise(ada, { name: "s", topology: "mesh", maxAgents: 3, strategy: null })).swarmId,
			agent: (await services.agents.spawn(ada, { type: "coder", name: "c", capabilities: [] })).id,
			task: (await services.tasks.create(ada, { description: "d", priority: "low", strategy: null, dependencies: [] })).id,
		};
		const socket = client(host, "bob");
		await next(socket, "connected");
		const heard = ears(socket);
		socket.emit(`subscribe:${kind}`, { [`${kind}Id`]: ids[kind] });
		expect(await next(socket, "error")).toEqual({ message: `subscribe:${kind} failed.`, error: `No such ${kind}.`, timestamp: recently });
		services.publish("default", { entityType: kind, entityId: ids[kind], data: {} });
		await quiet();
		expect(heard.map(([name]) => name)).toEqual(["error"]);
	});

	it("are bounded in number", async () => {
		const { host, services } = await worker(undefined, { limits: { subscriptions: 2 } });
		const socket = client(host);
		await next(socket, "connected");
		for (const name of ["a", "b", "c"]) {
			const { id } = await services.agents.spawn(ada, { type: "coder", name, capabilities: [] });
			socket.emit("subscribe:agent", { agentId: id });
		}
		expect((await next(socket, "error")).error).toBe("Too many subscriptions.");
	});
});

describe("actions", () => {
	it.each<[string, object, string, object]>([
		[
			"action:init-swarm",
			{ topology: "ring", maxAgents: 4 },
			"swarm:initialized",
			{ topology: "ring", maxAgents: 4, name: "UI-Swarm", strategy: null },
		],
		[
			"action:spawn-agent",
			{ type: "coder", name: "c1", capabilities: ["x"] },
			"agent:spawned",
			{ type: "coder", name: "c1", capabilities: ["x"] },
		],
		[
			"action:orchestrate-task",
			{ task: "do" },
			"task:orchestrated",
			{ task: "do", priority: "medium", strategy: "parallel", status: "pending" },
		],
	])("%s: one answer to the caller, and one to everybody else of its workspace", async (action, payload, event, answer) => {
		const { host } = await worker();
		const [caller, colleague, stranger] = [client(host), client(host, "ann"), client(host, "bob")];
		await Promise.all([caller, colleague, stranger].map((socket) => next(socket, "connected")));
		const heard = [caller, colleague, stranger].map(ears);
		caller.emit(action, payload);
		await next(caller, event);
		await quiet();
		expect(heard.map((list) => list.filter(([name]) => name === event).length)).toEqual([1, 1, 0]);
		expect(heard[0]?.find(([name]) => name === event)?.[1]).toMatchObject({ ...answer, timestamp: recently });
		expect(heard[1]?.find(([name]) => name === event)?.[1]).toEqual(heard[0]?.find(([name]) => name === event)?.[1]);
		expect(heard[2]).toEqual([]);
	});

	it("put the caller into the room of what it made", async () => {
		const { host, services } = await worker();
		const socket = client(host);
		await next(socket, "connected");
		socket.emit("action:spawn-agent", { type: "coder" });
		const { agentId } = await next(socket, "agent:spawned");
		await services.agents.report(ada, agentId, { status: "busy" });
		await expect.poll(async () => (await next(socket, "agent:update")).data.status).toBe("busy");
	});

	it.each([
		["action:spawn-agent", {}, /^type: /],
		["action:spawn-agent", "coder", /^payload: /],
		["action:spawn-agent", { type: "x".repeat(1_000) }, /^type: /],
		["action:orchestrate-task", { task: "" }, /^task: /],
		["action:orchestrate-task", { task: "t", priority: "soon" }, /^priority: /],
		["subscribe:agent", null, /^agentId: /],
	])("%s with %j is answered with what is wrong", async (event, payload, error) => {
		const { host } = await worker();
		const socket = client(host);
		await next(socket, "connected");
		socket.emit(event, payload);
		expect(await next(socket, "error")).toEqual({ message: `${event} failed.`, error: expect.stringMatching(error), timestamp: recently });
	});

	it("that fail are answered, and what is our fault says no more", async () => {
		const { host, services, observed } = await worker();
		await services.swarm.initialise(ada, { name: "s", topology: "mesh", maxAgents: 3, strategy: null });
		const socket = client(host);
		await next(socket, "connected");
		socket.emit("action:init-swarm", {});
		expect((await next(socket, "error")).error).toBe("Only an operator may.");
		services.failure = new Error("secret of the database");
		socket.emit("action:spawn-agent", { type: "coder" });
		expect((await next(socket, "error")).error).toBe("Internal error.");
		expect(observed.at(-1)).toContain("secret of the database");
		services.failure = new ServiceError("UNAVAILABLE", "Not at the moment.", 1);
		socket.emit("get:agents");
		expect((await next(socket, "error")).error).toBe("Not at the moment.");
		services.failure = null;
		services.waitSeconds = 0.2;
		socket.emit("get:agents");
		expect((await next(socket, "error")).error).toBe("Too many requests. Try again in 1 s.");
	});
});

describe("questions", () => {
	it("about the system, agents and performance are answered with what is true", async () => {
		const { host, services } = await worker(undefined, { performance: () => ({ cpu: 7 }) });
		const agent = await services.agents.spawn(ada, { type: "coder", name: "c", capabilities: [] });
		const socket = client(host);
		await next(socket, "connected");
		socket.emit("get:system-status");
		expect(await next(socket, "system:status")).toMatchObject({ status: "ok", version: "1.2.3", swarm: null, agents: 1, tasks: 0 });
		socket.emit("get:agents");
		expect(await next(socket, "agents:list")).toEqual({ hive: [agent], mastra: [], timestamp: recently });
		socket.emit("get:performance");
		expect(await next(socket, "performance:report")).toEqual({ report: { cpu: 7 }, timestamp: recently });
	});

	it("about performance where nobody measures it are answered with null", async () => {
		const { host } = await worker();
		const socket = client(host);
		await next(socket, "connected");
		socket.emit("get:performance");
		expect((await next(socket, "performance:report")).report).toBeNull();
	});
});

describe("what this build has not", () => {
	it.each<[string, unknown, string, unknown]>([
		[
			"action:run-mastra-agent",
			{ agentId: "a" },
			"error",
			{ message: "action:run-mastra-agent failed.", error: "Not part of this build.", timestamp: recently },
		],
	])("%s is answered plainly", async (event, payload, answer, expected) => {
		const { host } = await worker();
		const socket = client(host);
		await next(socket, "connected");
		socket.emit(event, payload);
		expect(await next(socket, answer)).toEqual(expected);
	});
});

describe("news of a workspace", () => {
	it("what is stored in memory is told to its clients alone", async () => {
		const { host, services } = await worker();
		const [mine, other] = [client(host), client(host, "bob")];
		await Promise.all([next(mine, "connected"), next(other, "connected")]);
		const heard = ears(other);
		await expect.poll(() => services.subscriptions()).toBe(2);
		services.publish("default", { entityType: "memory", entityId: "x", action: "created", data: { namespace: "n", key: "k", value: "v" } });
		services.publish("default", { entityType: "memory", entityId: "x", action: "deleted", data: { namespace: "n", key: "gone" } });
		expect(await next(mine, "memory:stored")).toEqual({ namespace: "n", key: "k", value: "v", timestamp: 1_700_000_000_000 });
		await quiet();
		expect(heard).toEqual([]);
	});

	it("that is lost is made up for by a snapshot", async () => {
		const { host, services } = await worker();
		const socket = client(host);
		await next(socket, "connected");
		await expect.poll(() => services.subscriptions()).toBe(1);
		services.lose("default", 4);
		expect(await next(socket, "system:snapshot")).toMatchObject({ seq: 4, agents: [] });
	});

	it("comes as soon as there are events again", async () => {
		const { host, services } = await worker();
		const subscribe = services.events.subscribe;
		services.events.subscribe = () => Promise.reject(new Error("no Redis"));
		const agent = await services.agents.spawn(ada, { type: "coder", name: "c", capabilities: [] });
		const socket = client(host);
		await next(socket, "connected");
		socket.emit("subscribe:agent", { agentId: agent.id });
		await next(socket, "subscribed");
		services.events.subscribe = subscribe;
		await expect.poll(() => services.subscriptions(), { timeout: 3_000 }).toBe(1);
		await quiet();
		void services.agents.report(ada, agent.id, { status: "busy" });
		expect(await next(socket, "agent:update")).toBeDefined();
	});
});

describe("the end of a credential", () => {
	it("cuts its sockets, and nobody else's", async () => {
		const { host, services } = await worker();
		const [mine, polling, other] = [client(host), client(host, "ada", { transports: ["polling"] }), client(host, "bob")];
		await Promise.all([mine, polling, other].map((socket) => next(socket, "connected")));
		const ends = Promise.all([mine, polling].map((socket) => once(socket as unknown as NodeJS.EventEmitter, "disconnect")));
		services.end("credential-ada");
		expect((await ends).map(([reason]) => reason)).toEqual(["io server disconnect", "io server disconnect"]);
		expect(other.connected).toBe(true);
		expect((await next(client(host), "connect_error")).message).toBe("A valid credential is needed.");
	});
});

describe("a connection that is lost", () => {
	/** Ends the connection without a word, as a network does. */
	const lose = (socket: Socket) => (socket.io as unknown as { engine: { close(): void } }).engine.close();

	it("is taken up again with its rooms, what was broadcast meanwhile, and a snapshot", async () => {
		const { host, services } = await worker();
		const agent = await services.agents.spawn(ada, { type: "coder", name: "c", capabilities: [] });
		const [socket, colleague] = [client(host), client(host, "ann")];
		await Promise.all([next(socket, "connected"), next(colleague, "connected")]);
		socket.emit("subscribe:agent", { agentId: agent.id });
		await next(socket, "subscribed");
		colleague.emit("action:spawn-agent", { type: "first" });
		await next(socket, "agent:spawned");
		lose(socket);
		await quiet();
		colleague.emit("action:spawn-agent", { type: "second" });
		await next(colleague, "agent:spawned");
		const heard = ears(socket);
		socket.connect();
		expect(await next(socket, "system:snapshot")).toMatchObject({ seq: 3 });
		expect(socket.recovered).toBe(true);
		expect(heard.map(([name, payload]) => [name, (payload as { type?: string }).type])).toEqual([
			["connected", undefined],
			["agent:spawned", "second"],
			["system:snapshot", undefined],
		]);
		void services.agents.report(ada, agent.id, { status: "busy" });
		expect(await next(socket, "agent:update")).toBeDefined();
	});

	it("is given its snapshot only when what comes next is sent as well, so that nothing is missing between the two", async () => {
		const { host, services } = await worker();
		const subscribe = services.events.subscribe;
		const { promise: slow, resolve: begin } = Promise.withResolvers<void>();
		services.events.subscribe = async (...call) => slow.then(() => subscribe(...call));
		const socket = client(host, "ada", { auth: { token: "token-ada", pid: "of a worker that is gone" } });
		const snapshot = next(socket, "system:snapshot");
		await next(socket, "connected");
		await quiet();
		await services.agents.spawn(ada, { type: "coder", name: "missed", capabilities: [] });
		begin();
		expect(await snapshot).toMatchObject({ seq: 1, agents: [{ name: "missed" }] });
	});

	it("is not taken up by somebody else who knows its id", async () => {
		const { host } = await worker();
		const [socket, colleague] = [client(host), client(host, "ann")];
		await Promise.all([next(socket, "connected"), next(colleague, "connected")]);
		colleague.emit("action:spawn-agent", { type: "first" });
		await next(socket, "agent:spawned");
		const { _pid: pid, _lastOffset: offset } = socket as unknown as { _pid: string; _lastOffset: string };
		lose(socket);
		await quiet();
		colleague.emit("action:spawn-agent", { type: "second" });
		await next(colleague, "agent:spawned");
		const thief = client(host, "", { auth: { token: "token-bob", pid, offset } });
		const heard = ears(thief);
		expect((await next(thief, "connect_error")).message).toBe("A valid credential is needed.");
		expect(heard).toEqual([]);
	});

	it("is not taken up with a credential that has ended", async () => {
		const { host, services } = await worker();
		const socket = client(host);
		await next(socket, "connected");
		socket.emit("action:spawn-agent", { type: "first" });
		await next(socket, "agent:spawned");
		lose(socket);
		services.end("credential-ada");
		socket.connect();
		expect((await next(socket, "connect_error")).message).toBe("A valid credential is needed.");
	});
});

describe("what one client may send", () => {
	it("is bounded in messages", async () => {
		const { host, observed } = await worker(undefined, { limits: { messagesPerSecond: 30 } });
		const socket = client(host);
		await next(socket, "connected");
		for (let index = 0; index < 100; index += 1) socket.emit("get:performance");
		await once(socket as unknown as NodeJS.EventEmitter, "disconnect");
		await expect.poll(() => observed).toContain("closed socket-io 1008");
	});

	it("is bounded in bytes, by WebSocket and by polling", async () => {
		const { host } = await worker(undefined, { limits: { socketIoMessageBytes: 10_000 } });
		const [websocket, polling, other] = [client(host), client(host, "ada", { transports: ["polling"] }), client(host, "ann")];
		await Promise.all([websocket, polling, other].map((socket) => next(socket, "connected")));
		for (const socket of [websocket, polling]) {
			socket.emit("action:spawn-agent", { type: "x".repeat(20_000) });
			await once(socket as unknown as NodeJS.EventEmitter, "disconnect");
		}
		other.emit("get:performance");
		await next(other, "performance:report");
	});

	it("is bounded in what it does not read: it is let go of, and others hear everything", async () => {
		const { host, services, observed } = await worker(undefined, { limits: { bufferedBytes: 200_000 } });
		const bystander = client(host, "ann");
		await next(bystander, "connected");
		const heard = ears(bystander);
		const raw = await RawClient.open(host, "/socket.io/?EIO=4&transport=websocket", { Authorization: "Bearer token-ada" });
		raw.socket.write(frame({ payload: "40" }));
		await expect.poll(() => raw.frames.some(({ payload }) => payload.toString().startsWith("42"))).toBe(true);
		raw.socket.pause();
		const data = { key: "k", namespace: "n", value: "x".repeat(50_000) };
		let stored = 0;
		while (!observed.includes("closed socket-io 1013") && stored < 2_000) {
			stored += 1;
			services.publish("default", { entityType: "memory", entityId: `${stored}`, data });
			await new Promise((resolve) => setTimeout(resolve, 25));
		}
		expect(stored).toBeLessThan(2_000);
		await expect.poll(() => heard.filter(([name]) => name === "memory:stored").length, { timeout: 10_000 }).toBe(stored);
		raw.socket.destroy();
	});

	it.each<[string, string[]]>([
		["an Engine.IO packet of no type", ["9"]],
		["a ping in the wrong direction", ["2"]],
		["a Socket.IO packet of no type", ["49"]],
		["an event that is no JSON", ["42{"]],
		["an event without a name", ["42[]"]],
		["an event whose name is an object", ['42[{"a":1}]']],
		["a reserved name", ['42["disconnect"]']],
		["an answer nobody waits for", ['4399["x"]']],
		["a connection within a connection", ["40"]],
		["another namespace", ["40/admin,"]],
		["binary data that never comes", ['451-["x",{"_placeholder":true,"num":0}]', "42[]"]],
		["more binary data than anybody sends", ['4599999999-["x"]']],
		["a placeholder for nothing", ['450-["x",{"_placeholder":true,"num":7}]']],
		["a credential that is no text", ['40{"token":{"$ne":1}}']],
		["JSON 100,000 levels deep", [`42["x",${"[".repeat(100_000)}${"]".repeat(100_000)}]`]],
		["deep JSON with placeholders", [`451-["x",${'{"a":'.repeat(50_000)}1${"}".repeat(50_000)}]`, "bAAAA"]],
	])("%s ends nobody but itself", async (_what, packets) => {
		const { host, observed } = await worker();
		const bystander = client(host, "ann");
		await next(bystander, "connected");
		const raw = await RawClient.open(host, "/socket.io/?EIO=4&transport=websocket", { Authorization: "Bearer token-ada" });
		raw.socket.write(frame({ payload: "40" }));
		await expect.poll(() => raw.frames.some(({ payload }) => payload.toString().startsWith("42"))).toBe(true);
		for (const payload of packets) raw.socket.write(frame({ payload }));
		bystander.emit("get:performance");
		await next(bystander, "performance:report");
		raw.socket.destroy();
		expect(observed.filter((line) => line.startsWith("fault"))).toEqual([]);
	});

	it("that is no WebSocket frame ends nobody but itself", async () => {
		const { host } = await worker();
		const bystander = client(host, "ann");
		await next(bystander, "connected");
		for (const bytes of [
			frame({ payload: "40", masked: false }),
			frame({ opcode: 0xf }),
			frame({ payload: "x", claim: 1n << 62n }),
			Buffer.alloc(5_000, 0xff),
		]) {
			const raw = await RawClient.open(host, "/socket.io/?EIO=4&transport=websocket", { Authorization: "Bearer token-ada" });
			raw.socket.write(bytes);
			expect([1002, 1009]).toContain(await raw.closeCode());
		}
		bystander.emit("get:performance");
		await next(bystander, "performance:report");
	});
});

describe("a worker that drains", () => {
	it("tells its clients, and they come again elsewhere by themselves", async () => {
		const services = memoryServices([ada]);
		const leaving = await startWorker(services);
		const websocket = client(leaving.host, "ada", { reconnection: true, reconnectionDelay: 100 });
		const polling = client(leaving.host, "ada", { transports: ["polling"], reconnection: true, reconnectionDelay: 100 });
		const clients = [websocket, polling];
		await Promise.all(clients.map((socket) => next(socket, "connected")));
		const told = Promise.all(clients.map((socket) => next(socket, "server:draining")));
		const reasons = Promise.all(clients.map((socket) => once(socket as unknown as NodeJS.EventEmitter, "disconnect")));
		const draining = leaving.sockets.drain(2_000);
		// So that a balancer asks another one.
		await expect(fetch(`http://${leaving.host}/socket.io/?EIO=4&transport=polling`), "no answer to who comes anew").rejects.toMatchObject({
			cause: { code: "UND_ERR_SOCKET" },
		});
		expect((await told).every(({ afterMs }) => afterMs >= 0 && afterMs < 1_000)).toBe(true);
		expect((await reasons).map(([reason]) => reason)).toEqual(["transport close", "transport close"]);
		await draining;
		expect(leaving.sockets.counts()).toEqual({ sync: 0, socketIo: 0, mcp: 0, workspaces: 0 });
		leaving.server.closeAllConnections();
		await new Promise((resolve) => leaving.server.close(resolve));
		// Where the balancer would have sent them.
		const started = await worker(services);
		for (const socket of clients) Object.assign(socket.io, { uri: `http://${started.host}` });
		await Promise.all(clients.map((socket) => next(socket, "connected")));
	});
});
