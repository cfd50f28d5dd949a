/** A client of /sync that believes nothing: it checks every message against the promise of the protocol. */
import { type ClientOptions, WebSocket } from "ws";

export interface SyncMessage {
	readonly type: string;
	readonly seq?: number;
	readonly prev?: number;
	readonly count?: number;
	// biome-ignore lint/suspicious/noExplicitAny: a test looks into whatever came
	readonly data?: any;
	readonly [name: string]: unknown;
}

export interface SyncClientOptions extends ClientOptions {
	readonly token?: string | undefined;
	/** The position it goes on from. */
	readonly since?: number | undefined;
	/** The lost client whose place it takes, with all that one knew. */
	readonly previous?: SyncClient | undefined;
}

export class SyncClient {
	readonly socket: WebSocket;
	readonly messages: SyncMessage[] = [];
	/** The highest position it was told; null before the first. */
	last: number | null = null;
	/** Events it has been told of one way or another since it began. */
	counted = 0;
	/** The agents and tasks as it has been told of them, by id. */
	readonly entities = new Map<string, unknown>();
	/** Breaches of the promise. */
	readonly breaches: string[] = [];
	readonly opened: Promise<void>;
	/** The close code and reason. */
	readonly closed: Promise<{ readonly code: number; readonly reason: string }>;
	/** The status of a refused handshake. */
	readonly refused: Promise<{ readonly status: number; readonly retryAfter: string | undefined; readonly body: string }>;
	#waiters: { readonly test: (message: SyncMessage) => boolean; readonly resolve: (message: SyncMessage) => void }[] = [];

	constructor(host: string, options: SyncClientOptions = {}) {
		const { token, previous, since = previous?.last ?? undefined, ...rest } = options;
		this.last = since ?? null;
		if (previous !== undefined) {
			this.counted = previous.counted;
			for (const [id, entity] of previous.entities) this.entities.set(id, entity);
		}
		this.socket = new WebSocket(`ws://${host}/sync${since === undefined ? "" : `?since=${since}`}`, {
			perMessageDeflate: false,
			...rest,
			headers: { ...(token === undefined ? {} : { Authorization: `Bearer ${token}` }), ...rest.headers },
		});
		this.socket.on("error", () => {});
		this.socket.on("message", (data) => this.#receive(JSON.parse(data.toString())));
		this.opened = new Promise((resolve) => this.socket.once("open", () => resolve()));
		this.closed = new Promise((resolve) => this.socket.once("close", (code, reason) => resolve({ code, reason: reason.toString() })));
		this.refused = new Promise((resolve) =>
			this.socket.once("unexpected-response", (_request, response) => {
				let body = "";
				response.on("data", (chunk) => {
					body += chunk;
				});
				response.on("end", () => resolve({ status: response.statusCode ?? 0, retryAfter: response.headers["retry-after"], body }));
			}),
		);
	}

	send(message: object): void {
		this.socket.send(JSON.stringify(message));
	}

	/** The first message that matches, of those that have come and those that will. */
	async next(match: string | ((message: SyncMessage) => boolean), timeoutMs = 5_000): Promise<SyncMessage> {
		const test = typeof match === "string" ? (message: SyncMessage) => message.type === match : match;
		const found = this.messages.find(test);
		if (found) return found;
		let timer: NodeJS.Timeout | undefined;
		try {
			return await new Promise((resolve, reject) => {
				timer = setTimeout(
					() =>
						reject(
							new Error(
								`no ${match} among ${this.messages
									.map(({ type, seq }) => `${type} ${seq}`)
									.join(", ")
									.slice(-3_000)}`,
							),
						),
					timeoutMs,
				);
				this.#waiters.push({ test, resolve });
			});
		} finally {
			clearTimeout(timer);
		}
	}

	/** Settles when it knows of everything up to a position. */
	reached(seq: number, timeoutMs?: number): Promise<SyncMessage> {
		return this.next((message) => (message.seq ?? 0) >= seq, timeoutMs);
	}

	get updates(): SyncMessage[] {
		return this.messages.filter(({ type }) => type.endsWith("-update"));
	}

	close(): void {
		this.socket.terminate();
	}

	#apply({ type, data }: SyncMessage): void {
		if (type === "initial-state") {
			this.entities.clear();
			for (const entity of [...data.agents, ...data.tasks]) this.entities.set(entity.id, entity);
		} else if (type !== "agent-update" && type !== "task-update") return;
		else if (data.action === "deleted") this.entities.delete(data.data?.id);
		else this.entities.set(data.data?.id, data.data);
	}

	#receive(message: SyncMessage): void {
		this.messages.push(message);
		const { type, seq, prev, count } = message;
		if (type === "initial-state") this.last = seq ?? null;
		this.#apply(message);
		if (seq !== undefined && prev !== undefined) {
			if (this.last === null) this.breaches.push(`${type} ${seq} before any state`);
			else if (prev > this.last) this.breaches.push(`${type} ${seq} follows ${prev}, but the last was ${this.last}`);
			else if (seq <= this.last) this.breaches.push(`${type} ${seq} again after ${this.last}`);
			this.last = seq;
			this.counted += count ?? 0;
		}
		if ((type === "resumed" || type === "position") && seq !== undefined) this.last = seq;
		for (const { test, resolve } of this.#waiters) if (test(message)) resolve(message);
		this.#waiters = this.#waiters.filter(({ test }) => !test(message));
	}
}
