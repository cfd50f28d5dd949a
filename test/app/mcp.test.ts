import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { io, type Socket } from "socket.io-client";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { readJobsConfig } from "../../app/config.ts";
import { env, STICKY_COOKIE } from "../../app/contract.ts";
import { type JobParts, openJobParts } from "../../app/lifecycle/job-parts.ts";
import { RpcClient } from "../../app/mcp/rpc-client.fixture.ts";
import { createLog } from "../../app/observe/log.ts";
import { stickyCookie } from "../../app/sticky-cookie.ts";
import { freePort } from "./daemon.ts";
import { missing, type Nodes, startNodes } from "./nodes.ts";
import { ServerProcess, until } from "./server-process.ts";

const TOOLS = 82;

const drains = (pid: number) => (line: Record<string, unknown>) => line.message === "draining" && line["process.pid"] === pid;

describe.skipIf(missing)(`MCP on three nodes behind HAProxy${missing ? `: ${missing}` : ""}`, { timeout: 240_000 }, () => {
	let nodes: Nodes;
	let stores: JobParts;
	/** What a tool that the server does not have itself is run by; it ends when its file is there. */
	let folder: string;
	const jobWorkers: ServerProcess[] = [];
	const closing: (() => unknown)[] = [];
	let ada: string;
	let eve: string;

	beforeAll(async () => {
		folder = mkdtempSync(path.join(tmpdir(), "af-mcp-"));
		chmodSync(folder, 0o755);
		const command = path.join(folder, "claude-flow");
		writeFileSync(command, `#!/bin/sh\necho begun\nwhile [ ! -e ${folder}/go-on ]; do sleep 0.1; done\necho '{"held": true}'\n`);
		chmodSync(command, 0o755);
		nodes = await startNodes();
		for (let each = 0; each < 2; each++) {
			const port = await freePort([0, 1_000]);
			const worker = new ServerProcess("jobs", { ...nodes.environment, PORT: String(port), LOG_LEVEL: "warn", CLAUDE_FLOW_BIN: command });
			jobWorkers.push(worker);
			await worker.ready(port);
		}
		const config = readJobsConfig({ ...nodes.environment, PORT: "3999", LOG_LEVEL: "silent" });
		stores = await openJobParts(config, createLog({ level: "silent" }, "test", "test").log, "jobs");
		[ada, eve] = (await Promise.all(["ada", "eve"].map((name) => tokenOf(name)))) as [string, string];
	}, 240_000);

	afterEach(async () => {
		for (const close of closing.splice(0)) await close();
		rmSync(path.join(folder, "go-on"), { force: true });
	});

	afterAll(async () => {
		await Promise.all(jobWorkers.map((worker) => worker.kill()));
		await stores?.close();
		await nodes?.stop();
		rmSync(folder, { recursive: true, force: true });
	}, 120_000);

	async function tokenOf(subject: string, roles: readonly ["member"] | readonly ["member", "operator"] = ["member"]): Promise<string> {
		const issued = await stores.services.identity.issue({ subject, roles, workspace: "team", expiresAt: null });
		return issued.token;
	}

	const release = () => writeFileSync(path.join(folder, "go-on"), "");

	async function client(token: string): Promise<Client> {
		const opened = new Client({ name: "test", version: "1" });
		closing.push(() => opened.close());
		const requestInit = { headers: { authorization: `Bearer ${token}` } };
		await opened.connect(new StreamableHTTPClientTransport(new URL(`http://${nodes.host}/mcp`), { requestInit }));
		return opened;
	}

	async function raw(token: string, url = `ws://127.0.0.1:${nodes.mcpPort}/`): Promise<RpcClient> {
		const opened = new RpcClient(url, token);
		closing.push(() => opened.close());
		return opened.initialised();
	}

	/** One request through HAProxy, which chooses the worker. */
	async function ask(token: string, method: string, target: string, body?: object, headers: Record<string, string> = {}) {
		const answer = await fetch(`http://${nodes.host}${target}`, {
			method,
			headers: { authorization: `Bearer ${token}`, ...(body === undefined ? {} : { "content-type": "application/json" }), ...headers },
			...(body === undefined ? {} : { body: JSON.stringify(body) }),
		});
		// biome-ignore lint/suspicious/noExplicitAny: a test looks into whatever came
		return { status: answer.status, headers: answer.headers, body: (await answer.json()) as any };
	}

	const newest = async (token: string) => (await ask(token, "GET", "/api/jobs?limit=1")).body.jobs[0];
	const stateOf = async (token: string, id: string) => (await ask(token, "GET", `/api/jobs/${id}`)).body.job.state as string;

	it("lists the same 82 tools by every protocol, to who may call them all, and fewer to others", async () => {
		const root = await tokenOf("root", ["member", "operator"]);
		const listed = await Promise.all([
			client(root)
				.then((sdk) => sdk.listTools())
				.then(({ tools }) => tools.map(({ name }) => name)),
			raw(root)
				.then((rpc) => rpc.request("tools/list"))
				.then(({ result }) => result.tools.map(({ name }: { name: string }) => name)),
			raw(root, `ws://${nodes.host}/mcp`)
				.then((rpc) => rpc.request("tools/list"))
				.then(({ result }) => result.tools.map(({ name }: { name: string }) => name)),
			ask(root, "GET", "/api/mcp/tools").then(({ body }) => body.map(({ name }: { name: string }) => `mcp__claude-flow__${name}`)),
		]);
		for (const names of listed) {
			expect(new Set(names).size).toBe(TOOLS);
			expect([...names].sort()).toEqual([...listed[0]].sort());
		}
		const fewer = (await ask(ada, "GET", "/api/mcp/tools")).body.length;
		expect((await (await client(ada)).listTools()).tools).toHaveLength(fewer);
		expect(fewer).toBeLessThanOrEqual(TOOLS);
	});

	it("calls a tool of the server's own by every protocol, and all see what it has done", async () => {
		const key = (n: number) => ({ action: "store", key: `k${n}`, value: `v${n}` });
		expect((await (await client(ada)).callTool({ name: "memory_usage", arguments: key(1) })).isError).toBeUndefined();
		const rpc = await raw(ada);
		expect(await rpc.call("mcp__claude-flow__memory_usage", key(2))).toMatchObject({ result: { content: [{ type: "text" }] } });
		expect(rpc.told("tools/call/progress").length).toBeGreaterThan(0);
		const executed = await ask(ada, "POST", "/api/mcp/execute", { toolName: "memory_usage", parameters: key(3) });
		expect([executed.status, executed.body]).toMatchObject([200, { success: true, metadata: { toolName: "memory_usage" } }]);
		const socket = await socketOf(ada);
		const response = new Promise((resolve) => socket.once("mcp:tool:response", resolve));
		socket.emit("mcp:tool:execute", { executionId: "e", toolName: "memory_usage", parameters: key(4) });
		expect(await response).toMatchObject({ executionId: "e", success: true });
		for (const n of [1, 2, 3, 4]) {
			for (let turn = 0; turn < 3; turn++) {
				const found = await ask(ada, "POST", "/api/mcp/execute", {
					toolName: "memory_usage",
					parameters: { action: "retrieve", key: `k${n}` },
				});
				expect(JSON.stringify(found.body.data)).toContain(`v${n}`);
			}
		}
	});

	it("tells of a command's output and of progress while it runs, and cancels it at whichever worker hears of it", async () => {
		const rpc = await raw(ada);
		rpc.send({ jsonrpc: "2.0", id: 7, method: "tools/call", params: { name: "neural_status", arguments: {} } });
		await rpc.next(({ method, params }) => method === "tools/call/output" && params.data.includes("begun"), 60_000);
		await until(() => rpc.told("tools/call/progress").length >= 3, "progress each second");
		const { jobId } = rpc.told("tools/call/progress").at(-1)?.params ?? {};
		rpc.send({ jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: 7 } });
		await until(async () => (await stateOf(ada, jobId)) === "cancelled", "the job to be cancelled");

		for (let turn = 0; turn < 3; turn++) {
			const sdk = await client(ada);
			const giveUp = new AbortController();
			const called = sdk.callTool({ name: "neural_status", arguments: {} }, undefined, { signal: giveUp.signal });
			called.catch(() => {});
			const before = jobId;
			await until(async () => (await newest(ada)).id !== before && (await newest(ada)).state === "active", "the job to be begun");
			const { id } = await newest(ada);
			giveUp.abort("enough");
			await expect(called).rejects.toThrow("enough");
			await until(async () => (await stateOf(ada, id)) === "cancelled", "the job to be cancelled");
		}
	});

	it("cancels what a raw socket began when it closes, and nothing else", async () => {
		const [leaving, staying] = [await raw(ada), await raw(ada)];
		const call = { jsonrpc: "2.0", id: 1, method: "tools/call", params: { name: "neural_status", arguments: {} } };
		for (const rpc of [leaving, staying]) {
			rpc.send(call);
			await rpc.next(({ method }) => method === "tools/call/output", 60_000);
		}
		const jobOf = (rpc: RpcClient) => rpc.told("tools/call/progress").find(({ params }) => params.jobId)?.params.jobId as string;
		leaving.close();
		await until(async () => (await stateOf(ada, jobOf(leaving))) === "cancelled", "the job to be cancelled");
		release();
		expect((await staying.answer(1)).result.content[0].text).toContain("held");
	});

	it("answers with 202 what takes longer than a client waits, and the job goes on to its end", async () => {
		const body = { toolName: "neural_status", parameters: {} };
		const pending = await ask(ada, "POST", "/api/mcp/execute", body, { prefer: "wait=1", "idempotency-key": "slow" });
		expect([pending.status, pending.body]).toMatchObject([202, { success: true, pending: true }]);
		const again = await ask(ada, "POST", "/api/mcp/execute", body, { prefer: "respond-async", "idempotency-key": "slow" });
		expect(again.body.jobId).toBe(pending.body.jobId);
		const events = fetch(`http://${nodes.host}${pending.body.url}/events`, { headers: { authorization: `Bearer ${ada}` } });
		const stream = await events;
		release();
		const text = await stream.text();
		expect(text).toMatch(/^event: job\n/);
		expect(text).toMatch(/event: end\ndata: .*"state":"completed"/);
		expect((await ask(ada, "GET", pending.body.url)).body.job).toMatchObject({ state: "completed" });
	});

	it("has a call answered though every worker is replaced while it runs", async () => {
		const sdk = await client(ada);
		const called = sdk.callTool({ name: "neural_status", arguments: {} }, undefined, { timeout: 180_000 });
		await until(async () => (await newest(ada)).state === "active", "the job to be begun");
		const { id } = await newest(ada);
		const before = nodes.workers();
		for (const pod of nodes.pods) await pod.reload();
		for (const [port, pid] of nodes.workers()) expect(pid).not.toBe(before.get(port));
		release();
		expect((await called).content).toEqual([{ type: "text", text: expect.stringContaining("held") }]);
		expect((await newest(ada)).id).toBe(id);
	});

	it("is answered with what comes of it, and not with 202, where its worker is told to go and it is soon over", async () => {
		const [port, pid] = nodes.workers().entries().next().value as [number, number];
		const cookie = `${STICKY_COOKIE}=${stickyCookie(nodes.environment[env.stickyKey] as string, "127.0.0.1", port)}`;
		const executed = ask(ada, "POST", "/api/mcp/execute", { toolName: "neural_status", parameters: {} }, { cookie });
		await until(async () => (await newest(ada)).state === "active", "the job to be begun");
		process.kill(pid, "SIGINT");
		await until(() => nodes.pods.some(({ entry }) => entry.log.some(drains(pid))), "the worker to drain");
		release();
		expect(await executed).toMatchObject({ status: 200, body: { success: true } });
		await until(() => nodes.workers().get(port) !== pid, "another worker in its place");
		await nodes.balancer.until(async () => (await nodes.balancer.up("http")) === nodes.workers().size, "all workers up");
	});

	it("shows nobody a job of somebody else's, and lets nobody end it", async () => {
		const submitted = await ask(ada, "POST", "/api/jobs", { tool: "neural_status" });
		const { id } = submitted.body.job;
		for (const [method, target] of [
			["GET", `/api/jobs/${id}`],
			["DELETE", `/api/jobs/${id}`],
			["POST", `/api/jobs/${id}/retry`],
			["GET", `/api/jobs/${id}/events`],
			["GET", `/api/mcp/stream/${id}`],
		] as const) {
			expect((await ask(eve, method, target)).status).toBe(404);
		}
		const lastEventId = Buffer.from(JSON.stringify([id, 1, null])).toString("base64url");
		expect((await ask(eve, "GET", "/mcp", undefined, { "last-event-id": lastEventId })).status).toBe(404);
		expect((await ask(eve, "GET", "/api/jobs")).body.jobs.map((job: { id: string }) => job.id)).not.toContain(id);
		const rpc = await raw(eve);
		rpc.send({ jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: id } });
		expect(["queued", "active"]).toContain(await stateOf(ada, id));
		expect((await ask(ada, "DELETE", `/api/jobs/${id}`)).status).toBe(200);
	});

	it("closes a client that calls a thousand times at once, and answers others meanwhile", async () => {
		const [mallory, bystander] = [await raw(eve), await raw(ada)];
		for (let id = 0; id < 1_000; id++) mallory.send({ jsonrpc: "2.0", id, method: "tools/call", params: { name: "neural_status" } });
		expect(await bystander.call("memory_usage", { action: "list" })).toMatchObject({ result: {} });
		expect((await mallory.closed).code).toBe(1008);
		await until(async () => {
			const { jobs } = (await ask(eve, "GET", "/api/jobs?limit=200")).body as { jobs: { state: string }[] };
			return jobs.every(({ state }) => state !== "queued" && state !== "active");
		}, "what it began to be cancelled");
		expect(await bystander.request("ping")).toMatchObject({ result: { pong: true } });
		for (const pid of nodes.workers().values()) expect(() => process.kill(pid, 0)).not.toThrow();
	});

	async function socketOf(token: string): Promise<Socket> {
		const socket = io(`http://${nodes.host}`, { auth: { token }, transports: ["websocket"], forceNew: true });
		closing.push(() => socket.disconnect());
		await new Promise<void>((resolve) => socket.once("connected", () => resolve()));
		return socket;
	}
});
