import { once } from "node:events";
import { createServer, type IncomingMessage, type Server } from "node:http";
import { context, propagation, trace } from "@opentelemetry/api";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Services } from "../ports.ts";
import { startTracing, type Tracing } from "./tracing.ts";

interface ReceivedSpan {
	readonly traceId: string;
	readonly spanId: string;
	readonly parentSpanId?: string;
	readonly name: string;
	readonly attributes: readonly { readonly key: string; readonly value: Record<string, unknown> }[];
	readonly status: { readonly code?: number };
}

interface Export {
	readonly resourceSpans: readonly {
		readonly resource: { readonly attributes: ReceivedSpan["attributes"] };
		readonly scopeSpans: readonly { readonly spans: readonly ReceivedSpan[] }[];
	}[];
}

let receiver: Server;
let endpoint: string;
let exported: Export[];
let tracing: Tracing;

beforeEach(async () => {
	exported = [];
	receiver = createServer(async (request, response) => {
		const chunks: Buffer[] = [];
		for await (const chunk of request) chunks.push(chunk);
		if (request.url === "/v1/traces") exported.push(JSON.parse(Buffer.concat(chunks).toString()));
		response.end("{}");
	}).listen(0, "127.0.0.1");
	await once(receiver, "listening");
	endpoint = `http://127.0.0.1:${(receiver.address() as { port: number }).port}`;
});

afterEach(async () => {
	await tracing.stop();
	receiver.closeAllConnections();
	receiver.close();
	trace.disable();
	context.disable();
	propagation.disable();
});

function start(ratio: number): Tracing {
	tracing = startTracing({ endpoint, ratio, serviceName: "agentic-flow" }, "1.2.3", "worker-1");
	return tracing;
}

async function spans(): Promise<ReceivedSpan[]> {
	await tracing.stop();
	return exported.flatMap(({ resourceSpans }) =>
		resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans: list }) => [...list])),
	);
}

function request(traceparent?: string): IncomingMessage {
	return { method: "GET", headers: traceparent === undefined ? {} : { traceparent } } as IncomingMessage;
}

const TRACE = "0af7651916cd43dd8448eb211c80319c";
const PARENT = "b7ad6b7169203331";

describe("traces", () => {
	it("go on where the caller's trace is, down to the statement, and say nothing of what was asked", async () => {
		const { begin, answered, statement } = start(0);
		const incoming = request(`00-${TRACE}-${PARENT}-01`);
		begin(incoming, "/api/hive/tasks/:taskId", () => statement("replica", "task-find")?.(null));
		answered(incoming, 200);
		const [query, server] = await spans();
		expect(server).toMatchObject({ traceId: TRACE, parentSpanId: PARENT, name: "GET /api/hive/tasks/:taskId" });
		expect(query).toMatchObject({ traceId: TRACE, parentSpanId: server?.spanId, name: "task-find" });
		expect(server?.attributes).toContainEqual({ key: "http.response.status_code", value: { intValue: 200 } });
		expect(exported[0]?.resourceSpans[0]?.resource.attributes).toContainEqual({
			key: "service.name",
			value: { stringValue: "agentic-flow" },
		});
	});

	it("make no span for a request that is not sampled", async () => {
		const { begin, answered, statement } = start(0);
		let inside: unknown = "not run";
		for (const incoming of [request(), request(`00-${TRACE}-${PARENT}-00`), request("nonsense")]) {
			begin(incoming, "/api/hive/status", () => {
				inside = statement("primary", "agents-list");
			});
			answered(incoming, 200);
			expect(inside).toBeNull();
		}
		expect(await spans()).toEqual([]);
	});

	it("follow what was decided about a request before it began", async () => {
		const { begin, answered, isTraced } = start(1);
		const incoming = request();
		expect(isTraced(incoming)).toBe(true);
		begin(incoming, "/api/hive/agents", () => {});
		answered(incoming, 200);
		expect(await spans()).toHaveLength(1);
		expect(start(0).isTraced(request())).toBe(false);
	});

	it("are begun here for the share that is asked for", async () => {
		const { begin, answered } = start(1);
		const incoming = request();
		begin(incoming, "/api/health", () => {});
		answered(incoming, 503);
		const [span] = await spans();
		expect(span).toMatchObject({ name: "GET /api/health", status: { code: 2 } });
		expect(span).not.toHaveProperty("parentSpanId");
	});

	it("cannot be forced on a worker by the thousand", async () => {
		const { begin, answered } = start(0);
		for (let index = 0; index < 500; index++) {
			const incoming = request(`00-${TRACE}-${PARENT}-01`);
			begin(incoming, "/", () => {});
			answered(incoming, 200);
		}
		expect((await spans()).length).toBeLessThanOrEqual(100);
	});

	it("follow what a socket asks for, and its failure", async () => {
		class Agents {
			readonly #known = ["a"];
			async list() {
				tracing.statement("primary", "agents-list")?.(null);
				return this.#known;
			}
			async remove() {
				throw new RangeError("agent-7 of somebody");
			}
		}
		const services = { agents: new Agents(), swarm: {}, tasks: {}, activities: {}, memory: {}, events: {}, identity: {} };
		const methods = ["current", "initialise", "snapshot", "list", "get", "create", "claim", "progress", "complete", "fail", "cancel"];
		const stub = Object.fromEntries(
			[...methods, "store", "search", "remove", "since", "head", "fromToken", "fromSession", "spawn", "report"].map((name) => [
				name,
				async () => null,
			]),
		);
		const { agents } = start(1).forSockets({
			...Object.fromEntries(Object.keys(services).map((name) => [name, stub])),
			agents: Object.assign(services.agents, { spawn: stub.spawn, report: stub.report }),
		} as unknown as Services);
		expect(await agents.list({} as never)).toEqual(["a"]);
		await expect(agents.remove({} as never, "agent-7")).rejects.toThrow(RangeError);
		const list = await spans();
		expect(list.map(({ name }) => name)).toEqual(["agents-list", "socket agents.list", "socket agents.remove"]);
		expect(list[0]?.parentSpanId).toBe(list[1]?.spanId);
		expect(list[2]?.status.code).toBe(2);
		expect(JSON.stringify(exported)).not.toContain("agent-7");
	});

	it("do not keep a process waiting for a receiver that is gone", async () => {
		const { begin, answered } = start(1);
		receiver.closeAllConnections();
		receiver.close();
		const incoming = request();
		begin(incoming, "/", () => {});
		answered(incoming, 200);
		const before = performance.now();
		await tracing.stop();
		expect(performance.now() - before).toBeLessThan(2_000);
	});
});
