import { entriesOf, list, number, oneOf, type Row, text, texts } from "./entry.ts";

export const topologies = ["hierarchical", "mesh", "ring", "star"] as const;

export const agentTypes = [
	"coordinator",
	"researcher",
	"coder",
	"analyst",
	"architect",
	"tester",
	"reviewer",
	"optimizer",
	"documenter",
	"monitor",
	"specialist",
] as const;

const coordination: readonly Row[] = [
	[
		"swarm_init",
		"here",
		"Begins the workspace's swarm with a topology. Where there is one already its agents and tasks go, and only an operator may.",
		{ topology: oneOf(...topologies), maxAgents: number(8), strategy: text("auto") },
	],
	[
		"agent_spawn",
		"here",
		"Adds an agent of a type to the swarm, up to the swarm's maximum.",
		{ type: oneOf(...agentTypes), name: text(), capabilities: texts, swarmId: text() },
	],
	[
		"task_orchestrate",
		"here",
		"Hands a task to the swarm. It waits until an agent claims it, and until the tasks it depends on are completed.",
		{
			task: text(),
			priority: oneOf("low", "medium", "high", "critical"),
			strategy: oneOf("parallel", "sequential", "adaptive", "balanced"),
			dependencies: texts,
		},
	],
	["remove_agent", "here", "Removes an agent; what it was at goes back to be claimed by another.", { agentId: text() }],
	["cancel_task", "here", "Cancels a task that is not over.", { taskId: text() }],
];

const monitoring: readonly Row[] = [
	["swarm_status", "here", "The swarm, its agents, and how many tasks are in which state.", { swarmId: text() }],
	["agent_list", "here", "The swarm's agents.", { swarmId: text() }],
	[
		"agent_metrics",
		"here",
		"What one agent, or every one, has done and reports of itself; null for what nobody reported.",
		{ agentId: text() },
	],
	[
		"swarm_monitor",
		"here",
		"The swarm now; with an interval in seconds (at most 60) also what has changed at its end.",
		{ swarmId: text(), interval: number() },
	],
	["task_status", "here", "The state of a task; of all tasks without taskId.", { taskId: text() }],
	["task_results", "here", "The result of a task, once it is completed.", { taskId: text() }],
	[
		"topology_optimize",
		"here",
		"Gives the swarm the topology that fits the number of its agents and how its open tasks depend on each other, and says why.",
		{ swarmId: text() },
	],
	[
		"load_balance",
		"here",
		"Assigns the tasks that are named, or all that can be begun, to idle agents: the most urgent first, one an agent.",
		{ swarmId: text(), tasks: list },
	],
	[
		"coordination_sync",
		"here",
		"Brings what agents say of themselves into line with the tasks they have, and puts tasks of agents that are gone back.",
		{ swarmId: text() },
	],
	[
		"swarm_scale",
		"here",
		"Spawns or removes agents until there are targetSize; idle ones go first, and tasks of removed ones go back.",
		{ swarmId: text(), targetSize: number() },
	],
	["swarm_destroy", "hereForOperators", "Ends the swarm: its agents, tasks and activities go; memory stays.", { swarmId: text() }],
];

export const swarmEntries = [...entriesOf("coordination", coordination), ...entriesOf("monitoring", monitoring)];
