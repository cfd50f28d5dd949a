/**
 * A shell behind a WebSocket with the packages ws and node-pty and nothing else: what is sent is typed, what it writes is sent.
 * Argument: port.
 */
import { createServer } from "node:http";
import { spawn } from "@lydell/node-pty";
import { WebSocketServer } from "ws";

const [port] = process.argv.slice(2);
const server = createServer();
const acceptor = new WebSocketServer({ server, perMessageDeflate: false });
acceptor.on("connection", (socket) => {
	const shell = spawn("/bin/bash", ["--norc"], { name: "xterm-256color", cols: 80, rows: 24, env: { PATH: process.env.PATH ?? "" } });
	shell.onData((data) => socket.send(data));
	shell.onExit(() => socket.close());
	socket.on("message", (data) => shell.write(data.toString()));
	socket.on("error", () => {});
	socket.on("close", () => shell.kill("SIGKILL"));
});
server.listen(Number(port), "127.0.0.1", () => process.send?.("ready"));
process.once("disconnect", () => process.exit(0));
