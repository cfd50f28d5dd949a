import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type MemoryServices, memoryServices, principalOf } from "../ws/testing.ts";
import { ORIGIN, startWorker, type TestWorker } from "../ws/testing-worker.ts";
import { RpcClient } from "./rpc-client.fixture.ts";

let services: MemoryServices;
let worker: TestWorker;
const clients: RpcClient[] = [];

beforeEach(async () => {
	services = memoryServices([principalOf("ada"), principalOf("eve", "elsewhere"), principalOf("root", "default", { roles: ["operator"] })]);
	worker = await startWorker(services);
});

afterEach(async () => {
	for (const client of clients.splice(0)) client.close();
	await worker.stop();
});

function client(token = "token-ada", options?: ConstructorParameters<typeof RpcClient>[2]): RpcClient {
	const opened = new RpcClient(`ws://${worker.host}/mcp`, token, options);
	clients.push(opened);
	return opened;
}

async function until(condition: () => boolean): Promise<void> {
	for (const end = Date.now() + 20_000; !condition(); await sleep(5)) if (Date.now() > end) throw new Error(`in vain: ${condition}`);
}

const error = (code: number, message: unknown = expect.any(String)) => ({ error: { code, message } });

describe("who may speak MCP", () => {
	it("is somebody with a credential; nobody else, and from no foreign page", async () => {
		expect(await client("wrong").refused).toBe(401);
		const stranger = new RpcClient(`ws://${worker.host}/mcp`);
		clients.push(stranger);
		expect(await stranger.refused).toBe(401);
		expect(await client("token-ada", { origin: "https://evil.example" }).refused).toBe(403);
		await client("token-ada", { origin: ORIGIN }).open();
		expect(worker.sockets.counts().mcp).toBe(1);
	});

	it("is cut off when the credential ends", async () => {
		const ada = await client().open();
		services.end("credential-ada");
		expect((await ada.closed).code).toBe(1008);
		await until(() => worker.sockets.counts().mcp === 0);
	});
});

