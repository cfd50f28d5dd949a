import { setTimeout as sleep } from "node:timers/promises";
import { beforeEach, describe, expect, it } from "vitest";
import { type Caller, type TestApp, testApp } from "./testing.ts";

const ISO = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

let test: TestApp;
let stopping: AbortController;
let ada: Caller;
let eve: Caller;

beforeEach(async () => {
	stopping = new AbortController();
	test = testApp({ stopping: stopping.signal });
	ada = await test.as("ada", ["member"]);
	eve = await test.as("eve", ["member"]);
});

const execute = (caller: Caller, toolName: string, parameters: object = {}, headers: Record<string, string> = {}) =>
	caller("POST", "/api/mcp/execute", { toolName, parameters }, headers);

async function until(condition: () => boolean): Promise<void> {
	for (const end = Date.now() + 20_000; !condition(); await sleep(5)) if (Date.now() > end) throw new Error(`in vain: ${condition}`);
}

const states = () => test.services.jobs.submitted.map(({ state }) => state);

describe("the tools", () => {
	it("are listed by their bare names, as far as the caller's role goes", async () => {
		const names = async (caller: Caller) => (await caller("GET", "/api/mcp/tools")).json().map(({ name }: { name: string }) => name);
		expect(await names(ada)).toEqual(["echo", "hold", "fail", "absent"]);
		expect(await names(await test.as("root"))).toContain("rule");
		expect((await ada("GET", "/api/mcp/tools")).json()[0]).toEqual({
			name: "echo",
			description: "What echo does",
			category: "system",
			parameters: { type: "object", properties: { text: { type: "string" } }, required: ["text"] },
		});
	});

	it.each<[string, string, object, object]>([
		["a call that makes sense", "echo", { text: "x" }, { valid: true, tool: { name: "echo", description: "What echo does" } }],
		["a call without what is required", "echo", {}, { valid: false, errors: ["Missing required parameter: text"], tool: { name: "echo" } }],
		["a tool that there is not", "nothing", {}, { valid: false, errors: ["Unknown tool: nothing"] }],
		["a tool of another role", "rule", {}, { valid: false, errors: ["Unknown tool: rule"] }],
	])("are checked: %s", async (_, toolName, parameters, expected) => {
		const answer = await ada("POST", "/api/mcp/validate", { toolName, parameters });
		expect([answer.statusCode, answer.json()]).toMatchObject([200, expected]);
	});

	it("say how many wait and run", async () => {
		await execute(ada, "hold", {}, { prefer: "respond-async" });
		await until(() => states()[0] === "active");
		expect((await eve("GET", "/api/mcp/status")).json()).toEqual({
			ready: true,
			stats: { activeServers: 1, queuedTools: 0, executingTools: 1, totalExecutions: 0, deadTools: 0, oldestSeconds: 0 },
			timestamp: expect.stringMatching(ISO),
		});
	});
});

