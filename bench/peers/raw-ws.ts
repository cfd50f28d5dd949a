/**
 * WebSockets with the package ws and nothing else. What is posted to one process is told, through Redis, to the clients of all.
 * `plain` writes each message to each socket; `coalescing` gathers those of 20 ms and writes them at once.
 * Arguments: port, port of Redis (0 for none), plain or coalescing.
 */
import { createServer } from "node:http";
import type { Socket } from "node:net";
import { Redis } from "ioredis";
import { WebSocketServer } from "ws";
import { eventsOf } from "./event.ts";

const TICK_MS = 20;
const CHANNEL = "events";

const [port, redisPort, kind] = process.argv.slice(2);
const sockets = new Set<Socket>();
let batch: Buffer[] = [];
let seq = 0;

const redis = redisPort === "0" ? null : { publish: new Redis(Number(redisPort)), listen: new Redis(Number(redisPort)) };

const server = createServer((request, response) => {
	const chunks: Buffer[] = [];
	request.on("data", (chunk) => chunks.push(chunk));
	request.once("end", () => {
		if (request.method === "POST") {
			for (const event of eventsOf(Buffer.concat(chunks).toString()))
				void redis?.publish.publish(CHANNEL, JSON.stringify(event).slice(1, -1));
		}
		response.writeHead(200, { "content-type": "application/json", "content-length": 2 }).end("{}");
	});
});
server.keepAliveTimeout = 180_000;

const acceptor = new WebSocketServer({ noServer: true, clientTracking: false, perMessageDeflate: false });
server.on("upgrade", (request, raw: Socket, head) => {
	acceptor.handleUpgrade(request, raw, head, (socket) => {
		sockets.add(raw);
		socket.on("error", () => {});
		socket.on("close", () => sockets.delete(raw));
	});
});

if (redis !== null) {
	await redis.listen.subscribe(CHANNEL);
	redis.listen.on("message", (_channel, text) => {
		seq += 1;
		const frame = frameOf(`{${text},"timestamp":${Date.now()},"seq":${seq},"count":1,"prev":${seq - 1}}`);
		if (kind === "plain") for (const socket of sockets) socket.write(frame);
		else batch.push(frame);
	});
}
if (kind === "coalescing") {
	setInterval(() => {
		if (batch.length === 0) return;
		const frames = Buffer.concat(batch);
		batch = [];
		for (const socket of sockets) socket.write(frames);
	}, TICK_MS);
}

server.listen(Number(port), "127.0.0.1", () => process.send?.("ready"));
process.once("disconnect", () => process.exit(0));

function frameOf(text: string): Buffer {
	const payload = Buffer.from(text);
	const head =
		payload.length < 126 ? Buffer.from([0x81, payload.length]) : Buffer.from([0x81, 126, payload.length >> 8, payload.length & 255]);
	return Buffer.concat([head, payload]);
}
