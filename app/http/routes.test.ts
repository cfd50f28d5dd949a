import { describe, expect, it } from "vitest";
import { testApp } from "./testing.ts";

const ISO = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

describe("the swarm", () => {
	it("is nobody's before its first initialisation, and idle", async () => {
		const alice = await testApp().as("alice");
		const answer = await alice("GET", "/api/hive/status");
		expect(answer.statusCode).toBe(200);
		expect(answer.json()).toEqual({
			swarmId: null,
			name: null,
			topology: null,
			health: "idle",
			uptime: 0,
			agents: [],
			tasks: [],
			stats: {
				totalAgents: 0,
				activeAgents: 0,
				totalTasks: 0,
				pendingTasks: 0,
				completedTasks: 0,
				failedTasks: 0,
				avgTaskCompletion: null,
				messageThroughput: null,
				consensusSuccessRate: null,
				memoryHitRate: null,
				agentUtilization: 0,
			},
			warnings: [],
		});
	});

	it("begins with the original's names where nobody says otherwise", async () => {
		const alice = await testApp().as("alice");
		const begun = await alice("POST", "/api/hive/init", {});
		expect(begun.statusCode).toBe(200);
		expect(begun.json()).toEqual({ swarmId: expect.stringMatching(/^swarm-/), name: "UI-Swarm", topology: "hierarchical" });
		expect((await alice("GET", "/api/hive/status")).json()).toMatchObject({ ...begun.json(), health: "idle" });
	});

	it("is begun anew by an operator alone, and everything in it is gone", async () => {
		const { as } = testApp();
		const [operator, member] = [await as("olga"), await as("max", ["member"])];
		const first = (await member("POST", "/api/hive/init", { name: "one", maxAgents: 8, strategy: "balanced" })).json();
		expect(first).toMatchObject({ name: "one", maxAgents: 8 });
		await member("POST", "/api/hive/agents", { type: "coder" });
		await member("POST", "/api/hive/tasks", { description: "d" });
		expect((await member("POST", "/api/hive/init", {})).statusCode).toBe(403);
		expect((await member("GET", "/api/hive/status")).json()).toMatchObject({ swarmId: first.swarmId, health: "healthy" });
		const second = (await operator("POST", "/api/hive/init", { name: "two" })).json();
		const status = (await member("GET", "/api/hive/status")).json();
		expect(status).toMatchObject({ swarmId: second.swarmId, name: "two", agents: [], tasks: [], health: "idle" });
		expect((await member("GET", "/api/hive/activities")).json()).toHaveLength(1);
	});

	it("belongs to its workspace: another's does not exist", async () => {
		const { as } = testApp();
		const [alice, eve] = [await as("alice", ["operator"], "a"), await as("eve", ["operator"], "b")];
		await alice("POST", "/api/hive/init", {});
		const agent = (await alice("POST", "/api/hive/agents", { type: "coder" })).json();
		const task = (await alice("POST", "/api/hive/tasks", { description: "d" })).json();
		await alice("POST", "/api/memory/store", { key: "k", value: 1 });
		expect((await eve("GET", "/api/hive/status")).json()).toMatchObject({ swarmId: null, agents: [], tasks: [] });
		for (const url of ["/api/hive/agents", "/api/hive/activities", "/sync/api/agents", "/sync/api/tasks", "/api/memory/search"]) {
			expect((await eve("GET", url)).json(), url).toEqual([]);
		}
		expect((await eve("GET", "/api/memory/swarm")).json()).toMatchObject({ entries: [], total: 0 });
		const foreign: ["GET" | "POST" | "DELETE", string, object?][] = [
			["GET", `/api/hive/tasks/${task.id}`],
			["POST", `/api/hive/tasks/${task.id}/claim`, { agentId: agent.id }],
			["POST", `/api/hive/tasks/${task.id}/progress`, { progress: 1 }],
			["POST", `/api/hive/tasks/${task.id}/complete`, {}],
			["POST", `/api/hive/tasks/${task.id}/fail`, { error: "e" }],
			["POST", `/api/hive/tasks/${task.id}/cancel`],
			["POST", `/api/hive/agents/${agent.id}/report`, { cpu: 1 }],
			["DELETE", `/api/hive/agents/${agent.id}`],
			["GET", "/api/memory/default/k"],
			["DELETE", "/api/memory/default/k"],
		];
		for (const [method, url, body] of foreign) expect((await eve(method, url, body)).statusCode, `${method} ${url}`).toBe(404);
		expect((await eve("DELETE", `/api/hive/tasks/${task.id}`)).json()).toEqual({ success: true, taskId: task.id });
		expect((await alice("GET", `/api/hive/tasks/${task.id}`)).json().task.status).toBe("pending");
	});
});

