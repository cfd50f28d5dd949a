/**
 * Jobs and tools in memory, for tests of what is in front of them: five tools, run in this process at once. What they leave
 * out: nothing is retried by itself, nothing waits for a free worker, and nobody is told that he asks too much.
 */
import { randomUUID } from "node:crypto";
import type { Job, JobErrorCode, JobState, Principal } from "../model.ts";
import { type CallRegistry, type JobListener, type JobService, ServiceError, type ToolCatalogue, type ToolDescription } from "../ports.ts";

/** How often each call was made, and what a test decides. */
export interface TestJobs extends JobService {
	/** Lets all that run `hold` end. */
	release(): void;
	/** Submitted so far. */
	readonly submitted: readonly Job[];
}

interface Kept {
	readonly owner: string;
	job: Job;
	readonly listeners: Set<JobListener>;
	readonly ended: PromiseWithResolvers<void>;
}

const description = (name: string, properties: object, required: readonly string[] = []): ToolDescription => ({
	name,
	category: "system",
	description: `What ${name} does`,
	inputSchema: { type: "object", properties, required },
});

/** `echo` answers its arguments, `hold` ends when it is released, `fail` fails, `absent` is unavailable, `rule` is for operators. */
export const testTools: readonly ToolDescription[] = [
	description("echo", { text: { type: "string" } }, ["text"]),
	description("hold", {}),
	description("fail", {}),
	description("absent", {}),
	description("rule", {}),
];

/** Checks that what is required is there, and nothing else. */
export function inMemoryTools(): ToolCatalogue {
	const list = ({ roles }: Principal) => testTools.filter(({ name }) => name !== "rule" || roles.includes("operator"));
	return {
		list,
		find: (principal, name) => list(principal).find((tool) => tool.name === name.replace(/^mcp__claude-flow__/, "")),
		faults({ inputSchema }, args) {
			const given = args as Record<string, unknown>;
			return (inputSchema.required as string[]).filter((name) => !(name in given)).map((name) => `Missing required parameter: ${name}`);
		},
	};
}

