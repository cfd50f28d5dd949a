import { describe, expect, it } from "vitest";
import { publicPaths } from "../contract.ts";
import { ServiceError } from "../ports.ts";
import { pageFiles } from "./routes/page.ts";
import { type Answer, inMemoryServices, testApp } from "./testing.ts";

const OURS = "http://localhost:5173";
const FOREIGN = "https://evil.example.com";

/** Every operation, as the document names it, with parameters filled in. */
async function operations(
	anyone: ReturnType<typeof testApp>["anyone"],
): Promise<{ method: "GET" | "POST" | "DELETE"; url: string; open: boolean; tag: string }[]> {
	const { paths } = (await anyone("GET", "/openapi.json")).json() as {
		paths: Record<string, Record<string, { security?: unknown[]; tags: [string] }>>;
	};
	return Object.entries(paths).flatMap(([path, methods]) =>
		Object.entries(methods).map(([method, { security, tags }]) => ({
			method: method.toUpperCase() as "GET" | "POST" | "DELETE",
			url: path.replace(/\{\w+\}/g, "x"),
			open: security?.length === 0,
			tag: tags[0],
		})),
	);
}

describe("who is asking", () => {
	it("is asked on every route but health, documents, what is published and the session itself", async () => {
		const { anyone } = testApp();
		const all = await operations(anyone);
		expect(all.length).toBeGreaterThan(50);
		for (const { method, url, open, tag } of all) {
			const answer = await anyone(method, url);
			expect(answer.statusCode === 401, `${method} ${url}`).toBe(!open);
			expect(open, `${method} ${url}`).toBe(["health", "documents", "session", "published"].includes(tag));
			if (open) continue;
			expect(answer.headers["www-authenticate"]).toBe("Bearer");
			expect(answer.json().message).toMatch(/: A valid token or session is needed$/);
		}
	});

	it.each(["Bearer wrong", "Bearer", "Bearer a b", "Basic YWxpY2U6cGFzcw==", `Bearer ${"x".repeat(2_000)}`, ""])(
		"is answered in the same words whatever is wrong: %j",
		async (authorization) => {
			const { anyone } = testApp({ legacyOpen: true });
			const answer = await anyone("GET", "/api/hive/agents", undefined, { authorization });
			expect([answer.statusCode, answer.json().error]).toEqual([401, "A valid token or session is needed"]);
		},
	);

	it("is known no longer once the token is revoked or has expired", async () => {
		const { as, services, app } = testApp();
		const alice = await as("alice");
		expect((await alice("GET", "/api/hive/agents")).statusCode).toBe(200);
		await services.identity.revoke(alice.credentialId);
		expect((await alice("GET", "/api/hive/agents")).statusCode).toBe(401);
		const { token } = await services.identity.issue({ subject: "b", roles: ["member"], workspace: "w", expiresAt: Date.now() - 1 });
		const expired = await app.inject({
			url: "/api/hive/agents",
			headers: { host: "agentic.example.com", authorization: `bearer ${token}` },
		});
		expect(expired.statusCode).toBe(401);
	});

	it("may not be known from what is remembered of an expired credential", async () => {
		const services = inMemoryServices();
		const principal = { id: "token:a", roles: ["member"], workspace: "w", expiresAt: Date.now() - 1, credentialId: "c" } as const;
		const { anyone } = testApp({}, { ...services, identity: { ...services.identity, fromToken: async () => principal } });
		expect((await anyone("GET", "/api/hive/agents", undefined, { authorization: "Bearer t" })).statusCode).toBe(401);
	});

	it("is the legacy principal without a credential, where that is allowed", async () => {
		const { anyone } = testApp({ legacyOpen: true });
		expect((await anyone("POST", "/api/hive/init", {})).statusCode).toBe(200);
		expect((await anyone("POST", "/api/hive/init", {}, { origin: OURS })).statusCode).toBe(200);
		for (const method of ["GET", "POST"] as const) {
			const answer = await anyone(method, method === "GET" ? "/api/hive/status" : "/api/hive/init", undefined, { origin: FOREIGN });
			expect([answer.statusCode, answer.json().error], method).toEqual([403, "This origin is not allowed"]);
		}
		expect((await anyone("GET", "/api/hive/status", undefined, { origin: "null" })).statusCode).toBe(403);
	});

	it("is not decided twice: a dead identity service is 503", async () => {
		const services = inMemoryServices();
		const fromToken = () => Promise.reject(new ServiceError("UNAVAILABLE", "the database cannot be reached", 2));
		const { anyone } = testApp({}, { ...services, identity: { ...services.identity, fromToken } });
		const answer = await anyone("GET", "/api/hive/agents", undefined, { authorization: "Bearer t" });
		expect([answer.statusCode, answer.headers["retry-after"]]).toEqual([503, "2"]);
	});
});

