import type { Principal } from "../model.ts";
import { ServiceError, type SwarmService } from "../ports.ts";
import { listAgents } from "../stores/agents.ts";
import { countByNamespace } from "../stores/memory.ts";
import type { Database } from "../stores/postgres.ts";
import { findSwarm, putSwarm, wipe } from "../stores/swarms.ts";
import { listTasks } from "../stores/tasks.ts";
import { lastSeq } from "../stores/workspaces.ts";
import type { Change, Changer } from "./changes.ts";
import { LISTED_TASKS } from "./tasks.ts";

export function swarmService(database: Database, change: Changer): SwarmService {
	return {
		current: (principal) => database.read(principal.id, (client) => findSwarm(client, principal.workspace)),

		initialise(principal, settings) {
			return change(
				principal,
				(client) => findSwarm(client, principal.workspace),
				async (before, open) => {
					const { client, workspace, at, newId, happened, noted } = open;
					if (before !== null) demandOperator(principal);
					await clear(open);
					const swarm = await putSwarm(client, workspace, { swarmId: newId("swarm"), ...settings }, at);
					happened("swarm", null, "reset", swarm);
					noted("swarm_initialised", `Swarm ${swarm.name} begins (${swarm.topology})`, { swarmId: swarm.swarmId });
					return swarm;
				},
			);
		},

		snapshot({ workspace }) {
			return database.snapshot(async (client) => {
				const [seq, swarm, agents, tasks, memory] = await Promise.all([
					lastSeq(client, workspace),
					findSwarm(client, workspace),
					listAgents(client, workspace),
					listTasks(client, workspace, LISTED_TASKS),
					countByNamespace(client, workspace),
				]);
				return { seq, swarms: swarm === null ? [] : [swarm], agents, tasks, memory, timestamp: Date.now() };
			});
		},
	};
}

/** Takes away the agents, the tasks and the activities, those of changes in the same transaction as well. */
export async function clear({ client, workspace, settle, countAgents }: Change): Promise<void> {
	settle();
	await wipe(client, workspace);
	countAgents(0);
}

function demandOperator(principal: Principal): void {
	if (principal.roles.includes("operator")) return;
	throw new ServiceError("FORBIDDEN", "there is a swarm already; only an operator may begin anew");
}
