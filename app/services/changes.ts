import { AsyncResource } from "node:async_hooks";
import { randomUUID } from "node:crypto";
import type { Activity, EntityType, Principal, SyncEvent } from "../model.ts";
import { type EventText, textOf } from "../stores/event-text.ts";
import type { Database, Queryable, Statement, Transaction } from "../stores/postgres.ts";
import { type Appended, appendChanges, lockWorkspace } from "../stores/workspaces.ts";
import { gather } from "./turns.ts";

/** Told of what is committed. */
export interface EventPublisher {
	/** Sends events on to every worker, and does not wait. What is lost on the way is found in the outbox. */
	publish(workspace: string, events: readonly EventText[]): void;
}

/** A change to a workspace while it is being made: nobody else changes the workspace meanwhile. */
export interface Change {
	readonly client: Queryable;
	readonly workspace: string;
	/** Agents since the swarm began. */
	readonly agentsSpawned: number;
	/** The change's time to the microsecond, for statements. */
	readonly at: string;
	/** An id of this workspace's, with the change's time and no way to guess the rest. */
	newId(prefix: string): string;
	/** An entity is new, other or gone: `data` is what those who follow the workspace get to see of it. */
	happened(entityType: EntityType, entityId: string | null, action: SyncEvent["action"], data: unknown): void;
	/**
	 * A row that nobody reads before the commit: those of one kind are inserted together, when all that is made at the same time
	 * has been made. That it fails is told by the commit.
	 */
	add<Row>(insert: Insert<Row>, row: Row): void;
	/** Writes the events and activities of those before it in the transaction, for statements that are about these. */
	settle(): void;
	/** How many agents there have been with this change. */
	countAgents(spawned: number): void;
	/** A line among the activities. */
	noted(type: string, message: string, metadata: Readonly<Record<string, unknown>>): void;
}

/** The one statement for all of these rows. */
export type Insert<Row> = (workspace: string, rows: readonly Row[]) => Statement;

/** Makes changes: the entities, the activities and the sequence of events in one transaction. */
export type Changer =
	/**
	 * @param load what the change depends on; it is asked for together with the lock, and answered when the lock is held
	 * @param make decides, writes and says what happened; it may run again, so it changes nothing but the database
	 * @param reads `nothing`: what it depends on no other change of the same transaction can have made, so that those that follow
	 *   on each other are made at the same time, not one after another
	 */
	<L, T>(
		principal: Principal,
		load: (client: Queryable) => Promise<L>,
		make: (loaded: L, change: Change) => Promise<T>,
		reads?: Reads,
	) => Promise<T>;

/** What a change depends on. */
export type Reads = "workspace" | "nothing";

/** Changes of one workspace in one transaction at most; that wait for theirs at most. */
const perWorkspace = { together: 32, waiting: 500 } as const;

/** A change that waits for its transaction. */
interface Asked {
	readonly principal: Principal;
	readonly reads: Reads;
	make(together: Together): Promise<void>;
	/** It is committed. */
	done(): void;
	failed(error: unknown): void;
}

/**
 * The lock puts one workspace's changes in a row; other workspaces do not wait. What this worker is asked for while one
 * transaction is under way goes into the next one together: a commit waits for a disk and a standby, and they wait once, and
 * once are the workspace locked and its sequence written. After the commit the events are published.
 */
export function changer(database: Database, publisher: EventPublisher): Changer {
	async function commit(workspace: string, first: readonly Asked[], late: () => readonly Asked[]): Promise<void> {
		const asked = [...first];
		const principals = new Set<string>();
		let undone = false;
		try {
			const events = await database.write(principals, async (client) => {
				undone = false;
				try {
					const together = new Together(client, workspace, () => {
						undone = true;
					});
					// The lock may have been long in coming: what has been asked for meanwhile does not wait for another.
					for (let next: readonly Asked[] = asked; next.length > 0; asked.push(...next)) {
						for (const step of stepsOf(next)) {
							for (const { principal } of step) principals.add(principal.id);
							await allOf(step.map((each) => each.make(together)));
							together.insert();
						}
						next = late();
					}
					together.append();
					return together.events;
				} catch (error) {
					undone = true;
					throw error;
				}
			});
			if (events.length > 0) publisher.publish(workspace, events);
			for (const each of asked) each.done();
		} catch (error) {
			// One that is refused, a conflict say, takes none of the others along: nothing is done yet, so each is made by itself.
			if (undone && asked.length > 1) for (const each of asked) await commit(workspace, [each], () => []);
			else for (const each of asked) each.failed(error);
		}
	}

	const inTurn = gather(perWorkspace, commit);
	return (principal, load, make, reads = "workspace") =>
		new Promise((resolve, reject) => {
			const { workspace } = principal;
			// Whoever's transaction it is in, its statements belong to the trace it was asked in.
			const context = new AsyncResource("change");
			let result: Awaited<ReturnType<typeof make>>;
			inTurn(workspace, {
				principal,
				reads,
				make: (together) =>
					context.runInAsyncScope(async () => {
						const [change, loaded] = await Promise.all([together.open(), load(together.client)]);
						result = await make(loaded, change);
					}),
				done: () => resolve(result),
				failed: reject,
			});
		});
}