describe("a browser's session", () => {
	const cookieOf = (answer: Answer) => String(answer.headers["set-cookie"]).split(";")[0] as string;

	async function login(settings: Parameters<typeof testApp>[0] = {}) {
		const test = testApp(settings);
		const alice = await test.as("alice");
		const answer = await test.anyone("POST", "/api/session", { token: alice.token }, { origin: OURS });
		return { ...test, alice, answer, cookie: cookieOf(answer) };
	}

	it("begins with a token in a body, and is kept in a cookie that scripts cannot read", async () => {
		const { answer, anyone, cookie } = await login();
		expect([answer.statusCode, answer.json()]).toMatchObject([
			200,
			{ success: true, principal: { id: "session:alice", workspace: "default" } },
		]);
		expect(answer.headers["set-cookie"]).toMatch(
			/^af_session=[\w-]+\.[\w-]{43}; Path=\/; Max-Age=3600; HttpOnly; SameSite=Strict; Secure$/,
		);
		expect((await anyone("GET", "/api/hive/agents", undefined, { cookie: `agentic_worker=1; ${cookie}; other=2` })).statusCode).toBe(200);
	});

	it("travels in the open only where there is no HTTPS", async () => {
		const plain = await login({ publicOrigin: "http://agentic.example.com" });
		expect(plain.answer.headers["set-cookie"]).not.toMatch(/Secure/);
		const answer = await plain.anyone("POST", "/api/session", { token: plain.alice.token }, { "x-forwarded-proto": "https" });
		expect(answer.headers["set-cookie"]).toMatch(/Secure/);
	});

	it("changes something only from a page of ours", async () => {
		const { anyone, cookie } = await login();
		const init = async (headers: Record<string, string>) => (await anyone("POST", "/api/hive/init", {}, { cookie, ...headers })).statusCode;
		expect(await init({ origin: OURS })).toBe(200);
		expect(await init({ origin: "https://agentic.example.com" })).toBe(200);
		expect(await init({ origin: FOREIGN })).toBe(403);
		expect(await init({ origin: "null" })).toBe(403);
		expect(await init({ origin: "http://localhost:5173.evil.example.com" })).toBe(403);
		expect(await init({})).toBe(403);
		expect((await anyone("DELETE", "/api/hive/tasks/x", undefined, { cookie })).statusCode).toBe(403);
		expect((await anyone("GET", "/api/hive/status", undefined, { cookie })).statusCode).toBe(200);
	});

	it("ends when it is logged out, and so does its cookie", async () => {
		const { anyone, cookie } = await login();
		expect((await anyone("DELETE", "/api/session", undefined, { cookie })).statusCode).toBe(403);
		expect((await anyone("DELETE", "/api/session", undefined, { cookie, origin: FOREIGN })).statusCode).toBe(403);
		const out = await anyone("DELETE", "/api/session", undefined, { cookie, origin: OURS });
		expect([out.statusCode, out.headers["set-cookie"]]).toEqual([200, "af_session=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict; Secure"]);
		const after = await anyone("GET", "/api/hive/agents", undefined, { cookie });
		expect([after.statusCode, after.headers["set-cookie"]]).toEqual([401, out.headers["set-cookie"]]);
		expect((await anyone("DELETE", "/api/session")).statusCode).toBe(200);
	});

	it("is a new one at every login, and the one before is over", async () => {
		const { anyone, alice, cookie } = await login();
		const again = await anyone("POST", "/api/session", { token: alice.token }, { cookie, origin: OURS });
		expect(cookieOf(again)).not.toBe(cookie);
		expect((await anyone("GET", "/api/hive/agents", undefined, { cookie })).statusCode).toBe(401);
		expect((await anyone("GET", "/api/hive/agents", undefined, { cookie: cookieOf(again) })).statusCode).toBe(200);
	});

	it("begins with the code of a login link as well, once, and the session before is over then, too", async () => {
		const { anyone, services, alice, cookie } = await login();
		const { code } = await services.identity.loginCode(alice.credentialId);
		const enter = (more: Record<string, string> = {}) => anyone("POST", "/api/session", { code }, { origin: OURS, ...more });
		const answer = await enter({ cookie });
		expect([answer.statusCode, answer.json()]).toMatchObject([200, { principal: { id: "session:alice", workspace: "default" } }]);
		expect(answer.body).not.toContain(code);
		expect((await anyone("GET", "/api/hive/agents", undefined, { cookie })).statusCode).toBe(401);
		expect((await anyone("GET", "/api/session", undefined, { cookie: cookieOf(answer) })).json().principal.id).toBe("session:alice");
		const [again, token] = [await enter(), await anyone("POST", "/api/session", { token: "wrong" }, { origin: OURS })];
		expect([again.statusCode, again.json().error, again.headers["set-cookie"]]).toEqual([401, token.json().error, undefined]);
		await services.identity.revoke(alice.credentialId);
		expect((await anyone("GET", "/api/session", undefined, { cookie: cookieOf(answer) })).statusCode).toBe(401);
	});

	it("needs one of the two", async () => {
		const { anyone } = testApp();
		for (const body of [{}, { code: 1 }, { other: "x" }]) {
			const answer = await anyone("POST", "/api/session", body);
			expect([answer.statusCode, answer.json().error]).toEqual([400, "either a token or the code of a login link is needed"]);
		}
	});

	it("cannot be made up, nor signed with another key", async () => {
		const { anyone, cookie } = await login();
		const { anyone: elsewhere } = await login({ sessionKeys: () => ["another key"] });
		const [value, signature] = cookie.slice("af_session=".length).split(".");
		for (const forged of [
			`${value}`,
			`${value}.`,
			`${value}x.${signature}`,
			`${value}.${signature?.replace(/./, (first) => (first === "-" ? "_" : "-"))}`,
			".",
			"",
		]) {
			expect((await anyone("GET", "/api/hive/agents", undefined, { cookie: `af_session=${forged}` })).statusCode, forged).toBe(401);
		}
		expect((await elsewhere("GET", "/api/hive/agents", undefined, { cookie })).statusCode).toBe(401);
	});

	it("outlives a change of keys while the one before is still known", async () => {
		let keys = ["one"];
		const { anyone, cookie } = await login({ sessionKeys: () => keys });
		keys = ["two", "one"];
		expect((await anyone("GET", "/api/hive/agents", undefined, { cookie })).statusCode).toBe(200);
		keys = ["three", "two"];
		expect((await anyone("GET", "/api/hive/agents", undefined, { cookie })).statusCode).toBe(401);
	});

	it("is not begun by a page elsewhere, nor with a wrong token", async () => {
		const { anyone, alice } = await login();
		expect((await anyone("POST", "/api/session", { token: alice.token }, { origin: FOREIGN })).statusCode).toBe(403);
		const wrong = await anyone("POST", "/api/session", { token: "wrong" }, { origin: OURS });
		expect([wrong.statusCode, wrong.headers["set-cookie"]]).toEqual([401, undefined]);
	});

	it("gives way to a token that is sent with it", async () => {
		const { anyone, as, cookie } = await login();
		const bob = await as("bob", ["member"], "b");
		const answer = await anyone("POST", "/api/hive/agents", {}, { cookie, authorization: `Bearer ${bob.token}` });
		expect(answer.statusCode).toBe(200);
		expect((await bob("GET", "/api/hive/agents")).json()).toHaveLength(1);
	});
});

