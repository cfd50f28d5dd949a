/**
 * Measures the import of a large SQLite file, beside psql's plain `\copy` of the same rows into the same table.
 *
 *     node bench/import.ts [rows] [rounds]
 *
 * Both begin with an empty table, in turns, so that a busy minute of the machine falls on both. The import is the whole command, from
 * its start to its exit: it copies the file, checks it, reads it, stages the rows and merges them. Processor time is told as well: on
 * a machine that others use, it is what can be compared. Prints a table and writes bench/results/import.json; judges nothing.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import os, { tmpdir } from "node:os";
import path from "node:path";
import { DatabaseSync } from "node:sqlite";
import { startPostgres } from "../test/app/daemons.ts";
import { migrateWith, Secrets } from "../test/app/stores-rig.ts";
import { cpuUsOf, familyOf } from "./kit/proc.ts";

const main = path.join(import.meta.dirname, "..", "app", "main.ts");

/** The process says on its way out how much memory it had at most, KiB, and its processor time, us, on a channel of its own. */
const REPORT = `data:text/javascript,${encodeURIComponent(
	`import { writeSync } from "node:fs"; process.on("exit", () => { const { maxRSS, userCPUTime, systemCPUTime } = process.resourceUsage(); writeSync(3, JSON.stringify([maxRSS, userCPUTime + systemCPUTime])); });`,
)}`;

const COLUMNS = "workspace, system, namespace, key, value, metadata, created_at, updated_at, access_count, expires_at";

const [rows = 1_000_000, rounds = 3] = process.argv.slice(2).map(Number);
const folder = mkdtempSync(path.join(tmpdir(), "af-bench-import-"));
const secrets = new Secrets();
const postgres = await startPostgres();
try {
	await secrets.write();
	await migrateWith(postgres, secrets);
	const file = makeFile(path.join(folder, "memory.db"), rows);
	await importFile(file);
	const plain = path.join(folder, "rows.tsv");
	await psql(`\\copy (select ${COLUMNS} from memory_entries) to '${plain}'`);
	const measured: { importMs: number; copyMs: number; importCpuMs: number; copyCpuMs: number; rssMib: number }[] = [];
	for (let round = 0; round < rounds; round += 1) {
		await empty();
		const { ms: importMs, cpuMs: importCpuMs, rssMib } = await importFile(file);
		await empty();
		const { ms: copyMs, cpuMs: copyCpuMs } = await psql(`\\copy memory_entries (${COLUMNS}) from '${plain}'`);
		measured.push({ importMs, copyMs, importCpuMs, copyCpuMs, rssMib });
		console.log(
			Object.values(measured.at(-1) ?? {})
				.map(Math.round)
				.join(" "),
		);
	}
	const median = (of: (each: (typeof measured)[number]) => number) => measured.map(of).sort((a, b) => a - b)[rounds >> 1] as number;
	const results = {
		rows,
		fileMib: statSync(file).size / 1_048_576,
		rowsPerSecond: median(({ importMs }) => (rows * 1_000) / importMs),
		timeOfPlainCopy: median(({ importMs, copyMs }) => importMs / copyMs),
		cpuOfPlainCopy: median(({ importCpuMs, copyCpuMs }) => importCpuMs / copyCpuMs),
		cpuMsOfImport: median(({ importCpuMs }) => importCpuMs),
		rssMib: median(({ rssMib }) => rssMib),
	};
	console.table(Object.fromEntries(Object.entries(results).map(([name, value]) => [name, Math.round(value * 100) / 100])));
	const machine = { cpu: os.cpus()[0]?.model, cpus: os.availableParallelism(), node: process.version, load: os.loadavg() };
	mkdirSync(path.join(import.meta.dirname, "results"), { recursive: true });
	writeFileSync(
		path.join(import.meta.dirname, "results", "import.json"),
		`${JSON.stringify({ machine, ...results, measured }, null, "\t")}\n`,
	);
} finally {
	await postgres.stop();
	secrets.remove();
	rmSync(folder, { recursive: true, force: true });
}

/** As the original makes it, with keys in 50 namespaces and metadata on every fourth entry. */
function makeFile(name: string, count: number): string {
	const database = new DatabaseSync(name);
	database.exec(`pragma journal_mode = off; pragma synchronous = off;
		create table memory_entries (id integer primary key autoincrement, key text not null, value text not null,
			namespace text not null default 'default', metadata text, created_at integer, updated_at integer, accessed_at integer,
			access_count integer default 0, ttl integer, expires_at integer, unique (key, namespace));
		with recursive n (i) as (select 1 union all select i + 1 from n where i < ${count})
		insert into memory_entries
		select i, 'key-' || i, '{"task":"' || hex(randomblob(40)) || '","n":' || i || '}', 'ns-' || (i % 50),
			case when i % 4 = 0 then '{"sessionId":"s-' || (i % 1000) || '"}' end, 1752000000 + i, 1752000000 + i, 1752000000 + i, i % 7, null, null
		from n`);
	database.close();
	return name;
}

/** @returns processor time of the importer and of PostgreSQL together, milliseconds, and the importer's memory */
async function importFile(file: string): Promise<{ ms: number; cpuMs: number; rssMib: number }> {
	const env = {
		PATH: process.env.PATH ?? "",
		POSTGRES_PRIMARY: `${postgres.host}:${postgres.port}`,
		POSTGRES_DATABASE: postgres.database,
		POSTGRES_TLS: "false",
		SECRETS_DIR: path.dirname(secrets.postgres),
	};
	const begin = performance.now();
	const cpuBefore = postgresCpuUs();
	const child = spawn(process.execPath, ["--import", REPORT, main, "import", file, "--again"], {
		env,
		stdio: ["ignore", "pipe", "ignore", "pipe"],
	});
	let said = "";
	let report = "";
	child.stdout?.on("data", (data) => (said += data));
	child.stdio[3]?.on("data", (data) => (report += data));
	const [code] = await once(child, "close");
	if (code !== 0 || !said.includes(`${rows} inserted`)) throw new Error(`the import ended with ${code}: ${said}`);
	const ms = performance.now() - begin;
	const [rssKib = 0, cpuUs = 0] = JSON.parse(report) as number[];
	return { ms, cpuMs: (cpuUs + postgresCpuUs() - cpuBefore) / 1_000, rssMib: rssKib / 1_024 };
}

/** The table as it is at first, and what the last round has left for the disk written. */
async function empty(): Promise<void> {
	await postgres.primary.query("truncate memory_entries", [], postgres.database);
	await postgres.primary.query("checkpoint", [], postgres.database);
}

/** @returns how long it took and PostgreSQL's processor time, milliseconds */
async function psql(command: string): Promise<{ ms: number; cpuMs: number }> {
	const begin = performance.now();
	const cpuBefore = postgresCpuUs();
	const args = ["-q", "-h", postgres.host, "-p", String(postgres.port), "-U", "postgres", "-d", postgres.database, "-c", command];
	const [code] = await once(spawn("psql", args, { stdio: "inherit" }), "close");
	if (code !== 0) throw new Error(`psql ended with ${code}`);
	return { ms: performance.now() - begin, cpuMs: (postgresCpuUs() - cpuBefore) / 1_000 };
}

/** Of all its processes, those that have ended included. */
function postgresCpuUs(): number {
	return cpuUsOf(familyOf([postgres.primary.daemon.pid]));
}
