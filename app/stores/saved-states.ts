import type { Queryable } from "./postgres.ts";

/** What there is of it: only memory, or everything that a swarm has. */
export type Scope = "memory" | "workspace";

/** What was kept of a workspace at a time. */
export interface SavedState {
	readonly id: string;
	readonly scope: Scope;
	readonly label: string;
	readonly entries: number;
	readonly agents: number;
	readonly tasks: number;
	/** Of keys, values and descriptions, as text. */
	readonly bytes: number;
	readonly createdAt: number;
}

const COLUMNS = `id, scope, label, entries, agents, tasks, bytes, created_at as "createdAt"`;

/** Columns that a row is put back with; `value_json` follows from the value. */
const columns = {
	swarm: "id, name, topology, max_agents, strategy, created_at",
	agent: `id, name, type, status, capabilities, tasks, completed_tasks, performance, memory, cpu, current_task, message_count, created_at, last_active`,
	task: `id, description, status, priority, strategy, progress, assigned_agent, dependencies, result, result_bytes, error, created_at, started_at,
		ended_at, heard_at`,
	memory: "system, namespace, key, value, metadata, created_at, updated_at, access_count, expires_at",
} as const;

const tables = { swarm: "swarms", agent: "agents", task: "tasks", memory: "memory_entries" } as const;

type Kind = keyof typeof tables;

const ALIVE = "(expires_at is null or expires_at > now())";

/** What a state of the workspace would have in it. */
export async function measure(
	client: Queryable,
	workspace: string,
	scope: Scope,
): Promise<Pick<SavedState, "entries" | "agents" | "tasks" | "bytes">> {
	const [row] = await client.query<Pick<SavedState, "entries" | "agents" | "tasks" | "bytes">>({
		name: "saved-measure",
		text: `select entries, agents, tasks, memory_bytes + task_bytes as bytes from
			(select count(*)::integer as entries, coalesce(sum(octet_length(key) + octet_length(value)), 0)::bigint as memory_bytes
				from memory_entries where workspace = $1 and ${ALIVE}) as memory,
			(select count(*)::integer as agents from agents where workspace = $1 and $2) as agents,
			(select count(*)::integer as tasks,
				coalesce(sum(octet_length(description) + coalesce(octet_length(error), 0) + result_bytes), 0)::bigint as task_bytes
				from tasks where workspace = $1 and $2) as tasks`,
		values: [workspace, scope === "workspace"],
	});
	return row as Pick<SavedState, "entries" | "agents" | "tasks" | "bytes">;
}

/** Keeps the workspace's rows as they are in this transaction. */
export async function saveState(
	client: Queryable,
	workspace: string,
	principal: string,
	state: Omit<SavedState, "createdAt">,
	at: string,
): Promise<SavedState> {
	const { id, scope, label, entries, agents, tasks, bytes } = state;
	const [row] = await client.query<SavedState>({
		name: "saved-insert",
		text: `insert into saved_states (workspace, id, scope, label, principal, entries, agents, tasks, bytes, created_at)
			values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) returning ${COLUMNS}`,
		values: [workspace, id, scope, label, principal, entries, agents, tasks, bytes, at],
	});
	const kinds: readonly Kind[] = scope === "memory" ? ["memory"] : ["swarm", "agent", "task", "memory"];
	for (const kind of kinds) await saveRows(client, workspace, id, kind);
	return row as SavedState;
}

async function saveRows(client: Queryable, workspace: string, state: string, kind: Kind): Promise<void> {
	await client.query({
		name: `saved-rows-${kind}`,
		text: `insert into saved_rows (workspace, state, kind, data)
			select $1, $2, '${kind}', to_jsonb(each) - 'workspace'::text - 'value_json'::text from ${tables[kind]} as each
			where workspace = $1${kind === "memory" ? ` and ${ALIVE}` : ""}`,
		values: [workspace, state],
	});
}

