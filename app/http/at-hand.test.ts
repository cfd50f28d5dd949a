import { once } from "node:events";
import { request } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, expect, it } from "vitest";
import { drainable } from "../lifecycle/http-drain.ts";
import type { Principal } from "../model.ts";
import { buildApp } from "./app.ts";
import type { HttpSettings } from "./settings.ts";
import { inMemoryServices, recordingObserver, testSettings } from "./testing.ts";

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
	for (const close of closing.splice(0)) await close();
});

/** A worker's server that listens, in which two lists and an entry are kept; counts the requests that go the whole way. */
async function listening(settings: Partial<HttpSettings> = {}) {
	const services = inMemoryServices();
	const observe = recordingObserver();
	const traced = { next: false };
	const app = buildApp(services, { ...testSettings, ...settings }, { ...observe, isTraced: () => traced.next });
	let wholeWay = 0;
	app.addHook("onRequest", (_request, _reply, done) => {
		wholeWay += 1;
		done();
	});
	await app.listen({ host: "127.0.0.1", port: 0 });
	closing.push(() => app.close());
	const { port } = app.server.address() as AddressInfo;
	const { token } = await services.identity.issue({
		subject: "alice",
		workspace: "default",
		roles: ["member", "operator"],
		expiresAt: null,
	});
	const principal = services.identity.known(token) as Principal;
	const store = (value: string) => services.memory.store(principal, { system: "swarm", namespace: "published", key: "motto", value });
	await store("one");
	const get = async (path: string, headers: Record<string, string> = {}, method = "GET") => {
		const asked = request({ port, host: "127.0.0.1", path, method, headers: { host: "agentic.example.com", ...headers } });
		asked.end();
		const [answer] = await once(asked, "response");
		const chunks: Buffer[] = [];
		for await (const chunk of answer) chunks.push(chunk);
		const { date, ...rest } = answer.headers;
		return { status: answer.statusCode as number, headers: rest, body: Buffer.concat(chunks).toString(), dated: date !== undefined };
	};
	const bearer = { authorization: `Bearer ${token}` };
	/** What is answered, and whether the framework had any part in it. */
	const way = async (...asked: Parameters<typeof get>) => {
		const before = wholeWay;
		const answer = await get(...asked);
		return { ...answer, whole: wholeWay > before };
	};
	return { services, observe, traced, principal, token, bearer, store, get, way, server: app.server };
}

const published = "/api/public/default/motto";

