/**
 * A single process of the old kind: Express, Socket.IO and SQLite. The swarm is in its memory, memory entries in SQLite; it asks
 * nobody who he is and limits nothing. Argument: port.
 */
import { createServer } from "node:http";
import { DatabaseSync } from "node:sqlite";
import express from "express";
import { Server } from "socket.io";

const AGENTS = 3;
const ENTRIES = 100;

const database = new DatabaseSync(":memory:");
database.exec(`create table memory_entries (
	id integer primary key, key text not null, value text not null, namespace text not null, created_at integer, updated_at integer
)`);
const insert = database.prepare(
	"insert into memory_entries (key, value, namespace, created_at, updated_at) values (?, ?, 'default', ?, ?)",
);
for (let index = 0; index < 3; index++) insert.run(`key-${index}`, JSON.stringify({ text: "v".repeat(40) }), index, index);
const newest = database.prepare(`select * from memory_entries order by updated_at desc limit ${ENTRIES}`);
const count = database.prepare("select count(*) as total from memory_entries");

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
	const entries = newest.all();
	const { total } = count.get() as { total: number };
	const columns = Object.keys(entries[0] ?? {});
	const data = entries.slice(0, 20);
	response.json({ tables: ["memory_entries"], tableData: { memory_entries: { count: total, data, columns } }, path: null, entries, total });
});
server.keepAliveTimeout = 180_000;
server.listen(Number(process.argv[2]), "127.0.0.1", () => process.send?.("ready"));
process.once("disconnect", () => process.exit(0));
