import type { Agent } from "../model.ts";
import { type AgentService, ServiceError } from "../ports.ts";
import { countAgentsNow, deleteAgent, findAgent, insertAgent, listAgents, updateFigures } from "../stores/agents.ts";
import type { Database } from "../stores/postgres.ts";
import { findSwarm } from "../stores/swarms.ts";
import { claimsOf, putBack } from "../stores/tasks.ts";
import type { Changer } from "./changes.ts";
import { demandLength } from "./demand.ts";

/** Agents a workspace may have where its swarm sets no limit. */
export const MAX_AGENTS = 1_000;

/** What a request may ask for. */
const limits = { type: 100, name: 200, capabilities: 100, capability: 200 } as const;

export function agentService(database: Database, change: Changer): AgentService {
	return {
		list: (principal) => database.read(principal.id, (client) => listAgents(client, principal.workspace)),

		spawn(principal, { type, name, capabilities }) {
			demandLength("type", type, limits.type);
			demandLength("name", name ?? "", limits.name);
			if (capabilities.length > limits.capabilities) throw new ServiceError("INVALID", `at most ${limits.capabilities} capabilities`);
			for (const capability of capabilities) demandLength("a capability", capability, limits.capability);
			return change(
				principal,
				(client) => Promise.all([findSwarm(client, principal.workspace), countAgentsNow(client, principal.workspace)]),
				async ([swarm, present], { client, workspace, agentsSpawned, at, newId, happened, countAgents, noted }) => {
					const most = Math.min(swarm?.maxAgents ?? MAX_AGENTS, MAX_AGENTS);
					if (present >= most) throw new ServiceError("CONFLICT", `the swarm has its ${most} agents`);
					const number = agentsSpawned + 1;
					countAgents(number);
					const agent = await insertAgent(
						client,
						workspace,
						{ id: newId("agent"), name: name ?? `${type}-${number}`, type, capabilities },
						at,
					);
					happened("agent", agent.id, "created", agent);
					noted("agent_spawned", `Agent ${agent.name} (${agent.type}) joined`, { agentId: agent.id });
					return agent;
				},
			);
		},

		report(principal, agentId, figures) {
			demandLength("memory", figures.memory ?? "", limits.name);
			return change(
				principal,
				async () => {},
				async (_, { client, workspace, at, happened }) => {
					const agent = demandAgent(await updateFigures(client, workspace, agentId, figures, at), agentId);
					happened("agent", agentId, "updated", agent);
					return agent;
				},
			);
		},

		/** What it was at goes back to be claimed by another. */
		remove(principal, agentId) {
			return change(
				principal,
				(client) => Promise.all([findAgent(client, principal.workspace, agentId), claimsOf(client, principal.workspace, agentId)]),
				async ([found, claims], { client, workspace, happened, noted }) => {
					const agent = demandAgent(found, agentId);
					const [tasks] = await Promise.all([putBack(client, workspace, claims), deleteAgent(client, workspace, agentId)]);
					happened("agent", agentId, "deleted", { id: agentId });
					for (const task of tasks) happened("task", task.id, "updated", task);
					noted("agent_removed", `Agent ${agent.name} left`, { agentId, tasks: claims });
				},
			);
		},
	};
}

/** @throws ServiceError NOT_FOUND */
export function demandAgent(agent: Agent | undefined, agentId: string): Agent {
	if (agent === undefined) throw new ServiceError("NOT_FOUND", `there is no agent ${agentId}`);
	return agent;
}