describe("a conversation", () => {
	it("begins with a greeting, and with initialize of any version", async () => {
		const ada = await client().open();
		expect(ada.messages).toEqual([
			{
				jsonrpc: "2.0",
				method: "connection/established",
				params: { connectionId: expect.stringMatching(/^[0-9a-f-]{36}$/), timestamp: expect.stringMatching(/Z$/) },
			},
		]);
		expect(await ada.request("tools/list")).toMatchObject(error(-32_600, "Not initialized"));
		expect(await ada.call("echo")).toMatchObject(error(-32_600, "Not initialized"));
		expect(await ada.request("initialize")).toMatchObject(error(-32_603));
		expect(await ada.request("initialize", { protocolVersion: "0.1.0" })).toMatchObject({
			result: {
				protocolVersion: "2024-11-05",
				capabilities: { tools: {}, resources: {}, prompts: {} },
				serverInfo: { name: "claude-flow-mcp-server", version: "2.0.0" },
			},
		});
		await ada.next(({ method }) => method === "initialized");
		expect(await ada.request("ping")).toMatchObject({ result: { pong: true } });
		expect(await ada.request("resources/list")).toMatchObject(error(-32_601, "Method not found: resources/list"));
	});

	it("lists the tools of its role, with their prefix", async () => {
		const [ada, root] = [await client().initialised(), await client("token-root").initialised()];
		const names = (answer: { result?: { tools: { name: string }[] } }) => answer.result?.tools.map(({ name }) => name);
		expect(names(await ada.request("tools/list"))).toEqual(["echo", "hold", "fail", "absent"].map((name) => `mcp__claude-flow__${name}`));
		expect(names(await root.request("tools/list"))).toContain("mcp__claude-flow__rule");
		expect(await ada.call("rule")).toMatchObject(error(-32_602));
		expect(await root.call("rule")).toMatchObject({ result: { content: [{ type: "text", text: "{}" }] } });
	});

	it("takes both names of a tool, and says what it says while it runs", async () => {
		const ada = await client().initialised();
		for (const [id, name] of [
			["a", "echo"],
			["b", "mcp__claude-flow__echo"],
		] as const) {
			const answer = await ada.call(name, { text: "hello" }, id);
			expect(answer.result.content).toEqual([{ type: "text", text: '{\n  "text": "hello"\n}' }]);
			expect(ada.told("tools/call/output").filter(({ params }) => params.id === id)).toEqual([
				{ jsonrpc: "2.0", method: "tools/call/output", params: { id, type: "stdout", data: "echo says\n" } },
			]);
			const progress = ada.told("tools/call/progress").filter(({ params }) => params.id === id);
			expect(progress.map(({ params }) => params)).toEqual([
				{ id, progress: 0, message: "Executing echo", jobId: answer.result._meta.jobId },
				{ id, progress: 50, message: "echo is half done", jobId: answer.result._meta.jobId },
			]);
		}
	});

	it("hears of progress each second, and by its token as well", async () => {
		const ada = await client().initialised();
		const answer = ada.request("tools/call", { name: "hold", _meta: { progressToken: "t" } }, 9);
		await until(() => ada.told("tools/call/progress").length >= 4);
		expect(ada.told("notifications/progress").at(-1)?.params).toEqual({
			progressToken: "t",
			progress: 50,
			total: 100,
			message: "hold is half done",
		});
		services.jobs.release();
		expect((await answer).result.content).toEqual([{ type: "text", text: "held" }]);
	});

	it.each([
		["no name", {}, -32_602, undefined],
		["a tool that there is not", { name: "nothing" }, -32_602, undefined],
		["arguments that the schema refuses", { name: "echo", arguments: {} }, -32_602, undefined],
		["a tool that fails", { name: "fail" }, -32_000, "TOOL_FAILED"],
		["a tool that nothing can run", { name: "absent" }, -32_000, "TOOL_UNAVAILABLE"],
	])("is told of %s", async (_, params, code, why) => {
		const ada = await client().initialised();
		const answer = await ada.request("tools/call", params, 1);
		expect(answer).toMatchObject({ id: 1, ...error(code) });
		if (why !== undefined) expect(answer.error?.data).toMatchObject({ code: why });
	});

	it("answers a request without an id as 0, and a notification never", async () => {
		const ada = await client().initialised();
		const before = ada.messages.length;
		for (const method of ["initialized", "progress", "message", "log", "whatever"]) {
			ada.send({ jsonrpc: "2.0", method: `notifications/${method}` });
		}
		ada.send({ jsonrpc: "2.0", id: null, method: "ping" });
		expect(await ada.answer(0)).toMatchObject({ result: { pong: true } });
		expect(ada.messages).toHaveLength(before + 1);
	});

	it("answers what is ready first", async () => {
		const ada = await client().initialised();
		const held = ada.call("hold", {}, 1);
		expect(await ada.call("echo", { text: "x" }, 2)).toMatchObject({ id: 2, result: {} });
		services.jobs.release();
		expect(await held).toMatchObject({ id: 1, result: {} });
	});

	it("is the same job for the same key, also on another connection", async () => {
		const [one, two] = [await client().initialised(), await client().initialised()];
		const params = { name: "hold", _meta: { "agentic-flow/idempotencyKey": "k" } };
		const answers = [one.request("tools/call", params), two.request("tools/call", params)];
		await until(() => [one, two].every((each) => each.told("tools/call/progress").length > 0));
		services.jobs.release();
		const [first, second] = await Promise.all(answers);
		expect(first?.result._meta.jobId).toBe(second?.result._meta.jobId);
	});
});

describe("a call that nobody wants any more", () => {
	const running = async (ada: RpcClient, params: object) => {
		ada.send({ jsonrpc: "2.0", id: 5, method: "tools/call", params });
		await ada.next(({ method, params }) => method === "tools/call/progress" && params.progress === 50);
	};
	const states = () => services.jobs.submitted.map(({ state }) => state);

	it("is cancelled by its caller, and not answered", async () => {
		const [ada, other] = [await client().initialised(), await client().initialised()];
		await running(ada, { name: "hold" });
		other.send({ jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: 5 } });
		ada.send({ jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: 4 } });
		await Promise.all([other.request("ping"), ada.request("ping", undefined, "p")]);
		expect(states()).toEqual(["active"]);
		ada.send({ jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: 5 } });
		await until(() => states()[0] === "cancelled");
		expect(await ada.call("echo", { text: "x" }, 5)).toMatchObject({ result: {} });
		expect(ada.messages.filter(({ id }) => id === 5)).toHaveLength(1);
	});

	it("is cancelled with its socket, unless it is detached", async () => {
		const ada = await client().initialised();
		await running(ada, { name: "hold" });
		ada.close();
		await until(() => states()[0] === "cancelled");
		const again = await client().initialised();
		await running(again, { name: "hold", _meta: { "agentic-flow/detached": true } });
		again.close();
		await until(() => worker.sockets.counts().mcp === 0);
		expect(states()).toEqual(["cancelled", "active"]);
	});

	it("is waited for when the worker goes away, and then goes on without it", async () => {
		const [waiting, idle] = [await client().initialised(), await client().initialised()];
		await running(waiting, { name: "hold" });
		const drained = worker.sockets.drain(20_000);
		expect((await idle.closed).code).toBe(1012);
		await waiting.next(({ method }) => method === "connection/draining");
		expect(await waiting.call("echo", { text: "x" }, 6)).toMatchObject(error(-32_000));
		services.jobs.release();
		expect(await waiting.answer(5)).toMatchObject({ result: {} });
		expect((await waiting.closed).code).toBe(1012);
		await drained;
	});

	it("is not ended by a worker that has no time left", async () => {
		const ada = await client().initialised();
		await running(ada, { name: "hold" });
		await worker.sockets.drain(300);
		await ada.closed;
		expect(states()).toEqual(["active"]);
	});
});

