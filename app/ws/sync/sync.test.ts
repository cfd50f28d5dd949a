import { describe, expect, it, onTestFinished } from "vitest";
import { memoryServices } from "../testing.ts";
import type { SyncClient } from "../testing-client.ts";
import { ada, agent, bob, client, quiet, worker } from "./clients.fixture.ts";

describe("a client that does nothing", () => {
	it("gets the state, and then every update", async () => {
		const { host, services } = await worker();
		const swarm = await services.swarm.initialise(ada, { name: "s", topology: "mesh", maxAgents: 3, strategy: null });
		const spawned = await services.agents.spawn(ada, { type: "coder", name: "c1", capabilities: [] });
		const socket = client(host);
		const state = await socket.next("initial-state");
		expect(state).toEqual({
			type: "initial-state",
			seq: 2,
			timestamp: 1,
			data: {
				swarms: [{ id: swarm.swarmId, ...swarm }],
				agents: [spawned],
				tasks: [],
				memory: [],
				performance: null,
				timestamp: 1,
				seq: 2,
			},
		});
		const task = await services.tasks.create(ada, { description: "d", priority: "low", strategy: null, dependencies: [] });
		expect(await socket.next("task-update")).toEqual({
			type: "task-update",
			data: { action: "created", data: task },
			timestamp: 1_700_000_000_000,
			seq: 3,
			count: 1,
			prev: 2,
		});
	});

	it("sees nothing of another workspace", async () => {
		const { host, services } = await worker();
		const socket = client(host, { token: "token-bob" });
		expect((await socket.next("initial-state")).seq).toBe(0);
		agent(services, "a", "busy");
		await services.agents.spawn(bob, { type: "coder", name: "b", capabilities: [] });
		await socket.next("agent-update");
		expect(socket.updates.map(({ data }) => data.data.name)).toEqual(["b"]);
	});

	it("gets a log line, a swarm and memory in the shapes the user interface reads", async () => {
		const { host, services } = await worker();
		const socket = client(host);
		await socket.next("initial-state");
		services.publish("default", { entityType: "activity", entityId: "x", action: "created", data: { type: "agent", message: "spawned" } });
		services.publish("default", { entityType: "memory", entityId: "n/k", data: { namespace: "n", key: "k" } });
		services.publish("default", { entityType: "swarm", entityId: "s", data: { swarmId: "s", name: "x" } });
		await socket.reached(3);
		expect(socket.updates.map(({ type, data }) => ({ type, data }))).toEqual([
			{
				type: "log-update",
				data: {
					action: "created",
					data: { type: "agent", message: "spawned" },
					filename: "agent",
					line: "spawned",
					timestamp: 1_700_000_000_000,
				},
			},
			{ type: "memory-update", data: { action: "updated", data: { namespace: "n", key: "k" }, namespace: "n" } },
			{ type: "swarm-update", data: { action: "updated", data: { id: "s", swarmId: "s", name: "x" } } },
		]);
	});
});

describe("one tick", () => {
	it("joins the states of an entity, and says for how many events one update stands", async () => {
		const { host, services } = await worker();
		const socket = client(host);
		await socket.next("initial-state");
		agent(services, "a", "idle", "created");
		agent(services, "b", "idle");
		agent(services, "a", "busy");
		services.publish("default", { entityType: "memory", entityId: "k", data: 1 });
		services.publish("default", { entityType: "memory", entityId: "k", data: 2 });
		agent(services, "a", "offline");
		await socket.reached(6);
		expect(socket.updates.map(({ seq, count, prev, data }) => [seq, count, prev, data.action, data.data])).toEqual([
			[2, 1, 0, "updated", { id: "b", status: "idle" }],
			[4, 1, 2, "updated", 1],
			[5, 1, 4, "updated", 2],
			[6, 3, 5, "created", { id: "a", status: "offline" }],
		]);
		expect(socket.counted).toBe(6);
	});

	it("is one write, whatever is in it", async () => {
		const { host, services } = await worker();
		const socket = client(host);
		await socket.next("initial-state");
		const chunks: number[] = [];
		(socket.socket as unknown as { _socket: NodeJS.EventEmitter })._socket.on("data", (chunk: Buffer) => chunks.push(chunk.length));
		for (let index = 0; index < 20; index += 1) agent(services, `a${index}`, "busy");
		await socket.reached(20);
		expect(socket.updates).toHaveLength(20);
		expect(chunks).toHaveLength(1);
	});
});