describe("hosts and origins", () => {
	it.each([
		["agentic.example.com", 200],
		["AGENTIC.example.com", 200],
		["agentic.example.com:443", 200],
		["agentic.example.com:80", 403],
		["localhost:3001", 200],
		["localhost", 403],
		["evil.example.com", 403],
		["agentic.example.com.evil.example.com", 403],
		["10.0.0.7:3101", 403],
		["health", 403],
	])("a request to the host %s is %i", async (host, status) => {
		const { as } = testApp();
		const alice = await as("alice");
		expect((await alice("GET", "/api/hive/agents", undefined, { host })).statusCode).toBe(status);
	});

	it("probes name the host `health`, and get nothing but health", async () => {
		const { anyone } = testApp();
		for (const url of ["/health", "/health/ready", "/sync/health", "/api/health"]) {
			expect((await anyone("GET", url, undefined, { host: "health" })).statusCode, url).toBe(200);
		}
		for (const url of ["/openapi.json", "/nothing"])
			expect((await anyone("GET", url, undefined, { host: "health" })).statusCode, url).toBe(403);
		expect((await anyone("GET", "/health", undefined, { host: "evil.example.com" })).statusCode).toBe(403);
	});

	it("allow exactly the origins of the list, with credentials", async () => {
		const alice = await testApp().as("alice");
		const answer = await alice("GET", "/api/hive/agents", undefined, { origin: OURS });
		expect(answer.headers).toMatchObject({
			"access-control-allow-origin": OURS,
			"access-control-allow-credentials": "true",
			"access-control-expose-headers": "ETag, Location, Mcp-Session-Id, Preference-Applied, Retry-After, X-Request-Id",
			vary: "Origin",
		});
		for (const origin of [FOREIGN, "null", `${OURS}/`, "http://localhost:51730", "https://localhost:5173"]) {
			const foreign = await alice("GET", "/api/hive/agents", undefined, { origin });
			expect(foreign.statusCode, origin).toBe(200);
			expect(
				Object.keys(foreign.headers).filter((name) => name.startsWith("access-control")),
				origin,
			).toEqual([]);
			expect(foreign.headers.vary).toBe("Origin");
		}
	});

	it("answer preflights before anybody is asked who he is, wherever they go", async () => {
		const { anyone } = testApp();
		const preflight = { origin: OURS, "access-control-request-method": "DELETE", "access-control-request-headers": "authorization" };
		for (const url of ["/api/hive/tasks/x", "/nothing"]) {
			const answer = await anyone("OPTIONS", url, undefined, preflight);
			expect(answer.statusCode).toBe(204);
			expect(answer.headers).toMatchObject({
				"access-control-allow-origin": OURS,
				"access-control-allow-methods": "GET, POST, PUT, DELETE, OPTIONS",
				"access-control-allow-headers":
					"Content-Type, Authorization, If-None-Match, Idempotency-Key, Prefer, Mcp-Session-Id, Mcp-Protocol-Version, Last-Event-ID",
			});
		}
		const foreign = await anyone("OPTIONS", "/api/hive/tasks/x", undefined, { ...preflight, origin: FOREIGN });
		expect(Object.keys(foreign.headers).filter((name) => name.startsWith("access-control"))).toEqual([]);
	});

	it("let errors be read by pages of ours, too", async () => {
		const { anyone } = testApp();
		for (const url of ["/api/hive/agents", "/nothing"]) {
			expect((await anyone("GET", url, undefined, { origin: OURS })).headers["access-control-allow-origin"]).toBe(OURS);
		}
	});
});

