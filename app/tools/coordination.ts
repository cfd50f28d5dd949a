/** Tools that begin things: a swarm, agents, tasks. */
import type { Swarm, TaskPriority } from "../model.ts";
import { agentTypes } from "./catalogue/swarm.ts";
import { neededText, text, texts, wholeNumber } from "./read.ts";
import { type Tool, ToolError, type ToolRun } from "./tool.ts";

/** What the schemas and the original give where nothing is said. */
const defaults = { name: "Swarm", topology: "hierarchical", maxAgents: 8, strategy: "auto", priority: "medium" } as const;

export const coordinationTools: Readonly<Record<string, Tool>> = {
	async swarm_init(args, { services, principal }) {
		const swarm = await services.swarm.initialise(principal, {
			name: defaults.name,
			topology: text(args, "topology") ?? defaults.topology,
			maxAgents: wholeNumber(args, "maxAgents", 1, 1_000) ?? defaults.maxAgents,
			strategy: text(args, "strategy") ?? defaults.strategy,
		});
		return { success: true, ...swarm };
	},

	async agent_spawn(args, run) {
		const type = neededText(args, "type", `one of ${agentTypes.join(", ")}`);
		const swarm = await namedSwarm(run, text(args, "swarmId"));
		const agent = await run.services.agents.spawn(run.principal, {
			type,
			name: text(args, "name"),
			capabilities: texts(args, "capabilities") ?? [],
		});
		return { success: true, agentId: agent.id, swarmId: swarm?.swarmId ?? null, ...agent };
	},

	async task_orchestrate(args, { services, principal }) {
		const task = await services.tasks.create(principal, {
			description: neededText(args, "task", "what is to be done"),
			priority: (text(args, "priority") ?? defaults.priority) as TaskPriority,
			strategy: text(args, "strategy"),
			dependencies: texts(args, "dependencies") ?? [],
		});
		return { success: true, taskId: task.id, ...task };
	},

	async remove_agent(args, { services, principal }) {
		const agentId = neededText(args, "agentId");
		await services.agents.remove(principal, agentId);
		return { success: true, agentId, removed: true };
	},

	async cancel_task(args, { services, principal }) {
		const task = await services.tasks.cancel(principal, neededText(args, "taskId"));
		return { success: true, taskId: task.id, ...task };
	},
};

/** The workspace's swarm. @throws ToolError NOT_FOUND where another one is asked for */
export async function namedSwarm({ services, principal }: ToolRun, swarmId: string | null): Promise<Swarm | null> {
	const swarm = await services.swarm.current(principal);
	if (swarmId === null || swarmId === swarm?.swarmId) return swarm;
	throw new ToolError(
		"NOT_FOUND",
		swarm === null ? `there is no swarm ${swarmId}` : `there is no swarm ${swarmId}; there is ${swarm.swarmId}`,
	);
}
