/** A walk over everything there is to call, by somebody who knows the names of all that is another's. */
import { setTimeout as sleep } from "node:timers/promises";
import { io, type Socket } from "socket.io-client";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventNames } from "../../app/ws/socket-io/events.ts";
import { messageTypes } from "../../app/ws/sync/messages.ts";
import { SyncClient } from "../../app/ws/testing-client.ts";
import { missing } from "./daemons.ts";
import { type EdgeRig, type Someone, startEdge } from "./edge-rig.ts";
import { until } from "./stores-rig.ts";

/** In everything that is Ada's. */
const MARK = "of ada alone";

interface World {
	readonly workspace: string;
	readonly swarmId: string;
	readonly agentId: string;
	/** Waits for an agent. */
	readonly taskId: string;
	/** Waits for a job worker, and there is none. */
	readonly jobId: string;
	readonly namespace: string;
	readonly key: string;
}

async function furnish(someone: Someone, workspace: string, mark: string): Promise<World> {
	const made = async (url: string, body: object) => JSON.parse((await someone.call("POST", url, body)).text);
	const { swarmId } = await made("/api/hive/init", { name: mark });
	const { id: agentId } = await made("/api/hive/agents", { type: "coder", name: mark });
	const { id: taskId } = await made("/api/hive/tasks", { description: mark });
	const { job } = await made("/api/jobs", { tool: "memory_search", arguments: { pattern: mark } });
	const [namespace, key] = ["shared name", "shared key"];
	for (const system of ["swarm", "hivemind"]) await made("/api/memory/store", { system, namespace, key, value: mark });
	return { workspace, swarmId, agentId, taskId, jobId: job.id, namespace, key };
}

interface Ask {
	readonly body?: object;
	readonly query?: object;
	readonly headers?: Readonly<Record<string, string>>;
}

/** Bodies, queries and headers that name what is in a world, by operation. All others are called with none, or an empty body. */
const asks: Readonly<Record<string, (world: World, token: string) => Ask>> = {
	"POST /api/hive/tasks/{taskId}/claim": ({ agentId }) => ({ body: { agentId } }),
	"POST /api/hive/tasks/{taskId}/progress": () => ({ body: { progress: 1 } }),
	"POST /api/hive/tasks/{taskId}/fail": () => ({ body: { error: "e" } }),
	"POST /api/tasks/orchestrate": ({ taskId }) => ({ body: { task: "t", dependencies: [taskId] } }),
	"POST /api/hive/tasks": ({ taskId }) => ({ body: { dependencies: [taskId] } }),
	"POST /api/agents/spawn": () => ({ body: { type: "coder" } }),
	"POST /api/memory/store": ({ namespace, key }) => ({ body: { namespace, key, value: "theirs" } }),
	"POST /api/memory": ({ namespace, key }) => ({ body: { namespace, key, value: "theirs" } }),
	"GET /api/memory/retrieve": ({ namespace, key }) => ({ query: { namespace, key } }),
	"GET /api/memory/search": () => ({ query: { pattern: "*", limit: 100 } }),
	"GET /api/swarm/status": ({ swarmId }) => ({ query: { swarmId } }),
	"GET /api/agents": ({ swarmId }) => ({ query: { swarmId } }),
	"POST /api/mcp/execute": () => ({ body: { toolName: "memory_persist" }, headers: { prefer: "respond-async" } }),
	"POST /api/jobs": () => ({ body: { tool: "memory_persist" } }),
	"POST /mcp": ({ jobId }) => ({
		body: { jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: jobId } },
		headers: { "mcp-session-id": "s" },
	}),
	"GET /mcp": ({ jobId }) => ({ headers: { "last-event-id": Buffer.from(JSON.stringify([jobId, 1, null])).toString("base64url") } }),
	"DELETE /mcp": () => ({ headers: { "mcp-session-id": "s" } }),
	"POST /api/mcp/validate": () => ({ body: { toolName: "t" } }),
	"POST /api/mcp/metrics": () => ({ body: { tool: "t", metrics: {} } }),
	"POST /api/session": (_, token) => ({ body: { token } }),
};

/** What names something of a world and is no 404 to a stranger, and why. */
const answered: Readonly<Record<string, string>> = {
	"DELETE /api/hive/tasks/{taskId}": "a task that is not there needs no cancelling",
};

