import { readdirSync } from "node:fs";
import path from "node:path";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { maintain } from "../../app/stores/maintenance.ts";
import { type PostgresCluster, postgresMissing, startPostgres } from "./daemons.ts";
import { migrateWith, type Rig, roles, Secrets, startRig, until } from "./stores-rig.ts";

/** Names of the partitions of a table, from the first of the months given to the last. */
function partitionNames(table: string, from: number, to: number): string[] {
	const now = new Date();
	return Array.from({ length: to - from + 1 }, (_, index) => {
		const month = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + from + index, 1));
		return `${table}_${month.toISOString().slice(0, 7).replace("-", "")}`;
	});
}

describe.skipIf(postgresMissing)("the migration", () => {
	let postgres: PostgresCluster;
	const secrets = new Secrets();

	beforeAll(async () => {
		postgres = await startPostgres();
		await secrets.write();
	});
	afterAll(async () => {
		await postgres?.stop();
		secrets.remove();
	});

	const query = <Row extends pg.QueryResultRow>(text: string, values: readonly unknown[] = []) =>
		postgres.primary.query<Row>(text, values, postgres.database);

	async function loginAs({ username, password }: { username: string; password: string }): Promise<pg.Client> {
		const client = new pg.Client({ host: postgres.host, port: postgres.port, database: postgres.database, user: username, password });
		await client.connect();
		return client;
	}

	async function partitionsOf(table: string): Promise<string[]> {
		const rows = await query<{ name: string }>("select inhrelid::regclass::text as name from pg_inherits where inhparent = $1::regclass", [
			table,
		]);
		return rows.map(({ name }) => name).sort();
	}

	it("is done by one of several that start at once, and the others find it done", async () => {
		const logs = await Promise.all([1, 2, 3].map(() => migrateWith(postgres, secrets)));
		const done = logs.filter((log) => log.some((line) => line.includes("0001_tables")));
		expect(done).toHaveLength(1);
		const files = readdirSync(path.join(import.meta.dirname, "../../app/stores/migrations")).sort();
		expect(await query("select name from migrations order by id")).toEqual(files.map((file) => ({ name: path.parse(file).name })));
	});

	it("changes nothing when it runs again", async () => {
		await query("insert into workspaces (workspace, last_change) values ('stays', now())");
		const log = await migrateWith(postgres, secrets);
		expect(log).toContain("No migrations to run!");
		expect(await query("select workspace from workspaces")).toEqual([{ workspace: "stays" }]);
	});

	it("lets both roles log in, and work with the tables but not change them", async () => {
		for (const role of [roles.a, roles.b]) {
			const client = await loginAs(role);
			await client.query("select * from workspaces");
			await expect(client.query("drop table tasks")).rejects.toThrow("must be owner of table tasks");
			await expect(client.query("create table mine (id text)")).rejects.toThrow("permission denied for schema public");
			await expect(client.query("update partitioning set retention_months = 1")).rejects.toThrow("permission denied");
			await client.end();
		}
	});

	it("sets new passwords, and puts no password into the server's log", async () => {
		await query("alter database agentic_flow set log_statement = 'all'");
		const next = { username: roles.b.username, password: "rotated-secret" };
		secrets.set(next, roles.a);
		await migrateWith(postgres, secrets);
		await (await loginAs(next)).end();
		await expect(loginAs(roles.b)).rejects.toThrow("password authentication failed");
		await until(() => postgres.primary.daemon.log.includes("alter role"));
		expect(postgres.primary.daemon.log).not.toContain(next.password);
		await query("alter database agentic_flow reset log_statement");
		secrets.set(roles.a, roles.b);
		await migrateWith(postgres, secrets);
	});

	it("makes the partitions of this month and of three more", async () => {
		for (const table of ["activities", "events_outbox"]) {
			expect(await partitionsOf(table)).toEqual(partitionNames(table, 0, 3));
		}
	});

	it("drops partitions whose months are over, and no others", async () => {
		for (const table of ["activities", "events_outbox"]) {
			for (const name of partitionNames(table, -4, -1)) {
				const first = `to_timestamp('${name.slice(-6)}', 'YYYYMM') at time zone 'UTC' at time zone 'UTC'`;
				const rows = await query<{ from: string; to: string }>(
					`select (${first})::text as from, (${first} + interval '1 month')::text as to`,
				);
				await query(`create table ${name} partition of ${table} for values from ('${rows[0]?.from}') to ('${rows[0]?.to}')`);
			}
		}
		const client = await loginAs(roles.a);
		const { rows } = await client.query<{ line: string }>("select line from maintain_partitions() as line");
		await client.end();
		expect(rows.map(({ line }) => line)).toEqual([
			...partitionNames("activities", -4, -3).map((name) => `dropped ${name}`),
			...partitionNames("events_outbox", -4, -3).map((name) => `dropped ${name}`),
		]);
		expect(await partitionsOf("activities")).toEqual(partitionNames("activities", -2, 3));
	});

	it("leaves a partition that is being read for another time, and holds nobody up", async () => {
		const [old] = partitionNames("activities", -3, -3) as [string];
		await query(`create table ${old} partition of activities for values from ('2000-01-01') to ('2000-02-01')`);
		const reader = await loginAs(roles.a);
		await reader.query("begin");
		await reader.query("select * from activities");
		expect(await query("select line from maintain_partitions() as line")).toEqual([{ line: `in use ${old}` }]);
		await reader.query("commit");
		await reader.end();
		expect(await query("select line from maintain_partitions() as line")).toEqual([{ line: `dropped ${old}` }]);
	});

	it("keeps text that is not JSON as it is, and what is JSON as JSON as well", async () => {
		const values = ["plain text", '{"a": [1, "é"]}', "12", '"\\u0000"', '"\\ud800"', `${"[".repeat(10_000)}`, ""];
		for (const [index, value] of values.entries()) {
			await query(
				`insert into memory_entries (workspace, system, namespace, key, value, created_at, updated_at)
				values ('json', 'swarm', 'n', $1, $2, now(), now())`,
				[String(index), value],
			);
		}
		const rows = await query<{ value: string; json: string | null }>(
			"select value, value_json::text as json from memory_entries where workspace = 'json' order by key::integer",
		);
		expect(rows.map(({ value }) => value)).toEqual(values);
		expect(rows.map(({ json }) => json)).toEqual([null, '{"a": [1, "é"]}', "12", null, null, null, null]);
	});

	it("says which file is missing", async () => {
		const empty = new Secrets();
		await expect(migrateWith(postgres, empty)).rejects.toThrow(`no administrator's role: ${empty.admin}/username is missing`);
		empty.remove();
	});
});