describe("agents", () => {
	it("are answered with 200, and have no figures until they report some", async () => {
		const alice = await testApp().as("alice");
		const spawned = await alice("POST", "/api/hive/agents", { type: "coder", name: "c1", autoAssign: true });
		expect(spawned.statusCode).toBe(200);
		const agent = spawned.json();
		expect(agent).toEqual({
			id: expect.stringMatching(/^agent-/),
			name: "c1",
			type: "coder",
			status: "idle",
			capabilities: [],
			tasks: 0,
			completedTasks: 0,
			performance: null,
			memory: null,
			memoryUsage: null,
			cpu: null,
			currentTask: null,
			messageCount: 0,
			createdAt: expect.any(Number),
			lastActive: expect.stringMatching(ISO),
		});
		const report = { performance: 97.5, memory: "29MB", cpu: 6, status: "busy" };
		const reported = await alice("POST", `/api/hive/agents/${agent.id}/report`, report);
		expect(reported.json()).toMatchObject({ success: true, agent: { ...report, memoryUsage: 29 * 1_024 } });
		expect((await alice("GET", "/api/hive/agents")).json()).toEqual([reported.json().agent]);
		expect((await alice("GET", "/api/hive/performance")).json()).toMatchObject({
			activeAgents: 1,
			agentUtilization: 1,
			agentPerformance: 97.5,
		});
	});

	it("may be spawned with nothing said at all, as the original allowed", async () => {
		const alice = await testApp().as("alice");
		expect((await alice("POST", "/api/hive/agents", {})).json()).toMatchObject({ type: "specialist", name: "specialist-1" });
		expect((await alice("POST", "/api/hive/agents")).json()).toMatchObject({ name: "specialist-2" });
		expect((await alice("POST", "/api/hive/agents", { type: "", name: null })).json()).toMatchObject({ name: "specialist-3" });
	});

	it("are removed by their id, once", async () => {
		const alice = await testApp().as("alice");
		const { id } = (await alice("POST", "/api/hive/agents", {})).json();
		expect((await alice("DELETE", `/api/hive/agents/${id}`)).json()).toMatchObject({ success: true, agentId: id });
		expect((await alice("DELETE", `/api/hive/agents/${id}`)).statusCode).toBe(404);
		expect((await alice("GET", "/api/hive/agents")).json()).toEqual([]);
	});
});

