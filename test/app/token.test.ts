import { execFile } from "node:child_process";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { freePort } from "./daemon.ts";
import { missing, type PostgresCluster, type StandaloneRedis, startPostgres, startRedis } from "./daemons.ts";
import { ServerProcess, type Setting, settingOf } from "./server-process.ts";

const main = path.join(import.meta.dirname, "..", "..", "app", "main.ts");

describe.skipIf(missing)("the command token", () => {
	let postgres: PostgresCluster;
	let redis: StandaloneRedis;
	let setting: Setting;
	let worker: ServerProcess;
	let port: number;

	beforeAll(async () => {
		[postgres, redis] = await Promise.all([startPostgres({ replicas: 1 }), startRedis()]);
		setting = settingOf(postgres, `${redis.host}:${redis.port}`, redis);
		const early = await token("list");
		expect([early.code, early.stderr]).toEqual([
			1,
			'token: the database cannot be reached (password authentication failed for user "server_a")\n',
		]);
		expect(await new ServerProcess("migrate", setting.environment).exited).toBe(0);
		port = await freePort();
		worker = await new ServerProcess("worker", {
			...setting.environment,
			PORT: String(port),
			LEGACY_OPEN: "false",
			ALLOWED_HOSTS: `agentic.test,127.0.0.1:${port}`,
		}).ready(port);
	});

	afterAll(async () => {
		await worker?.kill();
		setting?.remove();
		await Promise.all([postgres?.stop(), redis?.stop()]);
	});

	function token(line: string, more: Readonly<Record<string, string>> = {}): Promise<{ code: number; stdout: string; stderr: string }> {
		const args = [main, "token", ...line.split(" ").filter(Boolean)];
		const env = { PATH: process.env.PATH ?? "", ...setting.environment, ...more };
		return new Promise((resolve) => {
			execFile(process.execPath, args, { env }, (error, stdout, stderr) => resolve({ code: Number(error?.code ?? 0), stdout, stderr }));
		});
	}

	/** What a command answers. */
	async function answerOf(line: string) {
		const { code, stdout, stderr } = await token(line);
		expect([code, stderr]).toEqual([0, ""]);
		expect(stdout).toMatch(/^.+\n$/);
		return JSON.parse(stdout);
	}

	function call(method: string, headers: Record<string, string>, body?: object): Promise<Response> {
		return fetch(`http://127.0.0.1:${port}/api/session`, {
			method,
			headers: { ...headers, ...(body && { "content-type": "application/json" }) },
			body: body && JSON.stringify(body),
		});
	}

	it("issues a token that is good at once, lists it without its secret, and ends it together with its sockets", async () => {
		const before = Date.now();
		const issued = await answerOf("issue --subject ada --role member,operator --workspace alpha --days 2");
		expect(issued).toEqual({
			token: expect.stringMatching(/^af_[0-9a-f]{20}_[\w-]{43}$/),
			credentialId: issued.token.split("_")[1],
			subject: "ada",
			roles: ["member", "operator"],
			workspace: "alpha",
			expiresAt: expect.any(Number),
		});
		expect(issued.expiresAt - before - 2 * 86_400_000).toBeLessThan(20_000);
		const authorization = `Bearer ${issued.token}`;
		const asked = await call("GET", { authorization });
		expect(await asked.json()).toMatchObject({ principal: { id: "token:ada", roles: ["member", "operator"], workspace: "alpha" } });
		const [listed] = (await answerOf("list")) as { credentialId: string }[];
		expect(listed).toEqual({
			credentialId: issued.credentialId,
			subject: "ada",
			roles: ["member", "operator"],
			workspace: "alpha",
			createdAt: expect.any(Number),
			expiresAt: issued.expiresAt,
			revokedAt: null,
		});
		const socket = new WebSocket(`ws://127.0.0.1:${port}/sync`, { headers: { host: "agentic.test", authorization } });
		await new Promise((resolve) => socket.once("message", resolve));
		const closed = new Promise((resolve) => socket.once("close", (code) => resolve([code, performance.now()])));
		expect(await answerOf(`revoke ${issued.credentialId}`)).toEqual({ revoked: true });
		const revokedAt = performance.now();
		const [code, closedAt] = (await closed) as [number, number];
		expect(code).toBe(1008);
		expect(closedAt - revokedAt).toBeLessThan(1_000);
		expect((await call("GET", { authorization })).status).toBe(401);
		expect(await answerOf(`revoke ${issued.credentialId}`)).toEqual({ revoked: false });
	});

	it("makes a code that logs a browser in once, whose session ends with the token", async () => {
		const { credentialId } = await answerOf("issue --subject bob");
		const { code, expiresAt } = await answerOf(`login --token-id ${credentialId}`);
		expect(code).toMatch(/^[\w-]{32}$/);
		expect(Math.abs(expiresAt - Date.now() - 600_000)).toBeLessThan(10_000);
		const origin = "http://agentic.test";
		const login = await call("POST", { origin }, { code });
		expect(await login.json()).toMatchObject({ success: true, principal: { id: "session:bob", roles: ["member"], workspace: "default" } });
		const cookie = String(login.headers.get("set-cookie")).split(";")[0] as string;
		expect((await call("GET", { cookie })).status).toBe(200);
		const again = await call("POST", { origin }, { code });
		expect([again.status, await again.json()]).toMatchObject([401, { error: "A valid token or session is needed" }]);
		await answerOf(`revoke ${credentialId}`);
		await sleep(100);
		expect((await call("GET", { cookie })).status).toBe(401);
		expect(worker.output).not.toContain(code);
	});

	it("tells a mistake apart from trouble, and shows nobody a stack", async () => {
		for (const line of ["", "isue", "issue --subject a --role admin", "login --token-id unknown", "issue --subject ä"]) {
			const { code, stdout, stderr } = await token(line);
			expect([code, stdout], line).toEqual([2, ""]);
			expect(stderr).toMatch(/^token: .+\n {2}why: .+\n {2}fix: .+\n$/);
		}
		const { code, stderr } = await token("list", { POSTGRES_DATABASE: "", REDIS_STATE: "" });
		expect(code).toBe(2);
		expect(stderr).toContain("cannot start: 2 settings are wrong");
		const closed = await freePort();
		const away = await token("issue --subject a", { POSTGRES_PRIMARY: `127.0.0.1:${closed}`, POSTGRES_REPLICAS: "" });
		expect(away).toEqual({
			code: 1,
			stdout: "",
			stderr: `token: the database cannot be reached (connect ECONNREFUSED 127.0.0.1:${closed})\n`,
		});
	});

	it("issues and revokes without Redis, and says that a login code needs it", async () => {
		const closed = { REDIS_STATE: `127.0.0.1:${await freePort()}` };
		const issued = await token("issue --subject eve", closed);
		expect([issued.code, issued.stderr]).toEqual([0, ""]);
		const { credentialId, token: text } = JSON.parse(issued.stdout);
		const login = await token(`login --token-id ${credentialId}`, closed);
		expect([login.code, login.stderr]).toEqual([1, "token: the state Redis cannot be reached: see REDIS_STATE\n"]);
		await sleep(3_000);
		const authorization = `Bearer ${text}`;
		expect((await call("GET", { authorization })).status).toBe(200);
		const revoked = await token(`revoke ${credentialId}`, closed);
		expect([revoked.code, JSON.parse(revoked.stdout)]).toEqual([0, { revoked: true }]);
		expect(revoked.stderr).toMatch(/^token: Redis cannot be reached, so the workers find out by themselves/);
		await sleep(5_000);
		expect((await call("GET", { authorization })).status).toBe(401);
	});
});