describe("/api/mcp/execute", () => {
	it.each(["echo", "mcp__claude-flow__echo"])("answers what %s has answered", async (toolName) => {
		const answer = await execute(ada, toolName, { text: "x" });
		expect([answer.statusCode, answer.json()]).toEqual([
			200,
			{
				success: true,
				data: { text: "x" },
				executionTime: expect.any(Number),
				metadata: { toolName, parameters: { text: "x" }, timestamp: expect.stringMatching(ISO) },
				jobId: test.services.jobs.submitted[0]?.id,
			},
		]);
	});

	it.each([
		["fail", "TOOL_FAILED", "it did not work"],
		["absent", "TOOL_UNAVAILABLE", "nothing here can run it"],
	])("answers with 500 and why where %s does not succeed, and nobody is alarmed", async (toolName, code, error) => {
		const answer = await execute(ada, toolName);
		expect([answer.statusCode, answer.json()]).toMatchObject([
			500,
			{ success: false, error, code, metadata: { toolName, parameters: {} } },
		]);
		expect(test.observed.faults).toEqual([]);
	});

	it.each<[string, unknown]>([
		["no name", {}],
		["a tool that there is not", { toolName: "nothing" }],
		["a tool of another role", { toolName: "rule" }],
		["arguments that its schema refuses", { toolName: "echo", parameters: {} }],
		["parameters in a list", { toolName: "echo", parameters: [] }],
	])("answers %s with 400, in its clients' envelope", async (_, body) => {
		const answer = await ada("POST", "/api/mcp/execute", body);
		expect([answer.statusCode, answer.json()]).toMatchObject([
			400,
			{ success: false, error: expect.any(String), executionTime: 0, metadata: {} },
		]);
		expect(states()).toEqual([]);
	});

	it.each([
		["respond-async", "respond-async"],
		["wait=0", "wait=0"],
		['handling=lenient, Wait="0"; x=y', "wait=0"],
		["respond-async, wait=0", "respond-async, wait=0"],
	])("does not wait where it is asked not to: %s", async (prefer, applied) => {
		const answer = await execute(ada, "hold", {}, { prefer });
		const { jobId } = answer.json();
		expect([answer.statusCode, answer.headers.location, answer.headers["preference-applied"], answer.json()]).toMatchObject([
			202,
			`/api/jobs/${jobId}`,
			applied,
			{ success: true, pending: true, url: `/api/jobs/${jobId}`, executionTime: expect.any(Number), metadata: { toolName: "hold" } },
		]);
		expect((await ada("GET", `/api/jobs/${jobId}`)).statusCode).toBe(200);
	});

	it("lets who waits go when the worker does, and the job goes on", async () => {
		const waiting = execute(ada, "hold");
		await until(() => states()[0] === "active");
		stopping.abort();
		expect((await waiting).statusCode).toBe(202);
		expect(states()).toEqual(["active"]);
	});

	it("is one job for one key, and a conflict where the key stands for another", async () => {
		const key = { "idempotency-key": "k" };
		const answers = await Promise.all([1, 2, 3].map(() => execute(ada, "echo", { text: "x" }, key)));
		expect(new Set(answers.map((answer) => answer.json().jobId)).size).toBe(1);
		const other = await execute(ada, "echo", { text: "y" }, key);
		expect([other.statusCode, other.json().success]).toEqual([409, false]);
		expect((await execute(eve, "echo", { text: "y" }, key)).statusCode).toBe(200);
		for (const bad of ["", "a b", "x".repeat(256)]) {
			expect((await execute(ada, "echo", { text: "x" }, { "idempotency-key": bad })).statusCode).toBe(400);
		}
	});

	it("keeps so many waiting for one principal, and others are served", async () => {
		const held = Array.from({ length: 256 }, () => execute(ada, "hold"));
		await until(() => states().length === 256);
		expect((await execute(ada, "hold")).statusCode).toBe(429);
		expect((await execute(eve, "echo", { text: "x" })).statusCode).toBe(200);
		test.services.jobs.release();
		expect(new Set((await Promise.all(held)).map((answer) => answer.statusCode))).toEqual(new Set([200]));
		expect((await execute(ada, "echo", { text: "x" })).statusCode).toBe(200);
	});
});

