/** Tools as a job worker runs them, on real stores, in the test's own process. */
import type { Principal, Role } from "../../app/model.ts";
import { claimJobs } from "../../app/stores/jobs.ts";
import type { ToolRun } from "../../app/tools/tool.ts";
import { type ToolSettings, toolNamed } from "../../app/tools/tools.ts";
import { type JobsRig, startJobsRig } from "./jobs-rig.ts";

/** What tools answer, for a test to look into. */
// biome-ignore lint/suspicious/noExplicitAny: each tool's answer is its own
export type Answer = any;

/** A job of a tool that a test has begun, and may begin again. */
export interface BegunJob {
	readonly id: string;
	/** Runs the tool from its beginning, as a worker does that comes after one that was lost. */
	again(overrides?: Partial<ToolRun>): Promise<Answer>;
}

export interface ToolRuns {
	readonly rig: JobsRig;
	/** Runs a tool once. */
	run(principal: Principal, tool: string, args?: Readonly<Record<string, unknown>>, overrides?: Partial<ToolRun>): Promise<Answer>;
	begin(principal: Principal, tool: string, args?: Readonly<Record<string, unknown>>): Promise<BegunJob>;
	stop(): Promise<void>;
}

/** No job worker runs beside it. */
export async function startToolRuns(settings: Partial<ToolSettings> = {}): Promise<ToolRuns> {
	const rig = await startJobsRig();
	const { services, database } = rig.edge;

	const begin: ToolRuns["begin"] = async (principal, tool, args = {}) => {
		const { id } = await services.jobs.submit(principal, { tool, arguments: args });
		const [claimed] = await database.write([], (client) =>
			claimJobs(client, [{ id, deliveries: 1 }], { worker: "test", leaseMs: 600_000, atOnce: 100_000 }),
		);
		if (claimed === undefined) throw new Error(`job ${id} cannot be begun`);
		return {
			id,
			async again(overrides = {}) {
				const attempt = services.forAttempt({ job: id, attempt: claimed.attempts });
				const run: ToolRun = {
					jobId: id,
					principal,
					services: attempt.services,
					step: attempt.step,
					signal: new AbortController().signal,
					progress() {},
					output() {},
					...overrides,
				};
				// As it comes out of the database: in a worker arguments are JSON, and so are answers.
				const answer = await toolNamed(tool, { claudeFlowBin: null, commandMs: 30_000, ...settings })(claimed.arguments, run);
				return JSON.parse(JSON.stringify(answer));
			},
		};
	};

	return {
		rig,
		begin,
		run: async (principal, tool, args, overrides) => (await begin(principal, tool, args)).again(overrides),
		stop: () => rig.stop(),
	};
}

/** Somebody in a workspace of their own. */
export function somebody(workspace: string, ...roles: Role[]): Principal {
	return { id: `token:${workspace}`, roles: ["member", ...roles], workspace, expiresAt: null, credentialId: workspace };
}

/** Code and message of the error that a promise rejects with. */
export async function refusalOf(promise: Promise<unknown>): Promise<string> {
	const error = await promise.then(
		(answer) => new Error(`not refused: ${JSON.stringify(answer)}`),
		(reason: unknown) => reason as Error & { code?: string },
	);
	return `${(error as { code?: string }).code ?? error.name}: ${error.message}`;
}
