import { randomBytes } from "node:crypto";
import type { Activity, EntityType, Principal, SyncEvent } from "../model.ts";
import type { Database, Queryable } from "../stores/postgres.ts";
import { appendChanges, type LockedWorkspace, lockWorkspace } from "../stores/workspaces.ts";
import { turns } from "./turns.ts";

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

/**
 * Changes of one workspace that take a connection at the same time: the others would only wait for its lock, and keep the
 * connections from everybody else. Two, so that one is ready when the other commits.
 */
const perWorkspace = { running: 2, waiting: 500 } as const;

/** After the commit the events are published. The lock puts one workspace's changes in a row; other workspaces do not wait. */
export function changer(database: Database, publisher: EventPublisher): Changer {
	const inTurn = turns(perWorkspace);
	return async (principal, load, make) => {
		const { workspace } = principal;
		const { result, events } = await inTurn(workspace, () =>
			database.write(principal.id, async (client) => {
				const [locked, loaded] = await Promise.all([lockWorkspace(client, workspace), load(client)]);
				const change = openChange(client, workspace, locked);
				const result = await make(loaded, change);
				if (change.events.length > 0) await appendChanges(client, workspace, change);
				return { result, events: change.events };
			}),
		);
		if (events.length > 0) publisher.publish(workspace, events);
		return result;
	};
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