describe("headers", () => {
	it("protect every answer, errors among them", async () => {
		const { anyone } = testApp();
		for (const url of ["/health", "/openapi.json", "/api/hive/agents", "/nothing", "/api/%zz"]) {
			const { headers } = await anyone("GET", url);
			expect(headers, url).toMatchObject({
				"content-security-policy": "default-src 'none'; frame-ancestors 'none'",
				"x-content-type-options": "nosniff",
				"referrer-policy": "no-referrer",
				"content-type": "application/json; charset=utf-8",
			});
			expect(headers["x-powered-by"]).toBeUndefined();
			expect(headers["strict-transport-security"]).toBeUndefined();
		}
	});

	it("ask for HTTPS only of who came by it, and not on this machine", async () => {
		const byHttps = { "x-forwarded-proto": "https" };
		const hsts = async (settings: Parameters<typeof testApp>[0]) =>
			(await testApp(settings).anyone("GET", "/health", undefined, { ...byHttps, host: "health" })).headers["strict-transport-security"];
		expect(await hsts({})).toBe("max-age=31536000");
		expect(await hsts({ trustProxy: false })).toBeUndefined();
		expect(await hsts({ publicOrigin: "https://localhost:8443" })).toBeUndefined();
		expect(await hsts({ publicOrigin: "http://agentic.example.com" })).toBeUndefined();
	});
});