describe("tasks", () => {
	it("are moved by real calls, and their agents with them", async () => {
		const alice = await testApp().as("alice");
		const agent = (await alice("POST", "/api/hive/agents", { type: "coder" })).json();
		const created = await alice("POST", "/api/hive/tasks", { description: "d1", priority: "high", strategy: "adaptive", maxAgents: 3 });
		expect(created.statusCode).toBe(200);
		const task = created.json();
		expect(task).toMatchObject({
			description: "d1",
			status: "pending",
			priority: "high",
			progress: 0,
			assignedAgent: null,
			startTime: null,
		});
		expect((await alice("POST", `/api/hive/tasks/${task.id}/complete`, {})).statusCode).toBe(409);
		const claimed = (await alice("POST", `/api/hive/tasks/${task.id}/claim`, { agentId: agent.id })).json();
		expect(claimed).toMatchObject({
			success: true,
			task: { status: "in_progress", assignedAgent: agent.id, assignedTo: agent.id, startTime: expect.stringMatching(ISO) },
		});
		expect((await alice("POST", `/api/hive/tasks/${task.id}/claim`, { agentId: agent.id })).statusCode).toBe(409);
		expect((await alice("GET", "/api/hive/agents")).json()).toMatchObject([{ status: "busy", currentTask: "d1", tasks: 1 }]);
		expect((await alice("POST", `/api/hive/tasks/${task.id}/progress`, { progress: 40 })).json().task.progress).toBe(40);
		const done = (await alice("POST", `/api/hive/tasks/${task.id}/complete`, { result: { lines: [1, 2] } })).json();
		expect(done.task).toMatchObject({ status: "completed", progress: 100, result: { lines: [1, 2] }, endTime: expect.stringMatching(ISO) });
		expect((await alice("GET", `/api/hive/tasks/${task.id}`)).json().task).toEqual(done.task);
		expect((await alice("GET", "/api/hive/tasks")).json()).toEqual({ success: true, tasks: [done.task] });
		expect((await alice("GET", "/api/hive/performance")).json()).toMatchObject({
			completedTasks: 1,
			successRate: 1,
			avgTaskCompletion: expect.any(Number),
		});
	});

	it("fail with a reason, and can be cancelled while they are not over", async () => {
		const alice = await testApp().as("alice");
		const agent = (await alice("POST", "/api/hive/agents", {})).json();
		const create = async () => (await alice("POST", "/api/hive/tasks", {})).json().id as string;
		const failing = await create();
		await alice("POST", `/api/hive/tasks/${failing}/claim`, { agentId: agent.id });
		expect((await alice("POST", `/api/hive/tasks/${failing}/fail`, { error: "no disk" })).json().task).toMatchObject({
			status: "failed",
			error: "no disk",
		});
		expect((await alice("POST", `/api/hive/tasks/${failing}/cancel`)).statusCode).toBe(409);
		expect((await alice("DELETE", `/api/hive/tasks/${failing}`)).statusCode).toBe(409);
		const cancelled = await create();
		expect((await alice("POST", `/api/hive/tasks/${cancelled}/cancel`)).json().task.status).toBe("cancelled");
		const deleted = await create();
		expect((await alice("DELETE", `/api/hive/tasks/${deleted}`)).json()).toEqual({ success: true, taskId: deleted });
		expect((await alice("GET", `/api/hive/tasks/${deleted}`)).json().task.status).toBe("cancelled");
	});

	it("are deleted with success where there is none, as the original did", async () => {
		const alice = await testApp().as("alice");
		const answer = await alice("DELETE", "/api/hive/tasks/nothing");
		expect([answer.statusCode, answer.json()]).toEqual([200, { success: true, taskId: "nothing" }]);
	});

	it.each([
		["claim", {}, "agentId: Invalid input: expected string, received undefined"],
		["progress", { progress: 101 }, "progress: Too big: expected number to be <=100"],
		["fail", {}, "error: Invalid input: expected string, received undefined"],
	])("refuse to %s with %j, saying why", async (verb, body, error) => {
		const alice = await testApp().as("alice");
		const answer = await alice("POST", `/api/hive/tasks/t/${verb}`, body);
		expect(answer.statusCode).toBe(400);
		expect(answer.json()).toEqual({
			success: false,
			error,
			message: `POST /api/hive/tasks/t/${verb}: ${error}`,
			timestamp: expect.stringMatching(ISO),
		});
	});
});

describe("activities", () => {
	it.each([
		["", 50],
		["?limit=20", 20],
		["?limit=1000", 100],
		["?limit=abc", 100],
		["?limit=0", 100],
		["?limit=-5", 100],
		["?limit=1.5", 100],
		["?limit=", 100],
	])("with %j are the newest %i", async (query, count) => {
		const alice = await testApp().as("alice");
		for (let each = 0; each < 120; each += 1) await alice("POST", "/api/hive/tasks", { description: `d${each}` });
		const activities = (await alice("GET", `/api/hive/activities${query}`)).json();
		expect(activities).toHaveLength(count);
		expect(activities[0]).toEqual({
			id: expect.any(String),
			type: "task",
			message: expect.any(String),
			metadata: {},
			timestamp: expect.any(Number),
		});
	});
});

