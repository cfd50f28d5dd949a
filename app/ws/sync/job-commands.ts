import { requestFor } from "../../mcp/tool-call.ts";
import type { Job, Principal } from "../../model.ts";
import { ServiceError, type Services } from "../../ports.ts";

/** Milliseconds for which a call is waited for; then the client is told how it is, and asks again. */
const WAIT_MS = 25_000;

interface Command {
	readonly tool?: string | undefined;
	readonly arguments?: Readonly<Record<string, unknown>> | undefined;
	readonly jobId?: string | undefined;
}

type Answer = (services: Pick<Services, "jobs" | "tools">, principal: Principal, command: Command) => Promise<Job>;

/** Commands of /sync about tools and jobs, by name. All answer with the job. */
export const jobCommands: ReadonlyMap<string, Answer> = new Map<string, Answer>([
	[
		"call-tool",
		async ({ jobs, tools }, principal, { tool, arguments: args }) =>
			await jobs.run(principal, requestFor(tools, principal, tool, args), { ms: WAIT_MS }),
	],
	["get-job", async ({ jobs }, principal, { jobId }) => await jobs.get(principal, demandId(jobId))],
	["cancel-job", async ({ jobs }, principal, { jobId }) => await jobs.cancel(principal, demandId(jobId))],
]);

function demandId(jobId: string | undefined): string {
	if (jobId === undefined) throw new ServiceError("INVALID", "jobId is missing.");
	return jobId;
}