describe("what the load balancer may keep", () => {
	it("is exactly what the contract lists, and nothing that reads a session or a token", async () => {
		const { anyone, as } = testApp();
		const alice = await as("alice", ["member"], "x");
		await alice("POST", "/api/memory/store", { namespace: "published", key: "x", value: 1 });
		const kept = new Set<string>();
		const page = Object.keys(pageFiles).map((url) => ({ method: "GET" as const, url, open: true }));
		for (const { method, url, open } of [...(await operations(anyone)), ...page]) {
			const [mine, nobodys] = [await alice(method, url, {}), await anyone(method, url)];
			const isPublic = (answer: Answer) => /public/.test(String(answer.headers["cache-control"]));
			if (isPublic(mine) || isPublic(nobodys)) {
				kept.add(url);
				expect(open, url).toBe(true);
				expect(mine.headers["cache-control"]).toBe("public, max-age=1");
				for (const answer of [mine, nobodys]) {
					expect(answer.headers["set-cookie"]).toBeUndefined();
					expect(answer.headers.vary).toBeUndefined();
				}
				expect(mine.body, url).toBe(nobodys.body);
			} else {
				for (const answer of [mine, nobodys])
					expect(answer.headers["cache-control"], `${method} ${url}`).toMatch(/^(no-store|private, no-cache)$/);
			}
		}
		const entryFor = (url: string) =>
			publicPaths.find((entry) => (entry.length > 1 && entry.endsWith("/") ? url.startsWith(entry) : url === entry));
		expect(new Set([...kept].map(entryFor))).toEqual(new Set(publicPaths));
	});

	it("never is an error", async () => {
		const { anyone } = testApp({ load: { level: () => 1 } });
		const answer = await anyone("GET", "/openapi.json");
		expect([answer.statusCode, answer.headers["cache-control"]]).toEqual([503, "no-store"]);
	});

	it("varies for who sends an origin, and is not kept then", async () => {
		const { anyone } = testApp();
		expect((await anyone("GET", "/api/docs", undefined, { origin: OURS })).headers).toMatchObject({
			vary: "Origin",
			"access-control-allow-origin": OURS,
		});
	});
});