describe("memory", () => {
	it("keeps the same key in two namespaces as two, and two systems apart", async () => {
		const alice = await testApp().as("alice");
		const stored = await alice("POST", "/api/memory/store", { key: "k", value: { a: 1 }, namespace: "one" });
		expect([stored.statusCode, stored.json()]).toEqual([
			200,
			{ success: true, key: "k", namespace: "one", system: "swarm", timestamp: expect.stringMatching(ISO) },
		]);
		await alice("POST", "/api/memory/store", { key: "k", value: "plain text", namespace: "two" });
		await alice("POST", "/api/memory/store", { key: "k", value: [2], namespace: "two", system: "hivemind" });
		const value = async (query: string) => (await alice("GET", `/api/memory/retrieve?key=k&${query}`)).json();
		expect(await value("namespace=one")).toMatchObject({ success: true, key: "k", namespace: "one", value: { a: 1 }, found: true });
		expect(await value("namespace=two")).toMatchObject({ value: "plain text", found: true });
		expect(await value("namespace=two&system=hivemind")).toMatchObject({ value: [2], found: true });
		expect(await value("namespace=three")).toMatchObject({ value: null, found: false });
		const swarm = (await alice("GET", "/api/memory/swarm")).json();
		expect(swarm).toMatchObject({ total: 2, tables: ["memory_entries"], path: null, tableData: { memory_entries: { count: 2 } } });
		expect(swarm.entries.map((entry: { namespace: string; value: unknown }) => [entry.namespace, entry.value])).toEqual([
			["two", "plain text"],
			["one", { a: 1 }],
		]);
		expect(swarm.tableData.memory_entries.columns).toEqual(Object.keys(swarm.tableData.memory_entries.data[0]));
		expect((await alice("GET", "/api/memory/hivemind")).json()).toMatchObject({
			memory: { total: 1, entries: [{ key: "k", value: "[2]" }] },
			hive: { total: 0, entries: [] },
			config: null,
			sessions: [],
		});
	});

	it.each([1, "text", '"quoted"', "1", '{"a":1}', null, true, { deep: [{ x: "ü" }] }])("gives back %j as it was", async (value) => {
		const alice = await testApp().as("alice");
		await alice("POST", "/api/memory/store", { key: "k", value });
		expect((await alice("GET", "/api/memory/retrieve?key=k")).json().value).toEqual(value);
		expect(JSON.parse((await alice("GET", "/api/memory/default/k")).json().value)).toEqual(value);
		// The client that makes JSON of its values itself.
		await alice("POST", "/api/memory", { key: "k", value: JSON.stringify(value), namespace: "ui" });
		expect(JSON.parse((await alice("GET", "/api/memory/ui/k")).json().value)).toEqual(value);
	});

	it("gives back JSON that is too deep to be written as the text it is, and still lists the others", async () => {
		const alice = await testApp().as("alice");
		const deep = `${"[".repeat(50_000)}${"]".repeat(50_000)}`;
		for (const [key, value] of [
			["deep", deep],
			["plain", "[1]"],
		])
			await alice("POST", "/api/memory", { key, value });
		expect((await alice("GET", "/api/memory/retrieve?key=deep")).json().value).toBe(deep);
		const { entries } = (await alice("GET", "/api/memory/swarm")).json();
		expect(entries.map(({ value }: { value: unknown }) => value)).toEqual([[1], deep]);
	});

	it("answers plain text by key as JSON text, which is what its client parses", async () => {
		const alice = await testApp().as("alice");
		await alice("POST", "/api/memory", { key: "k", value: "no JSON", namespace: "ui" });
		expect((await alice("GET", "/api/memory/ui/k")).json()).toMatchObject({ key: "k", namespace: "ui", value: '"no JSON"' });
	});

	it("finds keys with slashes, written out or encoded", async () => {
		const alice = await testApp().as("alice");
		await alice("POST", "/api/memory/store", { key: "swarm/a b/topology", value: 1 });
		for (const key of ["swarm/a%20b/topology", "swarm%2Fa%20b%2Ftopology"]) {
			expect((await alice("GET", `/api/memory/default/${key}`)).json(), key).toMatchObject({ key: "swarm/a b/topology", value: "1" });
		}
		expect((await alice("DELETE", "/api/memory/default/swarm/a%20b/topology")).json()).toMatchObject({ success: true });
		expect((await alice("GET", "/api/memory/default/swarm/a%20b/topology")).statusCode).toBe(404);
	});

	it("honours the time to live", async () => {
		const alice = await testApp().as("alice");
		await alice("POST", "/api/memory", { key: "short", value: "1", ttl: 1 });
		await alice("POST", "/api/memory", { key: "long", value: "1", ttl: 86_400 });
		expect((await alice("GET", "/api/memory/default/short")).json().ttl).toBe(1);
		await new Promise((resolve) => setTimeout(resolve, 1_050));
		expect((await alice("GET", "/api/memory/default/short")).statusCode).toBe(404);
		expect((await alice("GET", "/api/memory/default/long")).json().ttl).toBeGreaterThan(86_390);
	});

	it("is searched by pattern", async () => {
		const alice = await testApp().as("alice");
		for (const key of ["agents/one", "agents/two", "tasks/one"]) await alice("POST", "/api/memory/store", { key, value: 1 });
		const keys = async (query: string) =>
			(await alice("GET", `/api/memory/search${query}`)).json().map((entry: { key: string }) => entry.key);
		expect(await keys("?pattern=agents")).toEqual(["agents/two", "agents/one"]);
		expect(await keys("?pattern=agents*&limit=1")).toEqual(["agents/two"]);
		expect(await keys("?pattern=*one")).toEqual(["tasks/one", "agents/one"]);
		expect(await keys("?namespace=elsewhere")).toEqual([]);
		expect(await keys("")).toHaveLength(3);
	});

	it.each([
		{},
		{ key: "k" },
		{ value: 1 },
		{ key: "", value: 1 },
		{ key: "k", value: 1, system: "other" },
		{ key: "k", value: 1, ttl: -1 },
	])("refuses to store %j", async (body) => {
		const alice = await testApp().as("alice");
		for (const url of ["/api/memory/store", "/api/memory"]) expect((await alice("POST", url, body)).statusCode).toBe(400);
	});

	it("refuses NUL characters in keys, which would be an error of PostgreSQL's", async () => {
		const alice = await testApp().as("alice");
		expect((await alice("GET", "/api/memory/retrieve?key=a%00b")).statusCode).toBe(400);
		expect((await alice("GET", "/api/memory/default/a%00b")).statusCode).toBe(400);
		expect((await alice("POST", "/api/memory/store", { key: "k", value: "a\0b" })).statusCode).toBe(400);
	});
});

