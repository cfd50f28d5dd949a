/** Tools that store, find and count memory. They work with the system `swarm`, as the original's do. */

import type { MemoryEntry } from "../model.ts";
import { publishedPrefix } from "../ports.ts";
import { LISTED_NAMESPACES } from "../stores/namespaces.ts";
import { neededText, oneOf, text, timeframe, wholeNumber } from "./read.ts";
import type { Tool, ToolRun } from "./tool.ts";

const SYSTEM = "swarm";

const NAMESPACE = "default";

/** Entries of a listing, and bytes of their values, at most. */
const LISTED = 1_000;
const LISTED_BYTES = 4_194_304;

/** What memory_usage does, by its `action`. */
const actions: Readonly<Record<string, Tool>> = {
	async store(args, { services, principal }) {
		const value = neededValue(args.value);
		const ttl = args.ttl as number | undefined;
		const entry = await services.memory.store(principal, {
			system: SYSTEM,
			namespace: namespaceOf(args),
			key: neededText(args, "key"),
			value,
			...(ttl !== undefined && { ttlSeconds: ttl }),
		});
		return { success: true, action: "store", stored: true, bytes: Buffer.byteLength(value), ...withoutValue(entry) };
	},

	async retrieve(args, { services, principal }) {
		const [namespace, key] = [namespaceOf(args), neededText(args, "key")];
		const entry = await services.memory.get(principal, SYSTEM, namespace, key);
		if (entry === null) return { success: true, action: "retrieve", found: false, namespace, key, value: null };
		return { success: true, action: "retrieve", found: true, ...withoutValue(entry), value: entry.value };
	},

	async list(args, run) {
		const namespace = namespaceOf(args);
		const { entries, truncated } = await found(run, namespace, "*", LISTED);
		return { success: true, action: "list", namespace, entries, count: entries.length, truncated };
	},

	async delete(args, { services, principal }) {
		const [namespace, key] = [namespaceOf(args), neededText(args, "key")];
		return { success: true, action: "delete", namespace, key, deleted: await services.memory.remove(principal, SYSTEM, namespace, key) };
	},

	async search(args, run) {
		const namespace = namespaceOf(args);
		const pattern = text(args, "key") ?? text(args, "value") ?? "*";
		const { entries, truncated } = await found(run, namespace, pattern, LISTED);
		return { success: true, action: "search", namespace, pattern, results: entries, count: entries.length, truncated };
	},
};

export const memoryTools: Readonly<Record<string, Tool>> = {
	memory_usage: (args, run) => (actions[args.action as string] as Tool)(args, run),

	async memory_search(args, run) {
		const limit = wholeNumber(args, "limit", 1, LISTED) ?? 10;
		const namespace = text(args, "namespace");
		const pattern = neededText(args, "pattern");
		const { entries, truncated } = await found(run, namespace, pattern, limit);
		return { success: true, pattern, namespace, results: entries, count: entries.length, truncated };
	},

	async memory_namespace(args, { services, principal }) {
		const action = oneOf(args, "action", ["list", "stats", "clear", "delete"], "list");
		if (action === "clear" || action === "delete") {
			const namespace = neededText(args, "namespace", "the one whose entries are to be deleted");
			return { success: true, action, namespace, deleted: await services.namespaces.clear(principal, SYSTEM, namespace) };
		}
		const figures = await services.namespaces.figures(principal, text(args, "namespace"), Date.now());
		const namespaces = figures.map(({ system, namespace, entries, bytes, reads, lastWrite }) => ({
			system,
			namespace,
			entries,
			...(action === "stats" && { bytes, reads, lastWrite }),
		}));
		return { success: true, action, namespaces, total: namespaces.length, truncated: namespaces.length === LISTED_NAMESPACES };
	},

	async memory_compress(args, run) {
		const { services, principal } = run;
		const namespace = text(args, "namespace");
		const totals = async () => sum(await services.namespaces.figures(principal, namespace, Date.now()));
		// What it was before is told the same, however often the job is run.
		const before = await run.step("before", totals);
		const expiredDeleted = await services.namespaces.deleteExpired(principal, namespace);
		const after = await totals();
		const note =
			"The database compresses long values by itself: storedBytes is what they take there. Nothing that has not expired was changed.";
		return { success: true, namespace, expiredDeleted, before, after, note };
	},

	async memory_analytics(args, { services, principal }) {
		const within = timeframe(args, "timeframe", "24h");
		const namespaces = await services.namespaces.figures(principal, null, Date.now() - within.ms);
		const truncated = namespaces.length === LISTED_NAMESPACES;
		return { success: true, timeframe: within.name, totals: sum(namespaces), namespaces, truncated };
	},

	async cache_manage(args, { services, principal: { workspace } }) {
		const action = oneOf(args, "action", ["clear", "invalidate"], "clear");
		const key = text(args, "key");
		if (action === "invalidate" && key === null) neededText(args, "key", "what is to be read anew, or the action clear for everything");
		const prefixes = key === null ? [`${workspace}:`, publishedPrefix(workspace)] : [`${workspace}:${key}`];
		for (const prefix of prefixes) await services.cache.invalidate(prefix);
		return {
			success: true,
			action,
			key,
			invalidated: true,
			scope: key === null ? "every cached answer of the workspace" : `what begins with ${key}`,
		};
	},
};

function namespaceOf(args: Readonly<Record<string, unknown>>): string {
	return text(args, "namespace") ?? NAMESPACE;
}

/** Empty text is a value. */
function neededValue(value: unknown): string {
	return typeof value === "string" ? value : neededText({}, "value", "the text to store");
}

/** Newest first, as many as an answer can carry. */
async function found({ services, principal }: ToolRun, namespace: string | null, pattern: string, limit: number) {
	const where = namespace === null ? {} : { namespace };
	const all = await services.memory.search(principal, { system: SYSTEM, ...where, pattern, limit });
	let bytes = 0;
	const end = all.findIndex(({ value }) => {
		bytes += Buffer.byteLength(value);
		return bytes > LISTED_BYTES;
	});
	return { entries: end === -1 ? all : all.slice(0, end), truncated: end !== -1 || all.length === limit };
}

function withoutValue({ value: _, system: __, ...rest }: MemoryEntry): Omit<MemoryEntry, "value" | "system"> {
	return rest;
}

function sum(
	figures: readonly {
		entries: number;
		bytes: number;
		storedBytes: number;
		expired: number;
		reads: number;
		created: number;
		written: number;
	}[],
) {
	const total = (name: "entries" | "bytes" | "storedBytes" | "expired" | "reads" | "created" | "written") =>
		figures.reduce((all, each) => all + each[name], 0);
	return {
		entries: total("entries"),
		bytes: total("bytes"),
		storedBytes: total("storedBytes"),
		expired: total("expired"),
		reads: total("reads"),
		created: total("created"),
		written: total("written"),
	};
}
