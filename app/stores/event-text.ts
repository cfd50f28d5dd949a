import type { SyncEvent } from "../model.ts";

/** An event as it is written and told: its JSON, made once for both. */
export interface EventText {
	readonly seq: number;
	/** All of it but its data. */
	readonly head: string;
	/** Empty where it has none. */
	readonly data: string;
}

export function textOf({ seq, entityType, entityId, action, data, timestamp }: SyncEvent): EventText {
	return { seq, head: JSON.stringify({ seq, entityType, entityId, action, timestamp }), data: JSON.stringify(data) ?? "" };
}

/** What is said of an event: all of it, or only that there is one of this number. */
export type Announcement = SyncEvent | { readonly seq: number };

export function isWhole(announcement: Announcement): announcement is SyncEvent {
	return "action" in announcement;
}

/** Says something of several events. */
export function messageOf(events: readonly EventText[]): string {
	// No JSON that is made here has a line break in it.
	return events.map(({ head, data }) => `${head}\n${data}`).join("\n");
}

/** Says of an event only that it is there. */
export function mentionOf({ seq }: EventText): EventText {
	return { seq, head: JSON.stringify({ seq }), data: "" };
}

/** What {@link messageOf} says; nothing where another version of this said something, as all of it is in PostgreSQL. */
export function announcementsIn(message: string): Announcement[] {
	const lines = message.split("\n");
	const announcements: Announcement[] = [];
	for (let at = 0; at < lines.length; at += 2) {
		const head: Announcement = JSON.parse(lines[at] as string);
		if (typeof head.seq !== "number") return [];
		announcements.push(isWhole(head) ? new ToldEvent(head, lines[at + 1] as string) : head);
	}
	return announcements;
}

/** An event whose data is read when somebody asks for it: most are passed on as they came. */
class ToldEvent implements SyncEvent {
	readonly seq: number;
	readonly entityType: SyncEvent["entityType"];
	readonly entityId: string | null;
	readonly action: SyncEvent["action"];
	readonly timestamp: number;
	readonly json: string | undefined;
	#data: unknown;

	constructor({ seq, entityType, entityId, action, timestamp }: SyncEvent, json: string) {
		this.seq = seq;
		this.entityType = entityType;
		this.entityId = entityId;
		this.action = action;
		this.timestamp = timestamp;
		this.json = json === "" ? undefined : json;
	}

	get data(): unknown {
		if (this.json !== undefined) this.#data ??= JSON.parse(this.json);
		return this.#data;
	}
}
