import type { Agent, AgentStatus } from "../model.ts";
import type { Queryable } from "./postgres.ts";

const COLUMNS = `id, name, type, status, capabilities, tasks, completed_tasks as "completedTasks", performance, memory, cpu,
	current_task as "currentTask", message_count as "messageCount", created_at as "createdAt", last_active as "lastActive"`;

/** In the order they were spawned. */
export async function listAgents(client: Queryable, workspace: string): Promise<Agent[]> {
	return await client.query<Agent>({
		name: "agents-list",
		text: `select ${COLUMNS} from agents where workspace = $1 order by created_at, id`,
		values: [workspace],
	});
}

export async function countAgentsNow(client: Queryable, workspace: string): Promise<number> {
	const [row] = await client.query<{ count: number }>({
		name: "agents-count",
		text: "select count(*) from agents where workspace = $1",
		values: [workspace],
	});
	return row?.count ?? 0;
}

export async function findAgent(client: Queryable, workspace: string, id: string): Promise<Agent | undefined> {
	const [row] = await client.query<Agent>({
		name: "agent-find",
		text: `select ${COLUMNS} from agents where workspace = $1 and id = $2`,
		values: [workspace, id],
	});
	return row;
}

export async function insertAgent(
	client: Queryable,
	workspace: string,
	agent: Pick<Agent, "id" | "name" | "type" | "capabilities">,
	at: string,
): Promise<Agent> {
	const [row] = await client.query<Agent>({
		name: "agent-insert",
		text: `insert into agents (workspace, id, name, type, status, capabilities, created_at, last_active)
			values ($1, $2, $3, $4, 'idle', $5, $6, $6) returning ${COLUMNS}`,
		values: [workspace, agent.id, agent.name, agent.type, agent.capabilities, at],
	});
	return row as Agent;
}

/** Figures that are undefined stay as they are. */
export async function updateFigures(
	client: Queryable,
	workspace: string,
	id: string,
	figures: { performance?: number; memory?: string; cpu?: number; status?: AgentStatus },
	at: string,
): Promise<Agent | undefined> {
	const [row] = await client.query<Agent>({
		name: "agent-figures",
		text: `update agents set performance = coalesce($3, performance), memory = coalesce($4, memory), cpu = coalesce($5, cpu),
				status = coalesce($6, status), last_active = $7
			where workspace = $1 and id = $2 returning ${COLUMNS}`,
		values: [workspace, id, figures.performance ?? null, figures.memory ?? null, figures.cpu ?? null, figures.status ?? null, at],
	});
	return row;
}

/** The agent has claimed the task. */
export async function takeUp(client: Queryable, workspace: string, id: string, taskId: string, at: string): Promise<Agent | undefined> {
	const [row] = await client.query<Agent>({
		name: "agent-take-up",
		text: `update agents set tasks = tasks + 1, status = 'busy', current_task = $3, last_active = $4
			where workspace = $1 and id = $2 returning ${COLUMNS}`,
		values: [workspace, id, taskId, at],
	});
	return row;
}

/**
 * The agent has one task less: it goes on with the one it claimed last of those it still has, else it is at rest.
 *
 * @param end `silent`: it was not the agent that ended it, and nothing has been heard of it for too long
 */
export async function putDown(
	client: Queryable,
	workspace: string,
	id: string,
	end: "completed" | "ended" | "silent",
	at: string,
): Promise<Agent | undefined> {
	const [row] = await client.query<Agent>({
		name: "agent-put-down",
		text: `with left_over as (
				select id from tasks where workspace = $1 and assigned_agent = $2 and status = 'in_progress' order by started_at desc limit 1
			)
			update agents set
				completed_tasks = completed_tasks + (case when $3 = 'completed' then 1 else 0 end),
				current_task = (select id from left_over),
				status = case when $3 = 'silent' then 'offline' when exists (select from left_over) then 'busy' else 'idle' end,
				last_active = case when $3 = 'silent' then last_active else $4 end
			where workspace = $1 and id = $2 returning ${COLUMNS}`,
		values: [workspace, id, end, at],
	});
	return row;
}

/**
 * What agents are at follows the tasks they have, the one they claimed last. One that is offline stays so.
 *
 * @returns those that said something else
 */
export async function alignWithTasks(client: Queryable, workspace: string): Promise<Agent[]> {
	return await client.query<Agent>({
		name: "agents-align",
		text: `with claimed as (
				select distinct on (assigned_agent) assigned_agent, id as task from tasks
				where workspace = $1 and status = 'in_progress' order by assigned_agent, started_at desc, id
			), due as (
				select agents.id as agent, task, case when status = 'offline' then status when task is null then 'idle' else 'busy' end as due_status
				from agents left join claimed on assigned_agent = agents.id where workspace = $1
			)
			update agents set current_task = task, status = due_status from due
			where workspace = $1 and id = agent and (current_task, status) is distinct from (task, due_status) returning ${COLUMNS}`,
		values: [workspace],
	});
}

/** @returns whether there was one */
export async function deleteAgent(client: Queryable, workspace: string, id: string): Promise<boolean> {
	const gone = await client.query({
		name: "agent-delete",
		text: "delete from agents where workspace = $1 and id = $2 returning id",
		values: [workspace, id],
	});
	return gone.length > 0;
}
