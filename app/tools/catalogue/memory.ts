import { entriesOf, number, oneOf, type Row, text } from "./entry.ts";

const memory: readonly Row[] = [
	[
		"memory_usage",
		"here",
		"Stores, retrieves, lists, deletes or searches entries of a namespace. ttl is in seconds.",
		{
			"action!": oneOf("store", "retrieve", "list", "delete", "search"),
			key: text(),
			value: text(),
			namespace: text("default"),
			ttl: number(),
		},
	],
	[
		"memory_search",
		"here",
		"Entries whose key or value has the pattern in it; * stands for anything. Newest first.",
		{ "pattern!": text(), namespace: text(), limit: number(10) },
	],
	["memory_persist", "here", "Keeps a copy of the memory as it is under the session's name, in the database.", { sessionId: text() }],
	[
		"memory_namespace",
		"here",
		"Lists the namespaces (list), counts what is in one (stats), or deletes all of its entries (clear).",
		{ namespace: text(), action: text() },
	],
	["memory_backup", "here", "Keeps a copy of the memory in the database. The path is its label: no file is written.", { path: text() }],
	[
		"memory_restore",
		"hereForOperators",
		"Puts the entries of a backup, by its label or id, over those that there are; what the backup does not have stays.",
		{ backupPath: text() },
	],
	[
		"memory_compress",
		"here",
		"Deletes what has expired, and says how much room the entries of a namespace take before and after.",
		{ namespace: text() },
	],
	[
		"memory_sync",
		"here",
		"Copies the memory to a target: hivemind or swarm (newer entries win), or else a copy in the database with that label.",
		{ target: text() },
	],
	[
		"memory_analytics",
		"here",
		"How much there is in each namespace, and what was stored within a time frame, such as 24h or 7d.",
		{ timeframe: text() },
	],
	[
		"cache_manage",
		"here",
		"Has cached answers of the workspace read anew: all of them (clear), or those under a key (invalidate).",
		{ action: text(), key: text() },
	],
	["state_snapshot", "here", "Keeps the swarm, its agents, tasks and memory as they are, under a name, in the database.", { name: text() }],
	[
		"context_restore",
		"hereForOperators",
		"Puts the workspace back to a snapshot, by its id or name. What has come since is gone.",
		{ snapshotId: text() },
	],
];

export const memoryEntries = entriesOf("memory", memory);
