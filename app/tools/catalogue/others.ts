import { entriesOf, list, object, oneOf, type Row, text, texts } from "./entry.ts";

const workflow: readonly Row[] = [
	[
		"workflow_create",
		"here",
		'Keeps a workflow. Its steps are run in order; each is {"tool": ..., "arguments": {...}}, and "${params.x}" stands for a parameter.',
		{ "name!": text(), "steps!": list, triggers: list },
	],
	[
		"workflow_execute",
		"here",
		"Runs a workflow, by its id or name, until a step fails, and reports every step.",
		{ workflowId: text(), params: object },
	],
];

const daa: readonly Row[] = [
	["daa_agent_create", "changes", "Creates an autonomous agent.", { "agent_type!": text(), capabilities: texts, resources: object }],
	["daa_capability_match", "reads", "Matches agents to what a task needs.", { "task_requirements!": list, available_agents: list }],
	["daa_resource_alloc", "changes", "Hands out resources to agents.", { "resources!": object, agents: list }],
	["daa_lifecycle_manage", "changes", "Starts or stops an autonomous agent.", { "agentId!": text(), "action!": text() }],
	["daa_communication", "changes", "Sends a message from an agent to another.", { "from!": text(), "to!": text(), "message!": object }],
	["daa_consensus", "changes", "Has agents vote on a proposal.", { "agents!": list, "proposal!": object }],
	["daa_fault_tolerance", "changes", "Sets how an agent recovers from faults.", { "agentId!": text(), strategy: text() }],
	["daa_optimization", "changes", "Tunes agents toward a target.", { target: text(), metrics: list }],
];

const sparc: readonly Row[] = [
	[
		"sparc_mode",
		"changesForOperators",
		"Runs a SPARC mode: code is written and run on the machine that runs jobs.",
		{ mode: oneOf("dev", "api", "ui", "test", "refactor"), task_description: text(), options: object },
	],
];

export const otherEntries = [...entriesOf("workflow", workflow), ...entriesOf("daa", daa), ...entriesOf("sparc", sparc)];
