import { describe, expect, it } from "vitest";
import { testApp } from "./testing.ts";

const store = { namespace: "published", key: "notes/today", value: { text: "hello" } };

describe("what a workspace has published", () => {
	it("is read by anybody, and may be kept for a second", async () => {
		const { as, anyone } = testApp();
		const alice = await as("alice", ["member"], "team");
		await alice("POST", "/api/memory/store", store);
		const answer = await anyone("GET", "/api/public/team/notes/today");
		expect(answer.json()).toEqual({ workspace: "team", key: "notes/today", value: { text: "hello" }, updated_at: expect.any(String) });
		expect([answer.statusCode, answer.headers["cache-control"]]).toEqual([200, "public, max-age=1"]);
		const again = await anyone("GET", "/api/public/team/notes/today", undefined, { "if-none-match": String(answer.headers.etag) });
		expect(again.statusCode).toBe(304);
	});

	it("is read as it was changed, as soon as the change is answered", async () => {
		const { as, anyone } = testApp();
		const alice = await as("alice", ["member"], "team");
		expect((await anyone("GET", "/api/public/team/notes/today")).statusCode).toBe(404);
		await alice("POST", "/api/memory/store", store);
		expect((await anyone("GET", "/api/public/team/notes/today")).json().value).toEqual({ text: "hello" });
		await alice("POST", "/api/memory/store", { ...store, value: "bye" });
		expect((await anyone("GET", "/api/public/team/notes/today")).json().value).toBe("bye");
		await alice("DELETE", "/api/memory/published/notes/today");
		expect((await anyone("GET", "/api/public/team/notes/today")).statusCode).toBe(404);
	});

	it.each([
		["another namespace", { ...store, namespace: "default" }],
		["another system", { ...store, system: "hivemind" }],
	])("is nothing of %s", async (_, entry) => {
		const { as, anyone } = testApp();
		const alice = await as("alice", ["member"], "team");
		await alice("POST", "/api/memory/store", entry);
		const answer = await anyone("GET", "/api/public/team/notes/today");
		expect([answer.statusCode, answer.json().error, answer.headers["cache-control"]]).toEqual([
			404,
			"Nothing is published there",
			"no-store",
		]);
	});

	it("is nothing that a principal asks for, whatever names it is asked by", async () => {
		const { as, anyone } = testApp();
		const alice = await as("@public", ["member"], "team");
		await alice("POST", "/api/memory/store", { ...store, namespace: "default", value: "secret" });
		expect((await alice("GET", "/api/memory/swarm")).body).toContain("secret");
		for (const url of [
			"/api/public/team/memory-swarm",
			"/api/public/team:@public/memory-swarm",
			"/api/public/@published:team/memory-swarm",
		]) {
			expect((await anyone("GET", url)).statusCode, url).toBe(404);
		}
	});
});
