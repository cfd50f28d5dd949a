/** What goes elsewhere, with something that answers as Elasticsearch and Grafana do in their places. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, expect, it } from "vitest";
import { findPrograms } from "../../local/machine.ts";
import { grafanaService, logsService } from "../../local/services/observability.ts";
import type { Service } from "../../local/services/service.ts";

const rsyslog = findPrograms().rsyslog;
const closing: (() => unknown)[] = [];
afterEach(async () => {
	for (const close of closing.splice(0).toReversed()) await close();
});

interface Asked {
	readonly method: string;
	readonly url: string;
	readonly user: string | null;
	readonly body: string;
}

type Answer = (asked: Asked) => { status: number; body?: unknown };

/** A server that is asked things; `port` 0 for any. */
async function standIn(answer: Answer, port = 0): Promise<{ port: number; asked: Asked[]; close(): Promise<void> }> {
	const asked: Asked[] = [];
	const server: Server = createServer(async (request: IncomingMessage, response) => {
		let body = "";
		for await (const chunk of request) body += chunk;
		const basic = /^Basic (.+)$/.exec(request.headers.authorization ?? "")?.[1];
		const user = basic === undefined ? null : Buffer.from(basic, "base64").toString();
		const one = { method: request.method ?? "", url: request.url ?? "", user, body };
		asked.push(one);
		const { status, body: said } = answer(one);
		response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(said ?? {}));
	});
	server.listen(port, "127.0.0.1");
	await once(server, "listening");
	const close = async () => {
		server.closeAllConnections();
		await new Promise((resolve) => server.close(resolve));
	};
	closing.push(close);
	return { port: (server.address() as AddressInfo).port, asked, close };
}

/** Runs a service's command as the supervisor does. */
function start({ files, command }: Service): { child: ChildProcess; output: () => string } {
	for (const { path: file, text } of files) {
		mkdirSync(path.dirname(file), { recursive: true });
		writeFileSync(file, text);
	}
	const child = spawn(command.program, command.args, { env: { ...process.env, ...command.env }, stdio: ["ignore", "pipe", "pipe"] });
	let output = "";
	for (const stream of [child.stdout, child.stderr]) stream?.on("data", (data) => (output += data));
	closing.push(async () => {
		if (child.exitCode === null && child.kill()) await once(child, "exit");
	});
	return { child, output: () => output };
}

async function until(condition: () => boolean, what: () => string): Promise<void> {
	for (const end = Date.now() + 30_000; !condition(); await sleep(50)) if (Date.now() > end) throw new Error(`in vain: ${what()}`);
}

