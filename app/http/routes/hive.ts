import { z } from "zod";
import type { Services } from "../../ports.ts";
import { type Endpoint, endpoint } from "../endpoint.ts";
import {
	ActivityView,
	AgentParams,
	AgentReport,
	AgentView,
	envelope,
	InitSwarm,
	limitOf,
	Performance,
	SpawnAgent,
	SwarmStatus,
} from "../schemas.ts";
import { activityView, agentView, now, performanceView, statusView } from "../views.ts";

/** What a swarm is called, and what it looks like, where nobody says. */
export const swarmDefaults = { name: "UI-Swarm", topology: "hierarchical" } as const;

/** What an agent is where nobody says. */
const AGENT_TYPE = "specialist";

const ActivitiesQuery = z.object({ limit: limitOf(50, 100) });

/** The swarm, its agents and what happened: the original's main routes. */
export function hiveEndpoints({ swarm, agents, tasks, activities }: Services): Endpoint[] {
	return [
		endpoint({
			method: "GET",
			path: "/api/hive/status",
			kind: "list",
			tag: "swarm",
			summary: "The swarm with its agents and tasks.",
			answer: SwarmStatus,
			keptAs: () => "status",
			handle: async ({ principal }) =>
				statusView(...(await Promise.all([swarm.current(principal), agents.list(principal), tasks.list(principal)]))),
		}),
		endpoint({
			method: "POST",
			path: "/api/hive/init",
			kind: "write",
			tag: "swarm",
			summary: "Begins the swarm anew: agents, tasks and activities are gone. Needs the role operator where there is a swarm.",
			body: InitSwarm,
			answer: z.object({ swarmId: z.string(), name: z.string(), topology: z.string(), maxAgents: z.int().optional() }),
			handle: async ({ principal, body }) => {
				const begun = await swarm.initialise(principal, {
					name: body.name ?? swarmDefaults.name,
					topology: body.topology ?? swarmDefaults.topology,
					maxAgents: body.maxAgents ?? null,
					strategy: body.strategy,
				});
				return { swarmId: begun.swarmId, name: begun.name, topology: begun.topology, maxAgents: begun.maxAgents ?? undefined };
			},
		}),
		endpoint({
			method: "GET",
			path: "/api/hive/performance",
			kind: "list",
			tag: "swarm",
			summary: "Figures of agents and tasks. What nobody measures is null.",
			answer: Performance,
			keptAs: () => "performance",
			handle: async ({ principal }) => performanceView(...(await Promise.all([agents.list(principal), tasks.list(principal)]))),
		}),
		endpoint({
			method: "GET",
			path: "/api/hive/activities",
			kind: "list",
			tag: "swarm",
			summary: "What happened, newest first.",
			query: ActivitiesQuery,
			answer: z.array(ActivityView),
			keptAs: ({ limit }) => `activities-${limit}`,
			handle: async ({ principal, query }) => (await activities.list(principal, query.limit)).map(activityView),
		}),
		endpoint({
			method: "GET",
			path: "/api/hive/agents",
			kind: "list",
			tag: "agents",
			summary: "All agents.",
			answer: z.array(AgentView),
			keptAs: () => "agents",
			handle: async ({ principal }) => (await agents.list(principal)).map(agentView),
		}),
		endpoint({
			method: "POST",
			path: "/api/hive/agents",
			kind: "write",
			tag: "agents",
			summary: "Adds an agent.",
			body: SpawnAgent,
			answer: AgentView,
			handle: async ({ principal, body }) =>
				agentView(await agents.spawn(principal, { type: body.type ?? AGENT_TYPE, name: body.name, capabilities: body.capabilities ?? [] })),
		}),
		endpoint({
			method: "POST",
			path: "/api/hive/agents/:agentId/report",
			kind: "write",
			tag: "agents",
			summary: "What an agent says of itself: the only source of its figures.",
			params: AgentParams,
			body: AgentReport,
			answer: z.object({ ...envelope, agent: AgentView }),
			handle: async ({ principal, params, body }) => ({
				success: true as const,
				agent: agentView(await agents.report(principal, params.agentId, body)),
				timestamp: now(),
			}),
		}),
		endpoint({
			method: "DELETE",
			path: "/api/hive/agents/:agentId",
			kind: "write",
			tag: "agents",
			summary: "Removes an agent. What it was at goes back to be claimed.",
			params: AgentParams,
			answer: z.object({ ...envelope, agentId: z.string() }),
			handle: async ({ principal, params }) => {
				await agents.remove(principal, params.agentId);
				return { success: true as const, agentId: params.agentId, timestamp: now() };
			},
		}),
	];
}