describe("subscriptions", () => {
	it("limit what a client gets, and say nothing unless asked", async () => {
		const { host, services } = await worker();
		const socket = client(host);
		await socket.next("initial-state");
		socket.send({ type: "subscribe", entityType: "task" });
		socket.send({ type: "subscribe", entityType: "agent", entityId: "a", requestId: "r" });
		expect(await socket.next("subscribed")).toMatchObject({ requestId: "r", entityType: "agent", entityId: "a", seq: 0 });
		agent(services, "b", "busy");
		services.publish("default", { entityType: "task", entityId: "t", data: "t" });
		agent(services, "a", "busy");
		services.publish("default", { entityType: "memory", entityId: "k" });
		services.publish("default", { entityType: "task", entityId: "u", data: "u" });
		await socket.reached(5);
		expect(socket.updates.map(({ seq, prev }) => [seq, prev])).toEqual([
			[2, 0],
			[3, 2],
			[5, 3],
		]);
		expect(socket.messages.map(({ type }) => type)).toEqual(["initial-state", "subscribed", "task-update", "agent-update", "task-update"]);
	});

	it("that end leave a client with everything again", async () => {
		const { host, services } = await worker();
		const socket = client(host);
		await socket.next("initial-state");
		socket.send({ type: "subscribe", entityType: "task" });
		socket.send({ type: "unsubscribe", entityType: "task", requestId: "r" });
		await socket.next("unsubscribed");
		agent(services, "a", "busy");
		expect(await socket.next("agent-update")).toMatchObject({ seq: 1 });
	});

	it("of the user interface are all there are", async () => {
		const { host, services } = await worker();
		const socket = client(host);
		await socket.opened;
		for (const entityType of ["swarm", "agent", "task", "performance", "memory", "log", "system"])
			socket.send({ type: "subscribe", entityType });
		await quiet();
		for (const entityType of ["swarm", "agent", "task", "memory", "activity"] as const)
			services.publish("default", { entityType, entityId: "x" });
		await socket.reached(5);
		expect(socket.messages.map(({ type }) => type)).toEqual([
			"initial-state",
			"swarm-update",
			"agent-update",
			"task-update",
			"memory-update",
			"log-update",
		]);
		expect(socket.breaches).toEqual([]);
	});

	it("are bounded in number", async () => {
		const { host } = await worker(undefined, { limits: { subscriptions: 2 } });
		const socket = client(host);
		await socket.next("initial-state");
		for (const entityId of ["a", "b", "c"]) socket.send({ type: "subscribe", entityType: "agent", entityId });
		expect(await socket.next("error")).toMatchObject({ error: "Too many subscriptions." });
	});

	it("that come after others have been served are told where they begin", async () => {
		const { host, services } = await worker();
		const tasks = client(host);
		const late = client(host);
		await tasks.next("initial-state");
		await late.next("initial-state");
		for (const socket of [tasks, late]) socket.send({ type: "subscribe", entityType: "memory" });
		late.send({ type: "subscribe", entityType: "log" });
		tasks.send({ type: "subscribe", entityType: "task", requestId: "r" });
		await tasks.next("subscribed");
		for (let index = 0; index < 3; index += 1) services.publish("default", { entityType: "task", entityId: "t" });
		await tasks.reached(3);
		late.send({ type: "unsubscribe", entityType: "log" });
		late.send({ type: "subscribe", entityType: "task" });
		await late.next("position");
		services.publish("default", { entityType: "task", entityId: "u" });
		await late.next("task-update");
		expect(late.messages.map(({ type, seq, prev }) => [type, seq, prev])).toEqual([
			["initial-state", 0, undefined],
			["position", 3, undefined],
			["task-update", 4, 3],
		]);
		expect(late.breaches).toEqual([]);
	});
});

