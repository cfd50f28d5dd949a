import { execFileSync } from "node:child_process";
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, symlinkSync, truncateSync, writeSync } from "node:fs";
import path from "node:path";
import { deflateSync } from "node:zlib";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { putEntry } from "../../app/stores/memory.ts";
import { missing } from "./daemons.ts";
import { type EdgeRig, type Someone, startEdge } from "./edge-rig.ts";
import { Files, hashesOf, importJson, runImport, schemas, scratchOf } from "./import-rig.ts";
import { until } from "./stores-rig.ts";

/** Files of the original's, where somebody has them: a folder with swarm/, benchmark/ and memory/. */
const fixtures = process.env.ORIGINAL_FILES ?? path.join(import.meta.dirname, "../../../shared/fixtures/sqlite");

/** Seconds since 1970. */
const NOW = Math.floor(Date.now() / 1_000);

describe.skipIf(missing)(`the import${missing ? `: ${missing}` : ""}`, () => {
	let edge: EdgeRig;
	let files: Files;
	let workspace: string;
	let who: Someone;
	let tests = 0;

	beforeAll(async () => {
		edge = await startEdge();
	});
	afterAll(() => edge?.stop());

	beforeEach(async () => {
		tests += 1;
		workspace = `import-${tests}`;
		files = new Files();
		who = await edge.as(workspace);
	});
	afterEach(() => {
		files.remove();
		expect(copies()).toEqual([]);
	});

	/** Folders of private copies. */
	const copies = () => readdirSync(scratchOf(edge.rig)).filter((name) => name.startsWith("agentic-flow-import-"));
	/** Writes an entry, and keeps everybody waiting for its end until `meanwhile` is over. */
	const holding = async (meanwhile: () => Promise<void>) => {
		const { database } = edge.rig.worker({ timeoutsMs: { connect: 30_000, statement: 60_000, lock: 60_000, idleInTransaction: 60_000 } });
		const entry = { system: "swarm", namespace: "default", key: "held", value: "written", metadata: null, ttlSeconds: null } as const;
		await database.write([], async (client) => {
			await putEntry(client, workspace, entry);
			await meanwhile();
		});
	};
	const someoneWaits = async () => (await query("select 1 from pg_locks where not granted and $1 <> ''")).length > 0;
	const here = (words: readonly string[]) => [...words, "--workspace", workspace];
	const run = (...words: string[]) => runImport(edge.rig, here(words));
	const json = (...words: string[]) => importJson(edge.rig, here(words));
	const get = async (url: string) => JSON.parse((await who.call("GET", url)).text);
	const query = <Row extends object>(text: string) =>
		edge.rig.postgres.primary.query<Row & Record<string, unknown>>(text, [workspace], edge.rig.postgres.database);
	const entries = () =>
		query<{
			system: string;
			namespace: string;
			key: string;
			value: string;
			metadata: unknown;
			access_count: string;
			expires_at: Date | null;
		}>("select * from memory_entries where workspace = $1 order by system, namespace, key");
	const everything = async () => [
		await entries(),
		await query("select * from hive_records where workspace = $1 order by kind, id"),
		await query("select * from imports where workspace = $1 order by sha256"),
		await query("select * from events_outbox where workspace = $1 order by seq"),
	];

	it.skipIf(!existsSync(fixtures))(
		"takes the original's own files whole, changes none of them, and finds nothing to do a second time",
		async () => {
			const before = hashesOf(fixtures);
			const first = await json(fixtures);
			expect(first.code).toBe(0);
			expect(first.of["memory.db"]).toMatchObject({ status: "imported", tables: [{ table: "memory_entries", read: 5, inserted: 5 }] });
			expect(first.of["memory-store.json"]).toMatchObject({ status: "imported", tables: [{ read: 4, inserted: 4 }] });
			const swarm = await get("/api/memory/swarm");
			expect(swarm.total).toBe(9);
			expect(swarm.entries.find(({ key }: { key: string }) => key === "mcp-test-key")).toMatchObject({
				value: "MCP persistence working",
				namespace: "default",
				created_at: "2025-07-17T04:25:26.756Z",
			});
			const { hive } = await get("/api/memory/hivemind");
			expect(hive.agents).toHaveLength(15);
			expect(hive.tables).toContain("swarms");
			expect(await query("select kind, count(*)::int from hive_records where workspace = $1 group by kind order by kind")).toEqual([
				{ kind: "agents", count: 15 },
				{ kind: "swarms", count: 3 },
			]);
			const state = await everything();
			const second = await json(fixtures);
			expect([second.code, Object.values(second.of).map(({ status }) => status)]).toEqual([0, ["unchanged", "unchanged", "unchanged"]]);
			const again = await json(fixtures, "--again");
			expect(again.of["memory.db"]).toMatchObject({ tables: [{ read: 5, inserted: 0, updated: 0, unchanged: 5 }] });
			expect(await everything()).toEqual(state);
			expect(hashesOf(fixtures)).toEqual(before);
		},
	);

	it("knows every table by its name and columns, whatever the file is called", async () => {
		files.database(".swarm/memory.db", [schemas.memory_entries, schemas.memory], {
			memory_entries: [
				{
					key: "cli",
					value: "plain",
					namespace: "n",
					metadata: '{"sessionId":"s"}',
					created_at: NOW - 50,
					updated_at: NOW - 40,
					access_count: 3,
				},
			],
			memory: [{ key: "posted", value: '{"a":1}', namespace: "n", created_at: "2025-07-01 10:00:00", updated_at: "2025-07-02 10:00:00" }],
		});
		files.database(".hive-mind/memory.db", [schemas.memories, schemas.memory], {
			memories: [{ namespace: "m", key: "wrapped", value: "w", timestamp: 1_752_724_743_925 }],
			memory: [{ key: "posted", value: "2", namespace: "n", created_at: "2025-07-01 10:00:00", updated_at: "2025-07-01 10:00:00" }],
		});
		files.database("anything.sqlite", [schemas.swarms, schemas.agents, schemas.tasks, schemas.collective_memory, schemas.session_logs], {
			swarms: [{ id: "s-1", name: "one", created_at: "2025-07-06 14:05:35", updated_at: "2025-07-06 14:05:35" }],
			agents: [{ id: "a-1", swarm_id: "nowhere", name: "orphan", type: "coder", capabilities: '["x"]', created_at: "2025-07-06 14:05:35" }],
			tasks: [{ id: "t-1", swarm_id: "s-1", description: "d", status: "completed", priority: 7, created_at: "2025-07-06 14:05:35" }],
			collective_memory: [
				{ id: "1", swarm_id: "s-1", key: "text", value: "t", type: "error", created_at: "2025-07-06 14:05:35" },
				{ id: "2", swarm_id: "s-1", key: "packed", value: deflateSync('{"p":1}'), created_at: 1_752_724_743, compressed: 1 },
				{ id: "3", swarm_id: null, key: "bytes", value: Buffer.from("00ff", "hex"), created_at: 1_752_724_743 },
			],
			session_logs: [{ session_id: "x", message: "began", timestamp: "2025-07-06 14:05:35" }],
		});
		files.database("data/hive-mind.db", [schemas.rich_memory, schemas.rich_tasks, schemas.swarms], {
			memory: [{ key: "rich", namespace: "r", value: "v", ttl: 60, created_at: "2025-07-06 14:05:35", metadata: "no json" }],
			tasks: [{ id: "t-2", description: "d", priority: "high", status: "pending", progress: 40, created_at: "2025-07-06 14:05:35" }],
		});
		files.database(
			"shared.db",
			[schemas.memory_store, "create table metadata (key text, value text)", "create table migrations (version integer)"],
			{
				memory_store: [
					{ key: "store", namespace: "default", value: '"s"', type: "json", created_at: NOW, updated_at: NOW, compressed: 0, size: 3 },
				],
			},
		);
		files.write(
			"memory/memory-store.json",
			JSON.stringify({ default: [{ key: "json", value: "j", namespace: "default", timestamp: 1 + NOW * 1_000 }] }),
		);
		files.write(
			".hive-mind/sessions/session-1.json",
			'{"sessionId":"x","checkpointId":"c","timestamp":"2025-07-06T14:05:35Z","data":{"changeCount":1}}',
		);
		files.write(".hive-mind/config.json", '{"topology":"mesh","seed":12345678901234567890}');
		files.write("package/config.json", '{"not":"ours"}');

		const { code, of } = await json(files.folder, "--keep-expired");
		expect(code).toBe(0);
		expect(Object.keys(of).sort()).toEqual(
			["anything.sqlite", "config.json", "hive-mind.db", "memory-store.json", "memory.db", "session-1.json", "shared.db"].sort(),
		);
		const taken = (await entries()).map(({ system, namespace, key, value, metadata }) => [system, namespace, key, value, metadata]);
		expect(taken).toEqual([
			["hivemind", "default", "bytes", "AP8=", { confidence: 1, type: "knowledge", import: { encoding: "base64" } }],
			["hivemind", "m", "wrapped", "w", { type: "knowledge" }],
			["hivemind", "n", "posted", "2", null],
			["hivemind", "r", "rich", "v", { metadata: "no json", import: { expiredAt: "2025-07-06T14:06:35.000Z" } }],
			["hivemind", "s-1", "packed", '{"p":1}', { swarm_id: "s-1", confidence: 1, type: "knowledge", import: { compressed: "unpacked" } }],
			["hivemind", "s-1", "text", "t", { swarm_id: "s-1", confidence: 1, type: "error" }],
			["swarm", "default", "json", "j", null],
			["swarm", "default", "store", '"s"', { type: "json" }],
			["swarm", "n", "cli", "plain", { sessionId: "s" }],
			["swarm", "n", "posted", '{"a":1}', null],
		]);
		const swarm = await get("/api/memory/swarm");
		expect(swarm.entries.map(({ key }: { key: string }) => key).sort()).toEqual(["cli", "json", "posted", "store"]);
		expect(await get("/api/memory/hivemind")).toMatchObject({
			memory: { total: 6 },
			hive: {
				total: 2,
				entries: [{ key: "packed" }, { key: "text" }],
				tables: ["agents", "tasks", "config", "session_files", "session_logs", "swarms"],
				agents: [{ id: "a-1", swarm_id: "nowhere", capabilities: '["x"]' }],
				tasks: [
					{ id: "t-1", priority: 7 },
					{ id: "t-2", priority: "high", progress: 40 },
				],
			},
			config: { topology: "mesh" },
			sessions: [{ sessionId: "x", data: { changeCount: 1 } }],
		});
		expect(await query("select id from hive_records where workspace = $1 and kind = 'session_logs'")).toEqual([{ id: "x/1" }]);
		expect(await query("select data->>'seed' as seed from hive_records where workspace = $1 and kind = 'config'")).toEqual([
			{ seed: "12345678901234567890" },
		]);
	});

	it("keeps values that PostgreSQL cannot hold, in a form that says so, and large ones", async () => {
		const large = "x".repeat(10 * 1_024 * 1_024);
		const file = files.database("odd.db", [schemas.memory_entries.replace("value text not null", "value")], {
			memory_entries: [
				{ key: "nul", value: "a\0b", updated_at: NOW },
				{ key: "bytes", value: Buffer.from("00ff", "hex"), updated_at: NOW },
				{ key: "integer", value: 9_007_199_254_740_993n, updated_at: NOW },
				{ key: "real", value: 1.5, updated_at: NOW },
				{ key: "null", value: null, updated_at: NOW },
				{ key: "large", value: large, updated_at: NOW + 60 },
				{ key: "deep", value: `${"[".repeat(50_000)}${"]".repeat(50_000)}`, updated_at: NOW },
				{ key: "escape", value: '"\\u0000 and \\ud800"', updated_at: NOW, metadata: '{"nul":"\\u0000"}' },
				{ key: "array", value: "v", updated_at: NOW, metadata: "[1]" },
				{ key: "huge number", value: "v", updated_at: NOW, metadata: '{"n":1e999999}' },
			],
		});
		const database = files.open("odd.db");
		database.exec(
			"insert into memory_entries (key, value) values ('no UTF-8', cast(x'ff41' as text)), ('a question', 'what \ufffd is this')",
		);
		database.close();
		expect((await json(file)).code).toBe(0);
		const rows = await entries();
		const of = (key: string) => rows.find((row) => row.key === key);
		expect(
			Object.fromEntries(rows.filter(({ value }) => value.length < 100).map(({ key, value, metadata }) => [key, [value, metadata]])),
		).toEqual({
			"a question": ["what \ufffd is this", null],
			array: ["v", { metadata: "[1]" }],
			bytes: ["AP8=", { import: { encoding: "base64" } }],
			escape: ['"\\u0000 and \\ud800"', { metadata: '{"nul":"\\u0000"}' }],
			"huge number": ["v", { metadata: '{"n":1e999999}' }],
			integer: ["9007199254740993", null],
			"no UTF-8": ["/0E=", { import: { encoding: "base64" } }],
			nul: ['"a\\u0000b"', { import: { encoding: "json" } }],
			null: ["null", null],
			real: ["1.5", null],
		});
		expect([of("large")?.value === large, of("deep")?.value.length]).toEqual([true, 100_000]);
		// The largest is the newest, and hides none of the others.
		const { entries: listed, total } = await get("/api/memory/swarm");
		expect([listed.length, total]).toEqual([11, 12]);
		expect((await get("/api/memory/retrieve?key=large")).value).toBe(large);
		expect((await get("/api/memory/retrieve?key=nul")).value).toBe("a\0b");
	});

	it("refuses rows that nothing could read again, says how many and why, and takes the others", async () => {
		const file = files.database("rows.db", [schemas.memory_entries], {
			memory_entries: [
				{ key: "good", value: "v" },
				{ key: "", value: "v" },
				{ key: "k".repeat(1_025), value: "v" },
				{ key: "k".repeat(5_000), value: "v" },
				{ key: "nul\0key", value: "v" },
				{ key: "k", namespace: "n".repeat(300), value: "v" },
				{ key: "k", namespace: "published", value: "secret" },
				{ key: "m", value: "v", metadata: JSON.stringify({ m: "m".repeat(70_000) }) },
				{ key: "v", value: "v".repeat(17 * 1_024 * 1_024) },
			],
		});
		const { code, of } = await json(file);
		expect(code).toBe(0);
		expect(of["rows.db"]).toMatchObject({
			tables: [
				{
					read: 9,
					inserted: 1,
					refused: 8,
					reasons: {
						"its key is empty": 1,
						"its key has more than 1024 bytes": 2,
						"its key is no text that PostgreSQL can hold": 1,
						"its namespace has more than 256 bytes": 1,
						'its namespace is "published", which anybody may read: --publish takes it': 1,
						"its metadata has more than 65536 bytes": 1,
						"its value, as text, has more than 16777216 bytes": 1,
					},
				},
			],
		});
		expect((await entries()).map(({ key }) => key)).toEqual(["good"]);
		expect((await json(file, "--publish")).of["rows.db"]).toMatchObject({ tables: [{ inserted: 1, unchanged: 1, refused: 7 }] });
		expect((await who.call("GET", `/api/public/${workspace}/k`)).text).toContain("secret");
	});

	it("understands times however they are written, and keeps those that make no sense beside the entry", async () => {
		const file = files.database("times.db", [schemas.memory_entries.replaceAll("_at integer", "_at")], {
			memory_entries: [
				{ key: "absurd", value: "v", created_at: 9_223_372_036_854_775_807n, updated_at: 1_752_724_743 },
				{ key: "negative", value: "v", created_at: 1_752_724_743, updated_at: -5 },
				{ key: "real", value: "v", created_at: 1_752_724_743.5, updated_at: 1_752_724_743_925 },
				{ key: "text", value: "v", created_at: "2025-07-17 03:59:03", updated_at: "next year" },
				{ key: "future", value: "v", created_at: 1_752_724_743, updated_at: NOW + 1_000_000 },
				{ key: "endless", value: "v", created_at: 1_752_724_743, updated_at: 1_752_724_743, expires_at: 9_223_372_036_854_775_807n },
			],
		});
		await json(file);
		const iso = (column: string) => `to_char(${column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS') as ${column}`;
		const rows = await query(
			`select key, ${iso("created_at")}, ${iso("updated_at")}, metadata from memory_entries where workspace = $1 order by key`,
		);
		const at = "2025-07-17T03:59:03.000";
		expect(rows).toEqual([
			{ key: "absurd", created_at: at, updated_at: at, metadata: { created_at: "9223372036854775807" } },
			{ key: "endless", created_at: at, updated_at: at, metadata: null },
			{ key: "future", created_at: at, updated_at: at, metadata: { updated_at: NOW + 1_000_000 } },
			{ key: "negative", created_at: at, updated_at: at, metadata: { updated_at: -5 } },
			{ key: "real", created_at: "2025-07-17T03:59:03.500", updated_at: "2025-07-17T03:59:03.925", metadata: null },
			{ key: "text", created_at: at, updated_at: at, metadata: { updated_at: "next year" } },
		]);
	});

	it("leaves out what has expired, unless it is told to keep it, and carries the ends of the rest", async () => {
		const file = files.database("ends.db", [schemas.memory_entries], {
			memory_entries: [
				{ key: "over", value: "v", updated_at: NOW - 100, expires_at: NOW - 10 },
				{ key: "over by ttl", value: "v", updated_at: NOW - 100, ttl: 60 },
				{ key: "ends", value: "v", updated_at: NOW - 100, expires_at: NOW + 3_600 },
				{ key: "ends by ttl", value: "v", updated_at: NOW - 100, ttl: 3_600 },
				{ key: "no end", value: "v", updated_at: NOW - 100, ttl: 0, expires_at: 0 },
			],
		});
		expect((await json(file)).of["ends.db"]).toMatchObject({ tables: [{ read: 5, inserted: 3, expired: 2 }] });
		expect((await entries()).map(({ key, expires_at }) => [key, expires_at && expires_at.getTime() / 1_000])).toEqual([
			["ends", NOW + 3_600],
			["ends by ttl", NOW + 3_500],
			["no end", null],
		]);
		expect((await json(file, "--keep-expired")).of["ends.db"]).toMatchObject({ tables: [{ inserted: 2, unchanged: 3, expired: 0 }] });
		expect(await get("/api/memory/retrieve?key=over")).toMatchObject({ found: true, value: "v" });
	});

	it("lets the newest win, among files and against what is there, and names who lost", async () => {
		const entry = (key: string, value: string, updated_at: number) => ({ key, value, updated_at, created_at: updated_at });
		const one = files.database("1.db", [schemas.memory_entries], {
			memory_entries: [
				entry("a", "old", NOW - 20),
				entry("b", "new", NOW - 10),
				entry("tie", "first", NOW - 10),
				entry("same", "s", NOW - 20),
			],
		});
		const other = files.database("2.db", [schemas.memory_entries], {
			memory_entries: [
				entry("a", "new", NOW - 10),
				entry("b", "old", NOW - 20),
				entry("tie", "second", NOW - 10),
				entry("same", "s", NOW - 10),
			],
		});
		const at = (seconds: number) => (NOW - seconds) * 1_000;
		const store = files.write(
			"memory-store.json",
			JSON.stringify({
				default: [
					{ key: "twice", value: "older", timestamp: at(30) },
					{ key: "twice", value: "newer", timestamp: at(20) },
					{ key: "twice", value: "oldest", timestamp: at(40) },
					{ key: "again", value: "first", timestamp: at(30) },
					{ key: "again", value: "last", timestamp: at(30) },
				],
			}),
		);
		await who.call("POST", "/api/memory", { key: "live", value: "mine" });
		files.database("3.db", [schemas.memory_entries], { memory_entries: [entry("live", "theirs", NOW - 10)] });
		const { of } = await json(one, other, store, files.path("3.db"));
		expect(of["2.db"]).toMatchObject({
			tables: [
				{
					updated: 1,
					kept: 2,
					unchanged: 1,
					clashes: [
						{ name: "swarm/default/a", now: "this row" },
						{ name: "swarm/default/b", now: "what was there" },
						{ name: "swarm/default/tie", now: "what was there" },
					],
				},
			],
		});
		expect(of["memory-store.json"]).toMatchObject({ tables: [{ read: 5, inserted: 2, duplicates: 3 }] });
		expect(of["3.db"]).toMatchObject({ tables: [{ inserted: 0, kept: 1 }] });
		expect(Object.fromEntries((await entries()).map(({ key, value }) => [key, value]))).toEqual({
			a: "new",
			again: "last",
			b: "new",
			live: "mine",
			same: "s",
			tie: "first",
			twice: "newer",
		});
	});

	it("takes the later file's word where a hive's rows have no time to tell", async () => {
		const agent = (status: string) => ({ agents: [{ id: "a", name: "n", type: "t", status, created_at: "2025-07-06 14:05:35" }] });
		const [early, late] = [
			files.database("early.db", [schemas.agents], agent("idle")),
			files.database("late.db", [schemas.agents], agent("busy")),
		];
		execFileSync("touch", ["-d", "2025-08-01", early]);
		const status = async () => (await get("/api/memory/hivemind")).hive.agents.map((row: { status: string }) => row.status);
		await json(late, early);
		expect(await status()).toEqual(["busy"]);
		expect((await json(early, late, "--again")).of["early.db"]).toMatchObject({ tables: [{ kept: 1 }] });
	});

	it("says in a dry run what it would do, clashes between the files as well, and writes nothing", async () => {
		const entry = (value: string, updated_at: number) => ({ memory_entries: [{ key: "k", value, updated_at }] });
		files.database("1.db", [schemas.memory_entries, schemas.swarms], entry("one", NOW - 20));
		files.database("2.db", [schemas.memory_entries], entry("two", NOW - 10));
		await who.call("POST", "/api/memory", { key: "live", value: "mine" });
		const before = await everything();
		const dry = await json(files.folder, "--dry-run");
		expect(await everything()).toEqual(before);
		const real = await json(files.folder);
		expect(dry).toEqual(real);
		expect(real.of["2.db"]).toMatchObject({ tables: [{ updated: 1, clashes: [{ name: "swarm/default/k", now: "this row" }] }] });
		const { stdout } = await run(files.folder, "--dry-run", "--again");
		expect(stdout).toContain("files: 2 would be imported, 0 unchanged, 0 refused");
	});

	it("takes what is only in the write-ahead log, while the old server has the file open, and touches neither", async () => {
		const server = files.open("live.db", "pragma journal_mode = wal; pragma wal_autocheckpoint = 0", schemas.memory_entries);
		server.exec("insert into memory_entries (key, value) values ('in the log', 'v')");
		const before = hashesOf(files.folder);
		expect((await json(files.path("live.db"))).of["live.db"]).toMatchObject({ tables: [{ read: 1, inserted: 1 }] });
		expect(hashesOf(files.folder)).toEqual(before);
		server.exec("insert into memory_entries (key, value) values ('later', 'v')");
		expect((await json(files.path("live.db"))).of["live.db"]).toMatchObject({ tables: [{ read: 2, inserted: 1, unchanged: 1 }] });
		server.close();
	});

	it("undoes in its copy what a crash of the old server left half done", async () => {
		const server = files.open("crash.db", "pragma cache_size = 1; pragma cache_spill = 1", schemas.memory_entries);
		server.exec("insert into memory_entries (key, value) values ('whole', 'v')");
		server.exec(
			"begin; with recursive n (i) as (select 1 union all select i + 1 from n where i < 2000) insert into memory_entries (key, value) select 'half ' || i, hex(randomblob(200)) from n",
		);
		const half = new Files();
		for (const name of ["crash.db", "crash.db-journal"]) half.write(name, readFileSync(files.path(name)));
		server.close();
		await json(half.path("crash.db"));
		half.remove();
		expect((await entries()).map(({ key }) => key)).toEqual(["whole"]);
	});

	it("refuses by name what is damaged, locked, foreign or out of reach, and imports the others", async () => {
		files.database("good.db", [schemas.memory_entries], { memory_entries: [{ key: "k", value: "v" }] });
		files.write("empty.db", "");
		files.write("text.db", "this is no database, whatever it is called\n".repeat(50));
		files.write("noise.db", Buffer.from(Array.from({ length: 8_192 }, (_, index) => (index * 7_919) % 251)));
		files.database("foreign.db", ["create table users (id integer)", "create table sessions (sid text, sess text)"]);
		files.database("no-tables.db", ["pragma user_version = 3"]);
		const rows = Array.from({ length: 400 }, (_, index) => ({ key: `key ${index}`, value: "v".repeat(200) }));
		truncateSync(files.database("truncated.db", [schemas.memory_entries], { memory_entries: rows }), 24_576);
		const damaged = openSync(files.database("damaged.db", [schemas.memory_entries], { memory_entries: rows }), "r+");
		writeSync(damaged, Buffer.alloc(4_096, 0xa5), 0, 4_096, 8 * 4_096);
		closeSync(damaged);
		files.write("session-broken.json", '{"sessionId": "x", ');
		files.write("session-other.json", '{"neither": "store", "nor": "session"}');
		files.write("session-large.json", Buffer.alloc(65 * 1_024 * 1_024, 32));
		files.write("session-deep.json", `{"sessionId":"x","data":${"[".repeat(200_000)}${"]".repeat(200_000)}}`);
		symlinkSync("loop.db", files.path("loop.db"));
		mkdirSync(files.path("sub"));
		symlinkSync("..", files.path("sub/up"));
		execFileSync("mkfifo", [files.path("pipe.db")]);
		const writer = files.open("locked.db", schemas.memory_entries, "begin immediate");
		const logWriter = files.open("locked-log.db", "pragma journal_mode = wal", schemas.memory_entries, "begin immediate");
		logWriter.exec("insert into memory_entries (key, value) values ('k', 'v')");

		const before = new Set(readdirSync(files.folder));
		const { code, stdout, stderr } = await run(files.folder, files.path("missing.db"));
		expect(code).toBe(1);
		expect(new Set(readdirSync(files.folder))).toEqual(before);
		writer.exec("rollback");
		writer.close();
		logWriter.exec("rollback");
		logWriter.close();
		expect(stderr).toBe("");
		const said = Object.fromEntries(
			[...stdout.matchAll(/^(\w+) +(\S+)\n +(.+)\n(?: +fix: .+\n)?/gm)].map(([, status, file = "", why]) => [
				path.basename(file),
				`${status}: ${why}`,
			]),
		);
		expect(said).toEqual({
			"damaged.db": expect.stringMatching(/^refused: it is damaged: /),
			"empty.db": "refused: it is no SQLite database: it is empty",
			"foreign.db": "refused: it has none of the original's tables: its tables are sessions, users",
			"good.db": expect.stringMatching(/^imported: memory_entries +1 read: 1 inserted; checksum [0-9a-f]{12}$/),
			"locked-log.db": `refused: it is in use: process ${process.pid} has it locked for writing`,
			"locked.db": `refused: it is in use: process ${process.pid} has it locked for writing`,
			"loop.db": "refused: it cannot be read: it is a link that leads to itself",
			"missing.db": "refused: it cannot be read: it is not there",
			"no-tables.db": "refused: it has none of the original's tables: it has no table",
			"noise.db": "refused: it is no SQLite database: it does not begin as one, or is encrypted",
			"pipe.db": "refused: it is no file: it is a device, a pipe or a socket",
			"session-broken.json": expect.stringMatching(/^refused: it is no JSON that can be read: /),
			"session-deep.json": expect.stringMatching(/^refused: it is no JSON that can be read: /),
			"session-large.json": "refused: it is too large: it has 68157440 bytes, and JSON is read as a whole: 67108864 at most",
			"session-other.json": expect.stringMatching(/^refused: it is none of the original's files: /),
			"text.db": "refused: it is no SQLite database: it does not begin as one, or is encrypted",
			"truncated.db": expect.stringMatching(/^refused: it is damaged: /),
		});
		expect(stdout).toMatch(/files: 1 imported, 0 unchanged, 16 refused; rows: 1 read, 1 inserted, 0 updated, 0 refused\n$/);
		expect((await entries()).map(({ key }) => key)).toEqual(["k"]);
	});

	it("reads tables of any making, and leaves views, triggers and strangers' tables where they are", async () => {
		files.database("making.db", [
			"pragma encoding = 'UTF-16le'",
			'create table "Memory_Entries" (Key text, "value" text, upper text generated always as (upper("value")) virtual, primary key (Key)) without rowid',
			"insert into memory_entries (key, value) values ('ü', 'größe'), ('k', 'v')",
			"create table others (a); insert into others values (1), (2)",
			"create view memory as select 'k' as key, 'from a view' as value",
			"create view swarms as select 'x' as id, 'x' as name",
			"create trigger memories after insert on others begin select raise(abort, 'fired'); end",
		]);
		const { of } = await json(files.path("making.db"));
		expect(of["making.db"]).toMatchObject({
			status: "imported",
			tables: [{ table: "memory_entries", read: 2, inserted: 2 }],
			unknown: [{ name: "others", rows: 2 }],
		});
		expect((await entries()).map(({ key, value, metadata }) => [key, value, metadata])).toEqual([
			["k", "v", { upper: "V" }],
			["ü", "größe", { upper: "GRößE" }],
		]);
	});

	it("goes on where somebody writes one of its keys meanwhile, and the newest wins there, too", async () => {
		files.database("race.db", [schemas.memory_entries], {
			memory_entries: [
				{ key: "held", value: "imported", updated_at: NOW - 10 },
				{ key: "other", value: "imported", updated_at: NOW - 10 },
			],
		});
		let running: ReturnType<typeof json> | undefined;
		await holding(async () => {
			running = json(files.path("race.db"));
			await until(someoneWaits);
		});
		expect((await running)?.code).toBe(0);
		expect((await entries()).map(({ key, value }) => [key, value])).toEqual([
			["held", "written"],
			["other", "imported"],
		]);
	});

	it("leaves nothing behind when it is interrupted, and takes all of it the next time", async () => {
		files.database("half.db", [schemas.swarms, schemas.memory_entries], {
			swarms: [{ id: "s", name: "n" }],
			memory_entries: [{ key: "held", value: "imported" }],
		});
		const interrupt = new AbortController();
		await expect(
			holding(async () => {
				void runImport(edge.rig, here([files.folder]), {}, interrupt.signal);
				await until(someoneWaits);
				expect(copies()).toHaveLength(1);
				interrupt.abort();
				await until(() => copies().length === 0);
				throw new Error("undone");
			}),
		).rejects.toThrow("undone");
		await until(
			async () => (await query("select 1 from pg_stat_activity where application_name = 'agentic-flow import' and $1 <> ''")).length === 0,
		);
		expect(await everything()).toEqual([[], [], [], []]);
		expect((await json(files.folder)).of["half.db"]).toMatchObject({ tables: [{ inserted: 1 }, { inserted: 1 }] });
	});

	it("tells those who follow the workspace once, and nothing of where the files were", async () => {
		files.database("one.db", [schemas.memory_entries, schemas.swarms], {
			memory_entries: [{ key: "k", value: "v" }],
			swarms: [{ id: "s", name: "n" }],
		});
		await json(files.folder);
		await json(files.folder, "--again");
		const events = await query("select seq::int, entity_type, entity_id, action, data from events_outbox where workspace = $1");
		expect(events).toEqual([{ seq: 1, entity_type: "memory", entity_id: null, action: "reset", data: { imported: 2 } }]);
	});

	it("tells a mistake, trouble with the files and trouble with PostgreSQL apart, and shows nobody a stack", async () => {
		const nothing = await run();
		expect([nothing.code, nothing.stdout]).toEqual([2, ""]);
		expect(nothing.stderr).toMatch(/^import: no file is named\n {2}why: .+\n {2}fix: .+\n$/);
		const empty = await run(files.folder);
		expect([empty.code, empty.stderr]).toEqual([1, ""]);
		expect(empty.stdout).toMatch(
			/^refused +\S+\n +it has none of the original's files: .+\n +fix: .+\nfiles: 0 imported, 0 unchanged, 1 refused/,
		);
		const away = await runImport(edge.rig, [files.folder], { POSTGRES_PRIMARY: "127.0.0.1:1" });
		expect([away.code, away.stdout]).toEqual([1, ""]);
		expect(away.stderr).toBe(
			"import: PostgreSQL: connect ECONNREFUSED 127.0.0.1:1; what was imported before stays, so run it again when that is mended\n",
		);
		const unset = await runImport(edge.rig, [files.folder], { POSTGRES_DATABASE: "" });
		expect([unset.code, unset.stderr.split("\n")[0]]).toEqual([2, "cannot start: 1 setting is wrong"]);
	});
});