describe("what a worker has at hand", () => {
	it.each(["/api/hive/agents", "/api/hive/activities", "/sync/api/tasks", published])(
		"is answered without the framework, and as it would: %s",
		async (path) => {
			const { way, bearer, observe } = await listening();
			const headers = path === published ? {} : bearer;
			const first = await way(path, headers);
			const second = await way(path, headers);
			expect([first.status, first.whole, second.whole]).toEqual([200, true, false]);
			expect({ ...second, whole: true }).toEqual(first);
			expect(observe.answers.map(({ status }) => status)).toEqual([200, 200]);
			expect(new Set(observe.answers.map(({ route }) => route)).size).toBe(1);
			const known = { ...headers, "if-none-match": String(first.headers.etag) };
			const unchanged = await way(path, known);
			expect([unchanged.status, unchanged.body, unchanged.whole]).toEqual([304, "", false]);
			expect({ ...unchanged.headers, ...content(first.headers) }).toEqual(first.headers);
		},
	);

	it("says over HTTPS that it is to stay so", async () => {
		const { way } = await listening({ publicOrigin: "https://agentic.example.com", trustProxy: true });
		const https = { "x-forwarded-proto": "https" };
		const first = await way(published, https);
		const second = await way(published, https);
		expect([first.headers["strict-transport-security"], second.whole]).toEqual(["max-age=31536000", false]);
		expect(second.headers).toEqual(first.headers);
		expect((await way(published)).headers).not.toHaveProperty("strict-transport-security");
	});

	it("is answered while it is stale, by who comes after the one that has it read anew", async () => {
		const { way, bearer, services } = await listening();
		await way("/api/hive/agents", bearer);
		await sleep(1_050);
		const { list } = services.agents;
		let letGo = () => {};
		services.agents.list = async (principal) => {
			await new Promise<void>((resolve) => {
				letGo = resolve;
			});
			return await list.call(services.agents, principal);
		};
		expect((await way("/api/hive/agents", bearer)).whole).toBe(true);
		expect([(await way("/api/hive/agents", bearer)).whole, (await way("/api/hive/agents", bearer)).whole]).toEqual([false, false]);
		letGo();
		await sleep(10);
		expect((await way("/api/hive/agents", bearer)).whole).toBe(false);
		await sleep(1_050);
		expect((await way("/api/hive/agents", bearer)).whole).toBe(true);
		letGo();
	});

	it("is what was written last", async () => {
		const { way, bearer, services, principal, store } = await listening();
		for (const word of ["two", "three", "four"]) {
			await store(word);
			expect(JSON.parse((await way(published)).body).value).toBe(word);
			expect(JSON.parse((await way(published)).body).value).toBe(word);
		}
		await way("/api/hive/agents", bearer);
		await services.agents.spawn(principal, { type: "coder", name: "new", capabilities: [] });
		await services.cache.invalidate("default:");
		expect(JSON.parse((await way("/api/hive/agents", bearer)).body)).toHaveLength(1);
	});

	it.each<[string, string, Record<string, string>, string?]>([
		["a page of another origin", published, { origin: "https://agentic.example.com" }],
		["who traces", published, { traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" }],
		["who has another version", published, { "if-none-match": '"other"' }],
		["who sends a body", published, { "content-length": "0" }],
		["who asks for the headers alone", published, {}, "HEAD"],
		["who asks with a query", `${published}?a=1`, {}],
		["a path that is written in another way", "/api/public/default/%6Dotto", {}],
		["another host", published, { host: "elsewhere.example.com" }],
		["nobody", "/api/hive/agents", {}],
		["who is not known", "/api/hive/agents", { authorization: "Bearer af_nonsense" }],
	])("is not for %s, who goes the whole way", async (_, path, headers, method) => {
		const { way, bearer } = await listening();
		await way(published);
		await way("/api/hive/agents", bearer);
		const alone = await way(path, headers, method);
		expect(alone.whole).toBe(true);
		expect(alone.status).toBe(path === "/api/hive/agents" ? 401 : headers.host === undefined ? 200 : 403);
	});

	it("is not for a credential that has ended", async () => {
		const { way, bearer, services, principal } = await listening();
		await way("/api/hive/agents", bearer);
		expect((await way("/api/hive/agents", bearer)).whole).toBe(false);
		await services.identity.revoke(principal.credentialId);
		expect(await way("/api/hive/agents", bearer)).toMatchObject({ status: 401, whole: true });
	});

	it("is not for one principal what it is for another", async () => {
		const { way, bearer, services } = await listening();
		const { token } = await services.identity.issue({ subject: "eve", workspace: "eves", roles: ["member"], expiresAt: null });
		const eve = services.identity.known(token) as Principal;
		await services.agents.spawn(eve, { type: "coder", name: "eves-own", capabilities: [] });
		await way("/api/hive/agents", bearer);
		await way("/api/hive/agents", bearer);
		const eves = { authorization: `Bearer ${token}` };
		for (const _ of [1, 2]) expect(JSON.parse((await way("/api/hive/agents", eves)).body)[0]?.name).toBe("eves-own");
		expect(JSON.parse((await way("/api/hive/agents", bearer)).body)).toEqual([]);
	});

	it("costs as much of the limits, and what is refused is refused on the whole way", async () => {
		const { limits } = testSettings;
		const { way, bearer, observe } = await listening({ limits: { ...limits, principal: { perSecond: 0.001, burst: 3 } } });
		const answers = [];
		for (const _ of [1, 2, 3, 4]) answers.push(await way("/api/hive/agents", bearer));
		expect(answers.map(({ status, whole }) => [status, whole])).toEqual([
			[200, true],
			[200, false],
			[200, false],
			[429, true],
		]);
		expect(observe.refusals).toEqual([{ route: "/api/hive/agents", why: "principal-limit" }]);
	});

	it("is refused like everything else while the worker has too much to do", async () => {
		let level: 0 | 2 = 0;
		const { way, bearer } = await listening({ load: { level: () => level } });
		await way("/api/hive/agents", bearer);
		await way(published);
		level = 2;
		expect(await way("/api/hive/agents", bearer)).toMatchObject({ status: 503, whole: true });
		expect(await way(published)).toMatchObject({ status: 503, whole: true });
	});

	it("goes the whole way where the request is to be traced", async () => {
		const { way, traced } = await listening();
		await way(published);
		traced.next = true;
		expect((await way(published)).whole).toBe(true);
		traced.next = false;
		expect((await way(published)).whole).toBe(false);
	});

	it("closes its connection once the worker goes away", async () => {
		const { way, server } = await listening();
		await way(published);
		expect(await way(published)).toMatchObject({ whole: false, headers: { connection: "keep-alive" } });
		const drained = drainable(server)({ lingerMs: 1_000, released: async () => false });
		expect(await way(published)).toMatchObject({ status: 200, whole: false, headers: { connection: "close" } });
		await drained;
	});

	it("is not that nothing is published", async () => {
		const { way } = await listening();
		for (const _ of [1, 2]) expect(await way("/api/public/default/nothing")).toMatchObject({ status: 404, whole: true });
	});
});

function content(headers: Record<string, unknown>) {
	return Object.fromEntries(Object.entries(headers).filter(([name]) => name.startsWith("content-")));
}