export function inMemoryJobs(): TestJobs {
	const kept = new Map<string, Kept>();
	const keys = new Map<string, string>();
	const held = new Set<string>();
	const ownerOf = ({ workspace, id }: Principal) => `${workspace}:${id}`;

	function own(principal: Principal, id: string): Kept {
		const found = kept.get(id);
		if (found === undefined || found.owner !== ownerOf(principal)) throw new ServiceError("NOT_FOUND", "there is no such job");
		return found;
	}

	function end(one: Kept, state: JobState, result: unknown, error: { code: JobErrorCode; message: string } | null): Job {
		if (one.job.state === "queued" || one.job.state === "active") {
			one.job = { ...one.job, state, result, error, endedAt: Date.now(), progress: state === "completed" ? 100 : one.job.progress };
			held.delete(one.job.id);
			one.ended.resolve();
		}
		return one.job;
	}

	function begin(one: Kept): void {
		if (one.job.state !== "queued") return;
		const { tool, arguments: args } = one.job;
		one.job = {
			...one.job,
			state: "active",
			attempts: one.job.attempts + 1,
			startedAt: Date.now(),
			progress: 50,
			message: `${tool} is half done`,
		};
		for (const { progress } of one.listeners) progress?.(50, one.job.message);
		for (const { output } of one.listeners) output?.("stdout", `${tool} says\n`);
		if (tool === "hold") held.add(one.job.id);
		else if (tool === "fail") end(one, "failed", null, { code: "TOOL_FAILED", message: "it did not work" });
		else if (tool === "absent") end(one, "failed", null, { code: "TOOL_UNAVAILABLE", message: "nothing here can run it" });
		else end(one, "completed", args, null);
	}

	async function follow(one: Kept, ms: number, signal: AbortSignal | undefined, listener: JobListener | undefined): Promise<Job> {
		if (listener !== undefined) one.listeners.add(listener);
		const { promise: enough, resolve } = Promise.withResolvers<void>();
		const timer = setTimeout(resolve, ms);
		signal?.addEventListener("abort", () => resolve());
		if (signal?.aborted) resolve();
		await Promise.race([one.ended.promise, enough]);
		clearTimeout(timer);
		if (listener !== undefined) one.listeners.delete(listener);
		return one.job;
	}

	const jobs: TestJobs = {
		get submitted() {
			return [...kept.values()].map(({ job }) => job);
		},
		release() {
			for (const id of held) end(kept.get(id) as Kept, "completed", "held", null);
		},
		async submit(principal, { tool, arguments: args, priority = "medium", idempotencyKey }) {
			const key = idempotencyKey === undefined ? null : `${ownerOf(principal)}:${idempotencyKey}`;
			const earlier = key === null ? undefined : keys.get(key);
			if (earlier !== undefined) {
				const { job } = own(principal, earlier);
				if (job.tool !== tool || JSON.stringify(job.arguments) !== JSON.stringify(args)) {
					throw new ServiceError("CONFLICT", "this idempotency key stands for another request");
				}
				return job;
			}
			const job: Job = {
				id: randomUUID(),
				tool,
				arguments: args,
				state: "queued",
				priority,
				attempts: 0,
				maxAttempts: 3,
				progress: 0,
				message: null,
				result: null,
				error: null,
				createdAt: Date.now(),
				startedAt: null,
				endedAt: null,
			};
			const one: Kept = { owner: ownerOf(principal), job, listeners: new Set(), ended: Promise.withResolvers() };
			kept.set(job.id, one);
			if (key !== null) keys.set(key, job.id);
			setImmediate(() => begin(one));
			return job;
		},
		async run(principal, request, { ms, signal, listener, begun }) {
			const job = await jobs.submit(principal, request);
			begun?.(job);
			return follow(own(principal, job.id), ms, signal, listener);
		},
		wait: async (principal, id, { ms, signal, listener }) => follow(own(principal, id), ms, signal, listener),
		get: async (principal, id) => own(principal, id).job,
		list: async (principal, { state, limit, before }) => {
			const mine = [...kept.values()]
				.filter(({ owner }) => owner === ownerOf(principal))
				.map(({ job }) => job)
				.reverse();
			const from = before === undefined ? 0 : mine.findIndex(({ id }) => id === before) + 1;
			return mine
				.slice(from)
				.filter((job) => state === undefined || job.state === state)
				.slice(0, limit);
		},
		cancel: async (principal, id) => end(own(principal, id), "cancelled", null, { code: "CANCELLED", message: "cancelled" }),
		async retry(principal, id) {
			const one = own(principal, id);
			if (one.job.state !== "failed" && one.job.state !== "dead") throw new ServiceError("CONFLICT", `job ${id} is ${one.job.state}`);
			one.job = { ...one.job, state: "queued", error: null, endedAt: null };
			setImmediate(() => begin(one));
			return one.job;
		},
		async figures() {
			const count = (state: JobState) => [...kept.values()].filter(({ job }) => job.state === state).length;
			return { queued: count("queued"), active: count("active"), endedToday: count("completed"), dead: count("dead"), oldestSeconds: 0 };
		},
	};
	return jobs;
}

export function inMemoryCalls(): CallRegistry {
	const jobs = new Map<string, Map<string, string>>();
	const cancelled = new Set<string>();
	const keyOf = ({ workspace, id }: Principal, conversation: string) => JSON.stringify([workspace, id, conversation]);
	return {
		async begin(principal, conversation, request, jobId) {
			const key = keyOf(principal, conversation);
			jobs.set(key, (jobs.get(key) ?? new Map()).set(request, jobId));
			return !cancelled.has(key + request);
		},
		async cancel(principal, conversation, request) {
			const key = keyOf(principal, conversation);
			cancelled.add(key + request);
			return jobs.get(key)?.get(request) ?? null;
		},
		async end(principal, conversation, request) {
			jobs.get(keyOf(principal, conversation))?.delete(request);
		},
		async close(principal, conversation) {
			const key = keyOf(principal, conversation);
			const left = [...(jobs.get(key)?.values() ?? [])];
			jobs.delete(key);
			return left;
		},
	};
}
