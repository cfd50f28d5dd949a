import type { MemoryEntry } from "../model.ts";
import { type MemoryService, PUBLIC_NAMESPACE, ServiceError } from "../ports.ts";
import { countEntries, deleteEntry, type EntryKey, findEntry, listEntries, putEntry } from "../stores/memory.ts";
import type { Database } from "../stores/postgres.ts";
import type { Changer } from "./changes.ts";
import { demandBytes } from "./demand.ts";
import type { ReadCounts } from "./read-counts.ts";
import { turns } from "./turns.ts";

/** Bytes in UTF-8; entries of a listing; the longest time to live, ten years. */
export const limits = {
	namespace: 256,
	key: 1_024,
	value: 1_048_576,
	metadata: 65_536,
	pattern: 1_024,
	listed: 1_000,
	ttlSeconds: 315_360_000,
} as const;

/** Bytes of a value that an event still carries; of a longer one it says that it was left out. */
const EVENT_VALUE_BYTES = 4_096;

const PUBLISHED_SYSTEM = "swarm";

/** Reads of the primary that strangers cause on one worker: whoever guesses keys takes no connection from everybody else. */
const strangers = { running: 2, waiting: 200 } as const;

/**
 * @param outdated is told of every published entry that may have changed, before its change is answered; never fails
 * @param reads is told of every read of an entry by its key
 */
export function memoryService(
	database: Database,
	change: Changer,
	outdated: (workspace: string, key: string) => Promise<void>,
	reads: ReadCounts,
): MemoryService {
	const inTurn = turns(strangers);

	/** Also where a change of a published entry failed: it may have been made nevertheless. */
	async function andOutdate<T>(workspace: string, { system, namespace, key }: EntryKey, changed: Promise<T>): Promise<T> {
		if (system !== PUBLISHED_SYSTEM || namespace !== PUBLIC_NAMESPACE) return await changed;
		try {
			return await changed;
		} finally {
			await outdated(workspace, key);
		}
	}

	return {
		store(principal, { system, namespace, key, value, metadata, ttlSeconds }) {
			demandKey({ system, namespace, key });
			demandBytes("value", value, limits.value);
			const metadataJson = metadata === undefined ? null : JSON.stringify(metadata);
			demandBytes("metadata", metadataJson ?? "", limits.metadata);
			if (ttlSeconds !== undefined && !(ttlSeconds > 0 && ttlSeconds <= limits.ttlSeconds)) {
				throw new ServiceError("INVALID", `ttl is a number of seconds above 0, at most ${limits.ttlSeconds}`);
			}
			const changed = change(
				principal,
				(client) =>
					putEntry(client, principal.workspace, {
						system,
						namespace,
						key,
						value,
						metadata: metadataJson,
						ttlSeconds: ttlSeconds ?? null,
					}),
				async ({ entry, created }, { happened }) => {
					happened("memory", idOf(entry), created ? "created" : "updated", eventData(entry));
					return entry;
				},
			);
			return andOutdate(principal.workspace, { system, namespace, key }, changed);
		},

		async get(principal, system, namespace, key) {
			const entry = await database.read(principal.id, (client) => findEntry(client, principal.workspace, { system, namespace, key }));
			if (entry !== null) reads.add(principal.workspace, entry);
			return entry;
		},

		async search(principal, { system, namespace, pattern, limit }) {
			demandBytes("pattern", pattern, limits.pattern);
			const filter = { system: system ?? null, namespace: namespace ?? null, like: likeOf(pattern) };
			return await database.read(principal.id, (client) =>
				listEntries(client, principal.workspace, filter, Math.min(limit, limits.listed)),
			);
		},

		list(principal, system, limit) {
			return database.read(principal.id, async (client) => {
				const [entries, total] = await Promise.all([
					listEntries(client, principal.workspace, { system, namespace: null, like: null }, Math.min(limit, limits.listed)),
					countEntries(client, principal.workspace, system),
				]);
				return { entries, total };
			});
		},

		remove(principal, system, namespace, key) {
			const entryKey = { system, namespace, key };
			const changed = change(
				principal,
				(client) => deleteEntry(client, principal.workspace, entryKey),
				async (removed, { happened }) => {
					if (removed) happened("memory", idOf(entryKey), "deleted", entryKey);
					return removed;
				},
			);
			return andOutdate(principal.workspace, entryKey, changed);
		},

		async published(workspace, key) {
			const read = () =>
				database.readPrimary((client) => findEntry(client, workspace, { system: PUBLISHED_SYSTEM, namespace: PUBLIC_NAMESPACE, key }));
			return await inTurn("published", read);
		},
	};
}

/**
 * Text as a pattern of SQL's: `*` is anything. Without one, the text may be anywhere.
 *
 * @returns with `\` before what has a meaning there
 */
export function likeOf(pattern: string): string {
	const escaped = pattern.replace(/[\\%_]/g, "\\$&");
	return pattern.includes("*") ? escaped.replace(/\*+/g, "%") : `%${escaped}%`;
}

function demandKey({ namespace, key }: EntryKey): void {
	if (key === "") throw new ServiceError("INVALID", "key is empty");
	demandBytes("namespace", namespace, limits.namespace);
	demandBytes("key", key, limits.key);
}

function idOf({ system, namespace, key }: EntryKey): string {
	return `${system}/${namespace}/${key}`;
}

function eventData(entry: MemoryEntry): unknown {
	const { value, ...rest } = entry;
	return Buffer.byteLength(value) > EVENT_VALUE_BYTES ? { ...rest, value: null, valueOmitted: true } : entry;
}
