/** What a call of a tool is, whatever protocol it comes by. */
import type { Job, JobError, Principal, TaskPriority } from "../model.ts";
import { type JobRequest, ServiceError, type ToolCatalogue, type ToolDescription } from "../ports.ts";

/** Before a tool's name where MCP's clients see it; both are taken. */
export const TOOL_PREFIX = "mcp__claude-flow__";

export const serverInfo = { name: "claude-flow-mcp-server", version: "2.0.0" } as const;

/** Milliseconds a call waits for its job. What takes longer goes on, and can be asked for. */
export const CALL_MS = 300_000;

/** Of a call's `_meta`: what no protocol has a word for. */
export const callMeta = {
	/** The same key within a day is the same job, also from another connection: so a lost answer is asked for again. */
	idempotencyKey: "agentic-flow/idempotencyKey",
	/** True for a job that goes on when its caller's socket closes. */
	detached: "agentic-flow/detached",
	priority: "agentic-flow/priority",
} as const;

/**
 * A call that makes sense.
 *
 * @throws ServiceError INVALID for a tool that there is not, or not for this principal, and for arguments that its schema refuses
 */
export function requestFor(tools: ToolCatalogue, principal: Principal, name: unknown, given: unknown): JobRequest {
	if (typeof name !== "string" || name === "") throw new ServiceError("INVALID", "The name of a tool is missing.");
	const tool = tools.find(principal, name);
	if (tool === undefined)
		throw new ServiceError("INVALID", `Unknown tool: ${name.slice(0, 200)}. The list of tools names those there are.`);
	const args = given ?? {};
	const faults = tools.faults(tool, args);
	if (faults.length > 0)
		throw new ServiceError("INVALID", `Invalid arguments for ${tool.name}: ${faults.slice(0, FAULTS_NAMED).join("; ")}`);
	return { tool: tool.name, arguments: args as Record<string, unknown> };
}

const FAULTS_NAMED = 10;

/** The same for MCP, whose calls say more in `_meta`. @throws ServiceError INVALID */
export function requestOfCall(
	tools: ToolCatalogue,
	principal: Principal,
	{ name, arguments: given, _meta }: { readonly name?: unknown; readonly arguments?: unknown; readonly _meta?: unknown },
): { readonly request: JobRequest; readonly detached: boolean; readonly progressToken: string | number | null } {
	const meta = (typeof _meta === "object" && _meta !== null ? _meta : {}) as Record<string, unknown>;
	const key = meta[callMeta.idempotencyKey];
	const priority = meta[callMeta.priority];
	if (key !== undefined && typeof key !== "string") throw new ServiceError("INVALID", `${callMeta.idempotencyKey} is text`);
	if (priority !== undefined && !priorities.has(priority)) {
		throw new ServiceError("INVALID", `${callMeta.priority} is one of ${[...priorities].join(", ")}`);
	}
	const request: JobRequest = {
		...requestFor(tools, principal, name, given),
		...(key === undefined ? {} : { idempotencyKey: key }),
		...(priority === undefined ? {} : { priority: priority as TaskPriority }),
	};
	const token = meta.progressToken;
	const progressToken = typeof token === "string" || typeof token === "number" ? token : null;
	return { request, detached: meta[callMeta.detached] === true, progressToken };
}

const priorities: ReadonlySet<unknown> = new Set<TaskPriority>(["low", "medium", "high", "critical"]);

/** As MCP lists it. */
export function listed({ name, description, inputSchema }: ToolDescription): {
	readonly name: string;
	readonly description: string;
	readonly inputSchema: { type: "object" } & Record<string, unknown>;
} {
	return { name: TOOL_PREFIX + name, description, inputSchema: { ...inputSchema, type: "object" } };
}

/** Why a job that is over did not succeed. */
export function failureOf({ state, tool, error }: Job): JobError {
	if (error !== null) return error;
	return state === "cancelled"
		? { code: "CANCELLED", message: `${tool} was cancelled` }
		: { code: "TOOL_FAILED", message: `${tool} failed` };
}

/** What a tool has answered, for who reads text. */
export function textOf(result: unknown): string {
	return typeof result === "string" ? result : JSON.stringify(result ?? null, null, 2);
}

/** What is to be said of a job while there is no news of it. */
export function progressOf(job: Pick<Job, "tool" | "message">): string {
	return job.message ?? `Executing ${job.tool}`;
}
