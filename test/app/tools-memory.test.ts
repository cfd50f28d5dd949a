import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Principal } from "../../app/model.ts";
import { PUBLIC_NAMESPACE, publishedKey } from "../../app/ports.ts";
import { savedLimits } from "../../app/services/saved-states.ts";
import { missing } from "./daemons.ts";
import { type Answer, refusalOf, somebody, startToolRuns, type ToolRuns } from "./tool-runs.ts";

describe.skipIf(missing)(`tools about memory${missing ? `: ${missing}` : ""}`, () => {
	let tools: ToolRuns;
	let ada: Principal;
	let spaces = 0;

	beforeAll(async () => {
		tools = await startToolRuns();
	});

	afterAll(() => tools?.stop());

	beforeEach(() => {
		spaces += 1;
		ada = somebody(`memory-${spaces}`, "operator");
	});

	const run = (tool: string, args?: Readonly<Record<string, unknown>>): Promise<Answer> => tools.run(ada, tool, args);
	const services = () => tools.rig.edge.services;
	const store = (key: string, value: string, more: Readonly<Record<string, unknown>> = {}) =>
		run("memory_usage", { action: "store", key, value, ...more });
	const kept = async (key: string, namespace = "default") => (await services().memory.get(ada, "swarm", namespace, key))?.value ?? null;

	it("stores, retrieves, lists, searches and deletes", async () => {
		expect(await store("k", "Über", { namespace: "n", ttl: 60 })).toMatchObject({ success: true, stored: true, key: "k", bytes: 5 });
		expect(await kept("k", "n")).toBe("Über");
		expect(await run("memory_usage", { action: "retrieve", key: "k", namespace: "n" })).toMatchObject({ found: true, value: "Über" });
		expect(await run("memory_usage", { action: "retrieve", key: "k" })).toMatchObject({ found: false, namespace: "default", value: null });
		expect((await run("memory_usage", { action: "list", namespace: "n" })).entries).toMatchObject([{ key: "k", value: "Über" }]);
		expect((await run("memory_usage", { action: "search", namespace: "n", value: "ber" })).count).toBe(1);
		expect((await run("memory_search", { pattern: "Ü*" })).results).toMatchObject([{ namespace: "n" }]);
		expect(await run("memory_usage", { action: "delete", key: "k", namespace: "n" })).toMatchObject({ deleted: true });
		expect(await run("memory_usage", { action: "delete", key: "k", namespace: "n" })).toMatchObject({ deleted: false });
	});

	it("says what is missing, or is too much", async () => {
		expect(await refusalOf(run("memory_usage", { action: "store", value: "v" }))).toBe("INVALID: key is missing");
		expect(await refusalOf(run("memory_usage", { action: "store", key: "k" }))).toBe("INVALID: value is missing: the text to store");
		expect(await refusalOf(store("k", "a\0b"))).toBe("INVALID: value has a NUL character");
		expect(await refusalOf(store("k", "v", { ttl: -1 }))).toMatch(/^INVALID: ttl is a number of seconds above 0/);
		expect(await refusalOf(store("k", "x".repeat(1_048_577)))).toBe("INVALID: value has more than 1048576 bytes");
		expect(await refusalOf(run("memory_search", { pattern: "x", limit: 0 }))).toMatch(/^INVALID: limit must be a whole number/);
		expect(await refusalOf(run("memory_usage", { action: "burn" }))).toMatch(/^INVALID: action must be one of store, retrieve/);
		expect(await store("empty", "")).toMatchObject({ stored: true, bytes: 0 });
	});

	it("lists, counts and clears namespaces, and only the one", async () => {
		for (const key of ["a", "b"]) await store(key, "12345", { namespace: "x" });
		await store("a", "1", { namespace: "y" });
		expect((await run("memory_namespace")).namespaces).toEqual([
			{ system: "swarm", namespace: "x", entries: 2 },
			{ system: "swarm", namespace: "y", entries: 1 },
		]);
		expect((await run("memory_namespace", { action: "stats", namespace: "x" })).namespaces).toMatchObject([{ entries: 2, bytes: 10 }]);
		expect(await run("memory_namespace", { action: "clear", namespace: "x" })).toMatchObject({ deleted: 2 });
		expect((await run("memory_namespace")).namespaces).toMatchObject([{ namespace: "y" }]);
		expect(await refusalOf(run("memory_namespace", { action: "clear" }))).toMatch(/^INVALID: namespace is missing/);
		expect(await refusalOf(run("memory_namespace", { action: "burn" }))).toBe(
			'INVALID: action must be one of list, stats, clear, delete; it is "burn"',
		);
	});

	it("deletes what has expired, and leaves all else as it is", async () => {
		await store("brief", "x".repeat(1_000), { ttl: 1 });
		await store("stays", "y".repeat(100_000));
		await sleep(1_200);
		const { expiredDeleted, before, after } = await run("memory_compress");
		expect([expiredDeleted, before.expired, after.expired]).toEqual([1, 1, 0]);
		expect(after).toMatchObject({ entries: 1, bytes: 100_000 });
		expect(after.storedBytes).toBeLessThan(10_000);
		expect(await kept("stays")).toHaveLength(100_000);
	});

	it("counts what was written within a time", async () => {
		await store("a", "1");
		await store("a", "22");
		await store("b", "3", { namespace: "other" });
		expect(await run("memory_analytics", { timeframe: "1h" })).toMatchObject({
			timeframe: "1h",
			totals: { entries: 2, bytes: 3, created: 2, written: 2 },
		});
		for (const timeframe of ["yesterday", "0h", "9999d", "-1h"]) {
			expect(await refusalOf(run("memory_analytics", { timeframe }))).toMatch(/^INVALID: timeframe must be a time such as/);
		}
	});

	it("copies memory to the other system, newer entries first", async () => {
		await store("a", "old");
		await services().memory.store(ada, { system: "hivemind", namespace: "default", key: "a", value: "newer" });
		await store("b", "only here");
		expect(await run("memory_sync", { target: "hivemind" })).toMatchObject({ from: "swarm", entriesCopied: 1 });
		expect((await services().memory.get(ada, "hivemind", "default", "b"))?.value).toBe("only here");
		expect(await run("memory_sync", { target: "swarm" })).toMatchObject({ from: "hivemind", entriesCopied: 1 });
		expect(await kept("a")).toBe("newer");
	});

	it("keeps a backup under its path in the database, and puts it over what there is", async () => {
		await store("a", '{"deep": "\\u00fc"}', { namespace: "n", ttl: 600 });
		await store("b", 'plain \' text \\ with "all" of it\n');
		const backup = await run("memory_backup", { path: "/tmp/backup.json" });
		expect(backup).toMatchObject({
			success: true,
			label: "/tmp/backup.json",
			entries: 2,
			stored: expect.stringContaining("no file was written"),
		});
		await store("b", "changed");
		await run("memory_usage", { action: "delete", key: "a", namespace: "n" });
		await store("c", "came later");
		expect(await run("memory_restore", { backupPath: "/tmp/backup.json" })).toMatchObject({
			backupId: backup.backupId,
			entriesRestored: 2,
		});
		expect(await kept("a", "n")).toBe('{"deep": "\\u00fc"}');
		expect(await kept("b")).toBe('plain \' text \\ with "all" of it\n');
		expect(await kept("c")).toBe("came later");
		expect((await services().memory.get(ada, "swarm", "n", "a"))?.expiresAt).toBeGreaterThan(Date.now());
		expect((await run("memory_restore", { backupPath: backup.backupId })).label).toBe("/tmp/backup.json");
	});

	it("puts back nothing of another workspace's, nor for a member", async () => {
		const { backupId } = await run("memory_backup", { path: "mine" });
		const eve = somebody("somewhere-else", "operator");
		for (const backupPath of ["mine", backupId]) {
			expect(await refusalOf(tools.run(eve, "memory_restore", { backupPath }))).toBe(`NOT_FOUND: there is no backup ${backupPath}`);
		}
		const member = somebody(ada.workspace);
		expect(await refusalOf(tools.run(member, "memory_restore", { backupPath: "mine" }))).toMatch(/^FORBIDDEN/);
		expect(await refusalOf(tools.run(member, "context_restore", { snapshotId: "mine" }))).toMatch(/^FORBIDDEN/);
		expect(await refusalOf(run("context_restore", { snapshotId: "mine" }))).toBe("NOT_FOUND: there is no snapshot mine");
	});

	it("puts back no entry that has expired since", async () => {
		await store("brief", "x", { ttl: 1 });
		await run("memory_backup", { path: "p" });
		await sleep(1_200);
		expect(await run("memory_restore", { backupPath: "p" })).toMatchObject({ entriesRestored: 0 });
		expect(await kept("brief")).toBeNull();
	});

	it("keeps a session's memory under the session's name", async () => {
		await store("a", "1");
		expect(await run("memory_persist", { sessionId: "s1" })).toMatchObject({ label: "session:s1", entries: 1, sessionId: "s1" });
		expect(await run("memory_sync", { target: "elsewhere" })).toMatchObject({ label: "elsewhere", entries: 1 });
		expect((await services().activities.list(ada, 10)).map(({ type }) => type)).toContain("state_saved");
	});

	it("keeps no more than so many backups, the newest of them", async () => {
		const first = await run("memory_backup", { path: "first" });
		for (let number = 1; number < savedLimits.kept; number += 1) await run("memory_backup", { path: `b${number}` });
		expect((await run("memory_backup", { path: "last" })).dropped).toEqual([first.backupId]);
		expect(await refusalOf(run("memory_restore", { backupPath: "first" }))).toMatch(/^NOT_FOUND/);
		// Another scope has its own.
		expect((await run("state_snapshot", { name: "s" })).dropped).toEqual([]);
	});

	it("refuses to keep what is more than one transaction should carry", async () => {
		await tools.rig.edge.database.write([], (client) =>
			client.query({
				name: "test-many-entries",
				text: `insert into memory_entries (workspace, system, namespace, key, value, created_at, updated_at)
					select $1, 'swarm', 'many', 'k' || i, 'v', now(), now() from generate_series(1, $2) as i`,
				values: [ada.workspace, savedLimits.entries + 1],
			}),
		);
		expect(await refusalOf(run("memory_backup", { path: "p" }))).toMatch(
			/^CONFLICT: there are 10001 entries and tasks; 10000 can be copied at once/,
		);
		await run("memory_namespace", { action: "clear", namespace: "many" });
		expect(await run("memory_backup", { path: "p" })).toMatchObject({ entries: 0 });
	});

	it("lists as many entries as an answer can carry, and says that there are more", async () => {
		for (const key of ["a", "b", "c", "d", "e", "f"]) await store(key, "x".repeat(1_000_000));
		const listed = await run("memory_usage", { action: "list" });
		expect(listed).toMatchObject({ count: 4, truncated: true });
		expect(listed.entries.map(({ key }: { key: string }) => key)).toEqual(["f", "e", "d", "c"]);
		expect(await run("memory_search", { pattern: "xxx" })).toMatchObject({ count: 4, truncated: true });
	});

	it("puts a workspace back to a snapshot: swarm, agents, tasks and memory", async () => {
		await run("swarm_init", { topology: "ring", maxAgents: 4 });
		const { agentId } = await run("agent_spawn", { type: "coder", capabilities: ["a", 'b "c"'] });
		const { taskId } = await run("task_orchestrate", { task: "under way" });
		const done = (await run("task_orchestrate", { task: "done", dependencies: [taskId] })).taskId;
		await services().tasks.claim(ada, taskId, agentId);
		await services().tasks.complete(ada, taskId, { nested: [1, null, "ü"] });
		await services().tasks.claim(ada, done, agentId);
		await store("k", "kept");
		const before = await services().swarm.snapshot(ada);
		const { snapshotId } = await run("state_snapshot", { name: "before" });

		await run("swarm_destroy");
		await run("swarm_init", { topology: "mesh" });
		await run("agent_spawn", { type: "tester" });
		await store("k", "changed");
		await store("new", "gone again");
		expect(await run("context_restore", { snapshotId: "before" })).toMatchObject({
			snapshotId,
			agentsRestored: 1,
			tasksRestored: 2,
			entriesRestored: 1,
		});
		const after = await services().swarm.snapshot(ada);
		expect({ ...after, seq: 0, timestamp: 0 }).toEqual({ ...before, seq: 0, timestamp: 0 });
		expect(after.seq).toBeGreaterThan(before.seq);
		expect([await kept("k"), await kept("new")]).toEqual(["kept", null]);
		// What it was at goes on.
		expect(await services().tasks.complete(ada, done, null)).toMatchObject({ status: "completed" });
	});

	it("takes what was published back with the rest", async () => {
		await store("page", "first", { namespace: PUBLIC_NAMESPACE });
		await run("memory_backup", { path: "p" });
		await store("page", "second", { namespace: PUBLIC_NAMESPACE });
		const page = async () => {
			const read = () => services().memory.published(ada.workspace, "page");
			return JSON.parse((await services().cache.get(publishedKey(ada.workspace, "page"), 60_000, 60_000, read)).body.toString()).value;
		};
		expect(await page()).toBe("second");
		await run("memory_restore", { backupPath: "p" });
		expect(await page()).toBe("first");
	});

	it.each([
		["memory_usage", { action: "store", key: "k", value: "v" }],
		["memory_usage", { action: "delete", key: "there" }],
		["memory_namespace", { action: "clear", namespace: "default" }],
		["memory_sync", { target: "hivemind" }],
		["memory_backup", { path: "p" }],
		["memory_compress", {}],
		["memory_restore", { backupPath: "earlier" }],
		["context_restore", { snapshotId: "earlier" }],
	])("%s %j, run again after its worker was lost, changes nothing a second time and answers the same", async (tool, args) => {
		await store("there", "1");
		await run("memory_backup", { path: "earlier" });
		await run("state_snapshot", { name: "earlier" });
		const job = await tools.begin(ada, tool, args);
		const first = await job.again();
		await store("later", "2");
		const { seq } = await services().swarm.snapshot(ada);
		expect(await job.again()).toEqual(tool === "memory_compress" ? { ...first, after: expect.anything() } : first);
		expect((await services().swarm.snapshot(ada)).seq).toBe(seq);
		expect(await kept("later")).toBe("2");
	});

	it("has cached answers read anew", async () => {
		let loads = 0;
		const read = () =>
			services().cache.get(`${ada.workspace}:agents`, 60_000, 60_000, async () => {
				loads += 1;
				return loads;
			});
		await read();
		await read();
		expect(loads).toBe(1);
		expect(await run("cache_manage", { action: "invalidate", key: "agents" })).toMatchObject({ invalidated: true });
		await read();
		expect(loads).toBe(2);
		await run("cache_manage");
		await read();
		expect(loads).toBe(3);
		expect(await refusalOf(run("cache_manage", { action: "invalidate" }))).toMatch(/^INVALID: key is missing/);
	});
});