describe("/api/jobs", () => {
	const submit = async (caller: Caller, tool = "hold", body: object = {}): Promise<string> => {
		const answer = await caller("POST", "/api/jobs", { tool, ...body });
		expect([answer.statusCode, answer.headers.location]).toEqual([202, `/api/jobs/${answer.json().job.id}`]);
		return answer.json().job.id;
	};

	it("takes a job, and says how it is until it is over", async () => {
		const id = await submit(ada, "hold", { priority: "high" });
		await until(() => states()[0] === "active");
		const { job } = (await ada("GET", `/api/jobs/${id}`)).json();
		expect(job).toEqual({
			id,
			tool: "hold",
			arguments: {},
			state: "active",
			priority: "high",
			attempts: 1,
			maxAttempts: 3,
			progress: 50,
			message: "hold is half done",
			result: null,
			error: null,
			createdAt: expect.stringMatching(ISO),
			startedAt: expect.stringMatching(ISO),
			endedAt: null,
		});
		const waiting = ada("GET", `/api/jobs/${id}`, undefined, { prefer: "wait=20" });
		await sleep(20);
		test.services.jobs.release();
		expect((await waiting).json().job).toMatchObject({ state: "completed", result: "held", progress: 100 });
	});

	it("lists the caller's, newest first, by state and in pages", async () => {
		const ids = [await submit(ada), await submit(ada), await submit(ada)];
		await submit(eve);
		await ada("DELETE", `/api/jobs/${ids[0]}`);
		const listed = async (query: string) => (await ada("GET", `/api/jobs${query}`)).json().jobs.map(({ id }: { id: string }) => id);
		expect(await listed("")).toEqual(ids.toReversed());
		expect(await listed("?state=cancelled")).toEqual([ids[0]]);
		expect(await listed("?limit=1")).toEqual([ids[2]]);
		expect(await listed(`?limit=1&before=${ids[2]}`)).toEqual([ids[1]]);
		for (const bad of ["?state=lost", "?limit=0", "?limit=201", "?limit=x"])
			expect((await ada("GET", `/api/jobs${bad}`)).statusCode).toBe(400);
	});

	it("cancels a job, and tries one again that has failed", async () => {
		const id = await submit(ada);
		expect((await ada("POST", `/api/jobs/${id}/retry`)).statusCode).toBe(409);
		expect((await ada("DELETE", `/api/jobs/${id}`)).json().job.state).toBe("cancelled");
		expect((await ada("DELETE", `/api/jobs/${id}`)).json().job.state).toBe("cancelled");
		const failed = await submit(ada, "fail");
		await until(() => states()[1] === "failed");
		expect((await ada("POST", `/api/jobs/${failed}/retry`)).json().job.state).toBe("queued");
	});

	it("tells of a job as it goes on, to its end", async () => {
		const id = await submit(ada);
		await until(() => states()[0] === "active");
		for (const path of [`/api/jobs/${id}/events`, `/api/mcp/stream/${id}`]) {
			const stream = ada("GET", path);
			await sleep(50);
			test.services.jobs.release();
			const answer = await stream;
			expect(answer.headers["content-type"]).toBe("text/event-stream");
			expect(answer.body).toMatch(/^event: job\ndata: \{.*\}\n\n(event: end\ndata: \{.*"state":"completed".*\}\n\n)$/);
		}
		expect((await ada("HEAD", `/api/jobs/${id}/events`)).statusCode).toBe(405);
	});

	it.each(["revoked", "expired"])("ends a stream whose credential is %s, and not the job", async (how) => {
		const expiresAt = how === "expired" ? Date.now() + 300 : null;
		const { token, credentialId } = await test.services.identity.issue({
			subject: "soon",
			roles: ["member"],
			workspace: "default",
			expiresAt,
		});
		const soon = (method: "GET" | "POST", url: string, body?: object) =>
			test.app.inject({ method, url, headers: { host: "agentic.example.com", authorization: `Bearer ${token}` }, payload: body as object });
		const { id } = (await soon("POST", "/api/jobs", { tool: "hold" })).json().job;
		const stream = soon("GET", `/api/jobs/${id}/events`);
		const still = ada("GET", `/api/jobs/${await submit(ada)}/events`);
		await until(() => states().every((state) => state === "active"));
		if (how === "revoked") await test.services.identity.revoke(credentialId);
		expect((await stream).body).not.toContain("event: end");
		expect(states()).toEqual(["active", "active"]);
		test.services.jobs.release();
		expect((await still).body).toContain("event: end");
	});

	it("has no job of somebody else's, for no verb", async () => {
		const id = await submit(ada);
		await until(() => states()[0] === "active");
		for (const [method, path] of [
			["GET", ""],
			["DELETE", ""],
			["POST", "/retry"],
			["GET", "/events"],
		] as const) {
			const foreign = await eve(method, `/api/jobs/${id}${path}`);
			const absent = await eve(method, `/api/jobs/00000000-0000-7000-8000-000000000000${path}`);
			expect([foreign.statusCode, foreign.json().error]).toEqual([404, absent.json().error]);
		}
		expect((await eve("GET", `/api/mcp/stream/${id}`)).statusCode).toBe(404);
		expect(states()).toEqual(["active"]);
	});
});
