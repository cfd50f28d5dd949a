import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import type { FetchLike } from "@modelcontextprotocol/sdk/shared/transport.js";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { inMemoryServices, type TestApp, type TestServices, testApp } from "../http/testing.ts";

/** Two workers that share their stores. */
let services: TestServices;
let workers: Worker[];
let tokens: Record<"ada" | "eve", string>;
const clients: Client[] = [];
/** What the clients have asked, and whom. */
const asked: { readonly method: string | undefined; readonly worker: Worker; readonly resumes: boolean }[] = [];

interface Worker extends TestApp {
	readonly url: URL;
	readonly stopping: AbortController;
}

beforeEach(async () => {
	services = inMemoryServices();
	workers = await Promise.all([start(), start()]);
	asked.length = 0;
	const [first] = workers as [Worker, Worker];
	tokens = { ada: (await first.as("ada", ["member"])).token, eve: (await first.as("eve", ["member"])).token };
});

afterEach(async () => {
	await Promise.all(clients.splice(0).map((client) => client.close()));
	for (const { app } of workers) app.server.closeAllConnections();
	await Promise.all(workers.map(({ app }) => app.close()));
});

async function start(): Promise<Worker> {
	const stopping = new AbortController();
	const port = await freePort();
	const worker = testApp({ stopping: stopping.signal, allowedHosts: ["agentic.example.com", `127.0.0.1:${port}`] }, services);
	await worker.app.listen({ host: "127.0.0.1", port });
	return Object.assign(worker, { stopping, url: new URL(`http://127.0.0.1:${port}/mcp`) });
}

/** Its name must be known before it listens: the host is one that it answers to. */
async function freePort(): Promise<number> {
	const server = createServer();
	await once(server.listen(0, "127.0.0.1"), "listening");
	const { port } = server.address() as AddressInfo;
	await once(server.close(), "close");
	return port;
}

const headersOf = (who: "ada" | "eve") => ({ authorization: `Bearer ${tokens[who]}` });

/** Each of its requests goes to the next worker that takes any. */
async function connect(who: "ada" | "eve" = "ada"): Promise<Client> {
	let turn = 0;
	const spread: FetchLike = (_, init) => {
		const living = workers.filter(({ stopping }) => !stopping.signal.aborted);
		turn += 1;
		const worker = living[turn % living.length] as Worker;
		asked.push({ method: init?.method, worker, resumes: new Headers(init?.headers).has("last-event-id") });
		return fetch(worker.url, init);
	};
	const [first] = workers as [Worker];
	const client = new Client({ name: "test", version: "1" });
	clients.push(client);
	await client.connect(new StreamableHTTPClientTransport(first.url, { requestInit: { headers: headersOf(who) }, fetch: spread }));
	return client;
}

function post(message: unknown, headers: Record<string, string> = {}, who: "ada" | "eve" = "ada"): Promise<Response> {
	const [first] = workers as [Worker];
	const body = typeof message === "string" ? message : JSON.stringify(message);
	const accept = "application/json, text/event-stream";
	return fetch(first.url, { method: "POST", headers: { ...headersOf(who), "content-type": "application/json", accept, ...headers }, body });
}

async function until(condition: () => boolean): Promise<void> {
	for (const end = Date.now() + 20_000; !condition(); await sleep(5)) if (Date.now() > end) throw new Error(`in vain: ${condition}`);
}

const states = () => services.jobs.submitted.map(({ state }) => state);

