import type { Queryable } from "./postgres.ts";

export interface WorkflowStep {
	readonly tool: string;
	readonly name: string | null;
	readonly arguments: Readonly<Record<string, unknown>>;
}

export interface Workflow {
	readonly id: string;
	readonly name: string;
	readonly steps: readonly WorkflowStep[];
	readonly triggers: readonly unknown[];
	readonly createdAt: number;
}

const COLUMNS = `id, name, steps, triggers, created_at as "createdAt"`;

export async function insertWorkflow(
	client: Queryable,
	workspace: string,
	principal: string,
	{ id, name, steps, triggers }: Omit<Workflow, "createdAt">,
	at: string,
): Promise<Workflow> {
	const [row] = await client.query<Workflow>({
		name: "workflow-insert",
		text: `insert into workflows (workspace, id, name, steps, triggers, principal, created_at) values ($1, $2, $3, $4, $5, $6, $7) returning ${COLUMNS}`,
		values: [workspace, id, name, JSON.stringify(steps), JSON.stringify(triggers), principal, at],
	});
	return row as Workflow;
}

/** By its id, or the newest of its name. */
export async function findWorkflow(client: Queryable, workspace: string, name: string): Promise<Workflow | undefined> {
	const [row] = await client.query<Workflow>({
		name: "workflow-find",
		text: `select ${COLUMNS} from workflows where workspace = $1 and (id = $2 or name = $2) order by (id = $2) desc, created_at desc, id limit 1`,
		values: [workspace, name],
	});
	return row;
}

/** Of all of them, the oldest first. */
export async function workflowIds(client: Queryable, workspace: string): Promise<string[]> {
	const rows = await client.query<{ id: string }>({
		name: "workflow-ids",
		text: "select id from workflows where workspace = $1 order by created_at, id",
		values: [workspace],
	});
	return rows.map(({ id }) => id);
}
