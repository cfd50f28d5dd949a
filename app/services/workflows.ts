import type { Principal } from "../model.ts";
import { ServiceError } from "../ports.ts";
import type { Database } from "../stores/postgres.ts";
import { findWorkflow, insertWorkflow, type Workflow, type WorkflowStep, workflowIds } from "../stores/workflows.ts";
import type { Changer } from "./changes.ts";
import { demandLength } from "./demand.ts";

const limits = { name: 200, steps: 50, workflows: 1_000 } as const;

export interface WorkflowService {
	/** @throws ServiceError INVALID; CONFLICT where the workspace has too many */
	create(principal: Principal, workflow: { name: string; steps: readonly WorkflowStep[]; triggers: readonly unknown[] }): Promise<Workflow>;
	/** By its id, or the newest of its name. @throws ServiceError NOT_FOUND */
	get(principal: Principal, name: string): Promise<Workflow>;
}

export function workflowService(database: Database, change: Changer): WorkflowService {
	return {
		create(principal, { name, steps, triggers }) {
			demandLength("name", name, limits.name);
			if (name === "") throw new ServiceError("INVALID", "name is empty");
			if (steps.length === 0 || steps.length > limits.steps) throw new ServiceError("INVALID", `a workflow has 1 to ${limits.steps} steps`);
			return change(
				principal,
				(client) => workflowIds(client, principal.workspace),
				async (there, { client, workspace, at, newId, noted }) => {
					if (there.length >= limits.workflows) throw new ServiceError("CONFLICT", `the workspace has its ${limits.workflows} workflows`);
					const workflow = await insertWorkflow(client, workspace, principal.id, { id: newId("workflow"), name, steps, triggers }, at);
					noted("workflow_created", `Workflow ${name} has ${steps.length} steps`, { workflowId: workflow.id });
					return workflow;
				},
			);
		},

		async get(principal, name) {
			const workflow = await database.read(principal.id, (client) => findWorkflow(client, principal.workspace, name));
			if (workflow === undefined) throw new ServiceError("NOT_FOUND", `there is no workflow ${name}`);
			return workflow;
		},
	};
}
