import type { IncomingMessage } from "node:http";
import { describe, expect, it } from "vitest";
import { createLog } from "./log.ts";
import { type Business, createMetrics, type Sources } from "./metrics.ts";
import { databaseObserver, httpObserver, problemsOf, socketObserver } from "./observers.ts";

const business: Business = { agents: 5, tasks: { pending: 2, completed: 7 }, memoryEntries: { swarm: 3 } };

const sources: Sources = {
	load: () => ({ delaySeconds: 0.012, utilization: 0.5, level: 1 }),
	sockets: () => ({ sync: 4, socketIo: 3, mcp: 2 }),
	pools: () => [{ server: "primary", total: 4, idle: 1, waiting: 2 }],
	dependencies: () => ({ "redis-state": { status: "down" } }),
	business: async () => business,
};

function observing(level: "info" | "debug" = "info") {
	const lines: string[] = [];
	const { log } = createLog({ level }, "worker", "1", { write: (line) => void lines.push(line) });
	return { log, metrics: createMetrics(), tracing: null, lines };
}

const get = { method: "GET" } as IncomingMessage;

/** Lines that are not of Node or of the process. */
async function figures(metrics: ReturnType<typeof createMetrics>): Promise<string[]> {
	return (await metrics.text()).split("\n").filter((line) => line !== "" && !/^(#|nodejs_|process_)/.test(line));
}

describe("the metrics", () => {
	it("tell requests around a tenth of a second apart, by route template", async () => {
		const all = observing();
		const { answered } = httpObserver(all);
		answered(get, "/api/hive/tasks/:taskId", 200, 0.11, false);
		answered({ method: "BREW" } as IncomingMessage, "unmatched", 404, 0.01, false);
		answered(get, "/api/mcp/execute", 500, 9, true);
		const lines = await figures(all.metrics);
		expect(lines).toContain('http_wait_duration_seconds_count{route="/api/mcp/execute",method="GET",status="500"} 1');
		expect(lines.filter((line) => line.startsWith("http_request_duration_seconds_count"))).toHaveLength(2);
		expect(lines).toContain('http_request_duration_seconds_bucket{le="0.1",route="/api/hive/tasks/:taskId",method="GET",status="200"} 0');
		expect(lines).toContain('http_request_duration_seconds_bucket{le="0.125",route="/api/hive/tasks/:taskId",method="GET",status="200"} 1');
		expect(lines).toContain('http_request_duration_seconds_count{route="unmatched",method="other",status="404"} 1');
	});

	it("are looked up when they are asked for", async () => {
		const { metrics } = observing();
		metrics.watch(sources);
		expect(await figures(metrics)).toEqual(
			expect.arrayContaining([
				"event_loop_delay_seconds 0.012",
				"event_loop_utilization 0.5",
				"load_level 1",
				'sockets_open{protocol="sync"} 4',
				'sockets_open{protocol="socket-io"} 3',
				'postgres_pool_connections{server="primary",state="busy"} 3',
				'postgres_pool_waiting{server="primary"} 2',
				'dependency_up{dependency="redis-state"} 0',
				"agents 5",
				'tasks{status="completed"} 7',
				'memory_entries{system="swarm"} 3',
			]),
		);
	});

	it("leave out what nobody can count", async () => {
		const { metrics } = observing();
		metrics.watch({ ...sources, business: async () => null });
		expect((await figures(metrics)).filter((line) => /^(agents|tasks|memory_entries)/.test(line))).toEqual([]);
	});

	it("count statements, fallbacks and what happens to sockets", async () => {
		const all = observing();
		const database = databaseObserver(all);
		database.statement("replica", "agents-list")(new Error("no"));
		database.fallback("lagging");
		const sockets = socketObserver(all);
		sockets.closed("sync", 1013);
		sockets.delivered(10, 3);
		expect(await figures(all.metrics)).toEqual(
			expect.arrayContaining([
				'postgres_statement_duration_seconds_count{server="replica"} 1',
				'postgres_statement_errors_total{server="replica"} 1',
				'postgres_replica_fallbacks_total{reason="lagging"} 1',
				'sockets_closed_total{protocol="sync",code="1013"} 1',
				"sync_updates_total 30",
			]),
		);
	});
});

describe("the log of requests", () => {
	it("has what failed or was slow, and nothing of the rest", () => {
		const all = observing();
		const { answered } = httpObserver(all);
		for (let index = 0; index < 100; index++) answered(get, "/api/health", 200, 0.002, false);
		answered(get, "/api/hive/status", 503, 0.001, false);
		answered(get, "/api/hive/status", 500, 0.001, false);
		answered(get, "/api/hive/agents", 200, 1.5, false);
		answered(get, "/api/mcp/execute", 500, 9, true);
		expect(all.lines.map((line) => JSON.parse(line))).toMatchObject([
			{ "log.level": "error", "http.response.status_code": 500, "url.path": "/api/hive/status" },
			{ "log.level": "warn", "http.response.status_code": 200, "url.path": "/api/hive/agents", "event.duration": 1_500_000_000 },
		]);
	});

	it("has every request at the level debug", () => {
		const all = observing("debug");
		httpObserver(all).answered(get, "/api/health", 200, 0.002, false);
		expect(all.lines).toHaveLength(1);
	});
});

it("trouble is counted always, and logged once in a while", async () => {
	const all = observing();
	const problem = problemsOf("events", all);
	for (let index = 0; index < 50; index++) problem("events were not announced", new Error("Redis is away"));
	problem("something else", new Error("really"));
	expect(all.lines.map((line) => JSON.parse(line).message)).toEqual(["events were not announced", "something else"]);
	expect(await figures(all.metrics)).toContain('problems_total{part="events"} 51');
});
