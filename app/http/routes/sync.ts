import { z } from "zod";
import type { Services } from "../../ports.ts";
import { type Endpoint, endpoint } from "../endpoint.ts";
import { AgentView, Performance, TaskView } from "../schemas.ts";
import { agentView, performanceView, taskView } from "../views.ts";

const SwarmView = z
	.object({
		swarmId: z.string(),
		name: z.string(),
		topology: z.string(),
		maxAgents: z.int().nullable(),
		strategy: z.string().nullable(),
		createdAt: z.int(),
	})
	.meta({ id: "Swarm" });

/** HTTP beside the sync channel. On its native port these are without the prefix, which the balancer adds. */
export function syncEndpoints({ swarm, agents, tasks }: Services): Endpoint[] {
	return [
		endpoint({
			method: "GET",
			path: "/sync/api/state",
			kind: "list",
			tag: "sync",
			summary: "What the channel begins with, and the position in its sequence from which to go on.",
			answer: z.object({
				seq: z.int(),
				swarms: z.array(SwarmView),
				agents: z.array(AgentView),
				tasks: z.array(TaskView),
				memory: z.array(z.object({ namespace: z.string(), entries: z.int() })),
				performance: Performance,
				timestamp: z.int(),
			}),
			keptAs: () => "state",
			handle: async ({ principal }) => {
				const state = await swarm.snapshot(principal);
				return {
					seq: state.seq,
					swarms: state.swarms.map(({ swarmId, name, topology, maxAgents, strategy, createdAt }) => ({
						swarmId,
						name,
						topology,
						maxAgents,
						strategy,
						createdAt,
					})),
					agents: state.agents.map(agentView),
					tasks: state.tasks.map(taskView),
					memory: state.memory.map(({ namespace, entries }) => ({ namespace, entries })),
					performance: performanceView(state.agents, state.tasks),
					timestamp: state.timestamp,
				};
			},
		}),
		endpoint({
			method: "GET",
			path: "/sync/api/agents",
			kind: "list",
			tag: "sync",
			summary: "All agents.",
			answer: z.array(AgentView),
			keptAs: () => "agents",
			handle: async ({ principal }) => (await agents.list(principal)).map(agentView),
		}),
		endpoint({
			method: "GET",
			path: "/sync/api/tasks",
			kind: "list",
			tag: "sync",
			summary: "All tasks.",
			answer: z.array(TaskView),
			keptAs: () => "sync-tasks",
			handle: async ({ principal }) => (await tasks.list(principal)).map(taskView),
		}),
		endpoint({
			method: "GET",
			path: "/sync/api/performance",
			kind: "list",
			tag: "sync",
			summary: "Figures of agents and tasks. What nobody measures is null.",
			answer: Performance,
			keptAs: () => "performance",
			handle: async ({ principal }) => performanceView(...(await Promise.all([agents.list(principal), tasks.list(principal)]))),
		}),
	];
}