describe("the official client, whose requests go to one worker after the other", () => {
	it("lists tools and calls them, by either name", async () => {
		const ada = await connect();
		expect(ada.getServerVersion()).toEqual({ name: "claude-flow-mcp-server", version: "2.0.0" });
		const { tools } = await ada.listTools();
		expect(tools.map(({ name }) => name)).toContain("mcp__claude-flow__echo");
		expect(tools.map(({ name }) => name)).not.toContain("mcp__claude-flow__rule");
		for (const name of ["echo", "mcp__claude-flow__echo"]) {
			const { content, isError } = await ada.callTool({ name, arguments: { text: "x" } });
			expect([content, isError]).toEqual([[{ type: "text", text: '{\n  "text": "x"\n}' }], undefined]);
		}
		await ada.ping();
	});

	it("hears of progress", async () => {
		const ada = await connect();
		const told: unknown[] = [];
		const called = ada.callTool({ name: "hold" }, undefined, { onprogress: (progress) => told.push(progress) });
		await until(() => told.length > 0);
		services.jobs.release();
		expect((await called).content).toEqual([{ type: "text", text: "held" }]);
		expect(told).toEqual([{ progress: 50, total: 100, message: "hold is half done" }]);
	});

	it("is told of a tool that fails as a result, and of a call that makes no sense as an error", async () => {
		const ada = await connect();
		expect(await ada.callTool({ name: "fail" })).toMatchObject({
			isError: true,
			content: [{ type: "text", text: "it did not work" }],
			_meta: { code: "TOOL_FAILED" },
		});
		await expect(ada.callTool({ name: "nothing" })).rejects.toMatchObject({ code: -32_602 });
		await expect(ada.callTool({ name: "rule" })).rejects.toMatchObject({ code: -32_602 });
		await expect(ada.callTool({ name: "echo" })).rejects.toMatchObject({ code: -32_602, message: expect.stringContaining("text") });
	});

	it("cancels a call at whichever worker hears of it", async () => {
		const [one, two] = [await connect(), await connect()];
		for (const client of [one, two]) {
			const giveUp = new AbortController();
			const called = client.callTool({ name: "hold" }, undefined, { signal: giveUp.signal });
			await until(() => states().at(-1) === "active");
			giveUp.abort("enough");
			await expect(called).rejects.toThrow("enough");
			await until(() => states().at(-1) === "cancelled");
		}
		expect(states()).toEqual(["cancelled", "cancelled"]);
	});

	it("has its answer from another worker where the first goes away", async () => {
		const ada = await connect();
		const called = ada.callTool({ name: "hold" });
		await until(() => states()[0] === "active");
		const { worker } = asked.findLast(({ method }) => method === "POST") as { worker: Worker };
		worker.stopping.abort();
		await until(() => asked.some(({ resumes }) => resumes));
		services.jobs.release();
		expect((await called).content).toEqual([{ type: "text", text: "held" }]);
		expect(asked.at(-1)).toMatchObject({ method: "GET", resumes: true, worker: workers.find((other) => other !== worker) });
		expect(services.jobs.submitted).toHaveLength(1);
	});

	it("ends its session, and what it waits for with it", async () => {
		const ada = await connect();
		const called = ada.callTool({ name: "hold" });
		await until(() => states()[0] === "active");
		await (ada.transport as StreamableHTTPClientTransport).terminateSession();
		expect(await called).toMatchObject({ isError: true, _meta: { code: "CANCELLED" } });
	});
});