describe.skipIf(postgresMissing)("the partitions", () => {
	let rig: Rig;
	beforeAll(async () => {
		rig = await startRig({ replicas: 0 });
		const months = [-1, 0].map((month) => ({ month, at: `date_trunc('month', now()) + interval '${month} months'` }));
		for (const { month, at } of months) {
			if (month < 0) {
				const [name] = partitionNames("activities", month, month) as [string];
				const bounds = await query<{ from: string; to: string }>(`select (${at})::text as from, date_trunc('month', now())::text as to`);
				await query(`create table ${name} partition of activities for values from ('${bounds[0]?.from}') to ('${bounds[0]?.to}')`);
			}
			await query(
				`insert into activities select 'w', i::text, 't', 'm', '{}', ${at} + i * interval '1 second' from generate_series(1, 500) i`,
			);
		}
		await query("analyze activities");
	});
	afterAll(() => rig?.stop());

	const query = <Row extends pg.QueryResultRow>(text: string) => rig.postgres.primary.query<Row>(text, [], rig.postgres.database);

	/** Names of the tables that are really read, and of those that the plan has but never opens. */
	async function plan(text: string): Promise<{ read: string[]; unopened: string[] }> {
		const rows = await query<{ "QUERY PLAN": string }>(`explain (analyze, costs off, timing off, summary off) ${text}`);
		const scans = rows.map((row) => row["QUERY PLAN"]).filter((line) => /Scan .*on activities_/.test(line));
		const name = (line: string) => /on (activities_\d{6})/.exec(line)?.[1] as string;
		const never = (line: string) => line.includes("never executed");
		return { read: scans.filter((line) => !never(line)).map(name), unopened: scans.filter(never).map(name) };
	}

	it("of other months are left out of a read that names a time, as EXPLAIN says", async () => {
		const { read, unopened } = await plan(`select * from activities where workspace = 'w' and "timestamp" >= date_trunc('month', now())
			and "timestamp" < now() + interval '1 day'`);
		const next = new Date(Date.now() + 86_400_000).getUTCMonth() === new Date().getUTCMonth() ? 0 : 1;
		expect(read).toEqual(partitionNames("activities", 0, next));
		expect(unopened).toEqual([]);
	});

	it("before the one that fills a listing are not opened", async () => {
		const listing = `select id from activities where workspace = 'w' and "timestamp" < now() + interval '1 day'
			order by "timestamp" desc, id desc limit 50`;
		const { read, unopened } = await plan(listing);
		expect(read).toContain(partitionNames("activities", 0, 0)[0]);
		expect(read).not.toContain(partitionNames("activities", -1, -1)[0]);
		expect(unopened).toEqual(partitionNames("activities", -1, -1));
		expect((await plan(listing.replace("50", "600"))).read).toContain(partitionNames("activities", -1, -1)[0]);
	});

	it("and expired memory are looked after by the server itself", async () => {
		const { database } = rig.worker();
		await query(`insert into memory_entries (workspace, system, namespace, key, value, created_at, updated_at, expires_at)
			select 'w', 'swarm', 'n', i::text, '', now(), now(), now() - interval '1 second' from generate_series(1, 2500) i`);
		await query(
			"insert into memory_entries (workspace, system, namespace, key, value, created_at, updated_at) values ('w', 'swarm', 'n', 'stays', '', now(), now())",
		);
		await query(`drop table ${partitionNames("activities", 3, 3)[0]}`);
		expect(await maintain(database)).toEqual([
			`created ${partitionNames("activities", 3, 3)[0]}`,
			"deleted 2500 memory entries that had expired",
		]);
		expect(await query("select key from memory_entries")).toEqual([{ key: "stays" }]);
		expect(await maintain(database)).toEqual([]);
	});
});
