/**
 * The way of a terminal with nothing in it: what a WebSocket is sent goes through a stream of Redis to the process that has the
 * shell, and what that writes comes back through another. Arguments: `worker`, port, port of Redis; or `host`, port of Redis.
 */
import { createServer } from "node:http";
import { spawn } from "@lydell/node-pty";
import { Redis } from "ioredis";
import { type WebSocket, WebSocketServer } from "ws";

const [role, ...ports] = process.argv.slice(2);
const redisPort = Number(ports.at(-1));
const writer = new Redis(redisPort);
const reader = new Redis(redisPort);

const post = (stream: string, text: string) => void writer.xadd(stream, "MAXLEN", "~", 1_000, "*", "m", text);

async function follow(stream: string, hear: (text: string) => void): Promise<never> {
	for (let last = "$"; ; ) {
		const answer = await reader.xread("BLOCK", 0, "STREAMS", stream, last);
		for (const [id, [, text = ""]] of answer?.[0]?.[1] ?? []) {
			last = id;
			hear(text);
		}
	}
}

function startHost(): void {
	const shell = spawn("/bin/bash", ["--norc"], { name: "xterm-256color", cols: 80, rows: 24, env: { PATH: process.env.PATH ?? "" } });
	shell.onData((data) => post("written", data));
	void follow("typed", (text) => shell.write(text));
	process.send?.("ready");
}

function startWorker(port: number): void {
	const sockets = new Set<WebSocket>();
	const server = createServer((_request, response) => response.writeHead(200).end());
	new WebSocketServer({ server, perMessageDeflate: false }).on("connection", (socket) => {
		sockets.add(socket);
		socket.on("message", (data) => post("typed", data.toString()));
		socket.on("error", () => {});
		socket.on("close", () => sockets.delete(socket));
	});
	void follow("written", (text) => {
		for (const socket of sockets) socket.send(text);
	});
	server.listen(port, "127.0.0.1", () => process.send?.("ready"));
}

if (role === "host") startHost();
else startWorker(Number(ports[0]));
process.once("disconnect", () => process.exit(0));
