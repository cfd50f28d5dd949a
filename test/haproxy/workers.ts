import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Socket } from "node:net";

/** What a worker answers with: who it is and what reached it. */
export interface Seen {
	readonly worker: string;
	readonly method: string;
	readonly url: string;
	readonly headers: NodeJS.Dict<string | string[]>;
	readonly count: number;
}

/** A stand-in for one worker of the server: it says who it is, and it can be made to fail. */
export class Worker {
	readonly host: string;
	readonly port: number;
	ready = true;
	/** Requests seen, health checks left out. */
	count = 0;
	/** Open WebSockets. */
	readonly sockets = new Set<Socket>();
	/** Next request to die of: the connection is cut in the middle of it. */
	dieAt: string | null = null;
	/** Milliseconds it takes over each answer. */
	takes = 0;
	/** Extra headers of every answer. */
	answerHeaders: Record<string, string | string[]> = {};
	readonly #server: Server;

	private constructor(host: string, port: number) {
		this.host = host;
		this.port = port;
		this.#server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => this.#answer(request, response));
		this.#server.on("upgrade", (request: IncomingMessage, socket: Socket) => this.#upgrade(request, socket));
	}

	/** Listens; port 0 for any. */
	static async listen(host: string, port: number): Promise<Worker> {
		const probe = new Worker(host, port);
		probe.#server.listen(port, host);
		await once(probe.#server, "listening");
		if (port !== 0) return probe;
		const chosen = (probe.#server.address() as { port: number }).port;
		await probe.close();
		return Worker.listen(host, chosen);
	}

	get name(): string {
		return `${this.host}:${this.port}`;
	}

	async close(): Promise<void> {
		for (const socket of this.sockets) socket.destroy();
		this.#server.closeAllConnections();
		this.#server.close();
		await once(this.#server, "close");
	}

	#answer(request: IncomingMessage, response: ServerResponse): void {
		if (request.url === "/health/ready") {
			response.writeHead(this.ready ? 200 : 503).end();
			return;
		}
		this.count += 1;
		if (this.dieAt && request.url?.startsWith(this.dieAt)) {
			request.socket.destroy();
			return;
		}
		const seen: Seen = {
			worker: this.name,
			method: request.method ?? "",
			url: request.url ?? "",
			headers: request.headers,
			count: this.count,
		};
		const answer = () => {
			response.writeHead(200, { "Content-Type": "application/json", ...this.answerHeaders });
			response.end(JSON.stringify(seen));
		};
		request.resume().on("end", () => (this.takes === 0 ? answer() : setTimeout(answer, this.takes)));
	}

	/** Accepts, says who it is in a header, and echoes. */
	#upgrade(request: IncomingMessage, socket: Socket): void {
		this.count += 1;
		this.sockets.add(socket);
		socket.on("close", () => this.sockets.delete(socket));
		socket.on("error", () => socket.destroy());
		const accept = createHash("sha1")
			.update(`${request.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
			.digest("base64");
		const lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"];
		socket.write([...lines, `Sec-WebSocket-Accept: ${accept}`, `X-Worker: ${this.name}`, `X-Url: ${request.url}`, "", ""].join("\r\n"));
		socket.pipe(socket);
	}
}
