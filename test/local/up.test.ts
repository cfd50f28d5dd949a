import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { request as requestTls } from "node:https";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { io } from "socket.io-client";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { RpcClient } from "../../app/mcp/rpc-client.fixture.ts";
import { SyncClient } from "../../app/ws/testing-client.ts";
import { findPrograms, postgresUser, which } from "../../local/machine.ts";
import { portsFrom } from "../../local/place.ts";
import { SocketFollower, SyncFollower, type Ticks } from "../app/followers.ts";
import { lostOf, startLoad } from "../app/http-load.ts";
import { Files, schemas } from "../app/import-rig.ts";
import { until } from "../app/server-process.ts";
import { TestTopology } from "./topology.ts";

const { haproxy, redis, postgres } = findPrograms();
const missing =
	haproxy && redis && postgres && which("openssl") && postgresUser() !== null ? null : "needs HAProxy, Redis, PostgreSQL and openssl";

const PORT = 23_001;
const ports = portsFrom(PORT);
const host = `127.0.0.1:${PORT}`;

describe.skipIf(missing)(`flowctl up${missing ? `: ${missing}` : ""}`, () => {
	let topology: TestTopology;
	let welcome: string;
	const sharedMemory = readdirSync("/dev/shm").sort();

	beforeAll(async () => {
		topology = new TestTopology(PORT);
		const { code, stdout, stderr } = await topology.flowctl("up", "--nodes", "2", "--workers", "2", "--legacy-open");
		expect({ code, stderr }).toEqual({ code: 0, stderr: expect.stringMatching(/haproxy-1 +ready[\s\S]*Up in \d+\.\d s\.\n$/) });
		welcome = stdout;
	});

	afterAll(() => topology?.remove());

	const token = () => /^token +(af_\S+)$/m.exec(welcome)?.[1] as string;

	it("says where it is, how to log in, and what is not there", () => {
		expect(welcome).toMatch(new RegExp(`^open +http://localhost:${PORT}/#login=[\\w-]{20,}$`, "m"));
		expect(welcome).toMatch(/^https +https:\/\/localhost:\d+$/m);
		expect(welcome).toContain("Elasticsearch: ");
		expect(token()).toBeDefined();
	});

	it("has everything ready, as it tells people and tools", async () => {
		const { services, settings } = await topology.status();
		expect(settings).toMatchObject({ nodes: 2, workers: 2, legacyOpen: true });
		expect(services.filter(({ state }) => state !== "ready").map(({ name, state }) => `${name} ${state}`)).toEqual(["migrate done"]);
		const facts = Object.fromEntries(services.map(({ name, facts }) => [name, facts]));
		expect(facts).toMatchObject({
			"redis-state-1": { role: "primary", replicas: 1 },
			"redis-state-2": { role: "replica", link: "up" },
			"postgres-primary": { role: "primary", synchronous: "postgres-standby", replicas: 2 },
			"node-1": { workers: "2/2 ready" },
			"haproxy-1": { workersUp: 4 },
		});
		const { code, stdout } = await topology.flowctl("status");
		expect(code).toBe(0);
		expect(stdout).toMatch(/^node-2 +ready +\d+ +\d+s +0 +address 127\.0\.\d+\.2, workers 2\/2 ready$/m);
	});

	it("serves HTTP, HTTPS, Socket.IO and the sync channel, on the ports their clients know", async () => {
		const status = await fetch(`http://${host}/api/hive/status`, { headers: { authorization: `Bearer ${token()}` } });
		expect(status.status).toBe(200);
		const secure = await new Promise<number | undefined>((resolve, reject) =>
			requestTls(`https://localhost:${ports.tls}/api/health`, { rejectUnauthorized: false }, (response) => {
				response.resume();
				resolve(response.statusCode);
			})
				.once("error", reject)
				.end(),
		);
		expect(secure).toBe(200);
		for (const port of [ports.sync, ports.mcp]) expect((await fetch(`http://127.0.0.1:${port}/health`)).status).toBe(200);

		const native = new SyncClient(`127.0.0.1:${ports.sync}`);
		const mounted = new SyncClient(host);
		for (const client of [native, mounted]) {
			expect(await client.next("initial-state", 10_000)).toMatchObject({ data: { agents: expect.any(Array) } });
			client.close();
		}
		for (const transports of [["polling"], ["websocket"], ["polling", "websocket"]] as const) {
			const socket = io(`http://${host}`, { transports: [...transports], forceNew: true });
			await new Promise<void>((resolve, reject) => socket.once("connect", resolve).once("connect_error", reject));
			const answer = new Promise((resolve) => socket.once("agents:list", resolve));
			socket.emit("get:agents");
			expect(await answer).toBeDefined();
			socket.disconnect();
		}
	});

	it("serves MCP to the original's clients and to official ones, and its jobs are done", async () => {
		for (const url of [`ws://localhost:${ports.mcp}/`, `ws://${host}/mcp`]) {
			const client = await new RpcClient(url).initialised();
			expect((await client.request("tools/list")).result.tools).toHaveLength(82);
			expect(await client.call("mcp__claude-flow__swarm_status")).toMatchObject({ result: { content: [{ type: "text" }] } });
			client.close();
		}
		for (const url of [`http://127.0.0.1:${ports.mcp}/`, `http://${host}/mcp`]) {
			const client = new Client({ name: "test", version: "1" });
			const requestInit = { headers: { authorization: `Bearer ${token()}` } };
			await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit }));
			expect((await client.listTools()).tools).toHaveLength(82);
			expect((await client.callTool({ name: "swarm_status" })).isError).toBeUndefined();
			await client.close();
		}
		const executed = await fetch(`http://${host}/api/mcp/execute`, {
			method: "POST",
			headers: { "content-type": "application/json" },
			body: JSON.stringify({ toolName: "agent_list" }),
		});
		expect([executed.status, await executed.json()]).toMatchObject([200, { success: true }]);
	});

	it("keeps a terminal through a reload of all workers, and gives none to who has no token", async () => {
		const nobody = io(`http://${host}`, { transports: ["websocket"], forceNew: true });
		nobody.emit("terminal:create", {});
		expect(await new Promise((resolve) => nobody.once("terminal:error", resolve))).toMatchObject({
			error: expect.stringContaining("A terminal needs a token"),
		});
		nobody.disconnect();

		const socket = io(`http://${host}`, { transports: ["websocket"], forceNew: true, auth: { token: token() } });
		let output = "";
		socket.on("terminal:output", ({ data }: { data: string }) => {
			output += data;
		});
		const created = new Promise<{ sessionId: string }>((resolve, reject) => {
			socket.once("terminal:created", resolve);
			socket.once("terminal:error", ({ error }: { error: string }) => reject(new Error(error)));
		});
		socket.emit("terminal:create", {});
		const { sessionId } = await created;
		const type = (input: string) => socket.emit("terminal:input", { sessionId, input });
		type("kept=$((6 * 7)); id -u\r");
		await until(() => /^\d+\r$/m.test(output), "the shell");
		if (process.getuid?.() === 0) expect(Number(/^(\d+)\r$/m.exec(output)?.[1])).toBeGreaterThanOrEqual(40_000);
		// The worker it comes to first may be replaced as well: what is typed before the last has the terminal is dropped.
		let attached = false;
		socket.on("terminal:attached", () => {
			attached = true;
		});
		socket.on("disconnect", () => {
			attached = false;
		});
		socket.on("connect", () => socket.emit("terminal:attach", { sessionId, offset: output.length }));
		expect((await topology.flowctl("reload")).code).toBe(0);
		await until(() => attached && socket.connected, "another worker");
		type("echo still $kept\r");
		await until(
			() => output.includes("\rstill 42\r"),
			() => `the same shell; it wrote ${JSON.stringify(output)}`,
		);
		const { services } = await topology.status();
		const hosts = services.filter(({ role }) => role === "terminal-host");
		expect(hosts.map(({ facts }) => facts.terminals).sort()).toEqual([0, 1]);
		socket.emit("terminal:close", { sessionId });
		await new Promise((resolve) => socket.once("terminal:exit", resolve));
		socket.disconnect();
	});

	it("makes a link that logs a browser in, once", async () => {
		const { stdout } = await topology.flowctl("token", "login");
		const code = /#login=(\S+)/.exec(stdout)?.[1];
		const logIn = () =>
			fetch(`http://${host}/api/session`, {
				method: "POST",
				headers: { "content-type": "application/json", origin: `http://localhost:${PORT}` },
				body: JSON.stringify({ code }),
			});
		const first = await logIn();
		expect({ status: first.status, cookie: first.headers.get("set-cookie") }).toEqual({
			status: 200,
			cookie: expect.stringMatching(/HttpOnly/i),
		});
		expect((await logIn()).status).toBe(401);
	});

	it("imports what the original kept, for everybody's workers to show", async () => {
		const files = new Files();
		files.database(".swarm/memory.db", [schemas.memory_entries], {
			memory_entries: [{ key: "imported", value: '{"from":"the original"}' }],
		});
		files.write("broken.db", "no database");
		const { code, stdout, stderr } = await topology.flowctl("import-sqlite", files.folder);
		files.remove();
		expect({ code, stderr }).toEqual({ code: 1, stderr: "" });
		expect(stdout).toMatch(/^imported +\S+memory\.db\n +memory_entries +1 read: 1 inserted; [\s\S]+^refused +\S+broken\.db$/m);
		const headers = { authorization: `Bearer ${token()}` };
		const keys = async () => {
			const answer = await fetch(`http://${host}/api/memory/swarm`, { headers });
			return ((await answer.json()) as { entries: { key: string }[] }).entries.map(({ key }) => key);
		};
		await until(async () => (await keys()).includes("imported"), "the imported entry", 10_000);
		const mistake = await topology.flowctl("import-sqlite", "nothing.db", "--workspace", "a b");
		expect([mistake.code, mistake.stdout]).toEqual([2, ""]);
		expect(mistake.stderr).toContain('import: --workspace is "a b"');
	});

	it("issues tokens, and revokes them", async () => {
		const issued = JSON.parse((await topology.flowctl("token", "issue", "--subject", "ada")).stdout);
		const ask = () => fetch(`http://${host}/api/hive/status`, { headers: { authorization: `Bearer ${issued.token}` } });
		expect((await ask()).status).toBe(200);
		expect((await topology.flowctl("token", "revoke", "--id", issued.credentialId)).stdout).toContain('"revoked":true');
		await until(async () => (await ask()).status === 401, "the token to be refused", 6_000);
	});

	it("changes nothing when it is up already, and says so where something else is asked for", async () => {
		const before = await topology.status();
		const again = await topology.flowctl("up");
		expect({ code: again.code, stderr: again.stderr }).toEqual({ code: 0, stderr: "It is up already: nothing was changed.\n" });
		const other = await topology.flowctl("up", "--nodes", "3");
		expect(other.code).toBe(2);
		expect(other.stderr).toContain("flowctl scale 3");
		const pids = ({ services }: typeof before) => services.map(({ pid }) => pid);
		expect(pids(await topology.status())).toEqual(pids(before));
	});

	it("follows what is written, and shows the end of it", async () => {
		const { code, stdout } = await topology.flowctl("logs", "node-1", "--tail", "3");
		expect(code).toBe(0);
		expect(stdout.trim().split("\n").length).toBeLessThanOrEqual(3);
		expect((await topology.flowctl("logs", "nod-1")).stderr).toContain('did you mean "node-1"?');
	});

	it("replaces all workers under load without a failed request, and every socket comes back", async () => {
		const before = await workers(topology);
		// Order and gaps are /sync's to promise; of Socket.IO it is that everybody is back.
		const ticks: Ticks = { namespace: "none", count: 0, stop: async () => {} };
		const followers = [
			new SyncFollower(host),
			new SocketFollower(host, ticks, "websocket", false),
			new SocketFollower(host, ticks, "polling", true),
		];
		await Promise.all(followers.map((follower) => follower.ready()));
		const load = startLoad(PORT, { readers: 4, writers: 4 });
		const { code, stderr } = await topology.flowctl("reload");
		await sleep(1_000);
		await load.stop();
		expect({ code, stderr }).toEqual({ code: 0, stderr: expect.stringMatching(/node-1 +ready[\s\S]*node-2 +ready/) });
		expect(load.failed).toEqual([]);
		expect(load.reads).toBeGreaterThan(50);
		const after = await workers(topology);
		expect(after).toHaveLength(before.length);
		expect(after.filter((pid) => before.includes(pid))).toEqual([]);
		await Promise.all(followers.map((follower) => follower.ready()));
		for (const follower of followers) {
			follower.close();
			expect(follower.faults).toEqual([]);
		}
		expect(await lostOf(load, PORT)).toEqual([]);
	});

	it("grows and shrinks under load without a failed request", async () => {
		const load = startLoad(PORT, { readers: 4, writers: 2 });
		expect(await topology.flowctl("scale", "3")).toMatchObject({ code: 0, stderr: expect.stringContaining("There are 3 nodes now") });
		await until(async () => Number((await fact(topology, "haproxy-1", "workersUp")) ?? 0) === 6, "HAProxy to find the new workers");
		expect(await topology.flowctl("scale", "2")).toMatchObject({ code: 0, stderr: expect.stringMatching(/node-3 +stopped/) });
		await sleep(500);
		await load.stop();
		expect(load.failed).toEqual([]);
		expect(await fact(topology, "haproxy-1", "workersUp")).toBe(4);
		expect(await lostOf(load, PORT)).toEqual([]);
	});

	it.each(["redis", "postgres"])(
		"fails over %s under load, loses nothing that was acknowledged, and is well within ten seconds",
		async (store) => {
			const before = await workers(topology);
			const load = startLoad(PORT, { readers: 2, writers: 4 });
			await sleep(500);
			const started = Date.now();
			const { code, stderr } = await topology.flowctl("failover", store);
			expect({ code, stderr }).toEqual({ code: 0, stderr: expect.stringMatching(/took writes after \d+\.\d s/) });
			await sleep(2_000);
			await load.stop();
			const last = Math.max(started, ...load.failed.map(({ to }) => to));
			expect(last - started).toBeLessThan(10_000);
			expect(await lostOf(load, PORT)).toEqual([]);
			expect(await workers(topology)).toEqual(before);
		},
	);

	it("answers every read while a node's workers, and then its PM2, are killed, and has them back", async () => {
		const load = startLoad(PORT, { readers: 6, writers: 0 });
		await sleep(300);
		for (const pid of await workers(topology, 1)) process.kill(pid, "SIGKILL");
		await sleep(2_000);
		process.kill(Number(readFileSync(path.join(topology.folder, String(PORT), "nodes", "1", "pm2.pid"), "utf8")), "SIGKILL");
		await sleep(1_000);
		await until(async () => (await fact(topology, "node-1", "workers")) === "2/2 ready", "the node to be back", 40_000);
		await load.stop();
		// HAProxy asks another worker where one closes without an answer, but not where it resets: what a process was killed over
		// before it had read it. Then the client's connection is closed, which tells a browser to ask again by itself.
		const { "socket hang up": unread = [], ...others } = Object.groupBy(load.failed, ({ what }) => what.split(": ").at(-1) as string);
		expect(others).toEqual({});
		expect(unread.length).toBeLessThanOrEqual(6);
		expect((await topology.status()).services.find(({ name }) => name === "node-1")?.restarts).toBe(1);
	});

	it.each(["haproxy-1", "redis-cache", "postgres-replica-1"])("brings %s back that was killed", async (name) => {
		const { pid } = (await topology.status()).services.find((each) => each.name === name) ?? {};
		process.kill(pid as number, "SIGKILL");
		const restarted = async () => {
			const service = (await topology.status()).services.find((each) => each.name === name);
			return service?.state === "ready" && service.pid !== pid;
		};
		await until(restarted, `${name} to be back`, 30_000);
		await until(async () => (await fetch(`http://${host}/api/hive/status`)).status === 200, "an answer");
	});

	it("is ended whole though its supervisor was killed, and begins again with what it had stored", async () => {
		await fetch(`http://${host}/api/memory/store`, {
			method: "POST",
			headers: { "content-type": "application/json" },
			body: JSON.stringify({ key: "kept", value: "through it all" }),
		});
		const state = JSON.parse(readFileSync(path.join(topology.folder, String(PORT), "state.json"), "utf8"));
		process.kill(state.supervisor.pid, "SIGKILL");
		await sleep(200);
		const status = await topology.flowctl("status");
		expect({ code: status.code, stderr: status.stderr }).toEqual({ code: 2, stderr: expect.stringContaining("left processes behind") });
		const up = await topology.flowctl("up", "--nodes", "1", "--workers", "1", "--legacy-open");
		expect({ code: up.code, stderr: up.stderr }).toEqual({
			code: 0,
			stderr: expect.stringContaining("left behind by a supervisor that is gone"),
		});
		const kept = await fetch(`http://${host}/api/memory/default/kept`);
		expect(await kept.json()).toMatchObject({ value: JSON.stringify("through it all") });
	});

	it("leaves no process, port or shared memory behind", async () => {
		expect(topology.processes().length).toBeGreaterThan(8);
		expect(await topology.flowctl("down")).toMatchObject({ code: 0, stderr: expect.stringMatching(/Everything is stopped\.\n$/) });
		expect(topology.processes()).toEqual([]);
		expect(readdirSync("/dev/shm").sort()).toEqual(sharedMemory);
		for (const port of [ports.http, ports.sync, ports.postgresPrimary, ports.redisCache]) await listenOn(port);
		expect(await topology.flowctl("down")).toMatchObject({ code: 0, stderr: "Nothing is up.\n" });
		expect(await topology.flowctl("reload")).toMatchObject({ code: 2, stderr: expect.stringContaining("npm run up") });
	});
});

