import { randomBytes } from "node:crypto";
import type { Agent } from "node:http";
import { type IncomingHttpHeaders, request } from "node:http";
import type { Socket } from "node:net";

export interface Answer {
	readonly status: number;
	readonly headers: IncomingHttpHeaders;
	readonly body: string;
	/** The sticky cookie that came with it, or null. */
	readonly cookie: string | null;
}

export interface Question {
	readonly method?: string;
	readonly headers?: Record<string, string | string[]>;
	readonly body?: string;
	/** Connections to reuse. Without one, each request has its own. */
	readonly agent?: Agent;
}

/** Sends a request and reads all of its answer. */
export function get(url: string, { method = "GET", headers = {}, body, agent }: Question = {}): Promise<Answer> {
	return new Promise((resolve, reject) => {
		const outgoing = request(url, { method, headers, agent: agent ?? false, timeout: 10_000 }, (incoming) => {
			let text = "";
			incoming.setEncoding("utf8");
			incoming.on("data", (data) => (text += data));
			incoming.on("error", reject);
			incoming.on("end", () => {
				const cookie = /^agentic_worker=([^;]*)/.exec(incoming.headers["set-cookie"]?.[0] ?? "")?.[1] ?? null;
				resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, body: text, cookie });
			});
		});
		outgoing.on("timeout", () => outgoing.destroy(new Error(`no answer from ${url}`)));
		outgoing.on("error", reject);
		outgoing.end(body);
	});
}

/** Opens a WebSocket by hand, and gives its socket and the handshake's answer. */
export function upgrade(url: string, headers: Record<string, string> = {}): Promise<{ socket: Socket; headers: IncomingHttpHeaders }> {
	return new Promise((resolve, reject) => {
		const outgoing = request(url, {
			agent: false,
			headers: {
				Connection: "Upgrade",
				Upgrade: "websocket",
				"Sec-WebSocket-Version": "13",
				"Sec-WebSocket-Key": randomBytes(16).toString("base64"),
				...headers,
			},
		});
		outgoing.on("upgrade", (incoming, socket) => resolve({ socket: socket as Socket, headers: incoming.headers }));
		outgoing.on("response", (incoming) => reject(new Error(`no upgrade but ${incoming.statusCode}`)));
		outgoing.on("error", reject);
		outgoing.end();
	});
}