describe("limits", () => {
	const one = { perSecond: 0.001, burst: 1 };
	const many = { perSecond: 1_000, burst: 1_000 };

	it("are counted to a principal, whatever address it has", async () => {
		const { as, observed } = testApp({ limits: { principal: { perSecond: 0.5, burst: 2 }, address: many, login: many } });
		const [alice, bob] = [await as("alice"), await as("bob")];
		const from = (caller: typeof alice, address: string) => caller("GET", "/api/hive/agents", undefined, { "x-forwarded-for": address });
		expect((await from(alice, "192.0.2.1")).statusCode).toBe(200);
		expect((await from(alice, "192.0.2.2")).statusCode).toBe(200);
		const refused = await from(alice, "192.0.2.3");
		expect([refused.statusCode, refused.headers["retry-after"], refused.json().error]).toEqual([429, "2", "Too many requests"]);
		expect((await from(bob, "192.0.2.1")).statusCode).toBe(200);
		expect(observed.refusals).toEqual([{ route: "/api/hive/agents", why: "principal-limit" }]);
	});

	it("are counted to an address before anybody is asked who he is", async () => {
		const { anyone } = testApp({ limits: { principal: many, address: one, login: many } });
		const from = async (address: string, url = "/api/hive/agents") =>
			(await anyone("GET", url, undefined, { "x-forwarded-for": address })).statusCode;
		expect([await from("192.0.2.1"), await from("192.0.2.1"), await from("192.0.2.1", "/nothing"), await from("192.0.2.2")]).toEqual([
			401, 429, 429, 401,
		]);
	});

	it("count a network of IPv6 as one client", async () => {
		const { anyone } = testApp({ limits: { principal: many, address: one, login: many } });
		const from = async (address: string) => (await anyone("GET", "/nothing", undefined, { "x-forwarded-for": address })).statusCode;
		expect([await from("2001:db8::1"), await from("2001:db8:0:0:ffff::1"), await from("2001:db8:0:1::1")]).toEqual([404, 429, 404]);
	});

	it("believe only one address, and only the proxy's", async () => {
		const limits = { principal: many, address: one, login: many };
		const statuses = async (trustProxy: boolean, addresses: readonly string[]) => {
			const { anyone } = testApp({ limits, trustProxy });
			const answers: number[] = [];
			for (const address of addresses)
				answers.push((await anyone("GET", "/nothing", undefined, { "x-forwarded-for": address })).statusCode);
			return answers;
		};
		expect(await statuses(true, ["192.0.2.1", "192.0.2.2"])).toEqual([404, 404]);
		expect(await statuses(true, ["192.0.2.1, 192.0.2.9", "192.0.2.2, 192.0.2.9", "nonsense"])).toEqual([404, 429, 429]);
		expect(await statuses(false, ["192.0.2.1", "192.0.2.2"])).toEqual([404, 429]);
	});

	it("make wrong credentials dear", async () => {
		const { anyone, as } = testApp({ limits: { principal: many, address: { perSecond: 0.001, burst: 25 }, login: many } });
		const alice = await as("alice");
		const wrong = async () => (await anyone("GET", "/api/hive/agents", undefined, { authorization: "Bearer wrong" })).statusCode;
		const answers: number[] = [];
		for (let each = 0; each < 8; each += 1) answers.push(await wrong());
		// Twice eleven of the 25 are gone, and what is left is too little for a third but lets three more ask.
		expect(answers).toEqual([401, 401, 401, 401, 401, 429, 429, 429]);
		expect((await alice("GET", "/api/hive/agents")).statusCode).toBe(429);
		expect((await alice("GET", "/api/hive/agents", undefined, { "x-forwarded-for": "192.0.2.7" })).statusCode).toBe(200);
	});

	it("are stricter for logging in", async () => {
		const { anyone } = testApp({ limits: { principal: many, address: many, login: one } });
		let turn = 0;
		const login = async () => (await anyone("POST", "/api/session", turn++ % 2 ? { token: "guess" } : { code: "guess" })).statusCode;
		expect([await login(), await login()]).toEqual([401, 429]);
	});

	it("do not stop probes", async () => {
		const { anyone } = testApp({ limits: { principal: one, address: one, login: one } });
		for (let each = 0; each < 5; each += 1) expect((await anyone("GET", "/health/ready")).statusCode).toBe(200);
	});
});

describe("a worker with too much to do", () => {
	/** Statuses of one call of each kind, at a level of load. */
	async function at(level: 0 | 1 | 2 | 3) {
		let now: 0 | 1 | 2 | 3 = 0;
		const { as, anyone, observed } = testApp({ load: { level: () => now } });
		const alice = await as("alice");
		const agent = (await alice("POST", "/api/hive/agents", {})).json();
		const task = (await alice("POST", "/api/hive/tasks", {})).json();
		await alice("POST", `/api/hive/tasks/${task.id}/claim`, { agentId: agent.id });
		await alice("GET", "/api/hive/agents");
		now = level;
		const answers = {
			public: await anyone("GET", "/api/docs"),
			unkeptList: await alice("GET", "/api/hive/tasks"),
			keptList: await alice("GET", "/api/hive/agents"),
			read: await alice("GET", "/api/memory/search"),
			completion: await alice("POST", `/api/hive/tasks/${task.id}/complete`, {}),
			write: await alice("POST", "/api/hive/agents", {}),
			session: await anyone("DELETE", "/api/session"),
			health: await anyone("GET", "/health/ready"),
		};
		const shed = Object.entries(answers).filter(([, answer]) => answer.statusCode === 503);
		for (const [, answer] of shed) expect(Number(answer.headers["retry-after"])).toBeGreaterThan(0);
		expect(Object.values(answers).every((answer) => [200, 503].includes(answer.statusCode))).toBe(true);
		expect(observed.refusals.map(({ why }) => why)).toEqual(shed.map(() => "shed"));
		return shed.map(([kind]) => kind);
	}

	it.each([
		[0, []],
		[1, ["public", "unkeptList"]],
		[2, ["public", "unkeptList", "keptList", "read"]],
		[3, ["public", "unkeptList", "keptList", "read", "write", "session"]],
	] as const)("at level %i sheds %j", async (level, kinds) => {
		expect(await at(level)).toEqual(kinds);
	});
});