/** Newest first. */
export async function listStates(client: Queryable, workspace: string, scope: Scope): Promise<SavedState[]> {
	return await client.query<SavedState>({
		name: "saved-list",
		text: `select ${COLUMNS} from saved_states where workspace = $1 and scope = $2 order by created_at desc, id`,
		values: [workspace, scope],
	});
}

/** By its id, or the newest of its label. */
export async function findState(client: Queryable, workspace: string, scope: Scope, name: string): Promise<SavedState | undefined> {
	const [row] = await client.query<SavedState>({
		name: "saved-find",
		text: `select ${COLUMNS} from saved_states where workspace = $1 and scope = $2 and (id = $3 or label = $3)
			order by (id = $3) desc, created_at desc limit 1`,
		values: [workspace, scope, name],
	});
	return row;
}

export async function deleteStates(client: Queryable, workspace: string, ids: readonly string[]): Promise<void> {
	await client.query({
		name: "saved-delete",
		text: "delete from saved_states where workspace = $1 and id = any($2)",
		values: [workspace, ids],
	});
}

/** Bytes of rows, as they are stored, that one statement puts back, to stay well within its time-out. */
const BATCH_BYTES = 2_097_152;

/** Puts the entries of a state over those that there are; those that have expired meanwhile stay away. @returns how many */
export async function restoreMemory(client: Queryable, workspace: string, state: string): Promise<number> {
	const ends = await client.query<{ number: number }>({
		name: "saved-batches",
		text: `select max(number) as number from (
				select number, sum(pg_column_size(data)) over (order by number) / ${BATCH_BYTES} as batch
				from saved_rows where workspace = $1 and state = $2 and kind = 'memory'
			) as each group by batch order by 1`,
		values: [workspace, state],
	});
	let entries = 0;
	let after = 0;
	for (const { number } of ends) {
		entries += await restoreBatch(client, workspace, state, after, number);
		after = number;
	}
	return entries;
}

async function restoreBatch(client: Queryable, workspace: string, state: string, after: number, upTo: number): Promise<number> {
	const [row] = await client.query<{ count: number }>({
		name: "saved-restore-memory",
		text: `with restored as (
				insert into memory_entries (workspace, ${columns.memory}) ${savedRows("memory")}
					and saved.number > $3 and saved.number <= $4 and (put.expires_at is null or put.expires_at > now())
				on conflict (workspace, system, namespace, key) do update set value = excluded.value, metadata = excluded.metadata,
					created_at = excluded.created_at, updated_at = excluded.updated_at, access_count = excluded.access_count,
					expires_at = excluded.expires_at
				returning 1
			)
			select count(*) from restored`,
		values: [workspace, state, after, upTo],
	});
	return row?.count ?? 0;
}

/** In the place of all that there is, but for activities. Claims count as heard of now. @returns memory's entries */
export async function restoreWorkspace(client: Queryable, workspace: string, state: string, at: string): Promise<number> {
	for (const kind of ["swarm", "agent", "task", "memory"] as const) {
		await client.query({ name: `saved-clear-${kind}`, text: `delete from ${tables[kind]} where workspace = $1`, values: [workspace] });
	}
	for (const kind of ["swarm", "agent", "task"] as const) {
		await client.query({
			name: `saved-restore-${kind}`,
			text: `insert into ${tables[kind]} (workspace, ${columns[kind]}) ${savedRows(kind)}`,
			values: [workspace, state],
		});
	}
	await client.query({
		name: "saved-restore-heard",
		text: "update tasks set heard_at = $2 where workspace = $1 and status = 'in_progress'",
		values: [workspace, at],
	});
	return await restoreMemory(client, workspace, state);
}

/** A function in the list of columns would be called for each of them. */
function savedRows(kind: Kind): string {
	const put = columns[kind].split(",").map((column) => `put.${column.trim()}`);
	return `select $1, ${put.join(", ")} from saved_rows as saved cross join lateral jsonb_populate_record(null::${tables[kind]}, saved.data) as put
		where saved.workspace = $1 and saved.state = $2 and saved.kind = '${kind}'`;
}
