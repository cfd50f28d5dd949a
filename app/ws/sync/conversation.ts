import type { Principal } from "../../model.ts";
import { ServiceError } from "../../ports.ts";
import type { SocketEars } from "../client-socket.ts";
import { textFrame } from "../frame.ts";
import { ownerOf } from "../gate.ts";
import { SyncSocket } from "./group.ts";
import type { Hub, Start } from "./hub.ts";
import { jobCommands } from "./job-commands.ts";
import { type ClientMessage, commandResult, readMessage, subscriptionKey } from "./messages.ts";
import type { SyncContext } from "./server.ts";

/** What a message may lead to. */
export interface ConversationEffects {
	begin(socket: SyncSocket, principal: Principal, since: number | null): void;
	catchUp(socket: SyncSocket, start: Start): void;
	closed(socket: SyncSocket, code: number): void;
}

/** Hears what clients say, and answers. */
export class Conversation implements SocketEars {
	readonly #context: SyncContext;
	readonly #effects: ConversationEffects;

	constructor(context: SyncContext, effects: ConversationEffects) {
		this.#context = context;
		this.#effects = effects;
	}

	closed(socket: SyncSocket, code: number): void {
		this.#effects.closed(socket, code);
	}

	/** Counts a message or a ping. @returns false where there have been too many */
	heard(socket: SyncSocket): boolean {
		return socket.count(this.#context.settings.limits.messagesPerSecond);
	}

	received(socket: SyncSocket, data: Buffer, isBinary: boolean): void {
		if (socket.readyState !== SyncSocket.OPEN || !this.heard(socket)) return;
		const json = isBinary ? undefined : parse(data);
		if (json === undefined) {
			socket.end(isBinary ? 1003 : 1007, isBinary ? "Text only." : "Not JSON.");
			return;
		}
		const message = readMessage(json);
		if (socket.principal !== null) {
			if (message === undefined) this.#fault(socket, "Not a message of this protocol.", requestIdOf(json));
			else this.#handle(socket, socket.principal, message);
		} else if (message?.type === "auth") this.#authenticate(socket, message.token, message.since ?? null);
		else socket.end(1008, "A credential is needed first.");
	}

	#fault(socket: SyncSocket, error: string, requestId: string | undefined): void {
		socket.faults += 1;
		if (socket.faults > this.#context.settings.limits.faults) socket.end(1008, "Too many messages that make no sense.");
		else socket.tell({ type: "error", requestId, error, timestamp: Date.now() });
	}

	#authenticate(socket: SyncSocket, token: string, since: number | null): void {
		const { gate, credentials, observe } = this.#context;
		// One try a connection: whatever comes before the answer is too early.
		if (socket.attempt > 0) {
			socket.end(1008, "A credential is being looked at.");
			return;
		}
		socket.attempt += 1;
		credentials.ofToken(token).then(
			(principal) => {
				if (socket.readyState !== SyncSocket.OPEN || socket.place === null) return;
				const refusal = gate.settle(socket.place, principal);
				if (refusal === null) this.#effects.begin(socket, principal, since);
				else socket.end(1008, refusal.message);
			},
			(error: unknown) => {
				if (!(error instanceof ServiceError)) observe.fault("sync auth", error);
				if (error instanceof ServiceError && error.code !== "UNAVAILABLE") socket.end(1008, gate.refuse("credential").message);
				else socket.end(1013, "Not available at the moment.");
			},
		);
	}

	#handle(socket: SyncSocket, principal: Principal, message: ClientMessage): void {
		const { hub } = socket;
		if (hub === null) return;
		switch (message.type) {
			case "auth":
				this.#fault(socket, "Who you are is known.", undefined);
				break;
			case "ping":
				socket.tell({ type: "pong", timestamp: Date.now(), ...(socket.live ? { seq: hub.position } : {}) });
				break;
			case "resume":
				if (!this.#mayQuery(socket, principal, undefined)) break;
				hub.pause(socket);
				this.#effects.catchUp(socket, { kind: "resume", after: message.seq });
				break;
			case "subscribe":
			case "unsubscribe":
				this.#subscribe(socket, hub, message);
				break;
			case "command":
				this.#command(socket, hub, principal, message);
		}
	}