describe("after a reconnect", () => {
	it("a client gets exactly what it missed, through another worker", async () => {
		const services = memoryServices([ada]);
		const [first, second] = [await worker(services), await worker(services)];
		const before = client(first.host);
		agent(services, "a", "idle", "created");
		await before.reached(1);
		before.close();
		for (const status of ["one", "two", "three"]) agent(services, "a", status);
		const after = client(second.host, { token: "token-ada", since: 1 });
		expect(await after.next("resumed")).toEqual({ type: "resumed", from: 1, seq: 4 });
		agent(services, "a", "four");
		await after.reached(5);
		expect(after.messages.map(({ type, seq, prev, data }) => [type, seq, prev, data?.data.status])).toEqual([
			["agent-update", 2, 1, "one"],
			["agent-update", 3, 2, "two"],
			["agent-update", 4, 3, "three"],
			["resumed", 4, undefined, undefined],
			["agent-update", 5, 4, "four"],
		]);
		expect(after.breaches).toEqual([]);
		expect(services.snapshots()).toBe(1);
	});

	it("a client may also say so in its first message", async () => {
		const { host, services } = await worker();
		services.snapshotMs = 50;
		for (let index = 0; index < 3; index += 1) agent(services, "a", `${index}`);
		const socket = client(host);
		await socket.opened;
		socket.send({ type: "resume", seq: 1 });
		await socket.next("resumed");
		await quiet();
		expect(socket.messages.map(({ type, seq }) => [type, seq])).toEqual([
			["agent-update", 2],
			["agent-update", 3],
			["resumed", 3],
		]);
	});

	it("a client is not told of a gap where events are only late", async () => {
		const { host, services } = await worker();
		for (let index = 0; index < 3; index += 1) agent(services, "a", `${index}`);
		const since = services.events.since;
		let early = 3;
		services.events.since = async (...asked) => (early-- > 0 ? [] : since(...asked));
		const socket = client(host, { token: "token-ada", since: 1 });
		expect(await socket.next("resumed")).toEqual({ type: "resumed", from: 1, seq: 3 });
		expect(socket.counted).toBe(2);
	});

	it("a client that comes too late is told what is gone, and gets the state", async () => {
		const { host, services, observed } = await worker();
		for (let index = 0; index < 9; index += 1) agent(services, "a", `${index}`);
		services.trim("default", 5);
		const socket = client(host, { token: "token-ada", since: 3 });
		await socket.next("initial-state");
		expect(socket.messages.map(({ type, seq, from, to }) => [type, seq, from, to])).toEqual([
			["gap", undefined, 4, 9],
			["initial-state", 9, undefined, undefined],
		]);
		expect(observed).toContain("gap");
	});

	it("a client that missed more than it is worth gets the state as well", async () => {
		const { host, services } = await worker(undefined, { limits: { replayEvents: 600 } });
		for (let index = 0; index < 1_200; index += 1) agent(services, "a", `${index}`);
		const socket = client(host, { token: "token-ada", since: 0 });
		await socket.next("initial-state");
		expect(socket.breaches).toEqual([]);
		expect(await socket.next("gap")).toEqual({ type: "gap", from: 501, to: 1_200 });
	});

	it("a client of another sequence gets the state of this one", async () => {
		const { host, services } = await worker();
		agent(services, "a", "x");
		const socket = client(host, { token: "token-ada", since: 77 });
		expect(await socket.next("gap")).toEqual({ type: "gap", from: 1, to: 1 });
		expect(await socket.next("initial-state")).toMatchObject({ seq: 1 });
	});

	it("a replay of several pages ends where the live updates begin", async () => {
		const { host, services } = await worker();
		for (let index = 0; index < 1_750; index += 1) services.publish("default", { entityType: "memory", entityId: `${index}` });
		const socket = client(host, { token: "token-ada", since: 10 });
		const publishing = setInterval(() => services.publish("default", { entityType: "memory", entityId: "live" }), 1);
		onTestFinished(() => clearInterval(publishing));
		await socket.next("resumed");
		await quiet();
		clearInterval(publishing);
		await quiet();
		expect(socket.breaches).toEqual([]);
		expect(socket.counted).toBe((socket.last as number) - 10);
		expect(socket.last).toBe(await services.events.head("default"));
	});
});

