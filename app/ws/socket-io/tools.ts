/**
 * Tools over Socket.IO. `mcp:tools:discover` is answered with `mcp:tools:list`; `mcp:tool:execute` with `mcp:tool:progress`, at
 * least when the job is there and when it is over, and `mcp:tool:response`. A job outlives its socket: connections come and go.
 * Who comes again sends the same `options.idempotencyKey`, or asks for the job by its id; `mcp:tool:cancel` ends it.
 */
import type { Socket } from "socket.io";
import * as z from "zod";
import { CALL_MS, failureOf, progressOf, requestFor } from "../../mcp/tool-call.ts";
import { isOver, type Job, type Principal } from "../../model.ts";
import { type JobRequest, ServiceError, type Services } from "../../ports.ts";
import { ownerOf } from "../gate.ts";
import type { SocketObserver, SocketSettings } from "../settings.ts";

/** Whose tools, and what they reach. */
export interface ToolCaller {
	readonly socket: Socket;
	readonly principal: Principal;
	readonly services: Pick<Services, "tools" | "jobs" | "limits">;
	readonly settings: Pick<SocketSettings, "limits">;
	readonly observe: Pick<SocketObserver, "fault">;
}

const executionId = z.string().min(1).max(256);

const Execute = z.object({
	executionId: executionId.nullable().default(null),
	toolName: z.string().max(200).default(""),
	parameters: z.record(z.string(), z.unknown()).nullish(),
	options: z.object({ idempotencyKey: z.string().min(1).max(255).optional() }).nullish(),
});

const Cancel = z.object({ executionId });

interface Execution {
	jobId: string | null;
	cancelled: boolean;
}

/** The executions of one socket. */
export class SocketTools {
	readonly #caller: ToolCaller;
	readonly #running = new Map<string, Execution>();
	readonly #gone = new AbortController();

	constructor(caller: ToolCaller) {
		this.#caller = caller;
	}

	discover(): void {
		const { socket, principal, services } = this.#caller;
		const tools = services.tools
			.list(principal)
			.map(({ name, description, inputSchema, category }) => ({ name, description, parameters: inputSchema, category }));
		socket.emit("mcp:tools:list", { tools, timestamp: stamp() });
	}

	execute(payload: unknown): void {
		const read = Execute.safeParse(payload ?? {});
		if (read.success) void execute(this.#caller, read.data, this.#running, this.#gone.signal);
		else respond(this.#caller, named(payload), performance.now(), { error: z.prettifyError(read.error), code: "INVALID" });
	}

	cancel(payload: unknown): void {
		const id = named(payload);
		const execution = this.#running.get(id ?? "");
		if (execution !== undefined) cancel(this.#caller, execution);
		else respond(this.#caller, id, performance.now(), { error: "There is no such execution under way.", code: "NOT_FOUND" });
	}

	/** The socket is gone: nobody waits any more. */
	leave(): void {
		this.#gone.abort();
	}
}

/** What a client may send about tools. */
export const toolEvents: Readonly<Record<string, (tools: SocketTools, payload: unknown) => void>> = {
	"mcp:tools:discover": (tools) => tools.discover(),
	"mcp:tool:execute": (tools, payload) => tools.execute(payload),
	"mcp:tool:cancel": (tools, payload) => tools.cancel(payload),
};

async function execute(
	caller: ToolCaller,
	{ executionId: id, toolName, parameters, options }: z.infer<typeof Execute>,
	running: Map<string, Execution>,
	gone: AbortSignal,
): Promise<void> {
	const { socket, principal, services, observe } = caller;
	const start = performance.now();
	const execution: Execution = { jobId: null, cancelled: false };
	// Without a name of its own nobody can ask for it.
	const key = id ?? `${start} ${Math.random()}`;
	const tell = (percent: number, message: string) =>
		socket.emit("mcp:tool:progress", { executionId: id, progress: { message, percent }, jobId: execution.jobId, timestamp: stamp() });
	try {
		const request: JobRequest = {
			...requestFor(services.tools, principal, toolName, parameters),
			...(options?.idempotencyKey === undefined ? {} : { idempotencyKey: options.idempotencyKey }),
		};
		demandRoom(caller, running, key);
		running.set(key, execution);
		const job = await services.jobs.run(principal, request, {
			ms: CALL_MS,
			signal: gone,
			begun(begun) {
				execution.jobId = begun.id;
				tell(0, progressOf(begun));
				if (execution.cancelled) cancel(caller, execution);
			},
			listener: {
				progress: (percent, message) => tell(percent, message ?? progressOf({ tool: request.tool, message })),
				output: (type, data) => socket.emit("mcp:tool:output", { executionId: id, type, data }),
			},
		});
		tell(job.progress, endOf(job));
		respond(caller, id, start, outcomeOf(job));
	} catch (error) {
		if (!(error instanceof ServiceError)) observe.fault("socket-io mcp:tool:execute", error);
		const known =
			error instanceof ServiceError ? { error: error.message, code: error.code } : { error: "Internal error.", code: "UNAVAILABLE" };
		respond(caller, id, start, known);
	} finally {
		if (running.get(key) === execution) running.delete(key);
	}
}

function demandRoom({ services, principal, settings }: ToolCaller, running: ReadonlyMap<string, unknown>, key: string): void {
	if (running.has(key)) throw new ServiceError("CONFLICT", "An execution with this id is under way.");
	if (running.size >= settings.limits.mcpCalls)
		throw new ServiceError("RATE_LIMITED", `More than ${settings.limits.mcpCalls} executions at once.`);
	const seconds = services.limits.take(`sockets:${ownerOf(principal)}`, 1, settings.limits.queries);
	if (seconds > 0) throw new ServiceError("RATE_LIMITED", `Too many requests. Try again in ${Math.ceil(seconds)} s.`, seconds);
}

function cancel({ principal, services, observe }: ToolCaller, execution: Execution): void {
	execution.cancelled = true;
	if (execution.jobId === null) return;
	services.jobs.cancel(principal, execution.jobId).catch((error: unknown) => observe.fault("socket-io mcp:tool:cancel", error));
}

interface Outcome {
	readonly result?: unknown;
	readonly error?: string;
	readonly code?: string;
	readonly jobId?: string;
}

/** Tokens and agents are nothing that a tool of this server has. */
function respond({ socket }: ToolCaller, id: string | null, start: number, { result, error, code, jobId }: Outcome): void {
	socket.emit("mcp:tool:response", {
		executionId: id,
		success: error === undefined,
		result: result ?? null,
		error: error ?? null,
		code: code ?? null,
		jobId: jobId ?? null,
		executionTime: Math.round(performance.now() - start),
		tokenUsage: null,
		agentId: null,
		timestamp: stamp(),
	});
}

function outcomeOf(job: Job): Outcome {
	const jobId = job.id;
	if (!isOver(job)) return { error: `${job.tool} is not over yet. It goes on as job ${jobId}.`, code: "TIMEOUT", jobId };
	if (job.state === "completed") return { result: job.result, jobId };
	const { code, message } = failureOf(job);
	return { error: message, code, jobId };
}

function endOf({ tool, state }: Job): string {
	return state === "completed" ? `${tool} is done` : `${tool} is ${state}`;
}

/** Of a payload that may be anything. */
function named(payload: unknown): string | null {
	return Cancel.safeParse(payload).data?.executionId ?? null;
}

function stamp(): string {
	return new Date().toISOString();
}
