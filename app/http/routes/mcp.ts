import { z } from "zod";
import { failureOf, requestFor } from "../../mcp/tool-call.ts";
import { isOver } from "../../model.ts";
import type { Services } from "../../ports.ts";
import { type Endpoint, endpoint } from "../endpoint.ts";
import { patienceEnds, patienceOf } from "../prefer.ts";
import { envelope } from "../schemas.ts";
import { now } from "../views.ts";
import type { WaitingRoom } from "../waiting.ts";
import { idempotencyKeyOf, jobUrl } from "./jobs.ts";

const ToolCall = z
	.object({
		toolName: z.string().min(1).max(200).meta({ description: "With or without the prefix `mcp__claude-flow__`." }),
		parameters: z.record(z.string(), z.unknown()).nullish(),
		options: z.unknown().optional().meta({ description: "Accepted and without effect." }),
	})
	.meta({ id: "ToolCall" });

const ToolMetadata = z.object({ toolName: z.unknown(), parameters: z.unknown(), timestamp: z.string() });

const finished = { executionTime: z.number().meta({ description: "Milliseconds." }), metadata: ToolMetadata };

const ToolResult = z.object({ success: z.literal(true), data: z.unknown(), ...finished, jobId: z.string() }).meta({ id: "ToolResult" });

const ToolPending = z
	.object({ success: z.literal(true), pending: z.literal(true), jobId: z.string(), url: z.string(), ...finished })
	.meta({ id: "ToolPending" });

const failed = { success: z.literal(false), error: z.string(), message: z.string(), timestamp: z.string() };

const ToolFailure = z
	.object({ ...failed, ...finished, code: z.string().optional(), jobId: z.string().optional() })
	.meta({ id: "ToolFailure" });

const InvalidToolCall = z.object({ ...failed, valid: z.literal(false), errors: z.array(z.string()) }).meta({ id: "InvalidToolCall" });

const ListedTool = z
	.object({ name: z.string(), description: z.string(), category: z.string(), parameters: z.record(z.string(), z.unknown()) })
	.meta({ id: "Tool" });

/** The tools, as the original's clients list and run them. */
export function mcpEndpoints({ jobs, tools }: Services, waiting: WaitingRoom): Endpoint[] {
	return [
		endpoint({
			method: "GET",
			path: "/api/mcp/tools",
			kind: "read",
			tag: "mcp",
			summary: "The tools that the caller may run.",
			answer: z.array(ListedTool),
			handle: ({ principal }) =>
				tools
					.list(principal)
					.map(({ name, description, category, inputSchema }) => ({ name, description, category, parameters: inputSchema })),
		}),
		endpoint({
			method: "POST",
			path: "/api/mcp/execute",
			kind: "read",
			tag: "mcp",
			summary:
				"Runs a tool, and waits 25 s for it or as long as `Prefer: wait=SECONDS` or `Prefer: respond-async` says; what is not over then goes on as a job. The same `Idempotency-Key` is the same job.",
			waits: true,
			body: ToolCall,
			answer: ToolResult,
			otherAnswers: { 202: ToolPending, 400: ToolFailure, 409: ToolFailure, 429: ToolFailure, 500: ToolFailure, 503: ToolFailure },
			failureFields: ({ timestamp }, body) => ({ executionTime: 0, metadata: { ...named(body), timestamp } }),
			handle: async ({ principal, body, request, reply }) => {
				const start = performance.now();
				const wanted = requestFor(tools, principal, body.toolName, body.parameters);
				const key = idempotencyKeyOf(request);
				const waiter = waiting.enter(principal);
				try {
					const ms = patienceOf(request, reply);
					const signal = patienceEnds(reply, waiter.over);
					const asked = key === null ? wanted : { ...wanted, idempotencyKey: key };
					const job = ms === 0 ? await jobs.submit(principal, asked) : await jobs.run(principal, asked, { ms, signal });
					const executionTime = Math.round(performance.now() - start);
					const timestamp = now();
					const metadata = { toolName: body.toolName, parameters: body.parameters ?? {}, timestamp };
					const jobId = job.id;
					if (job.state === "completed") return { success: true as const, data: job.result, executionTime, metadata, jobId };
					if (isOver(job)) {
						const { code, message: error } = failureOf(job);
						const failure = { success: false, error, message: `POST /api/mcp/execute: ${error}`, timestamp };
						return reply.code(500).send({ ...failure, executionTime, metadata, code, jobId });
					}
					const url = jobUrl(jobId);
					reply.code(202).header("location", url);
					return reply.send({ success: true, pending: true, jobId, url, executionTime, metadata });
				} finally {
					waiter.leave();
				}
			},
		}),
		endpoint({
			method: "POST",
			path: "/api/mcp/validate",
			kind: "read",
			tag: "mcp",
			summary: "Whether a call of a tool makes sense. Nothing is run.",
			body: ToolCall,
			answer: z.object({
				valid: z.boolean(),
				errors: z.array(z.string()).optional(),
				tool: z.object({ name: z.string(), description: z.string(), parameters: z.record(z.string(), z.unknown()) }).optional(),
			}),
			otherAnswers: { 400: InvalidToolCall },
			failureFields: ({ error }) => ({ valid: false, errors: [error] }),
			handle: ({ principal, body }) => {
				const tool = tools.find(principal, body.toolName);
				if (tool === undefined) return { valid: false, errors: [`Unknown tool: ${body.toolName}`] };
				const errors = tools.faults(tool, body.parameters ?? {});
				const { name, description, inputSchema } = tool;
				const described = { name, description, parameters: inputSchema };
				return errors.length === 0 ? { valid: true, tool: described } : { valid: false, errors, tool: described };
			},
		}),
		endpoint({
			method: "GET",
			path: "/api/mcp/status",
			kind: "read",
			tag: "mcp",
			summary: "How many calls of tools wait and run, of all workspaces together.",
			answer: z.object({
				ready: z.boolean(),
				stats: z.object({
					activeServers: z.int().meta({ description: "1: all workers are one server." }),
					queuedTools: z.int(),
					executingTools: z.int(),
					totalExecutions: z.int().meta({ description: "Asked for since midnight (UTC) and over." }),
					deadTools: z.int().meta({ description: "Given up in the last day." }),
					oldestSeconds: z.number().meta({ description: "That the oldest call in the queue has waited." }),
				}),
				timestamp: z.string(),
			}),
			handle: async () => {
				const { queued, active, endedToday, dead, oldestSeconds } = await jobs.figures();
				const counted = { queuedTools: queued, executingTools: active, deadTools: dead, oldestSeconds };
				return { ready: true, stats: { activeServers: 1, totalExecutions: endedToday, ...counted }, timestamp: now() };
			},
		}),
		endpoint({
			method: "POST",
			path: "/api/mcp/metrics",
			kind: "read",
			tag: "mcp",
			summary: "Takes a client's figures of a tool. They are kept nowhere, as the answer says.",
			body: z.object({ tool: z.string().min(1).max(200), metrics: z.record(z.string(), z.unknown()) }).meta({ id: "ToolMetrics" }),
			answer: z.object({ ...envelope, message: z.string() }),
			handle: () => ({ success: true as const, message: "Received; a client's metrics of tools are not kept", timestamp: now() }),
		}),
	];
}

/** Of a body that may be anything. */
function named(body: unknown): { toolName: unknown; parameters: unknown } {
	const { toolName = null, parameters = {} } = typeof body === "object" && body !== null ? (body as Record<string, unknown>) : {};
	return { toolName, parameters };
}
