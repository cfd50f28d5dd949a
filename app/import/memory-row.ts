import type { MemorySystem } from "../model.ts";
import { PUBLIC_NAMESPACE } from "../ports.ts";
import { limits as memoryLimits } from "../services/memory.ts";
import { LARGEST_VALUE, type Stored } from "./cells.ts";
import type { MemoryRow, Outcome, Reading, Words } from "./rows.ts";

/** An entry as it was found. A time that makes no sense is undefined. */
export interface FoundEntry {
	readonly system: MemorySystem;
	readonly namespace: Words | null;
	readonly key: Words | null;
	readonly stored: Stored;
	readonly metadata: Words | null;
	/** What else there is to note, by the original's names. */
	readonly more: Readonly<Record<string, unknown>>;
	readonly createdAt: number | null | undefined;
	readonly updatedAt: number | null | undefined;
	/** When it ends; undefined for a time that is too far away to matter. */
	readonly expiresAt: number | null | undefined;
	readonly accessCount: bigint;
}

/** Keeps to what the API takes, but for the size of a value. */
export function memoryRow(found: FoundEntry, { options, now, sourceAt }: Reading): Outcome<MemoryRow> {
	const system = options.system ?? found.system;
	const refused = reasonAgainst(found, system === "swarm" && !options.publish);
	if (refused !== null) return { refused };
	const { createdAt, updatedAt, expiresAt } = found;
	const expired = typeof expiresAt === "number" && expiresAt <= now;
	if (expired && !options.keepExpired) return { expired: true };
	const note = { ...found.stored.mark, ...(expired ? { expiredAt: new Date(expiresAt).toISOString() } : {}) };
	const more = Object.keys(note).length === 0 ? found.more : { ...found.more, import: note };
	const moreJson = Object.keys(more).length === 0 ? null : JSON.stringify(more);
	if (sizeOf(found.metadata ?? "") + (moreJson?.length ?? 0) > memoryLimits.metadata)
		return { refused: `its metadata has more than ${memoryLimits.metadata} bytes` };
	const created = createdAt ?? updatedAt ?? sourceAt;
	return {
		row: {
			system,
			namespace: found.namespace as Words,
			key: found.key as Words,
			value: found.stored.value,
			metadata: found.metadata,
			more: moreJson,
			createdAt: created,
			updatedAt: Math.max(updatedAt ?? created, created),
			accessCount: found.accessCount,
			expiresAt: expired ? null : (expiresAt ?? null),
		},
	};
}

function reasonAgainst({ namespace, key, stored }: FoundEntry, keepPrivate: boolean): string | null {
	if (key === null || namespace === null) return `its ${key === null ? "key" : "namespace"} is no text that PostgreSQL can hold`;
	if (sizeOf(key) === 0) return "its key is empty";
	if (sizeOf(key) > memoryLimits.key) return `its key has more than ${memoryLimits.key} bytes`;
	if (sizeOf(namespace) > memoryLimits.namespace) return `its namespace has more than ${memoryLimits.namespace} bytes`;
	if (sizeOf(stored.value) > LARGEST_VALUE) return `its value, as text, has more than ${LARGEST_VALUE} bytes`;
	if (keepPrivate && isPublic(namespace)) return `its namespace is "${PUBLIC_NAMESPACE}", which anybody may read: --publish takes it`;
	return null;
}

function isPublic(namespace: Words): boolean {
	if (sizeOf(namespace) !== PUBLIC_NAMESPACE.length) return false;
	return (typeof namespace === "string" ? namespace : Buffer.from(namespace).toString()) === PUBLIC_NAMESPACE;
}

function sizeOf(words: Words): number {
	return typeof words === "string" ? Buffer.byteLength(words) : words.byteLength;
}
