import type { Swarm } from "../model.ts";
import type { Queryable } from "./postgres.ts";

const COLUMNS = `id as "swarmId", name, topology, max_agents as "maxAgents", strategy, created_at as "createdAt"`;

/** The workspace's swarm. */
export async function findSwarm(client: Queryable, workspace: string): Promise<Swarm | null> {
	const [row] = await client.query<Swarm>({
		name: "swarm-find",
		text: `select ${COLUMNS} from swarms where workspace = $1`,
		values: [workspace],
	});
	return row ?? null;
}

/** In the place of the one before. */
export async function putSwarm(client: Queryable, workspace: string, swarm: Omit<Swarm, "createdAt">, at: string): Promise<Swarm> {
	const { swarmId, name, topology, maxAgents, strategy } = swarm;
	const [row] = await client.query<Swarm>({
		name: "swarm-put",
		text: `insert into swarms (workspace, id, name, topology, max_agents, strategy, created_at) values ($1, $2, $3, $4, $5, $6, $7)
			on conflict (workspace) do update set id = excluded.id, name = excluded.name, topology = excluded.topology,
				max_agents = excluded.max_agents, strategy = excluded.strategy, created_at = excluded.created_at
			returning ${COLUMNS}`,
		values: [workspace, swarmId, name, topology, maxAgents, strategy, at],
	});
	return row as Swarm;
}

export async function setTopology(client: Queryable, workspace: string, topology: string): Promise<Swarm> {
	const [row] = await client.query<Swarm>({
		name: "swarm-topology",
		text: `update swarms set topology = $2 where workspace = $1 returning ${COLUMNS}`,
		values: [workspace, topology],
	});
	return row as Swarm;
}

export async function deleteSwarm(client: Queryable, workspace: string): Promise<void> {
	await client.query({ name: "swarm-delete", text: "delete from swarms where workspace = $1", values: [workspace] });
}

/** Rows that one statement deletes, to stay well within its time-out. */
const BATCH = 10_000;

/** Agents, tasks and activities go; memory and the sequence of events stay. */
export async function wipe(client: Queryable, workspace: string): Promise<void> {
	await client.query({ name: "wipe-agents", text: "delete from agents where workspace = $1", values: [workspace] });
	while ((await wipeSome(client, workspace, "tasks", "created_at")) === BATCH);
	while ((await wipeSome(client, workspace, "activities", "timestamp")) === BATCH);
}

async function wipeSome(client: Queryable, workspace: string, table: string, time: string): Promise<number> {
	const gone = await client.query({
		name: `wipe-${table}`,
		text: `delete from ${table} where workspace = $1 and ("${time}", id) in (
			select "${time}", id from ${table} where workspace = $1 order by "${time}" limit ${BATCH}) returning 1`,
		values: [workspace],
	});
	return gone.length;
}
