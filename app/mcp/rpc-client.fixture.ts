/** A client of the raw protocol, for tests: it keeps all that it is told. */
import { type ClientOptions, WebSocket } from "ws";

export interface RpcMessage {
	readonly jsonrpc: string;
	readonly id?: string | number | null;
	readonly method?: string;
	// biome-ignore lint/suspicious/noExplicitAny: a test looks into whatever came
	readonly params?: any;
	// biome-ignore lint/suspicious/noExplicitAny: a test looks into whatever came
	readonly result?: any;
	readonly error?: { readonly code: number; readonly message: string; readonly data?: unknown };
}

export class RpcClient {
	readonly socket: WebSocket;
	readonly messages: RpcMessage[] = [];
	readonly closed: Promise<{ readonly code: number; readonly reason: string }>;
	/** Status of a refused handshake. */
	readonly refused: Promise<number>;
	#waiters: (() => void)[] = [];
	#next = 1;

	/** @param url with its path: `ws://host:port/mcp` */
	constructor(url: string, token?: string, options: ClientOptions = {}) {
		const authorization: Record<string, string> = token === undefined ? {} : { Authorization: `Bearer ${token}` };
		this.socket = new WebSocket(url, {
			perMessageDeflate: false,
			...options,
			headers: { ...authorization, ...(options.headers as Record<string, string> | undefined) },
		});
		this.socket.on("error", () => {});
		this.socket.on("message", (data) => {
			this.messages.push(JSON.parse(data.toString()));
			for (const look of this.#waiters) look();
		});
		this.closed = new Promise((resolve) => this.socket.once("close", (code, reason) => resolve({ code, reason: reason.toString() })));
		this.refused = new Promise((resolve) => this.socket.once("unexpected-response", (_, { statusCode }) => resolve(statusCode ?? 0)));
	}

	/** Resolves when the greeting is here. */
	async open(): Promise<this> {
		await this.next(({ method }) => method === "connection/established");
		return this;
	}

	async initialised(): Promise<this> {
		await this.open();
		await this.request("initialize", { protocolVersion: "2024-11-05", capabilities: {} }, "initialize");
		return this;
	}

	send(message: unknown): void {
		this.socket.send(typeof message === "string" || Buffer.isBuffer(message) ? message : JSON.stringify(message));
	}

	/** The answer to a request. */
	request(method: string, params?: object, id: string | number = this.#next++): Promise<RpcMessage> {
		this.send({ jsonrpc: "2.0", id, method, params });
		return this.answer(id);
	}

	call(name: string, args: object = {}, id: string | number = this.#next++): Promise<RpcMessage> {
		return this.request("tools/call", { name, arguments: args }, id);
	}

	answer(id: string | number): Promise<RpcMessage> {
		return this.next((message) => message.id === id && message.method === undefined);
	}

	told(method: string): RpcMessage[] {
		return this.messages.filter((message) => message.method === method);
	}

	/** The first message that matches, of those that have come and those that will. */
	async next(matches: (message: RpcMessage) => boolean, timeoutMs = 20_000): Promise<RpcMessage> {
		const find = () => this.messages.find(matches);
		const found = find();
		if (found !== undefined) return found;
		const { promise, resolve, reject } = Promise.withResolvers<RpcMessage>();
		const look = () => {
			const message = find();
			if (message !== undefined) resolve(message);
		};
		const late = () => reject(new Error(`not among ${JSON.stringify(this.messages).slice(-3_000)}`));
		const timer = setTimeout(late, timeoutMs);
		this.#waiters.push(look);
		try {
			return await promise;
		} finally {
			clearTimeout(timer);
			this.#waiters = this.#waiters.filter((waiter) => waiter !== look);
		}
	}

	close(): void {
		this.socket.terminate();
	}
}
