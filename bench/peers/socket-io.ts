/**
 * Socket.IO as its documentation sets a cluster up: the Redis adapter, everything else as it is. What is posted to one process
 * is emitted to the clients of all. Arguments: port, port of Redis (0 for no adapter).
 */
import { createServer } from "node:http";
import { createAdapter } from "@socket.io/redis-adapter";
import { Redis } from "ioredis";
import { Server } from "socket.io";
import { eventsOf } from "./event.ts";

const [port, redisPort] = process.argv.slice(2);

const server = createServer((request, response) => {
	if (request.url?.startsWith("/socket.io/")) return;
	const chunks: Buffer[] = [];
	request.on("data", (chunk) => chunks.push(chunk));
	request.once("end", () => {
		if (request.method === "POST") for (const { type, data } of eventsOf(Buffer.concat(chunks).toString())) io.emit(type, data);
		response.writeHead(200, { "content-type": "application/json", "content-length": 2 }).end("{}");
	});
});
server.keepAliveTimeout = 180_000;
const io = new Server(server);
if (redisPort !== "0") {
	const publish = new Redis(Number(redisPort));
	io.adapter(createAdapter(publish, publish.duplicate()));
}
server.listen(Number(port), "127.0.0.1", () => process.send?.("ready"));
process.once("disconnect", () => process.exit(0));