describe("faults of the server", () => {
	it("are told to the observer, and to the client only that there was one", async () => {
		const services = inMemoryServices();
		const secret = new Error("password=hunter2 at 10.0.0.7");
		const broken = { ...services, agents: { ...services.agents, list: () => Promise.reject(secret), spawn: () => Promise.reject(secret) } };
		const { as, observed } = testApp({}, broken);
		const alice = await as("alice");
		for (const [method, url] of [
			["GET", "/api/hive/agents"],
			["GET", "/api/agents"],
			["POST", "/api/hive/agents"],
		] as const) {
			const answer = await alice(method, url, method === "POST" ? {} : undefined);
			expect(answer.statusCode).toBe(500);
			expect(answer.json()).toEqual({
				success: false,
				error: "Internal Server Error",
				message: `${method} ${url}: Internal Server Error`,
				timestamp: expect.any(String),
			});
			expect(answer.headers["cache-control"]).toBe("no-store");
		}
		expect(observed.faults).toEqual(["/api/hive/agents", "/api/agents", "/api/hive/agents"].map((route) => ({ error: secret, route })));
	});

	it("include answers that are not as documented", async () => {
		const services = inMemoryServices();
		const spawn = async () => ({ id: 1 }) as never;
		const { as, observed } = testApp({}, { ...services, agents: { ...services.agents, spawn } });
		const answer = await (await as("alice"))("POST", "/api/hive/agents", {});
		expect([answer.statusCode, answer.json().error]).toEqual([500, "Internal Server Error"]);
		expect(observed.faults).toHaveLength(1);
	});

	it("do not include a dependency that is away", async () => {
		const services = inMemoryServices();
		const list = () => Promise.reject(new ServiceError("UNAVAILABLE", "the database cannot be reached"));
		const { as, observed } = testApp({}, { ...services, agents: { ...services.agents, list } });
		const answer = await (await as("alice"))("GET", "/api/hive/agents");
		expect([answer.statusCode, answer.headers["retry-after"], answer.json().error]).toEqual([503, "1", "the database cannot be reached"]);
		expect(observed.faults).toEqual([]);
	});
});

describe("what is observed", () => {
	it("has templates for labels, never paths", async () => {
		const { as, observed } = testApp();
		const alice = await as("alice");
		await alice("GET", "/api/hive/tasks/abc");
		await alice("GET", "/api/memory/n/a/b/c");
		await alice("HEAD", "/api/hive/agents");
		await alice("GET", "/wp-admin.php");
		await alice("GET", "/api/%zz");
		await alice("GET", "/health");
		expect(observed.answers.map(({ route, status }) => [route, status])).toEqual([
			["/api/hive/tasks/:taskId", 404],
			["/api/memory/:namespace/*", 404],
			["/api/hive/agents", 200],
			["unmatched", 404],
			["unmatched", 400],
			["/health", 200],
		]);
		for (const { seconds } of observed.answers) expect(seconds).toBeLessThan(5);
	});

	it("may wrap the whole request, the reading of its body included", async () => {
		const { AsyncLocalStorage } = await import("node:async_hooks");
		const { buildApp } = await import("./app.ts");
		const { recordingObserver, testSettings } = await import("./testing.ts");
		const services = inMemoryServices();
		const context = new AsyncLocalStorage<string>();
		const seen: unknown[] = [];
		const spawn: typeof services.agents.spawn = async (...call) => {
			seen.push(context.getStore());
			return await services.agents.spawn(...call);
		};
		const observe = { ...recordingObserver(), begin: (_: unknown, route: string, next: () => void) => context.run(route, next) };
		const app = buildApp({ ...services, agents: { ...services.agents, spawn } }, { ...testSettings, legacyOpen: true }, observe);
		await app.listen({ host: "127.0.0.1", port: 0 });
		const address = app.server.address() as { port: number };
		const { request } = await import("node:http");
		await new Promise<void>((resolve, reject) => {
			const call = request({
				port: address.port,
				host: "127.0.0.1",
				path: "/api/hive/agents",
				method: "POST",
				headers: { host: "localhost:3001", "content-type": "application/json" },
			});
			call.on("response", (response) => response.resume().on("end", resolve)).on("error", reject);
			call.write('{"type":');
			setTimeout(() => call.end('"coder"}'), 20);
		});
		await app.close();
		expect(seen).toEqual(["/api/hive/agents"]);
	});
});
