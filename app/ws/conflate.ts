import type { SyncEvent } from "../model.ts";

/** One event, or the last of several about one entity. */
export interface Update {
	/** The last event it stands for. */
	readonly event: SyncEvent;
	/** `created` where the entity is new to whoever missed all of `count` events, whatever the last one was. */
	readonly action: SyncEvent["action"];
	/** Events it stands for, 1 or more. */
	readonly count: number;
}

/**
 * The latest state of each swarm, agent and task wins; all else stays as it is. What is left is in the order of
 * positions, each update at the place of its last event, and the counts add up to the number of events.
 *
 * An entity that is deleted and comes again is two updates, and nothing is joined across a `reset`.
 */
export function conflate(events: readonly SyncEvent[]): Update[] {
	if (events.length === 1) return events.map(single);
	const kept: (Update | null)[] = [];
	const latest = new Map<string, number>();
	for (const event of events) {
		if (event.action === "reset") latest.clear();
		const key = keyOf(event);
		const index = key === null ? undefined : latest.get(key);
		const earlier = index === undefined ? undefined : kept[index];
		if (index === undefined || !earlier || earlier.action === "deleted") kept.push(single(event));
		else {
			kept[index] = null;
			const action = event.action === "updated" ? earlier.action : event.action;
			kept.push({ event, action, count: earlier.count + 1 });
		}
		if (key !== null) latest.set(key, kept.length - 1);
	}
	return kept.filter((update) => update !== null);
}

/** One that stands for itself. */
export function single(event: SyncEvent): Update {
	return { event, action: event.action, count: 1 };
}

/** Null for what is a fact of its own and not the state of something. */
function keyOf({ entityType, entityId, action }: SyncEvent): string | null {
	const isState = entityType === "swarm" || entityType === "agent" || entityType === "task";
	return isState && entityId !== null && action !== "reset" ? `${entityType}:${entityId}` : null;
}