/** What a stranger is told makes no sense: there is no such task to depend on. */
const senseless = ["POST /api/hive/tasks", "POST /api/tasks/orchestrate"];

/** Operations by which the owner sees the mark. */
const shown =
	/^GET (\/api\/(hive\/(status|agents|tasks|tasks\/\{taskId\}|activities)|swarm\/status|agents|memory\/.*|jobs.*|mcp\/stream.*)|\/sync\/api\/(state|agents|tasks))$/;

/** Reads first, then what changes things, then what removes them, and what begins anew last. */
function order(operation: string): number {
	return operation.endsWith("/init") ? 3 : ["GET", "POST", "DELETE"].indexOf(operation.split(" ")[0] as string);
}

describe.skipIf(missing)(`somebody of another workspace${missing ? `: ${missing}` : ""}`, () => {
	let edge: EdgeRig;
	let ada: Someone;
	let bob: Someone;
	let world: World;
	const sockets: { close(): unknown }[] = [];

	beforeAll(async () => {
		edge = await startEdge({ queries: { perSecond: 1_000, burst: 1_000 } });
		[ada, bob] = [await edge.as("ada"), await edge.as("bob")];
		world = await furnish(ada, "ada", MARK);
		await furnish(bob, "bob", "of bob");
	});

	afterAll(async () => {
		for (const socket of sockets) socket.close();
		await edge?.stop();
	});

	/** All that Ada has, and how often anything of it has changed. */
	async function everythingOfAdas(): Promise<unknown> {
		// But for when it was asked.
		const state = JSON.parse((await ada.call("GET", "/sync/api/state")).text, (name, value) => (name === "timestamp" ? null : value));
		const { entries } = JSON.parse((await ada.call("GET", "/api/memory/swarm")).text);
		const { jobs } = JSON.parse((await ada.call("GET", "/api/jobs")).text);
		return { state, entries, jobs };
	}

	async function operations(): Promise<string[]> {
		const { paths } = JSON.parse((await ada.call("GET", "/openapi.json")).text) as { paths: Record<string, object> };
		const all = Object.entries(paths).flatMap(([path, methods]) => Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`));
		return all.sort((one, other) => order(one) - order(other));
	}

	async function ask(someone: Someone, operation: string) {
		const [method, template] = operation.split(" ") as [string, string];
		const { body, query = {}, headers } = asks[operation]?.(world, someone.token) ?? {};
		const path = template.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(world[name as keyof World] ?? "any"));
		const search = new URLSearchParams(Object.entries(query).map(([name, value]): [string, string] => [name, String(value)]));
		return someone.call(method, `${path}?${search}`, method === "POST" ? (body ?? {}) : undefined, headers);
	}

	it("gets nothing of it by any operation of the API, and changes nothing", async () => {
		const before = await everythingOfAdas();
		// Under a name of Ada's there is something of Bob's as well, which is his to see: the walk is for what is not.
		for (const system of ["swarm", "hivemind"]) await bob.call("DELETE", `/api/memory/shared%20name/shared%20key?system=${system}`);
		const all = await operations();
		expect(all.length).toBeGreaterThan(50);
		for (const operation of all) {
			const { status, text } = await ask(bob, operation);
			expect(text, operation).not.toContain(MARK);
			if (senseless.includes(operation)) expect(status, operation).toBe(400);
			else expect(status, `${operation} was not reached: its body or query belongs into this test`).not.toBe(400);
			const named =
				/\{(agentId|taskId|jobId)\}/.test(operation) || JSON.stringify(asks[operation]?.(world, "")?.query ?? "").includes(world.swarmId);
			if (named && answered[operation] === undefined) expect(status, operation).toBe(404);
			expect(await everythingOfAdas(), operation).toEqual(before);
		}
		// An agent of hers does not work for him, nor does one of his for her.
		const { id } = JSON.parse((await bob.call("POST", "/api/hive/tasks", {})).text);
		expect((await bob.call("POST", `/api/hive/tasks/${id}/claim`, { agentId: world.agentId })).status).toBe(404);
	});

	it("sends every event of Socket.IO in vain", async () => {
		const payloads: Readonly<Record<string, object>> = {
			"subscribe:swarm": { swarmId: world.swarmId },
			"subscribe:agent": { agentId: world.agentId },
			"subscribe:task": { taskId: world.taskId },
			"unsubscribe:swarm": { swarmId: world.swarmId },
			"unsubscribe:agent": { agentId: world.agentId },
			"unsubscribe:task": { taskId: world.taskId },
			"action:spawn-agent": { type: "coder" },
			"action:orchestrate-task": { task: "t", dependencies: [world.taskId] },
		};
		const [hers, his] = [listener(ada), listener(bob)];
		await until(() => hers.socket.connected && his.socket.connected);
		for (const kind of ["swarm", "agent", "task"]) hers.socket.emit(`subscribe:${kind}`, payloads[`subscribe:${kind}`]);
		await until(() => hers.heard.filter(([name]) => name === "subscribed").length === 3);
		const before = await everythingOfAdas();
		hers.heard.length = 0;
		expect(eventNames.length).toBeGreaterThan(15);
		for (const name of eventNames) {
			const count = his.heard.length;
			his.socket.emit(name, payloads[name] ?? {});
			await until(() => his.heard.length > count);
			if (name.startsWith("subscribe:"))
				expect(his.heard.at(-1), name).toMatchObject(["error", { error: expect.stringMatching(/no such|there is no/i) }]);
			else expect(his.heard.slice(count), name).not.toContainEqual(["error", { error: expect.stringContaining("Invalid") }]);
		}
		expect(await everythingOfAdas()).toEqual(before);
		// What then happens to hers is told to her, and not to him.
		await ada.call("POST", `/api/hive/agents/${world.agentId}/report`, { cpu: 1 });
		await until(() => hers.heard.some(([name]) => name === "agent:update"));
		await sleep(200);
		expect(JSON.stringify(his.heard)).not.toContain(MARK);
		expect(hers.heard.map(([name]) => name)).toEqual(["agent:update"]);
	});

	it("sends every message of /sync in vain", async () => {
		const messages: Readonly<Record<string, readonly object[]>> = {
			auth: [{ token: bob.token }],
			resume: [{ seq: 0 }],
			subscribe: ["swarm", "agent", "task", "memory", "log"].map((entityType) => ({
				entityType,
				entityId: idOf(entityType),
				requestId: "r",
			})),
			unsubscribe: [{ entityType: "agent", entityId: world.agentId, requestId: "r" }],
			command: [{ command: "get-state", requestId: "r" }],
			ping: [{}],
		};
		expect(Object.keys(messages).sort()).toEqual([...messageTypes].sort());
		const [hers, his] = [ada, bob].map(({ token }) => new SyncClient(edge.worker.host, { token })) as [SyncClient, SyncClient];
		sockets.push(hers, his);
		await Promise.all([hers.next("initial-state"), his.next("initial-state")]);
		const before = await everythingOfAdas();
		for (const [type, each] of Object.entries(messages)) {
			for (const message of each) {
				const count = his.messages.length;
				his.send({ type, ...message });
				await until(() => his.messages.length > count);
			}
		}
		expect(await everythingOfAdas()).toEqual(before);
		const count = hers.messages.length;
		await ada.call("POST", `/api/hive/agents/${world.agentId}/report`, { cpu: 2 });
		await until(() => hers.messages.length > count);
		await sleep(200);
		expect(JSON.stringify(his.messages)).not.toContain(MARK);
		expect(JSON.stringify(hers.messages)).toContain(MARK);
	});

	it("is the one to whom it is not there: to its owner it is", async () => {
		// What follows a job follows it to its end.
		await ada.call("DELETE", `/api/jobs/${world.jobId}`);
		for (const operation of await operations()) {
			const { status, text } = await ask(ada, operation);
			// She has published nothing.
			if (operation.startsWith("GET /api/public/")) expect(status, operation).toBe(404);
			else expect([200, 202, 204, 409, 501], `${operation} ${text.slice(0, 200)}`).toContain(status);
			if (shown.test(operation)) expect(text, operation).toContain(MARK);
		}
	});

	function idOf(entityType: string): string | null {
		return { swarm: world.swarmId, agent: world.agentId, task: world.taskId }[entityType] ?? null;
	}

	function listener({ token }: Someone): { readonly socket: Socket; readonly heard: [string, unknown][] } {
		const socket = io(`http://${edge.worker.host}`, { transports: ["websocket"], auth: { token }, reconnection: false, forceNew: true });
		sockets.push(socket);
		const heard: [string, unknown][] = [];
		socket.onAny((name: string, payload: unknown) => heard.push([name, payload]));
		return { socket, heard };
	}
});