describe.skipIf(rsyslog === null)("logs that go to an Elasticsearch", () => {
	const bulk: Answer = ({ url, body }) =>
		url.startsWith("/_bulk")
			? {
					status: 200,
					body: {
						errors: false,
						items: body
							.trim()
							.split(/\n+/)
							.flatMap((_, at) => (at % 2 ? [{ index: { status: 201 } }] : [])),
					},
				}
			: { status: 200 };
	/** Documents, whichever requests they came in. */
	const documents = (asked: readonly Asked[]) =>
		asked
			.filter(({ url }) => url.startsWith("/_bulk"))
			.flatMap(({ body }) => body.split("\n").filter((line) => line !== "" && !line.startsWith('{"index"')))
			.map((line) => JSON.parse(line) as Record<string, unknown>);

	function folders() {
		const folder = mkdtempSync(path.join(tmpdir(), "af-logs-"));
		closing.push(() => rmSync(folder, { recursive: true, force: true }));
		mkdirSync(path.join(folder, "logs"));
		return { logs: path.join(folder, "logs"), folder: path.join(folder, "rsyslog") };
	}

	it("arrive from the first line on: JSON as it is, and the rest in the same fields, by the user of the URL", async () => {
		const elasticsearch = await standIn(bulk);
		const { logs, folder } = folders();
		const line = '{"@timestamp":"2026-11-25T20:20:53.072Z","message":"said \\"hello\\"","http.response.status_code":200}';
		writeFileSync(path.join(logs, "node-1.log"), `${line}\nLOG:  started \\ "here"\n`);
		const url = `http://shipper:s%22cret@127.0.0.1:${elasticsearch.port}`;
		const { output } = start(logsService({ program: rsyslog as string, url, logs, folder }));
		await until(() => documents(elasticsearch.asked).length === 2, output);
		appendFileSync(path.join(logs, "redis-cache.log"), "later\n");
		// It would make more of its own trouble.
		appendFileSync(path.join(logs, "rsyslog.log"), "its own\n");
		await until(() => documents(elasticsearch.asked).length === 3, output);
		const all = documents(elasticsearch.asked);
		expect(all).toContainEqual(JSON.parse(line));
		const file = path.join(logs, "node-1.log");
		expect(all).toContainEqual({ "@timestamp": expect.any(String), "log.file.path": file, message: 'LOG:  started \\ "here"' });
		expect(all.map(({ message }) => message)).toContain("later");
		expect(new Set(elasticsearch.asked.map(({ user }) => user))).toEqual(new Set(['shipper:s"cret']));
		expect(elasticsearch.asked.find(({ url }) => url === "/_bulk")?.body).toMatch(/"_index": "agentic-flow-\d{4}\.\d\d\.\d\d"/);
	});

	it("wait while it is away, also over a stop, and arrive once when it is back, but for what was being sent at the stop", async () => {
		const { port, close } = await standIn(bulk);
		await close();
		const { logs, folder } = folders();
		const service = logsService({ program: rsyslog as string, url: `http://127.0.0.1:${port}`, logs, folder });
		const lines = Array.from({ length: 500 }, (_, number) => JSON.stringify({ number }));
		writeFileSync(path.join(logs, "node-1.log"), `${lines.slice(0, 250).join("\n")}\n`);
		const first = start(service);
		await sleep(3_000);
		first.child.kill();
		await once(first.child, "exit");
		appendFileSync(path.join(logs, "node-1.log"), `${lines.slice(250).join("\n")}\n`);
		const { output } = start(service);
		const elasticsearch = await standIn(bulk, port);
		const last = () => documents(elasticsearch.asked).some(({ number }) => number === 499);
		await until(() => documents(elasticsearch.asked).length >= 450 && last(), output);
		await sleep(500);
		const numbers = documents(elasticsearch.asked).map(({ number }) => number as number);
		expect(new Set(numbers).size).toBe(numbers.length);
		expect(numbers.filter((number) => number >= 250).toSorted((one, other) => one - other)).toEqual(
			Array.from({ length: 250 }, (_, index) => 250 + index),
		);
	});
});

describe("the data source in a Grafana", () => {
	const sources = new Map<string, unknown>();
	const grafana: Answer = ({ method, url, user, body }) => {
		if (url === "/g/api/health") return { status: 200, body: { database: "ok", version: "12.0.0" } };
		if (user !== "admin:hidden") return { status: 401, body: { message: "Invalid username or password" } };
		const uid = /^\/g\/api\/datasources\/uid\/(.+)$/.exec(url)?.[1];
		if (method === "PUT" && uid !== undefined && !sources.has(uid)) return { status: 404 };
		const source = JSON.parse(body) as { uid: string };
		sources.set(source.uid, source);
		return { status: 200 };
	};
	const run = async (url: string, prometheusPort = 4_021) => {
		const { child, output } = start(grafanaService({ url, topology: 3_001, prometheusPort }));
		const [code] = await once(child, "close");
		return { code, said: output() };
	};

	it("is made, and brought up to date the next time", async () => {
		const { port } = await standIn(grafana);
		expect(await run(`http://admin:hidden@127.0.0.1:${port}/g`)).toMatchObject({ code: 0 });
		expect(await run(`http://admin:hidden@127.0.0.1:${port}/g`, 5_021)).toMatchObject({ code: 0 });
		const source = {
			uid: "agentic-flow-3001",
			name: "agentic-flow-3001",
			type: "prometheus",
			access: "proxy",
			url: "http://127.0.0.1:5021",
		};
		expect([...sources.values()]).toEqual([source]);
	});

	it("is not made where that is not possible, and it says why", async () => {
		const { port, close } = await standIn(grafana);
		const refused = await run(`http://admin:wrong@127.0.0.1:${port}/g`);
		expect(refused).toMatchObject({ code: 1, said: expect.stringMatching(/^Grafana: it lets nobody in with that user \(401\)/) });
		const other = await run(`http://127.0.0.1:${port}`);
		expect(other).toMatchObject({ code: 1, said: expect.stringMatching(/^Grafana: what answers there is no Grafana/) });
		await close();
		const away = await run(`http://127.0.0.1:${port}`);
		expect(away).toMatchObject({ code: 1, said: expect.stringMatching(/^Grafana: connect ECONNREFUSED/) });
		expect(refused.said + other.said + away.said).not.toMatch(/wrong|\n {4}at /);
	});
});
