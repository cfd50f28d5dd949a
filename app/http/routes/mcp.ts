import { z } from "zod";
import { ServiceError } from "../../ports.ts";
import { type Endpoint, endpoint } from "../endpoint.ts";
import { envelope, FailureSchema } from "../schemas.ts";
import { now } from "../views.ts";

const NO_TOOLS = "This build has no MCP tools";

const ToolCall = z
	.object({
		toolName: z.string().min(1).max(200),
		parameters: z.record(z.string(), z.unknown()).nullish(),
		options: z.unknown().optional(),
	})
	.meta({ id: "ToolCall" });

const ToolMetadata = z.object({ toolName: z.unknown(), parameters: z.unknown(), timestamp: z.string() });

const ToolFailure = z
	.object({
		success: z.literal(false),
		error: z.string(),
		message: z.string(),
		timestamp: z.string(),
		executionTime: z.number(),
		metadata: ToolMetadata,
	})
	.meta({ id: "ToolFailure" });

const InvalidToolCall = z
	.object({
		success: z.literal(false),
		valid: z.literal(false),
		error: z.string(),
		errors: z.array(z.string()),
		message: z.string(),
		timestamp: z.string(),
	})
	.meta({ id: "InvalidToolCall" });

/** The MCP routes of a build without tools: each says so, in the envelope in which its clients look for it. */
export function mcpEndpoints(): Endpoint[] {
	return [
		endpoint({
			method: "GET",
			path: "/api/mcp/tools",
			kind: "read",
			tag: "mcp",
			summary: "The tools. This build has none and says 501.",
			answer: z.array(z.object({ name: z.string(), description: z.string(), category: z.string(), parameters: z.unknown() })),
			otherAnswers: { 501: FailureSchema },
			handle: noTools,
		}),
		endpoint({
			method: "POST",
			path: "/api/mcp/execute",
			kind: "read",
			tag: "mcp",
			summary: "Runs a tool. This build has none and says 501.",
			body: ToolCall,
			answer: z.object({ success: z.literal(true), data: z.unknown(), executionTime: z.number(), metadata: ToolMetadata }),
			otherAnswers: { 400: ToolFailure, 501: ToolFailure },
			failureFields: ({ timestamp }, body) => ({ executionTime: 0, metadata: { ...named(body), timestamp } }),
			handle: noTools,
		}),
		endpoint({
			method: "POST",
			path: "/api/mcp/validate",
			kind: "read",
			tag: "mcp",
			summary: "Checks the parameters of a tool. This build has none and says 501.",
			body: ToolCall,
			answer: z.object({ valid: z.boolean(), errors: z.array(z.string()).optional(), tool: z.unknown().optional() }),
			otherAnswers: { 400: InvalidToolCall, 501: InvalidToolCall },
			failureFields: ({ error }) => ({ valid: false, errors: [error] }),
			handle: noTools,
		}),
		endpoint({
			method: "GET",
			path: "/api/mcp/status",
			kind: "read",
			tag: "mcp",
			summary: "What tools are doing.",
			answer: z.object({
				ready: z.boolean(),
				stats: z.object({ activeServers: z.int(), queuedTools: z.int(), executingTools: z.int(), totalExecutions: z.int() }),
				timestamp: z.string(),
			}),
			handle: () => ({
				ready: false,
				stats: { activeServers: 0, queuedTools: 0, executingTools: 0, totalExecutions: 0 },
				timestamp: now(),
			}),
		}),
		endpoint({
			method: "POST",
			path: "/api/mcp/metrics",
			kind: "read",
			tag: "mcp",
			summary: "Takes a client's figures of a tool. They are kept nowhere, as the answer says.",
			body: z.object({ tool: z.string().min(1).max(200), metrics: z.record(z.string(), z.unknown()) }).meta({ id: "ToolMetrics" }),
			answer: z.object({ ...envelope, message: z.string() }),
			handle: () => ({ success: true as const, message: "Received; this build keeps no metrics of tools", timestamp: now() }),
		}),
	];
}

function noTools(): never {
	throw new ServiceError("NOT_IMPLEMENTED", NO_TOOLS);
}

/** Of a body that may be anything. */
function named(body: unknown): { toolName: unknown; parameters: unknown } {
	const { toolName = null, parameters = {} } = typeof body === "object" && body !== null ? (body as Record<string, unknown>) : {};
	return { toolName, parameters };
}