	#command(socket: SyncSocket, hub: Hub, principal: Principal, message: Command): void {
		const { command, requestId } = message;
		const onJobs = jobCommands.get(command);
		if (command !== "get-state" && onJobs === undefined) this.#fault(socket, "No such command.", requestId);
		else if (!this.#mayQuery(socket, principal, requestId)) return;
		else if (onJobs === undefined) this.#answerState(socket, hub, principal, requestId);
		else {
			const answered = onJobs(this.#context.services, principal, message).then((data) =>
				socket.tell({ type: "command-result", requestId: requestId ?? null, data, timestamp: Date.now() }),
			);
			this.#orRefuse(socket, command, requestId, answered);
		}
	}

	#subscribe(socket: SyncSocket, hub: Hub, message: Subscription): void {
		const { type, entityType, entityId, requestId } = message;
		const keys = new Set(socket.group?.keys);
		const key = subscriptionKey(entityType, entityId);
		if (type === "subscribe" && keys.size >= this.#context.settings.limits.subscriptions && !keys.has(key)) {
			this.#fault(socket, "Too many subscriptions.", requestId);
			return;
		}
		if (type === "subscribe") keys.add(key);
		else keys.delete(key);
		hub.assign(socket, [...keys].sort().join("\n"));
		// The next heartbeat, which brings them again, may be long in coming.
		const figures = type === "subscribe" && entityType === "performance" ? this.#context.settings.performance() : null;
		if (figures) socket.tell({ type: "performance-update", data: figures, timestamp: Date.now() });
		if (requestId === undefined) return;
		// Whatever happens after this position is sent as the new subscriptions want it.
		const seq = Math.max(hub.position, socket.told);
		socket.tell({ type: `${type}d`, requestId, entityType, entityId: entityId ?? null, seq, timestamp: Date.now() });
	}

	#mayQuery(socket: SyncSocket, principal: Principal, requestId: string | undefined): boolean {
		const { services, settings } = this.#context;
		const seconds = services.limits.take(`sockets:${ownerOf(principal)}`, 1, settings.limits.queries);
		if (seconds === 0) return true;
		socket.tell({ type: "error", requestId, error: "Too many requests.", retryAfter: Math.ceil(seconds), timestamp: Date.now() });
		return false;
	}

	#answerState(socket: SyncSocket, hub: Hub, principal: Principal, requestId: string | undefined): void {
		const answer = async () => {
			await hub.ready;
			const state = await hub.states.get(principal, Math.max(hub.position, socket.told));
			socket.put(textFrame(commandResult(state.text, state.seq, requestId)));
		};
		this.#orRefuse(socket, "get-state", requestId, answer());
	}

	#orRefuse(socket: SyncSocket, command: string, requestId: string | undefined, answered: Promise<void>): void {
		answered.catch((error: unknown) => {
			if (!(error instanceof ServiceError)) this.#context.observe.fault(`sync ${command}`, error);
			const text = error instanceof ServiceError ? error.message : "Internal error.";
			socket.tell({ type: "error", requestId, error: text, timestamp: Date.now() });
		});
	}
}

type Command = ClientMessage & { readonly type: "command" };

type Subscription = ClientMessage & { readonly type: "subscribe" | "unsubscribe" };

/** Undefined for what is no JSON: JSON itself has no such value. */
function parse(data: Buffer): unknown {
	try {
		return JSON.parse(data.toString());
	} catch {
		return undefined;
	}
}

/** So that even an answer to nonsense finds who waits for it. */
function requestIdOf(json: unknown): string | undefined {
	const requestId = typeof json === "object" && json !== null && "requestId" in json ? json.requestId : undefined;
	return typeof requestId === "string" ? requestId.slice(0, 256) : undefined;
}