describe("events that are lost on their way to the worker", () => {
	it("are told to every client, with the state after them", async () => {
		const { host, services } = await worker();
		const sockets = [client(host), client(host)];
		for (const socket of sockets) await socket.next("initial-state");
		agent(services, "a", "x");
		services.lose("default", 3);
		for (const socket of sockets) await socket.next((message) => message.type === "initial-state" && message.seq === 4);
		agent(services, "a", "y");
		for (const socket of sockets) {
			await socket.reached(5);
			expect(socket.messages.map(({ type, seq, from, to }) => [type, seq ?? [from, to]])).toEqual([
				["initial-state", 0],
				["agent-update", 1],
				["gap", [2, 4]],
				["initial-state", 4],
				["agent-update", 5],
			]);
		}
	});
});

describe("a swarm that begins anew", () => {
	it("is sent to everybody as a whole", async () => {
		const { host, services } = await worker();
		await services.agents.spawn(ada, { type: "coder", name: "old", capabilities: [] });
		const socket = client(host);
		await socket.next("initial-state");
		await services.swarm.initialise(ada, { name: "new", topology: "ring", maxAgents: null, strategy: null });
		const state = await socket.next((message) => message.type === "initial-state" && message.seq === 2);
		expect(state.data.agents).toEqual([]);
		expect(state.data.swarms).toMatchObject([{ name: "new" }]);
		expect(socket.messages.map(({ type, seq }) => [type, seq])).toEqual([
			["initial-state", 1],
			["swarm-update", 2],
			["initial-state", 2],
		]);
	});
});

describe("commands", () => {
	it("get-state answers with the state and its position", async () => {
		const { host, services } = await worker();
		const socket = client(host);
		await socket.next("initial-state");
		await services.agents.spawn(ada, { type: "coder", name: "c", capabilities: [] });
		await socket.reached(1);
		socket.send({ type: "command", command: "get-state", data: {}, requestId: "7" });
		const answer = await socket.next("command-result");
		expect(answer).toMatchObject({ requestId: "7", seq: 1, data: { seq: 1, agents: [{ name: "c" }] } });
	});

	it("runs a tool, says how a job is, and cancels one of the caller's own", async () => {
		const { host, services } = await worker();
		const [socket, foreign] = [client(host), client(host, { token: "token-bob" })];
		await Promise.all([socket.next("initial-state"), foreign.next("initial-state")]);
		const ask = (who: SyncClient, requestId: string, command: string, more: object) => {
			who.send({ type: "command", command, requestId, ...more });
			return who.next((message) => message.requestId === requestId);
		};
		expect(await ask(socket, "1", "call-tool", { tool: "echo", arguments: { text: "x" } })).toMatchObject({
			type: "command-result",
			data: { tool: "echo", state: "completed", result: { text: "x" } },
		});
		expect(await ask(socket, "2", "call-tool", { tool: "echo" })).toMatchObject({ type: "error", error: expect.stringContaining("text") });
		expect(await ask(socket, "3", "get-job", {})).toMatchObject({ type: "error", error: "jobId is missing." });
		const held = ask(socket, "4", "call-tool", { tool: "hold" });
		await expect.poll(() => services.jobs.submitted.at(-1)?.state).toBe("active");
		const { id: jobId } = services.jobs.submitted.at(-1) ?? {};
		for (const command of ["get-job", "cancel-job"]) {
			expect(await ask(foreign, command, command, { jobId })).toMatchObject({ type: "error", error: "there is no such job" });
		}
		expect(await ask(socket, "5", "get-job", { jobId })).toMatchObject({ data: { state: "active" } });
		expect(await ask(socket, "6", "cancel-job", { jobId })).toMatchObject({ data: { state: "cancelled" } });
		expect(await held).toMatchObject({ type: "command-result", data: { state: "cancelled" } });
	});

	it.each([
		["a command that is a word of the language", { type: "command", command: "constructor", requestId: "1" }, "No such command."],
		["an unknown command", { type: "command", command: "rm", requestId: "1" }, "No such command."],
		["an unknown type", { type: "greet", requestId: "1" }, "Not a message of this protocol."],
		["a missing field", { type: "subscribe", requestId: "1" }, "Not a message of this protocol."],
		["no object", [1], "Not a message of this protocol."],
		["a credential too many", { type: "auth", token: "token-ada" }, "Who you are is known."],
	])("%s is answered with an error", async (_what, message, error) => {
		const { host } = await worker();
		const socket = client(host);
		await socket.next("initial-state");
		socket.send(message);
		expect(await socket.next("error")).toMatchObject({ error });
	});

	it("that come too often are refused, and say when to come again", async () => {
		const { host, services } = await worker();
		const socket = client(host);
		await socket.next("initial-state");
		services.waitSeconds = 1.5;
		socket.send({ type: "command", command: "get-state", requestId: "7" });
		expect(await socket.next("error")).toMatchObject({ requestId: "7", error: "Too many requests.", retryAfter: 2 });
	});

	it("ping is answered with the position up to which everything has been sent", async () => {
		const { host, services } = await worker();
		const socket = client(host);
		await socket.next("initial-state");
		socket.send({ type: "subscribe", entityType: "task" });
		agent(services, "a", "x");
		await quiet();
		socket.send({ type: "ping" });
		expect(await socket.next("pong")).toMatchObject({ seq: 1 });
	});
});