/** What is made one after another: each by itself, or, of those that read nothing, all that follow on each other. */
function stepsOf(asked: readonly Asked[]): Asked[][] {
	const steps: Asked[][] = [];
	for (const each of asked) {
		const last = steps.at(-1);
		if (each.reads === "nothing" && last?.[0]?.reads === "nothing") last.push(each);
		else steps.push([each]);
	}
	return steps;
}

/** Waits for all of them, whatever becomes of one: what is rolled back must not go on. */
async function allOf(made: readonly Promise<void>[]): Promise<void> {
	const failed = (await Promise.allSettled(made)).find((outcome) => outcome.status === "rejected");
	if (failed !== undefined) throw failed.reason;
}

/** The changes of one transaction. Each sees those of the steps before it. */
class Together {
	readonly client: Transaction;
	readonly #workspace: string;
	readonly #onFailed: () => void;
	/** The workspace after the last of them, once it is locked. */
	readonly #locked: Promise<{ seq: number; agentsSpawned: number; at: string }>;
	#agentsSpawned = 0;
	readonly #changes: Appended[] = [];
	readonly #events: EventText[] = [];
	/** How many changes are written. */
	#written = 0;
	readonly #rows = new Map<Insert<never>, unknown[]>();

	/** @param onFailed told that something failed for which nobody waits: so will the transaction */
	constructor(client: Transaction, workspace: string, onFailed: () => void) {
		this.client = client;
		this.#workspace = workspace;
		this.#onFailed = onFailed;
		// Asked for together with what the first change depends on.
		this.#locked = lockWorkspace(client, workspace).then((found) => {
			this.#agentsSpawned = found.agentsSpawned;
			return { ...found };
		});
	}

	/** In their sequence. */
	get events(): readonly EventText[] {
		return this.#events;
	}

	/** The next change. Its functions may be taken out of it. */
	async open(): Promise<Change> {
		const state = await this.#locked;
		if (this.#changes.length > 0) state.at = microsecondAfter(state.at);
		const { at } = state;
		const timestamp = Date.parse(at);
		const events: EventText[] = [];
		const before = this.#changes.length;
		this.#changes.push({ at, events });
		// Of a UUID, because Node has the chance for many of those at hand.
		const newId = (prefix: string) => `${prefix}-${timestamp}-${randomUUID().replaceAll("-", "").slice(-24)}`;
		const happened: Change["happened"] = (entityType, entityId, action, data) => {
			state.seq += 1;
			const event = textOf({ seq: state.seq, entityType, entityId, action, data, timestamp });
			events.push(event);
			this.#events.push(event);
		};
		const noted: Change["noted"] = (type, message, metadata) => {
			const activity: Activity = { id: newId("activity"), type, message, metadata, timestamp };
			happened("activity", activity.id, "created", activity);
		};
		const add: Change["add"] = (insert, row) => {
			const rows = this.#rows.get(insert as Insert<never>) ?? [];
			rows.push(row);
			this.#rows.set(insert as Insert<never>, rows);
		};
		const countAgents = (spawned: number) => {
			this.#agentsSpawned = spawned;
		};
		const settle = () => this.append(before);
		const { client } = this;
		return { client, workspace: this.#workspace, agentsSpawned: this.#agentsSpawned, at, newId, happened, noted, add, countAgents, settle };
	}

	/** At the end of a step. */
	insert(): void {
		for (const [insert, rows] of this.#rows) this.#send(insert(this.#workspace, rows as never[]));
		this.#rows.clear();
	}

	#send(statement: Statement): void {
		this.client.send(statement).catch(this.#onFailed);
	}

	/** @param until leaves out the changes from this one on */
	append(until = this.#changes.length): void {
		const changes = this.#changes.slice(this.#written, until).filter(({ events }) => events.length > 0);
		this.#written = until;
		if (changes.length > 0) this.#send(appendChanges(this.#workspace, changes, this.#agentsSpawned));
	}
}

/** A time as {@link lockWorkspace} has it. */
function microsecondAfter(at: string): string {
	const [second, micros] = [at.slice(0, 19), Number(at.slice(20, 26)) + 1];
	if (micros < 1_000_000) return `${second}.${String(micros).padStart(6, "0")}Z`;
	return `${new Date(Date.parse(`${second}Z`) + 1_000).toISOString().slice(0, 19)}.000000Z`;
}
