import type { Server } from "socket.io";
import type { Principal, SyncEvent } from "../../model.ts";
import type { SwarmService } from "../../ports.ts";
import type { Update } from "../conflate.ts";
import type { Feed, FeedListener, Feeds } from "../feed.ts";
import type { SocketObserver } from "../settings.ts";

/** What a client may ask to hear of, one by one. */
export type RoomKind = "swarm" | "agent" | "task";

/** Everybody of a workspace. Clients never see the names of rooms, so they cannot ask for one of another workspace. */
export function workspaceRoom(workspace: string): string {
	return `${workspace}\n`;
}

export function entityRoom(workspace: string, kind: RoomKind, id: string): string {
	return `${workspace}\n${kind}:${id}`;
}

export interface RoomsContext {
	readonly services: { readonly swarm: SwarmService };
	readonly feeds: Feeds;
	readonly observe: SocketObserver;
}

/**
 * Sends the events of workspaces to this worker's own sockets. Every worker does so, and so none of it goes from one to
 * another through Socket.IO. What a client misses while it is away is lost to it: it gets a `system:snapshot` instead.
 */
export class Rooms {
	readonly #io: Server;
	readonly #context: RoomsContext;
	readonly #held = new Map<string, Held>();

	constructor(io: Server, context: RoomsContext) {
		this.#io = io;
		this.#context = context;
	}

	/** One more socket of the principal's workspace. Settles when it is sent what happens from then on, or there is nobody left. */
	enter(principal: Principal): Promise<void> {
		let held = this.#held.get(principal.workspace);
		if (held === undefined) {
			held = { users: 0, feed: null, listener: new WorkspaceRooms(this.#io, principal, this.#context), followed: Promise.resolve() };
			this.#held.set(principal.workspace, held);
			held.followed = this.#follow(principal.workspace, held);
		}
		held.users += 1;
		return held.followed;
	}

	/** One less. */
	leave(workspace: string): void {
		const held = this.#held.get(workspace);
		if (held === undefined) return;
		held.users -= 1;
		if (held.users === 0) this.#release(workspace, held);
	}

	close(): void {
		for (const [workspace, held] of this.#held) this.#release(workspace, held);
	}

	/** Tries until there is a feed, or nobody for it. */
	async #follow(workspace: string, held: Held): Promise<void> {
		const { feeds, observe } = this.#context;
		while (this.#held.get(workspace) === held) {
			try {
				held.feed = await feeds.acquire(workspace);
				held.feed.listeners.add(held.listener);
				if (this.#held.get(workspace) !== held) this.#release(workspace, held);
				return;
			} catch (error) {
				observe.fault("socket-io feed", error);
				await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
			}
		}
	}

	#release(workspace: string, held: Held): void {
		if (this.#held.get(workspace) === held) this.#held.delete(workspace);
		if (held.feed === null) return;
		held.feed.listeners.delete(held.listener);
		this.#context.feeds.release(held.feed, Date.now());
		held.feed = null;
	}
}

interface Held {
	users: number;
	feed: Feed | null;
	readonly listener: FeedListener;
	followed: Promise<void>;
}

const RETRY_MS = 1_000;

class WorkspaceRooms implements FeedListener {
	readonly #io: Server;
	/** Whose eyes see the workspace. */
	readonly #principal: Principal;
	readonly #context: RoomsContext;

	constructor(io: Server, principal: Principal, context: RoomsContext) {
		this.#io = io;
		this.#principal = principal;
		this.#context = context;
	}

	onTick(_events: readonly SyncEvent[], updates: readonly Update[]): undefined {
		const { workspace } = this.#principal;
		for (const { event, action } of updates) {
			const { entityType, entityId } = event;
			if (entityType === "memory" && (action === "created" || action === "updated")) this.#stored(event);
			if (entityId === null || (entityType !== "swarm" && entityType !== "agent" && entityType !== "task")) continue;
			const room = entityRoom(workspace, entityType, entityId);
			if (!this.#io.sockets.adapter.rooms.has(room)) continue;
			const { data, seq, timestamp } = event;
			this.#io.local.to(room).emit(`${entityType}:update`, { [`${entityType}Id`]: entityId, action, data, seq, timestamp });
		}
	}

	onGap(): void {
		const { services, observe } = this.#context;
		services.swarm.snapshot(this.#principal).then(
			(snapshot) => this.#toAll("system:snapshot", snapshot),
			(error: unknown) => observe.fault("socket-io gap", error),
		);
	}

	#stored({ data, timestamp }: SyncEvent): void {
		const { key, namespace, value } = (typeof data === "object" && data !== null ? data : {}) as Record<string, unknown>;
		this.#toAll("memory:stored", { key, namespace, value, timestamp });
	}

	#toAll(name: string, payload: object): void {
		this.#io.local.to(workspaceRoom(this.#principal.workspace)).emit(name, payload);
	}
}
