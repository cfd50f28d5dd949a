import { describe, expect, it } from "vitest";
import type { Agent } from "../model.ts";
import { inMemoryServices, testApp } from "./testing.ts";

const lists = [
	"/api/hive/status",
	"/api/hive/agents",
	"/api/hive/tasks",
	"/api/hive/activities",
	"/api/hive/performance",
	"/api/performance/report",
	"/api/memory/swarm",
	"/api/memory/hivemind",
	"/sync/api/state",
	"/sync/api/agents",
	"/sync/api/tasks",
	"/sync/api/performance",
];

describe("a list", () => {
	it.each(lists)("%s is read once for many who ask, and answered 304 to who has it", async (url) => {
		const services = inMemoryServices();
		let loads = 0;
		const get: typeof services.cache.get = (key, freshMs, staleMs, load) =>
			services.cache.get(key, freshMs, staleMs, () => {
				loads += 1;
				return load();
			});
		const { as } = testApp({}, { ...services, cache: { ...services.cache, get } });
		const alice = await as("alice");
		const answers = await Promise.all(Array.from({ length: 20 }, () => alice("GET", url)));
		expect(loads).toBe(1);
		expect(new Set(answers.map((answer) => answer.body)).size).toBe(1);
		const etag = answers[0]?.headers.etag as string;
		expect(etag).toMatch(/^"[\w-]+"$/);
		for (const known of [etag, `W/${etag}`, `"other", ${etag}`, "*"]) {
			const again = await alice("GET", url, undefined, { "if-none-match": known });
			expect([again.statusCode, again.body, again.headers.etag], known).toEqual([304, "", etag]);
			expect(again.headers["cache-control"]).toBe("private, no-cache");
		}
		expect((await alice("GET", url, undefined, { "if-none-match": '"other"' })).statusCode).toBe(200);
		expect((await alice("HEAD", url)).headers).toMatchObject({ etag, "content-length": String(answers[0]?.rawPayload.length) });
	});

	it("shows a principal what it has just written, every time", async () => {
		const alice = await testApp().as("alice");
		for (let each = 1; each <= 50; each += 1) {
			await alice("POST", "/api/hive/agents", { type: "coder" });
			expect((await alice("GET", "/api/hive/agents")).json()).toHaveLength(each);
			expect((await alice("GET", "/api/hive/status")).json().stats.totalAgents).toBe(each);
		}
	});

	it("shows it also where somebody's reading had begun before and ends later", async () => {
		const services = inMemoryServices();
		const { list } = services.agents;
		const held: (() => void)[] = [];
		const slow: typeof list = async (principal) => {
			const before: Agent[] = await list(principal);
			await new Promise<void>((resolve) => held.push(resolve));
			return before;
		};
		let reading = slow;
		const { as } = testApp({}, { ...services, agents: { ...services.agents, list: (principal) => reading(principal) } });
		const alice = await as("alice");
		const early = alice("GET", "/api/hive/agents");
		while (held.length === 0) await new Promise((resolve) => setImmediate(resolve));
		reading = list;
		await alice("POST", "/api/hive/agents", {});
		expect((await alice("GET", "/api/hive/agents")).json()).toHaveLength(1);
		for (const end of held) end();
		expect((await early).json()).toHaveLength(0);
		expect((await alice("GET", "/api/hive/agents")).json()).toHaveLength(1);
	});

	it("is not one principal's for another, who may not be able to read as much yet", async () => {
		// A replica that has of each principal's writes only its own.
		const services = inMemoryServices();
		const wrote = new Map<string, number>();
		const list: typeof services.agents.list = async (principal) =>
			(await services.agents.list(principal)).slice(0, wrote.get(principal.id) ?? 0);
		const spawn: typeof services.agents.spawn = async (principal, settings) => {
			wrote.set(principal.id, (await services.agents.list(principal)).length + 1);
			return await services.agents.spawn(principal, settings);
		};
		const { as } = testApp({}, { ...services, agents: { ...services.agents, list, spawn } });
		const [alice, bob] = [await as("alice"), await as("bob")];
		await alice("POST", "/api/hive/agents", {});
		expect((await bob("GET", "/api/hive/agents")).json()).toHaveLength(0);
		expect((await alice("GET", "/api/hive/agents")).json()).toHaveLength(1);
	});

	it("is kept under a name that no other workspace or principal can have", async () => {
		const services = inMemoryServices();
		const keys: string[] = [];
		const get: typeof services.cache.get = (key, ...rest) => {
			keys.push(key);
			return services.cache.get(key, ...rest);
		};
		const { as } = testApp({}, { ...services, cache: { ...services.cache, get } });
		for (const [workspace, subject] of [
			["a", "b:token:c"],
			["a:token:b", "c"],
			["a:token%3Ab", "c"],
			["a", "b%3Atoken%3Ac"],
		] as const) {
			await (await as(subject, ["member"], workspace))("GET", "/api/hive/agents");
			expect(keys.at(-1)).toMatch(new RegExp(`^${workspace}:[^:]+:agents$`));
		}
		expect(new Set(keys).size).toBe(4);
	});

	it("is forgotten where a change may have been made though it failed, and kept where it was refused", async () => {
		const services = inMemoryServices();
		const forgotten: string[] = [];
		const waited: string[] = [];
		const invalidate = async (prefix: string) => void forgotten.push(prefix);
		const announced = async (prefix: string) => void waited.push(prefix);
		const spawn = () => Promise.reject(new Error("the connection was lost after the commit"));
		const cache = { ...services.cache, invalidate, announced };
		const { as } = testApp({}, { ...services, agents: { ...services.agents, spawn }, cache });
		const alice = await as("alice");
		await alice("POST", "/api/hive/agents", {});
		expect(forgotten).toEqual(["default:"]);
		await alice("POST", "/api/hive/tasks/nothing/progress", { progress: 1 });
		await alice("POST", "/api/hive/tasks", { priority: "none" });
		expect(forgotten).toEqual(["default:"]);
		const before = waited.length;
		await alice("POST", "/api/hive/tasks", {});
		// The services have said it of what they changed.
		expect([forgotten.length, waited.slice(before)]).toEqual([1, ["default:"]]);
	});

	it("that could not be forgotten is a fault, and the change is still made", async () => {
		const services = inMemoryServices();
		const announced = () => Promise.reject(new Error("Redis is away"));
		const { as, observed } = testApp({}, { ...services, cache: { ...services.cache, announced } });
		expect((await (await as("alice"))("POST", "/api/hive/agents", {})).statusCode).toBe(200);
		expect(observed.faults).toMatchObject([{ error: { message: "Redis is away" }, route: "/api/hive/agents" }]);
	});
});