describe("the other server's paths", () => {
	it("are the same swarm in another envelope", async () => {
		const alice = await testApp().as("alice");
		const timestamp = expect.stringMatching(ISO);
		const swarm = (await alice("POST", "/api/swarm/init", { topology: "mesh" })).json();
		expect(swarm).toEqual({ success: true, swarmId: expect.any(String), topology: "mesh", maxAgents: 5, strategy: "balanced", timestamp });
		const agent = (await alice("POST", "/api/agents/spawn", { type: "tester", capabilities: ["unit"] })).json();
		expect(agent).toEqual({
			success: true,
			agentId: expect.any(String),
			type: "tester",
			name: "tester-1",
			capabilities: ["unit"],
			timestamp,
		});
		const task = (await alice("POST", "/api/tasks/orchestrate", { task: "t" })).json();
		expect(task).toEqual({ success: true, taskId: expect.any(String), task: "t", strategy: "parallel", priority: "medium", timestamp });
		expect((await alice("GET", "/api/agents")).json()).toMatchObject({ success: true, count: 1, agents: [{ id: agent.agentId }] });
		const status = (await alice("GET", `/api/swarm/status?swarmId=${swarm.swarmId}`)).json();
		expect(status).toMatchObject({
			success: true,
			status: { swarmId: swarm.swarmId, tasks: [{ id: task.taskId, strategy: "parallel" }] },
			timestamp,
		});
		expect((await alice("GET", "/api/hive/status")).json()).toMatchObject({ swarmId: swarm.swarmId, topology: "mesh" });
		expect((await alice("GET", "/api/performance/report")).json()).toMatchObject({ success: true, report: { totalTasks: 1 }, timestamp });
	});

	it("know no other swarm", async () => {
		const alice = await testApp().as("alice");
		await alice("POST", "/api/hive/init", {});
		for (const url of ["/api/swarm/status", "/api/agents"]) expect((await alice("GET", `${url}?swarmId=swarm-0`)).statusCode).toBe(404);
	});

	it.each([
		["/api/agents/spawn", {}],
		["/api/tasks/orchestrate", {}],
		["/api/memory/store", {}],
	])("answer %s with 400 where what it needs is missing", async (url, body) => {
		const alice = await testApp().as("alice");
		const answer = await alice("POST", url, body);
		expect([answer.statusCode, answer.json().success]).toEqual([400, false]);
	});
});

describe("what is not in this build", () => {
	it("calls Mastra not connected", async () => {
		const alice = await testApp().as("alice");
		for (const things of ["agents", "workflows", "tools"]) {
			expect((await alice("GET", `/api/mastra/${things}`)).json()).toMatchObject({
				success: true,
				[things]: [],
				count: 0,
				connected: false,
			});
		}
		for (const url of ["agents/a/run", "workflows/w/run", "tools/t/execute"]) {
			const answer = await alice("POST", `/api/mastra/${url}`, { input: 1 });
			expect([answer.statusCode, answer.json().error]).toEqual([501, "Mastra is not connected"]);
		}
	});
});