describe("a storm of clients", () => {
	it("costs a few snapshots", async () => {
		const { host, services } = await worker();
		services.snapshotMs = 20;
		for (let index = 0; index < 5; index += 1) agent(services, "a", `${index}`);
		const sockets = Array.from({ length: 200 }, () => client(host));
		await Promise.all(sockets.map((socket) => socket.next("initial-state")));
		expect(services.snapshots()).toBeLessThan(5);
		agent(services, "a", "after");
		await Promise.all(sockets.map((socket) => socket.reached(6)));
		expect(sockets.flatMap(({ breaches }) => breaches)).toEqual([]);
	});

	it("is let in at a bounded rate; the rest is asked to come again", async () => {
		const { host } = await worker(undefined, { limits: { admission: { perSecond: 1, burst: 3 } } });
		const sockets = Array.from({ length: 5 }, () => client(host));
		const refused = await Promise.race([sockets[3]?.refused, sockets[4]?.refused]);
		expect(refused?.status).toBe(503);
		expect(Number(refused?.retryAfter)).toBeGreaterThanOrEqual(1);
		expect(JSON.parse(refused?.body ?? "")).toMatchObject({ success: false, error: "Service Unavailable" });
	});
});

describe("a slow reader", () => {
	it("is not waited for: it gets the state when it reads again", async () => {
		const { host, services } = await worker(undefined, { limits: { bufferedBytes: 256 * 1024 } });
		const [slow, swift] = [client(host), client(host)];
		await slow.next("initial-state");
		await swift.next("initial-state");
		slow.socket.pause();
		const data = "x".repeat(100_000);
		for (let index = 0; index < 150; index += 1) {
			services.publish("default", { entityType: "memory", entityId: `${index}`, data });
			await new Promise((resolve) => setTimeout(resolve, 4));
		}
		await swift.reached(150);
		expect(swift.counted).toBe(150);
		slow.socket.resume();
		const gap = await slow.next("gap");
		expect(gap.from).toBeLessThanOrEqual(gap.to as number);
		services.publish("default", { entityType: "memory", entityId: "after" });
		await slow.reached(151);
		expect(slow.counted).toBeLessThan(151);
		expect(slow.breaches).toEqual([]);
		expect(swift.breaches).toEqual([]);
	});

	it("is closed when it does not read for too long", async () => {
		const { host, services, observed } = await worker(undefined, { limits: { bufferedBytes: 64 * 1024, slowReaderMs: 300 } });
		const slow = client(host);
		await slow.next("initial-state");
		slow.socket.pause();
		const data = "x".repeat(500_000);
		for (let index = 0; index < 60; index += 1) {
			services.publish("default", { entityType: "memory", entityId: `${index}`, data });
			await new Promise((resolve) => setTimeout(resolve, 22));
		}
		const before = process.memoryUsage().arrayBuffers;
		await expect.poll(() => observed.filter((line) => line === "closed sync 1013"), { timeout: 8_000 }).toHaveLength(1);
		slow.socket.resume();
		await slow.closed;
		expect(before).toBeLessThan(200 * 1024 * 1024);
	});
});
