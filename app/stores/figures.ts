import type { Database } from "./postgres.ts";

/** How much there is in all workspaces together. */
export interface Figures {
	readonly agents: number;
	readonly tasks: { readonly [status: string]: number };
	readonly memoryEntries: { readonly [system: string]: number };
}

/** Entries that have expired are none. */
export async function countEverything(database: Database): Promise<Figures> {
	const rows = await database.read(null, (client) =>
		client.query<{ kind: "agent" | "task" | "memory"; name: string; count: number }>({
			name: "figures",
			text: `select 'agent' as kind, '' as name, count(*) as count from agents
				union all select 'task', status::text, count(*) from tasks group by status
				union all select 'memory', system::text, count(*) from memory_entries
					where expires_at is null or expires_at > now() group by system`,
			values: [],
		}),
	);
	const of = (kind: string) => Object.fromEntries(rows.filter((row) => row.kind === kind).map(({ name, count }) => [name, count]));
	return { agents: of("agent")[""] ?? 0, tasks: of("task"), memoryEntries: of("memory") };
}