describe("beside the sync channel", () => {
	it("the state is what a channel begins with, and its position", async () => {
		const alice = await testApp().as("alice");
		await alice("POST", "/api/hive/init", { name: "s" });
		const agent = (await alice("POST", "/api/hive/agents", {})).json();
		const task = (await alice("POST", "/api/hive/tasks", {})).json();
		await alice("POST", "/api/memory/store", { key: "k", value: 1, namespace: "n" });
		expect((await alice("GET", "/sync/api/state")).json()).toMatchObject({
			seq: 4,
			swarms: [{ name: "s" }],
			agents: [agent],
			tasks: [task],
			memory: [{ namespace: "n", entries: 1 }],
			performance: { totalAgents: 1, totalTasks: 1 },
		});
		expect((await alice("GET", "/sync/api/agents")).json()).toEqual([agent]);
		expect((await alice("GET", "/sync/api/tasks")).json()).toEqual([task]);
		expect((await alice("GET", "/sync/api/performance")).json()).toMatchObject({ totalAgents: 1 });
	});
});

describe("the system", () => {
	it("has true figures", async () => {
		const alice = await testApp().as("alice");
		const figures = (await alice("GET", "/api/system/metrics")).json();
		expect(figures).toMatchObject({ platform: process.platform, arch: process.arch, cpu: { model: expect.any(String) } });
		expect(figures.memory.used + figures.memory.free).toBeCloseTo(figures.memory.total, -1);
		expect(figures.cpu.usage).toBeGreaterThanOrEqual(0);
		expect(figures.cpu.usage).toBeLessThanOrEqual(100);
	});

	it("says in its status what is away", async () => {
		const { as, services } = testApp();
		const alice = await as("alice");
		expect((await alice("GET", "/api/status")).json()).toMatchObject({
			success: true,
			system: { backend: "healthy", version: "1.2.3", uptime: expect.any(Number), memory: { rss: expect.any(Number) } },
			integrations: { hive: "connected", mastra: "disconnected" },
		});
		services.away.add("redis");
		expect((await alice("GET", "/api/status")).json()).toMatchObject({
			system: { backend: "degraded" },
			integrations: { hive: "disconnected" },
		});
	});
});

describe("health", () => {
	it.each(["", "/sync", "/mcp"])("below %j is there for everybody, with each path's own word", async (prefix) => {
		const { anyone } = testApp({ sockets: () => ({ sync: 7, mcp: 3 }) });
		const words = await Promise.all(
			["/health", "/api/health", "/health/live", "/health/ready"].map((path) => anyone("GET", `${prefix}${path}`)),
		);
		expect(words.map((answer) => [answer.statusCode, answer.json().status])).toEqual([
			[200, "healthy"],
			[200, "ok"],
			[200, "live"],
			[200, "ready"],
		]);
		for (const answer of words) expect(answer.json().timestamp).toMatch(ISO);
		const connections = { "": undefined, "/sync": 7, "/mcp": 3 }[prefix];
		expect(words[0]?.json().connections).toBe(connections);
	});

	it("is degraded and still 200 where a dependency is away, and names it without details", async () => {
		const { anyone, services } = testApp();
		services.away.add("postgres");
		const answer = await anyone("GET", "/health");
		expect([answer.statusCode, answer.json()]).toMatchObject([200, { status: "degraded", integrations: { hive: "disconnected" } }]);
		expect(answer.json().dependencies).toEqual({
			postgres: { status: "down", since: expect.stringMatching(ISO) },
			redis: { status: "up", since: expect.stringMatching(ISO) },
		});
		expect((await anyone("GET", "/health/ready")).statusCode).toBe(200);
	});

	it.each(["starting", "stalled", "draining"] as const)("is live but not ready while %s", async (state) => {
		const { anyone } = testApp({ state: () => state });
		const ready = await anyone("GET", "/health/ready");
		expect([ready.statusCode, ready.json().status]).toEqual([503, state]);
		expect((await anyone("GET", "/health/live")).statusCode).toBe(200);
	});
});

describe("what is not there", () => {
	it("is 404 in the contract's shape", async () => {
		const { anyone } = testApp();
		const answer = await anyone("GET", "/api/nothing?token=secret");
		expect([answer.statusCode, answer.json()]).toEqual([
			404,
			{
				success: false,
				error: "Not Found",
				message: "Route GET /api/nothing not found",
				path: "/api/nothing",
				method: "GET",
				timestamp: expect.stringMatching(ISO),
			},
		]);
		expect((await anyone("PUT", "/api/hive/status")).statusCode).toBe(404);
	});

	it("is not the same path with a slash at its end", async () => {
		const { anyone } = testApp();
		expect((await anyone("GET", "/api/health/")).statusCode).toBe(200);
	});
});
