import { setTimeout as sleep } from "node:timers/promises";
import { io, type Socket } from "socket.io-client";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type MemoryServices, memoryServices, principalOf } from "../testing.ts";
import { startWorker, type TestWorker } from "../testing-worker.ts";

let services: MemoryServices;
let worker: TestWorker;
const sockets: Socket[] = [];

beforeEach(async () => {
	services = memoryServices([principalOf("ada"), principalOf("eve", "elsewhere")]);
	worker = await startWorker(services);
});

afterEach(async () => {
	for (const socket of sockets.splice(0)) socket.disconnect();
	await worker.stop();
});

/** A socket that has been greeted, and what it is told about tools. */
async function connect(who = "ada") {
	const socket = io(`http://${worker.host}`, {
		auth: { token: `token-${who}` },
		transports: ["websocket"],
		reconnection: false,
		forceNew: true,
	});
	sockets.push(socket);
	const told: { readonly name: string; readonly payload: Record<string, unknown> }[] = [];
	socket.onAny((name, payload) => told.push({ name, payload }));
	await new Promise<void>((resolve) => socket.once("connected", () => resolve()));
	const next = async (name: string, executionId?: string) => {
		const find = () => told.find((each) => each.name === name && (executionId === undefined || each.payload.executionId === executionId));
		await until(() => find() !== undefined);
		return find()?.payload;
	};
	const names = () => told.map(({ name }) => name).filter((name) => name.startsWith("mcp:"));
	return { socket, told, next, names };
}

async function until(condition: () => boolean): Promise<void> {
	for (const end = Date.now() + 20_000; !condition(); await sleep(5)) if (Date.now() > end) throw new Error(`in vain: ${condition}`);
}

const states = () => services.jobs.submitted.map(({ state }) => state);

describe("tools over Socket.IO", () => {
	it("are discovered, as far as the role goes", async () => {
		const { socket, next } = await connect();
		socket.emit("mcp:tools:discover");
		const { tools, timestamp } = (await next("mcp:tools:list")) as { tools: { name: string }[]; timestamp: string };
		expect(tools.map(({ name }) => name)).toEqual(["echo", "hold", "fail", "absent"]);
		expect(tools[0]).toMatchObject({ description: "What echo does", category: "system", parameters: { type: "object" } });
		expect(timestamp).toMatch(/Z$/);
	});

	it.each(["echo", "mcp__claude-flow__echo"])("are run, by either name, with progress before the response: %s", async (toolName) => {
		const { socket, next, names, told } = await connect();
		socket.emit("mcp:tool:execute", { executionId: "e", toolName, parameters: { text: "x" }, options: {} });
		expect(await next("mcp:tool:response")).toEqual({
			executionId: "e",
			success: true,
			result: { text: "x" },
			error: null,
			code: null,
			jobId: services.jobs.submitted[0]?.id,
			executionTime: expect.any(Number),
			tokenUsage: null,
			agentId: null,
			timestamp: expect.stringMatching(/Z$/),
		});
		expect(names().at(-1)).toBe("mcp:tool:response");
		const progress = told.filter(({ name }) => name === "mcp:tool:progress").map(({ payload }) => payload);
		expect(progress.map((each) => each.progress)).toEqual([
			{ message: "Executing echo", percent: 0 },
			{ message: "echo is half done", percent: 50 },
			{ message: "echo is done", percent: 100 },
		]);
		for (const each of progress) expect(each.executionId).toBe("e");
	});

	it.each<[string, unknown, string]>([
		["a tool that fails", { toolName: "fail" }, "TOOL_FAILED"],
		["a tool that nothing can run", { toolName: "absent" }, "TOOL_UNAVAILABLE"],
		["a tool that there is not", { toolName: "nothing" }, "INVALID"],
		["a tool of another role", { toolName: "rule" }, "INVALID"],
		["no tool", {}, "INVALID"],
		["arguments that the schema refuses", { toolName: "echo" }, "INVALID"],
		["parameters in a list", { toolName: "echo", parameters: [] }, "INVALID"],
	])("say in the response what is the matter: %s", async (_, payload, code) => {
		const { socket, next } = await connect();
		socket.emit("mcp:tool:execute", { executionId: "e", ...(payload as object) });
		expect(await next("mcp:tool:response")).toMatchObject({
			executionId: "e",
			success: false,
			result: null,
			error: expect.any(String),
			code,
		});
	});

	it("are cancelled by who began them, and by nobody else", async () => {
		const [ada, again, eve] = [await connect(), await connect(), await connect("eve")];
		ada.socket.emit("mcp:tool:execute", { executionId: "e", toolName: "hold" });
		await until(() => states()[0] === "active");
		for (const { socket, next } of [again, eve]) {
			socket.emit("mcp:tool:cancel", { executionId: "e" });
			expect(await next("mcp:tool:response")).toMatchObject({ executionId: "e", success: false, code: "NOT_FOUND" });
		}
		ada.socket.emit("mcp:tool:execute", { executionId: "e", toolName: "hold" });
		expect(await ada.next("mcp:tool:response")).toMatchObject({ success: false, code: "CONFLICT" });
		expect(states()).toEqual(["active"]);
		ada.told.length = 0;
		ada.socket.emit("mcp:tool:cancel", { executionId: "e" });
		expect(await ada.next("mcp:tool:response")).toMatchObject({ executionId: "e", success: false, code: "CANCELLED" });
	});

	it("go on when their socket closes, and are found again by their key", async () => {
		const first = await connect();
		const execute = { toolName: "hold", options: { idempotencyKey: "k" } };
		first.socket.emit("mcp:tool:execute", { executionId: "e", ...execute });
		await until(() => states()[0] === "active");
		first.socket.disconnect();
		const second = await connect();
		second.socket.emit("mcp:tool:execute", { executionId: "f", ...execute });
		await second.next("mcp:tool:progress");
		services.jobs.release();
		expect(await second.next("mcp:tool:response")).toMatchObject({ executionId: "f", success: true, result: "held" });
		expect(states()).toEqual(["completed"]);
	});

	it("are so many at once for one socket, and others are served", async () => {
		const [ada, eve] = [await connect(), await connect("eve")];
		for (let each = 0; each <= 32; each++) ada.socket.emit("mcp:tool:execute", { executionId: `e${each}`, toolName: "hold" });
		expect(await ada.next("mcp:tool:response", "e32")).toMatchObject({ success: false, code: "RATE_LIMITED" });
		eve.socket.emit("mcp:tool:execute", { executionId: "x", toolName: "echo", parameters: { text: "x" } });
		expect(await eve.next("mcp:tool:response", "x")).toMatchObject({ success: true });
		expect(states().filter((state) => state === "active")).toHaveLength(32);
	});

	it("tell nothing of a fault of the server's", async () => {
		const { socket, next } = await connect();
		services.jobs.run = async () => {
			throw new TypeError("secret");
		};
		socket.emit("mcp:tool:execute", { executionId: "e", toolName: "hold" });
		expect(await next("mcp:tool:response")).toMatchObject({ success: false, error: "Internal error.", code: "UNAVAILABLE" });
		expect(worker.observed).toContain("fault socket-io mcp:tool:execute TypeError: secret");
	});
});