describe.skipIf(missing)("flowctl up, where it cannot work", () => {
	const topology = new TestTopology(PORT + 500);
	afterAll(() => topology.remove());

	it("says which port is busy, before anything is started", async () => {
		const server = createServer();
		await new Promise<void>((resolve) => server.listen(portsFrom(topology.port).sync, "127.0.0.1", resolve));
		const { code, stderr } = await topology.flowctl("up");
		server.close();
		expect(code).toBe(2);
		expect(stderr).toContain(`ports: 127.0.0.1:${portsFrom(topology.port).sync} is in use`);
		expect(stderr).toContain("give another --port");
		expect(topology.processes()).toEqual([]);
	});

	it("says which programs are missing and how to get them, all at once", async () => {
		const nothing = { PATH: "/nonexistent" };
		const { code, stderr } = await topology.flowctlWith(nothing, "up");
		expect(code).toBe(2);
		expect(stderr).toMatch(/Redis: is not installed\n +fix: apt-get install redis-server/);
		const doctor = await topology.flowctlWith(nothing, "doctor");
		expect(doctor.code).toBe(1);
		expect(doctor.stdout).toMatch(/^BAD +Redis +is not installed$/m);
		expect(doctor.stdout).toMatch(/^ok +disk /m);
	});

	it.skipIf(process.getuid?.() !== 0)("says that the disk is full, before anything is started", async () => {
		const small = new TestTopology(topology.port);
		execFileSync("mount", ["-t", "tmpfs", "-o", "size=16m", "tmpfs", small.folder]);
		try {
			const { code, stderr } = await small.flowctl("up");
			expect(code).toBe(2);
			expect(stderr).toMatch(/disk: 1\d MiB free at .*, 512 are needed\n +fix: free some/);
		} finally {
			execFileSync("umount", [small.folder]);
			await small.remove();
		}
	});

	it("is cleaned up by down when it was killed half-way, its supervisor too", async () => {
		const up = topology.flowctl("up", "--nodes", "1", "--workers", "1");
		const state = path.join(topology.folder, String(topology.port), "state.json");
		await until(async () => readFileSync(state, "utf8").includes("postgres-primary"), "the start to be under way");
		process.kill(JSON.parse(readFileSync(state, "utf8")).supervisor.pid, "SIGKILL");
		expect(await up).toMatchObject({ code: 1, stderr: expect.stringContaining("up failed") });
		expect(await topology.flowctl("down")).toMatchObject({ code: 0, stderr: expect.stringContaining("its supervisor was gone") });
		expect(topology.processes()).toEqual([]);
	});

	it("says what a service said that does not start, and stops everything else", async () => {
		const { code, stderr } = await topology.flowctl("up", "--nodes", "1", "--workers", "1", "--env", "PRINCIPAL_RATE=many");
		expect(code).toBe(1);
		expect(stderr).toContain("node-1 does not start: it ended with code 2");
		expect(stderr).toContain('PRINCIPAL_RATE is "many"');
		expect(stderr).not.toMatch(/\n +at /);
		await until(() => topology.processes().length === 0, "everything to be stopped");
	});

	it("is one topology when it is started twice at the same time", async () => {
		const words = ["up", "--nodes", "1", "--workers", "1"] as const;
		const [one, other] = await Promise.all([topology.flowctl(...words), topology.flowctl(...words)]);
		expect([one.code, other.code], one.stderr + other.stderr).toEqual([0, 0]);
		expect([one.stderr, other.stderr].filter((text) => text.includes("It is up already")).length).toBe(1);
		await topology.flowctl("down");
		expect(topology.processes()).toEqual([]);
	});
});

async function workers(topology: TestTopology, node?: number): Promise<number[]> {
	const nodes = path.join(topology.folder, String(topology.port), "nodes");
	const homes = node === undefined ? readdirSync(nodes) : [String(node)];
	return homes.flatMap((home) => {
		try {
			const pm2 = readFileSync(path.join(nodes, home, "pm2.pid"), "utf8").trim();
			return readFileSync(`/proc/${pm2}/task/${pm2}/children`, "utf8").trim().split(" ").filter(Boolean).map(Number);
		} catch {
			return [];
		}
	});
}

async function fact(topology: TestTopology, service: string, name: string): Promise<unknown> {
	return (await topology.status()).services.find((each) => each.name === service)?.facts[name];
}

/** @throws Error where the port is in use */
async function listenOn(port: number): Promise<void> {
	const server = createServer();
	await new Promise<void>((resolve, reject) => server.once("error", reject).listen(port, "127.0.0.1", resolve));
	server.close();
}
