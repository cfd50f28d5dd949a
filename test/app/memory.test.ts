import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { missing } from "./daemons.ts";
import { type EdgeRig, type Someone, startEdge } from "./edge-rig.ts";

describe.skipIf(missing)(`memory on real stores${missing ? `: ${missing}` : ""}`, () => {
	let edge: EdgeRig;
	let ada: Someone;

	beforeAll(async () => {
		edge = await startEdge();
		ada = await edge.as("ada");
	});

	afterAll(() => edge?.stop());

	const store = async (who: Someone, body: object, path = "/api/memory/store") =>
		expect((await who.call("POST", path, body)).status).toBe(200);

	async function read(who: Someone, query: Readonly<Record<string, string>>): Promise<unknown> {
		const { found, value } = JSON.parse((await who.call("GET", `/api/memory/retrieve?${new URLSearchParams(query)}`)).text);
		return found ? value : undefined;
	}

	it("keeps a key apart in every namespace, system and workspace", async () => {
		const bob = await edge.as("bob");
		await store(ada, { namespace: "one", key: "k", value: 1 });
		await store(ada, { namespace: "other", key: "k", value: 2 });
		await store(ada, { namespace: "one", key: "k", value: 3, system: "hivemind" });
		await store(bob, { namespace: "one", key: "k", value: 4 });
		const seen = [
			await read(ada, { namespace: "one", key: "k" }),
			await read(ada, { namespace: "other", key: "k" }),
			await read(ada, { namespace: "one", key: "k", system: "hivemind" }),
			await read(bob, { namespace: "one", key: "k" }),
		];
		expect(seen).toEqual([1, 2, 3, 4]);
		expect((await ada.call("DELETE", "/api/memory/one/k")).status).toBe(200);
		expect(await read(ada, { namespace: "one", key: "k" })).toBeUndefined();
		expect(await read(ada, { namespace: "other", key: "k" })).toBe(2);
	});

	it("shows nothing any more whose time to live is over, by key, in a search or in a list", async () => {
		await store(ada, { namespace: "brief", key: "goes", value: "x", ttl: 2 });
		await store(ada, { namespace: "brief", key: "stays", value: "x", ttl: 600 });
		const searched = async () => {
			const found = JSON.parse((await ada.call("GET", "/api/memory/search?namespace=brief&pattern=*")).text) as { key: string }[];
			return found.map(({ key }) => key).sort();
		};
		expect(await read(ada, { namespace: "brief", key: "goes" })).toBe("x");
		expect(await searched()).toEqual(["goes", "stays"]);
		await sleep(2_500);
		expect(await read(ada, { namespace: "brief", key: "goes" })).toBeUndefined();
		expect(await searched()).toEqual(["stays"]);
		expect((await ada.call("GET", "/api/memory/brief/goes")).status).toBe(404);
		expect((await ada.call("GET", "/api/memory/swarm")).text).not.toContain('"goes"');
	});

	it.each(["plain text", "", "{ not JSON", '"', "ü\n\t"])(
		"gives back the plain text %j, and lists it beside what is JSON",
		async (value) => {
			await store(ada, { namespace: "text", key: "plain", value }, "/api/memory");
			await store(ada, { namespace: "text", key: "json", value: { a: 1 } });
			expect(await read(ada, { namespace: "text", key: "plain" })).toBe(value);
			const listed = await ada.call("GET", "/api/memory/swarm");
			expect(listed.status).toBe(200);
			const { entries } = JSON.parse(listed.text) as { entries: { namespace: string; key: string; value: unknown }[] };
			const texts = entries.filter(({ namespace }) => namespace === "text").map(({ key, value }) => [key, value]);
			expect(Object.fromEntries(texts)).toEqual({ plain: value, json: { a: 1 } });
		},
	);
});
