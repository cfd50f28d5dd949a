import { AsyncLocalStorage } from "node:async_hooks";
import { randomBytes } from "node:crypto";
import type { Activity, EntityType, Principal, SyncEvent } from "../model.ts";
import type { Database, Queryable } from "../stores/postgres.ts";
import { appendChanges, type LockedWorkspace, lockWorkspace } from "../stores/workspaces.ts";
import { gather } from "./turns.ts";

/** Told of what is committed. */
export interface EventPublisher {
	/** Sends events on to every worker, and does not wait. What is lost on the way is found in the outbox. */
	publish(workspace: string, events: readonly SyncEvent[]): void;
}

/** A change to a workspace while it is being made: nobody else changes the workspace meanwhile. */
export interface Change {
	readonly client: Queryable;
	readonly workspace: string;
	readonly locked: LockedWorkspace;
	/** The change's time to the microsecond, for statements. */
	readonly at: string;
	/** An id of this workspace's, with the change's time and no way to guess the rest. */
	newId(prefix: string): string;
	/** An entity is new, other or gone: `data` is what those who follow the workspace get to see of it. */
	happened(entityType: EntityType, entityId: string | null, action: SyncEvent["action"], data: unknown): void;
	/** A line among the activities. */
	noted(type: string, message: string, metadata: Readonly<Record<string, unknown>>): void;
}

/** Makes changes: the entities, the activities and the sequence of events in one transaction. */
export type Changer =
	/**
	 * @param load what the change depends on; it is asked for together with the lock, and answered when the lock is held
	 * @param make decides, writes and says what happened; it may run again, so it changes nothing but the database
	 */
	<L, T>(principal: Principal, load: (client: Queryable) => Promise<L>, make: (loaded: L, change: Change) => Promise<T>) => Promise<T>;

/** Changes of one workspace in one transaction at most; that wait for theirs at most. */
const perWorkspace = { together: 32, waiting: 500 } as const;

/** A change that waits for its transaction. */
interface Asked {
	readonly principal: Principal;
	/** Makes it, and has it appended to the sequence. @returns its events */
	make(client: Queryable): Promise<readonly SyncEvent[]>;
	/** It is committed. */
	done(): void;
	failed(error: unknown): void;
}

/**
 * The lock puts one workspace's changes in a row; other workspaces do not wait. What this worker is asked for while one
 * transaction is under way goes into the next one together: a commit waits for a disk and a standby, and they wait once.
 * After the commit the events are published.
 */
export function changer(database: Database, publisher: EventPublisher): Changer {
	async function commit(workspace: string, asked: readonly Asked[]): Promise<void> {
		const principals = [...new Set(asked.map(({ principal }) => principal.id))];
		let undone = false;
		try {
			const events = await database.write(principals, async (client) => {
				undone = false;
				try {
					const made: SyncEvent[] = [];
					for (const each of asked) made.push(...(await each.make(client)));
					return made;
				} catch (error) {
					undone = true;
					throw error;
				}
			});
			if (events.length > 0) publisher.publish(workspace, events);
			for (const each of asked) each.done();
		} catch (error) {
			// One that is refused, a conflict say, takes none of the others along: nothing is done yet, so each is made by itself.
			if (undone && asked.length > 1) for (const each of asked) await commit(workspace, [each]);
			else for (const each of asked) each.failed(error);
		}
	}

	const inTurn = gather(perWorkspace, commit);
	return (principal, load, make) =>
		new Promise((resolve, reject) => {
			const { workspace } = principal;
			// Whoever's transaction it is in, its statements belong to the trace it was asked in.
			const inContext = AsyncLocalStorage.snapshot();
			let result: Awaited<ReturnType<typeof make>>;
			inTurn(workspace, {
				principal,
				make: (client) =>
					inContext(async () => {
						const [locked, loaded] = await Promise.all([lockWorkspace(client, workspace), load(client)]);
						const change = openChange(client, workspace, locked);
						result = await make(loaded, change);
						if (change.events.length > 0) await appendChanges(client, workspace, change);
						return change.events;
					}),
				done: () => resolve(result),
				failed: reject,
			});
		});
}

/** Its functions may be taken out of it. */
function openChange(client: Queryable, workspace: string, locked: LockedWorkspace): Change & Made {
	const timestamp = Date.parse(locked.at);
	const events: SyncEvent[] = [];
	const activities: Activity[] = [];
	const newId = (prefix: string) => `${prefix}-${timestamp}-${randomBytes(12).toString("hex")}`;
	const happened: Change["happened"] = (entityType, entityId, action, data) => {
		events.push({ seq: locked.seq + events.length + 1, entityType, entityId, action, data, timestamp });
	};
	const noted: Change["noted"] = (type, message, metadata) => {
		const activity = { id: newId("activity"), type, message, metadata, timestamp };
		activities.push(activity);
		happened("activity", activity.id, "created", activity);
	};
	return { client, workspace, locked, at: locked.at, newId, happened, noted, events, activities };
}

interface Made {
	readonly events: readonly SyncEvent[];
	readonly activities: readonly Activity[];
}
