import { randomUUID } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import type { Services } from "../ports.ts";
import { type Acceptor, acceptor, letGo, RECONNECT_SPREAD_MS } from "../ws/client-socket.ts";
import type { Credentials } from "../ws/credentials.ts";
import { PING } from "../ws/frame.ts";
import type { Gate } from "../ws/gate.ts";
import { Heartbeat } from "../ws/heartbeat.ts";
import type { SocketObserver, SocketSettings } from "../ws/settings.ts";
import type { Entry } from "../ws/upgrade.ts";
import { Conversation } from "./conversation.ts";
import { notificationOf } from "./protocol.ts";
import { McpSocket } from "./socket.ts";

/** What MCP over WebSockets works with. */
export interface McpContext {
	readonly services: Services;
	readonly settings: SocketSettings;
	readonly gate: Gate;
	readonly credentials: Credentials;
	readonly observe: SocketObserver;
}

/** The sockets of this worker that speak MCP: how they come, live and go. What is said is in {@link Conversation}. */
export class McpServer {
	readonly #context: McpContext;
	readonly #heartbeat: Heartbeat<McpSocket>;
	readonly #conversation: Conversation;
	readonly #acceptor: Acceptor<McpSocket>;

	constructor(context: McpContext) {
		this.#context = context;
		const { settings } = context;
		this.#heartbeat = new Heartbeat(settings, () => () => PING);
		this.#conversation = new Conversation(context, (socket, code) => this.#closed(socket, code));
		this.#acceptor = acceptor(McpSocket, settings.limits.mcpMessageBytes);
	}

	get sockets(): number {
		return this.#heartbeat.size;
	}

	/** A handshake that has been let in. Nothing keeps the request after it. */
	take(request: IncomingMessage, raw: Duplex, head: Buffer, { place, principal }: Entry): void {
		const { gate, credentials, observe } = this.#context;
		const opened = (socket: McpSocket) => {
			socket.principal = principal;
			socket.connectionId = randomUUID();
			socket.listen(this.#conversation);
			this.#heartbeat.add(socket);
			credentials.watch(socket);
			observe.opened("mcp");
			const { connectionId } = socket;
			socket.tell(notificationOf("connection/established", { connectionId, timestamp: new Date().toISOString() }));
		};
		if (!this.#acceptor.accept(request, raw, head, place, opened)) gate.leave(place);
	}

	/** Tells everybody to come again, here and there within `overMs`. Whoever waits for an answer may stay until it has it. */
	drain(overMs: number): Promise<void> {
		return letGo([...this.#heartbeat], overMs, (socket) => {
			socket.leaving = true;
			const afterMs = Math.floor(Math.random() * RECONNECT_SPREAD_MS);
			socket.tell(notificationOf("connection/draining", { afterMs, calls: socket.calls.size }));
			if (socket.calls.size === 0) socket.end(1012, "This worker is going away.");
		});
	}

	/** Ends what is left at once. */
	close(): void {
		this.#heartbeat.stop();
		for (const socket of this.#heartbeat) socket.terminate();
		this.#acceptor.close();
	}

	#closed(socket: McpSocket, code: number): void {
		const { gate, credentials, observe } = this.#context;
		this.#heartbeat.delete(socket);
		credentials.unwatch(socket);
		if (socket.place !== null) gate.leave(socket.place);
		socket.raw = null;
		observe.closed("mcp", code);
	}
}