describe("a hostile client", () => {
	/** While it does what it does, somebody else is served. */
	async function whileServed(attack: (mallory: RpcClient) => Promise<unknown>): Promise<void> {
		const [eve, mallory] = [await client("token-eve").initialised(), await client().initialised()];
		await Promise.all([attack(mallory), eve.call("echo", { text: "x" }).then(({ result }) => expect(result).toBeDefined())]);
		expect(await eve.call("echo", { text: "y" })).toMatchObject({ result: {} });
		expect(eve.socket.readyState).toBe(eve.socket.OPEN);
		expect(worker.observed.filter((line) => line.startsWith("fault"))).toEqual([]);
	}

	it.each<[string, string | Buffer, number]>([
		["a frame that is too long", "x".repeat(1_024 * 1_024 + 1), 1009],
		["a binary frame", Buffer.from('{"jsonrpc":"2.0","id":1,"method":"ping"}'), 1003],
	])("is closed over %s", async (_, frame, code) => {
		await whileServed(async (mallory) => {
			mallory.send(frame);
			expect((await mallory.closed).code).toBe(code);
		});
	});

	it.each<[string, string]>([
		["a batch", JSON.stringify(Array.from({ length: 1_000 }, (_, id) => ({ jsonrpc: "2.0", id, method: "ping" })))],
		["depth", `{"jsonrpc":"2.0","id":1,"method":"ping","params":${"[".repeat(500_000)}${"]".repeat(500_000)}}`],
		["many values", `{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":[${"0,".repeat(400_000)}0]}}`],
	])("is answered with an error, once, to %s", async (_, frame) => {
		await whileServed(async (mallory) => {
			const before = mallory.messages.length;
			mallory.send(frame);
			expect(await mallory.answer(0)).toMatchObject({ error: {} });
			expect(mallory.messages).toHaveLength(before + 1);
		});
	});

	it("is closed when it goes on making no sense", async () => {
		await whileServed(async (mallory) => {
			for (let turn = 0; turn < 11; turn++) mallory.send("{");
			expect((await mallory.closed).code).toBe(1008);
		});
	});

	it("is closed over a thousand calls at once, and what it began is cancelled", async () => {
		await whileServed(async (mallory) => {
			for (let id = 0; id < 1_000; id++) mallory.send({ jsonrpc: "2.0", id, method: "tools/call", params: { name: "hold" } });
			expect((await mallory.closed).code).toBe(1008);
			await until(() => services.jobs.submitted.filter(({ tool }) => tool === "hold").every(({ state }) => state === "cancelled"));
			expect(services.jobs.submitted.filter(({ tool }) => tool === "hold").length).toBeLessThanOrEqual(32);
		});
	});

	it("waits for so many calls at most, and for each id once", async () => {
		await whileServed(async (mallory) => {
			for (let id = 0; id < 32; id++) mallory.send({ jsonrpc: "2.0", id, method: "tools/call", params: { name: "hold" } });
			expect(await mallory.call("hold", {}, "one more")).toMatchObject(error(-32_000));
			mallory.send({ jsonrpc: "2.0", id: 3, method: "tools/call", params: { name: "hold" } });
			expect(await mallory.answer(3)).toMatchObject(error(-32_600));
		});
		expect(services.jobs.submitted.filter(({ tool }) => tool === "hold")).toHaveLength(32);
	});

	it("is asked to wait where it asks too often", async () => {
		const ada = await client().initialised();
		services.waitSeconds = 3;
		expect((await ada.call("echo", { text: "x" })).error).toEqual({
			code: -32_000,
			message: "Too many requests.",
			data: { retryAfterSeconds: 3 },
		});
		services.waitSeconds = 0;
	});

	it("learns nothing from a fault of the server's", async () => {
		const ada = await client().initialised();
		services.jobs.run = async () => {
			throw new TypeError("secret");
		};
		expect(await ada.call("echo", { text: "x" })).toMatchObject({ error: { code: -32_603, message: "Internal error" } });
		expect(worker.observed).toContain("fault mcp tools/call TypeError: secret");
	});
});
