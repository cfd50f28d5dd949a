import type { FastifyRequest } from "fastify";
import { z } from "zod";
import { requestFor } from "../../mcp/tool-call.ts";
import { isOver, type Job } from "../../model.ts";
import { ServiceError, type Services } from "../../ports.ts";
import { type Endpoint, endpoint } from "../endpoint.ts";
import { HttpError } from "../errors.ts";
import { EventStream } from "../event-stream.ts";
import { patienceEnds, patienceOf } from "../prefer.ts";
import { envelope, Id, TaskPriority } from "../schemas.ts";
import { iso, now } from "../views.ts";
import type { WaitingRoom } from "../waiting.ts";

const State = z.enum(["queued", "active", "completed", "failed", "cancelled", "dead"]);

const Timestamp = z.string().meta({ format: "date-time" });

const JobView = z
	.object({
		id: z.string(),
		tool: z.string(),
		arguments: z.record(z.string(), z.unknown()),
		state: State,
		priority: TaskPriority,
		attempts: z.int().meta({ description: "How often it has been begun." }),
		maxAttempts: z.int(),
		progress: z.number().meta({ description: "0 to 100." }),
		message: z.string().nullable(),
		result: z.unknown(),
		error: z.object({ code: z.string(), message: z.string() }).nullable(),
		createdAt: Timestamp,
		startedAt: Timestamp.nullable(),
		endedAt: Timestamp.nullable(),
	})
	.meta({ id: "Job" });

const SubmitJob = z
	.object({
		tool: z.string().min(1).max(200),
		arguments: z.record(z.string(), z.unknown()).nullish(),
		priority: TaskPriority.nullish(),
	})
	.meta({ id: "SubmitJob" });

const JobAnswer = z.object({ ...envelope, job: JobView });

const JobParams = z.object({ jobId: Id });

const JobsQuery = z.object({
	state: State.optional(),
	limit: z.coerce.number().int().min(1).max(200).default(50),
	before: Id.optional().meta({ description: "The last job of the page before." }),
});

/** Milliseconds a stream follows a job; who wants to know more comes again. */
const FOLLOW_MS = 3_600_000;

export function jobUrl(id: string): string {
	return `/api/jobs/${id}`;
}

/** @throws ServiceError INVALID */
export function idempotencyKeyOf({ raw: { headers } }: FastifyRequest): string | null {
	const key = headers["idempotency-key"];
	if (key === undefined) return null;
	if (typeof key === "string" && /^[\x21-\x7e]{1,255}$/.test(key)) return key;
	throw new ServiceError("INVALID", "Idempotency-Key is 1 to 255 visible characters of ASCII");
}

/** What job workers do for the caller: submitted, looked at, ended. A job of somebody else is none. */
export function jobEndpoints({ jobs, tools }: Services, waiting: WaitingRoom): Endpoint[] {
	const events = (path: string) =>
		endpoint({
			method: "GET",
			path,
			kind: "read",
			tag: "jobs",
			summary: "A job as it goes on, as server-sent events: `job`, `progress`, `output`, and `end` with the job as it has become.",
			waits: true,
			params: JobParams,
			answer: z.unknown(),
			handle: async ({ principal, params, request, reply }) => {
				if (request.method === "HEAD") throw new HttpError(405, "A stream has no length to ask for");
				const { jobId } = params;
				const job = await jobs.get(principal, jobId);
				const waiter = waiting.enter(principal);
				const stream = new EventStream(reply);
				try {
					stream.send({ event: "job", data: jobView(job) });
					const ended = await jobs.wait(principal, jobId, {
						ms: FOLLOW_MS,
						signal: AbortSignal.any([stream.closed, waiter.over]),
						listener: {
							progress: (percent, message) => stream.send({ event: "progress", data: { progress: percent, message } }),
							output: (type, data) => stream.send({ event: "output", data: { type, data } }),
						},
					});
					if (isOver(ended)) stream.send({ event: "end", data: jobView(ended) });
					return reply;
				} finally {
					stream.end();
					waiter.leave();
				}
			},
		});
	return [
		endpoint({
			method: "POST",
			path: "/api/jobs",
			kind: "read",
			tag: "jobs",
			summary: "Has a tool run. Answered with 202 once it is sure that it will be; the same `Idempotency-Key` is the same job.",
			body: SubmitJob,
			answer: z.unknown(),
			otherAnswers: { 202: JobAnswer },
			handle: async ({ principal, body, request, reply }) => {
				const wanted = requestFor(tools, principal, body.tool, body.arguments);
				const key = idempotencyKeyOf(request);
				const job = await jobs.submit(principal, {
					...wanted,
					...(key === null ? {} : { idempotencyKey: key }),
					...(body.priority ? { priority: body.priority } : {}),
				});
				return reply.code(202).header("location", jobUrl(job.id)).send(answerOf(job));
			},
		}),
		endpoint({
			method: "GET",
			path: "/api/jobs",
			kind: "read",
			tag: "jobs",
			summary: "The caller's jobs, newest first.",
			query: JobsQuery,
			answer: z.object({ ...envelope, jobs: z.array(JobView), count: z.int() }),
			handle: async ({ principal, query: { state, limit, before } }) => {
				const listed = await jobs.list(principal, {
					limit,
					...(state === undefined ? {} : { state }),
					...(before === undefined ? {} : { before }),
				});
				return { success: true as const, jobs: listed.map(jobView), count: listed.length, timestamp: now() };
			},
		}),
		endpoint({
			method: "GET",
			path: "/api/jobs/:jobId",
			kind: "read",
			tag: "jobs",
			summary: "One job. With `Prefer: wait=SECONDS` the answer comes when it is over, or after that time.",
			waits: true,
			params: JobParams,
			answer: JobAnswer,
			handle: async ({ principal, params: { jobId }, request, reply }) => {
				if (request.raw.headers.prefer === undefined) return answerOf(await jobs.get(principal, jobId));
				const waiter = waiting.enter(principal);
				try {
					const wait = { ms: patienceOf(request, reply), signal: patienceEnds(reply, waiter.over) };
					return answerOf(await jobs.wait(principal, jobId, wait));
				} finally {
					waiter.leave();
				}
			},
		}),
		endpoint({
			method: "DELETE",
			path: "/api/jobs/:jobId",
			kind: "completion",
			tag: "jobs",
			summary: "Cancels a job. One that runs ends as soon as its tool lets go; one that is over stays as it is.",
			params: JobParams,
			answer: JobAnswer,
			handle: async ({ principal, params }) => answerOf(await jobs.cancel(principal, params.jobId)),
		}),
		endpoint({
			method: "POST",
			path: "/api/jobs/:jobId/retry",
			kind: "read",
			tag: "jobs",
			summary: "Puts a job that is dead or has failed back into the queue. 409 for any other.",
			params: JobParams,
			answer: JobAnswer,
			handle: async ({ principal, params }) => answerOf(await jobs.retry(principal, params.jobId)),
		}),
		events("/api/jobs/:jobId/events"),
		events("/api/mcp/stream/:jobId"),
	];
}

function answerOf(job: Job): z.input<typeof JobAnswer> {
	return { success: true, job: jobView(job), timestamp: now() };
}

function jobView(job: Job): z.input<typeof JobView> {
	const { createdAt, startedAt, endedAt, ...rest } = job;
	const at = (milliseconds: number | null) => (milliseconds === null ? null : iso(milliseconds));
	const stamps = { createdAt: iso(createdAt), startedAt: at(startedAt), endedAt: at(endedAt) };
	return { ...rest, arguments: { ...job.arguments }, error: job.error && { ...job.error }, ...stamps };
}