describe("Streamable HTTP", () => {
	const call = (name: string, id: number, more: object = {}) => ({ jsonrpc: "2.0", id, method: "tools/call", params: { name, ...more } });

	it("answers in JSON who takes no streams", async () => {
		const answer = await post(call("echo", 1, { arguments: { text: "x" } }), { accept: "application/json" });
		expect(answer.headers.get("content-type")).toMatch(/^application\/json/);
		expect(await answer.json()).toMatchObject({ jsonrpc: "2.0", id: 1, result: { content: [{ type: "text" }] } });
	});

	it("cancels a call that its cancellation has overtaken", async () => {
		const session = { "mcp-session-id": "s" };
		const cancelled = { jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: 7 } };
		expect((await post(cancelled, session)).status).toBe(202);
		await post(call("hold", 7), session);
		await until(() => states()[0] === "cancelled");
	});

	it("cancels nothing of another session or of somebody else", async () => {
		const session = { "mcp-session-id": "s" };
		const held = post(call("hold", 7), session);
		await until(() => states()[0] === "active");
		const cancelled = { jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: 7 } };
		await post(cancelled, { "mcp-session-id": "t" });
		await post(cancelled, session, "eve");
		await post({ ...cancelled, params: { requestId: "7" } }, session);
		const [first] = workers as [Worker];
		await fetch(first.url, { method: "DELETE", headers: { ...headersOf("eve"), ...session } });
		expect(states()).toEqual(["active"]);
		services.jobs.release();
		expect(await (await held).text()).toContain("held");
	});

	it("goes on with a stream for nobody but its owner", async () => {
		const answer = await post(call("echo", 1, { arguments: { text: "x" } }), { "mcp-protocol-version": "2025-11-25" });
		const id = /^id: (\S+)$/m.exec(await answer.text())?.[1] as string;
		const [, second] = workers as [Worker, Worker];
		const resume = (who: "ada" | "eve", lastEventId: string) =>
			fetch(second.url, { headers: { ...headersOf(who), accept: "text/event-stream", "last-event-id": lastEventId } });
		expect(await (await resume("ada", id)).text()).toMatch(/data: \{"jsonrpc":"2.0","id":1,"result":/);
		expect((await resume("eve", id)).status).toBe(404);
		for (const foreign of ["x", Buffer.from("[1]").toString("base64url"), Buffer.from('["no-job",1,null]').toString("base64url")]) {
			expect([400, 404]).toContain((await resume("ada", foreign)).status);
		}
	});

	it("does the job of a client that goes away", async () => {
		const gone = new AbortController();
		const [first] = workers as [Worker];
		const body = JSON.stringify(call("hold", 1));
		const headers = { ...headersOf("ada"), "content-type": "application/json", accept: "text/event-stream" };
		const answered = fetch(first.url, { method: "POST", headers, body, signal: gone.signal });
		await until(() => states()[0] === "active");
		gone.abort();
		await answered
			.then(
				({ text }) => text(),
				() => {},
			)
			.catch(() => {});
		services.jobs.release();
		expect(states()).toEqual(["completed"]);
	});

	it.each<[string, unknown, Record<string, string>, number, number | null]>([
		["what is no JSON", "{", {}, 400, -32_700],
		["a batch", [call("echo", 1)], {}, 400, -32_600],
		["what is no message", { id: 1 }, {}, 400, -32_600],
		["depth", `${"[".repeat(100_000)}${"]".repeat(100_000)}`, {}, 400, -32_000],
		["another type of body", "x", { "content-type": "text/plain" }, 415, -32_000],
		["a foreign origin", call("echo", 1), { origin: "https://evil.example" }, 403, -32_000],
		["a version that there is not", call("echo", 1), { "mcp-protocol-version": "1999-01-01" }, 400, -32_000],
		["a session that cannot be", call("echo", 1), { "mcp-session-id": "a b" }, 400, -32_000],
		["a wrong credential", call("echo", 1), { authorization: "Bearer wrong" }, 401, -32_000],
		["a method that there is not", { jsonrpc: "2.0", id: 1, method: "nothing" }, {}, 200, -32_601],
	])("refuses %s", async (_, message, headers, status, code) => {
		const answer = await post(message, headers);
		expect([answer.status, ((await answer.json()) as { error: { code: number } }).error.code]).toEqual([status, code]);
		expect(services.jobs.submitted).toEqual([]);
	});

	it("has no stream but those that answer, and says so", async () => {
		const [first] = workers as [Worker];
		const answer = await fetch(first.url, { headers: { ...headersOf("ada"), accept: "text/event-stream" } });
		expect([answer.status, answer.headers.get("allow")]).toEqual([405, "POST, DELETE"]);
	});

	it("keeps so many waiting for one principal, and others are served", async () => {
		const held = Array.from({ length: 256 }, (_, id) => post(call("hold", id)));
		await until(() => states().length === 256);
		const refused = await (await post(call("hold", 256))).json();
		expect(refused).toMatchObject({ id: 256, error: { code: -32_000, data: { code: "RATE_LIMITED" } } });
		expect(await (await post(call("echo", 1, { arguments: { text: "x" } }), {}, "eve")).text()).toContain('"result"');
		services.jobs.release();
		for (const answer of held) expect(await (await answer).text()).toContain("held");
	});

	it("ends a stream that a fault of the server's interrupts, and tells who cannot go on with it", async () => {
		const { run } = services.jobs;
		services.jobs.run = async (principal, request, wait) => {
			await run(principal, request, { ...wait, ms: 20 });
			throw new TypeError("secret");
		};
		expect(await (await post(call("hold", 1))).text()).toContain('"error":{"code":-32603,"message":"Internal error"}');
		const resumable = await (await post(call("hold", 2), { "mcp-protocol-version": "2025-11-25" })).text();
		expect(resumable).toMatch(/^id: \S+\nretry: 500\ndata: \n\n$/);
		services.jobs.wait = async () => {
			throw new TypeError("secret");
		};
		const [first] = workers as [Worker];
		const lastEventId = /^id: (\S+)$/m.exec(resumable)?.[1] as string;
		const resumed = await fetch(first.url, { headers: { ...headersOf("ada"), "last-event-id": lastEventId } });
		expect(await resumed.text()).toMatch(/^id: \S+\nretry: 500\ndata: \n\n$/);
		await until(() => first.observed.faults.length === 3);
	});

	it("learns nothing from a fault of the server's", async () => {
		services.jobs.run = async () => {
			throw new TypeError("secret");
		};
		expect(await (await post(call("hold", 1))).json()).toMatchObject({ error: { code: -32_603, message: "Internal error" } });
		expect(workers[0]?.observed.faults).toHaveLength(1);
	});
});
