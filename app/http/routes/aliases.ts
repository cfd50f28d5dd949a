import { z } from "zod";
import type { Principal } from "../../model.ts";
import { ServiceError, type Services } from "../../ports.ts";
import { type Endpoint, endpoint } from "../endpoint.ts";
import { AgentView, envelope, Id, InitSwarm, Performance, SpawnAgent, SwarmQuery, SwarmStatus, TaskPriority } from "../schemas.ts";
import { agentView, now, performanceView, statusView } from "../views.ts";
import { swarmDefaults } from "./hive.ts";

const SpawnTyped = SpawnAgent.extend({ type: z.string().trim().min(1).max(100) }).meta({ id: "SpawnTypedAgent" });

const Orchestrate = z
	.object({
		task: z.string().min(1).max(100_000),
		strategy: z.string().max(100).nullish(),
		priority: TaskPriority.nullish(),
		dependencies: z.array(Id).max(100).nullish(),
	})
	.meta({ id: "Orchestrate" });

/** The other server's paths and envelope, for the same swarm. */
export function aliasEndpoints({ swarm, agents, tasks }: Services): Endpoint[] {
	/** @throws ServiceError NOT_FOUND for a swarm that is not the workspace's */
	async function demandCurrent(principal: Principal, swarmId: string | undefined): Promise<void> {
		if (swarmId === undefined || swarmId === "") return;
		const current = await swarm.current(principal);
		if (current?.swarmId !== swarmId) throw new ServiceError("NOT_FOUND", "There is no such swarm");
	}

	return [
		endpoint({
			method: "POST",
			path: "/api/swarm/init",
			kind: "write",
			tag: "swarm",
			summary: "As /api/hive/init, with the other server's defaults.",
			body: InitSwarm,
			answer: z.object({ ...envelope, swarmId: z.string(), topology: z.string(), maxAgents: z.int(), strategy: z.string() }),
			handle: async ({ principal, body }) => {
				const { topology, maxAgents, strategy } = {
					topology: body.topology ?? swarmDefaults.topology,
					maxAgents: body.maxAgents ?? 5,
					strategy: body.strategy ?? "balanced",
				};
				const begun = await swarm.initialise(principal, { name: body.name ?? swarmDefaults.name, topology, maxAgents, strategy });
				return { success: true as const, swarmId: begun.swarmId, topology, maxAgents, strategy, timestamp: now() };
			},
		}),
		endpoint({
			method: "GET",
			path: "/api/swarm/status",
			kind: "read",
			tag: "swarm",
			summary: "As /api/hive/status.",
			query: SwarmQuery,
			answer: z.object({ ...envelope, status: SwarmStatus }),
			handle: async ({ principal, query }) => {
				await demandCurrent(principal, query.swarmId);
				const parts = await Promise.all([swarm.current(principal), agents.list(principal), tasks.list(principal)]);
				return { success: true as const, status: statusView(...parts), timestamp: now() };
			},
		}),
		endpoint({
			method: "POST",
			path: "/api/agents/spawn",
			kind: "write",
			tag: "agents",
			summary: "As /api/hive/agents; the type must be said.",
			body: SpawnTyped,
			answer: z.object({ ...envelope, agentId: z.string(), type: z.string(), name: z.string(), capabilities: z.array(z.string()) }),
			handle: async ({ principal, body }) => {
				const agent = await agents.spawn(principal, { type: body.type, name: body.name, capabilities: body.capabilities ?? [] });
				const { id, type, name, capabilities } = agent;
				return { success: true as const, agentId: id, type, name, capabilities: [...capabilities], timestamp: now() };
			},
		}),
		endpoint({
			method: "GET",
			path: "/api/agents",
			kind: "read",
			tag: "agents",
			summary: "As /api/hive/agents, in an envelope.",
			query: SwarmQuery,
			answer: z.object({ ...envelope, agents: z.array(AgentView), count: z.int() }),
			handle: async ({ principal, query }) => {
				await demandCurrent(principal, query.swarmId);
				const listed = await agents.list(principal);
				return { success: true as const, agents: listed.map(agentView), count: listed.length, timestamp: now() };
			},
		}),
		endpoint({
			method: "POST",
			path: "/api/tasks/orchestrate",
			kind: "write",
			tag: "tasks",
			summary: "As /api/hive/tasks; the task must be said.",
			body: Orchestrate,
			answer: z.object({ ...envelope, taskId: z.string(), task: z.string(), strategy: z.string(), priority: TaskPriority }),
			handle: async ({ principal, body }) => {
				const strategy = body.strategy || "parallel";
				const priority = body.priority ?? "medium";
				const task = await tasks.create(principal, { description: body.task, priority, strategy, dependencies: body.dependencies ?? [] });
				return { success: true as const, taskId: task.id, task: body.task, strategy, priority, timestamp: now() };
			},
		}),
		endpoint({
			method: "GET",
			path: "/api/performance/report",
			kind: "list",
			tag: "swarm",
			summary: "As /api/hive/performance, in an envelope.",
			answer: z.object({ ...envelope, report: Performance }),
			keptAs: () => "performance-report",
			handle: async ({ principal }) => {
				const report = performanceView(...(await Promise.all([agents.list(principal), tasks.list(principal)])));
				return { success: true as const, report, timestamp: now() };
			},
		}),
	];
}
