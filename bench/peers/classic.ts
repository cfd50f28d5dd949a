/**
 * A single process of the old kind: Express, Socket.IO and SQLite. The swarm is in its memory, memory entries in a file of
 * SQLite's, which is opened and closed for every request, as the original did: it knows no pool. It asks nobody who he is and
 * limits nothing. Argument: port.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { DatabaseSync } from "node:sqlite";
import express from "express";
import { Server } from "socket.io";

const AGENTS = 3;
const ENTRIES = 100;

const folder = mkdtempSync(path.join(tmpdir(), "af-bench-classic-"));
const file = path.join(folder, "memory.db");
const seeded = new DatabaseSync(file);
seeded.exec(`create table memory_entries (
	id integer primary key, key text not null, value text not null, namespace text not null, created_at integer, updated_at integer
)`);
const insert = seeded.prepare("insert into memory_entries (key, value, namespace, created_at, updated_at) values (?, ?, 'default', ?, ?)");
for (let index = 0; index < 3; index++) insert.run(`key-${index}`, JSON.stringify({ text: "v".repeat(40) }), index, index);
seeded.close();

const agents = Array.from({ length: AGENTS }, (_, index) => ({
	id: `agent-1795469939919-${index}`,
	name: `agent-${index}`,
	type: "coder",
	status: "idle",
	tasks: 0,
	performance: 96,
	memory: "29MB",
	cpu: 6,
	currentTask: null,
	messageCount: 0,
	createdAt: 1_795_469_939_919,
}));

const app = express();
const server = createServer(app);
new Server(server, { cors: { origin: "*" } });
app.use((request, response, next) => {
	if (request.headers.origin !== undefined) response.setHeader("access-control-allow-origin", request.headers.origin);
	next();
});
app.use(express.json({ limit: "100kb" }));
app.get("/api/hive/agents", (_request, response) => {
	response.json(agents.map((agent) => ({ ...agent, completedTasks: 0, memoryUsage: Math.random(), lastActive: Date.now() })));
});
app.get("/api/memory/swarm", (_request, response) => {
	const database = new DatabaseSync(file, { readOnly: true });
	try {
		const tables = database
			.prepare("select name from sqlite_master where type = 'table'")
			.all()
			.map(({ name }) => String(name));
		const contents = tables.map((table) => {
			const { count } = database.prepare(`select count(*) as count from "${table}"`).get() as { count: number };
			const data = database.prepare(`select * from "${table}" limit 20`).all();
			return [table, { count, data, columns: Object.keys(data[0] ?? {}) }] as const;
		});
		const entries = database.prepare(`select * from memory_entries order by updated_at desc limit ${ENTRIES}`).all();
		const total = contents.find(([table]) => table === "memory_entries")?.[1].count;
		response.json({ tables, tableData: Object.fromEntries(contents), path: file, entries, total });
	} finally {
		database.close();
	}
});
server.keepAliveTimeout = 180_000;
server.listen(Number(process.argv[2]), "127.0.0.1", () => process.send?.("ready"));
process.once("disconnect", () => process.exit(0));
process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
