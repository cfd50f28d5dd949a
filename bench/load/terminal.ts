/** Somebody at a terminal: types a character, and waits until it is seen. */
import { once } from "node:events";
import type { Socket as NetSocket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { io, type Socket } from "socket.io-client";
import { WebSocket } from "ws";

/** A key a fast typist presses, milliseconds after the one before. */
const KEY_MS = 25;

/** Never a part of what else is on the screen. */
const KEYS = "qzxj";

const TIMEOUT_MS = 10_000;

export interface Typist {
	/** Milliseconds from each key to its echo. */
	type(keys: number): Promise<number[]>;
	close(): void;
}

interface Link {
	send(text: string): void;
	/** Told of all that is written. */
	onOutput: (text: string) => void;
	close(): void;
}

/** At a terminal of the server's. */
export async function terminalAt(url: string, token: string): Promise<Typist> {
	return await seated(await opened(url, token));
}

/** A terminal that writes without end, and a client that reads nothing of it. */
export async function unreadTerminalAt(url: string, token: string): Promise<{ close(): void }> {
	const { socket, send, close } = await opened(url, token);
	const { ws } = socket.io.engine.transport as unknown as { readonly ws: { readonly _socket: NetSocket } };
	ws._socket.pause();
	send("yes\r");
	return { close };
}

async function opened(url: string, token: string): Promise<Link & { readonly socket: Socket }> {
	const socket = io(url, { transports: ["websocket"], auth: { token }, forceNew: true, reconnection: false });
	const created = Promise.withResolvers<string>();
	socket.once("connect_error", created.reject);
	socket.once("terminal:created", ({ sessionId }: { sessionId: string }) => created.resolve(sessionId));
	socket.once("terminal:error", ({ error }: { error: string }) => created.reject(new Error(error)));
	socket.emit("terminal:create", {});
	const sessionId = await created.promise;
	const link = {
		socket,
		send: (input: string) => void socket.emit("terminal:input", { sessionId, input }),
		onOutput: (_text: string) => {},
		close() {
			socket.emit("terminal:close", { sessionId });
			socket.disconnect();
		},
	};
	socket.on("terminal:output", ({ data }: { data: string }) => link.onOutput(data));
	return link;
}

/** At the peer's. */
export async function rawTerminalAt(url: string): Promise<Typist> {
	const socket = new WebSocket(url, { perMessageDeflate: false });
	const link: Link = { send: (text) => socket.send(text), onOutput: () => {}, close: () => socket.terminate() };
	socket.on("message", (data) => link.onOutput(data.toString()));
	await once(socket, "open");
	return await seated(link);
}

/** Leaves the echo to the terminal: what a shell does with a key is the shell's own time. */
async function seated(link: Link): Promise<Typist> {
	await answered(link, "exec cat\r", "cat\r\n");
	await sleep(300);
	return {
		async type(keys) {
			const took: number[] = [];
			for (let index = 0; index < keys; index += 1) {
				const key = KEYS[index % KEYS.length] as string;
				const started = performance.now();
				await answered(link, key, key);
				took.push(performance.now() - started);
				await sleep(Math.max(0, KEY_MS - (performance.now() - started)));
				// A line does not grow for ever.
				if (index % 64 === 63) await answered(link, "\u0015", "\b");
			}
			return took;
		},
		close: () => link.close(),
	};
}

async function answered(link: Link, sent: string, wanted: string): Promise<void> {
	const { promise, resolve, reject } = Promise.withResolvers<void>();
	let seen = "";
	link.onOutput = (text) => {
		seen += text;
		if (seen.includes(wanted)) resolve();
	};
	const timer = setTimeout(() => reject(new Error(`no echo of ${JSON.stringify(sent)} in ${TIMEOUT_MS / 1_000} s`)), TIMEOUT_MS);
	link.send(sent);
	try {
		await promise;
	} finally {
		clearTimeout(timer);
		link.onOutput = () => {};
	}
}
