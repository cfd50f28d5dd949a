import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import type { Principal } from "../../model.ts";
import type { Services } from "../../ports.ts";
import { type Acceptor, acceptor, letGo, RECONNECT_SPREAD_MS } from "../client-socket.ts";
import type { Credentials } from "../credentials.ts";
import type { Feeds } from "../feed.ts";
import { PING, textFrame } from "../frame.ts";
import type { Gate } from "../gate.ts";
import { Heartbeat } from "../heartbeat.ts";
import type { SocketObserver, SocketSettings } from "../settings.ts";
import { type Entry, queryOf } from "../upgrade.ts";
import { catchUp } from "./catch-up.ts";
import { Conversation } from "./conversation.ts";
import { SyncSocket } from "./group.ts";
import { Hub, type Start } from "./hub.ts";
import { States } from "./state.ts";

/** What /sync works with. */
export interface SyncContext {
	readonly services: Services;
	readonly settings: SocketSettings;
	readonly gate: Gate;
	readonly credentials: Credentials;
	readonly feeds: Feeds;
	readonly observe: SocketObserver;
}

/** The sockets of /sync on this worker: how they come, live and go. What is said is in {@link Conversation}. */
export class SyncServer {
	readonly #context: SyncContext;
	readonly #hubs = new Map<string, Hub>();
	readonly #heartbeat: Heartbeat<SyncSocket>;
	readonly #conversation: Conversation;
	readonly #acceptor: Acceptor<SyncSocket>;

	constructor(context: SyncContext) {
		this.#context = context;
		const { settings } = context;
		this.#heartbeat = new Heartbeat(settings, () => this.#beat());
		this.#conversation = new Conversation(context, {
			begin: (socket, principal, since) => this.#begin(socket, principal, since),
			catchUp: (socket, start) => this.#catchUp(socket, start),
			closed: (socket, code) => this.#closed(socket, code),
		});
		this.#acceptor = acceptor(SyncSocket, settings.limits.syncMessageBytes);
	}

	get sockets(): number {
		return this.#heartbeat.size;
	}

	/** A handshake that has been let in. Nothing keeps the request after it. */
	take(request: IncomingMessage, raw: Duplex, head: Buffer, { place, principal }: Entry): void {
		const { gate } = this.#context;
		const since = sinceOf(request);
		const opened = (socket: SyncSocket) => this.#open(socket, principal, since);
		if (!this.#acceptor.accept(request, raw, head, place, opened)) gate.leave(place);
	}

	/** Tells everybody to come again, here and there within `overMs`, and lets go of them. */
	drain(overMs: number): Promise<void> {
		return letGo([...this.#heartbeat], overMs, (socket) => {
			const afterMs = Math.floor(Math.random() * RECONNECT_SPREAD_MS);
			if (socket.principal !== null) socket.tell({ type: "reconnect", afterMs });
			socket.end(1012, "This worker is going away.");
		});
	}

	/** Ends what is left at once. */
	close(): void {
		this.#heartbeat.stop();
		for (const socket of this.#heartbeat) socket.terminate();
		for (const hub of this.#hubs.values()) hub.close();
		this.#acceptor.close();
	}

	sweep(now: number): void {
		for (const hub of this.#hubs.values()) hub.states.sweep(now);
		for (const socket of this.#heartbeat) {
			if (socket.deadline === 0 || socket.deadline > now) continue;
			if (socket.principal === null) socket.end(1008, "A credential was not given in time.");
			else socket.end(1013, "Too slow.");
		}
	}

	/** A ping, with the figures of the moment before it where there are any: they cost no write of their own. */
	#beat(): (socket: SyncSocket) => Buffer {
		const figures = this.#context.settings.performance();
		if (figures === null) return () => PING;
		const timestamp = Date.now();
		const beat = Buffer.concat([textFrame(JSON.stringify({ type: "performance-update", data: figures, timestamp })), PING]);
		return (socket) => (socket.live && socket.group?.wantsPerformance ? beat : PING);
	}

	#open(socket: SyncSocket, principal: Principal | null, since: number | null): void {
		socket.listen(this.#conversation);
		this.#heartbeat.add(socket);
		this.#context.observe.opened("sync");
		if (principal === null) socket.deadline = Date.now() + this.#context.settings.limits.authMs;
		else this.#begin(socket, principal, since);
	}

	#begin(socket: SyncSocket, principal: Principal, since: number | null): void {
		socket.principal = principal;
		socket.deadline = 0;
		this.#context.credentials.watch(socket);
		const hub = this.#hub(principal.workspace);
		hub.users += 1;
		socket.hub = hub;
		hub.assign(socket, "");
		this.#catchUp(socket, since === null ? { kind: "state", atLeast: 0, missedFrom: null } : { kind: "resume", after: since });
	}

	#catchUp(socket: SyncSocket, start: Start): void {
		const { services, settings, observe } = this.#context;
		void catchUp(socket, start, { events: services.events, limits: settings.limits, observe });
	}

	#hub(workspace: string): Hub {
		const found = this.#hubs.get(workspace);
		if (found !== undefined) return found;
		const { services, settings, feeds, observe } = this.#context;
		const hub = new Hub(
			workspace,
			feeds.acquire(workspace),
			new States(services.swarm),
			settings.limits,
			(socket, start) => this.#catchUp(socket, start),
			observe,
		);
		this.#hubs.set(workspace, hub);
		// The next client is to find another one, and not the same failure.
		hub.ready.catch(() => this.#forget(hub));
		return hub;
	}

	#forget(hub: Hub): void {
		if (this.#hubs.get(hub.workspace) === hub) this.#hubs.delete(hub.workspace);
	}

	#closed(socket: SyncSocket, code: number): void {
		const { gate, credentials, observe } = this.#context;
		socket.attempt += 1;
		this.#heartbeat.delete(socket);
		credentials.unwatch(socket);
		if (socket.place !== null) gate.leave(socket.place);
		const { hub } = socket;
		if (hub !== null) {
			hub.leave(socket);
			hub.users -= 1;
			if (hub.users === 0) this.#end(hub);
		}
		socket.hub = null;
		socket.raw = null;
		observe.closed("sync", code);
	}

	#end(hub: Hub): void {
		this.#forget(hub);
		hub.ready.then(
			() => {
				hub.close();
				if (hub.feed !== null) this.#context.feeds.release(hub.feed, Date.now());
			},
			() => {},
		);
	}
}

/** The position to go on from, if the URL has one. */
function sinceOf(request: IncomingMessage): number | null {
	const since = queryOf(request).get("since");
	return since !== null && /^\d{1,15}$/.test(since) ? Number(since) : null;
}
