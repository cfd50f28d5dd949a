/** Tools that keep workflows and run them: tools in a row, in one job. */
import { ServiceError } from "../ports.ts";
import type { WorkflowStep } from "../stores/workflows.ts";
import { mayCall, toolEntry } from "./catalogue.ts";
import { type Arguments, list, neededText } from "./read.ts";
import { type Tool, ToolError, type ToolRun } from "./tool.ts";

/** How a step is to look, for whoever got it wrong. */
const SHAPE = '{"tool": "agent_spawn", "arguments": {"type": "coder"}}';

/** The whole of a value that stands for a parameter. */
const PLACEHOLDER = /^\$\{params\.([A-Za-z0-9_-]{1,100})\}$/;

/** What became of a step. */
interface StepReport {
	readonly step: number;
	readonly name: string;
	readonly tool: string;
	readonly status: "completed" | "failed" | "skipped";
	readonly result?: unknown;
	readonly error?: { readonly code: string; readonly message: string };
}

/** @param toolNamed a tool that checks its arguments and who calls it */
export function workflowTools(toolNamed: (name: string) => Tool): Readonly<Record<string, Tool>> {
	return {
		async workflow_create(args, { services, principal }) {
			const steps = (list(args, "steps") ?? []).map((step, index) => readStep(step, index + 1));
			const triggers = list(args, "triggers") ?? [];
			for (const [index, { tool }] of steps.entries()) demandTool(tool, index + 1);
			const workflow = await services.workflows.create(principal, { name: neededText(args, "name"), steps, triggers });
			const note = triggers.length > 0 ? { note: "The triggers are kept; nothing sets them off. Run it with workflow_execute." } : {};
			return { success: true, workflowId: workflow.id, ...workflow, ...note };
		},

		async workflow_execute(args, run) {
			const name = neededText(args, "workflowId", "the id or name of a workflow");
			// Another workflow may get the name while this one is run again.
			const { id, steps, ...workflow } = await run.step("workflow", () => run.services.workflows.get(run.principal, name));
			const params = (args.params ?? {}) as Arguments;
			const prepared = steps.map((step, index) => ({ ...step, arguments: filledIn(step, index + 1, params) }));
			for (const [index, { tool }] of prepared.entries()) demandCallable(tool, index + 1, run);
			const reports = await runSteps(prepared, run, toolNamed);
			const failed = reports.find(({ status }) => status === "failed");
			return {
				success: failed === undefined,
				workflowId: id,
				name: workflow.name,
				status: failed === undefined ? "completed" : "failed",
				failedStep: failed?.step ?? null,
				steps: reports,
			};
		},
	};
}

/** Until one fails: whatever comes after it may depend on it. */
async function runSteps(steps: readonly WorkflowStep[], run: ToolRun, toolNamed: (name: string) => Tool): Promise<StepReport[]> {
	const reports: StepReport[] = [];
	let failed = false;
	for (const [index, { tool, name, arguments: args }] of steps.entries()) {
		const report = { step: index + 1, name: name ?? tool, tool };
		if (failed) {
			reports.push({ ...report, status: "skipped" });
			continue;
		}
		run.signal.throwIfAborted();
		run.progress((100 * index) / steps.length, `step ${index + 1} of ${steps.length}: ${tool}`);
		try {
			reports.push({ ...report, status: "completed", result: await toolNamed(tool)(args, stepOf(run, index + 1)) });
		} catch (error) {
			reports.push({ ...report, status: "failed", error: expected(error, run) });
			failed = true;
		}
	}
	return reports;
}

/** As a job of its own: what it decides and begins is not another step's, and its progress is not the workflow's. */
function stepOf(run: ToolRun, number: number): ToolRun {
	return { ...run, jobId: `${run.jobId}/${number}`, step: (name, decide) => run.step(`${number}/${name}`, decide), progress() {} };
}

/** What another try may put right, and what is a fault, is the whole job's. */
function expected(error: unknown, { signal }: ToolRun): { code: string; message: string } {
	const final =
		error instanceof ToolError ? !error.retryable : error instanceof ServiceError && !/^(UNAVAILABLE|RATE_LIMITED)$/.test(error.code);
	if (signal.aborted || !final) throw error;
	const { code, message } = error as ToolError | ServiceError;
	return { code, message };
}

/** @throws ToolError INVALID */
function readStep(step: unknown, number: number): WorkflowStep {
	const wrong = (what: string) => new ToolError("INVALID", `step ${number} ${what}; a step is like ${SHAPE}`);
	if (typeof step !== "object" || step === null || Array.isArray(step)) throw wrong("is no object");
	const { tool, name, arguments: args = {} } = step as Record<string, unknown>;
	if (typeof tool !== "string" || tool === "") throw wrong("names no tool");
	if (name !== undefined && typeof name !== "string") throw wrong("has a name that is no text");
	if (typeof args !== "object" || args === null || Array.isArray(args)) throw wrong("has arguments that are no object");
	return { tool, name: name ?? null, arguments: args as Arguments };
}

/** @throws ToolError INVALID */
function demandTool(tool: string, number: number): void {
	if (toolEntry(tool) === undefined)
		throw new ToolError("INVALID", `step ${number}: there is no tool ${JSON.stringify(tool.slice(0, 100))}`);
	if (tool === "workflow_execute")
		throw new ToolError("INVALID", `step ${number}: a workflow cannot run another one; write its steps here`);
}

/** @throws ToolError INVALID, FORBIDDEN */
function demandCallable(tool: string, number: number, { principal }: ToolRun): void {
	demandTool(tool, number);
	const entry = toolEntry(tool);
	if (entry !== undefined && !mayCall(principal, entry))
		throw new ToolError("FORBIDDEN", `step ${number}: only an operator may call ${tool}`);
}

/** @throws ToolError INVALID where a parameter is missing */
function filledIn(step: WorkflowStep, number: number, params: Arguments): Arguments {
	function fill(value: unknown): unknown {
		if (typeof value === "string") return filledText(value);
		if (Array.isArray(value)) return value.map(fill);
		if (typeof value === "object" && value !== null)
			return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, fill(each)]));
		return value;
	}
	function filledText(value: string): unknown {
		const [, name] = PLACEHOLDER.exec(value) ?? [];
		if (name === undefined) return value;
		if (!Object.hasOwn(params, name)) throw new ToolError("INVALID", `step ${number} needs the parameter ${name}: give it in params`);
		return params[name];
	}
	return fill(step.arguments) as Arguments;
}
