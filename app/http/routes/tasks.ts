import { z } from "zod";
import type { Task } from "../../model.ts";
import { ServiceError, type Services } from "../../ports.ts";
import { type Endpoint, endpoint } from "../endpoint.ts";
import { Claim, Completion, CreateTask, Progress, success, TaskAnswer, TaskFailure, TaskParams, TaskView } from "../schemas.ts";
import { now, taskView } from "../views.ts";

/** Tasks, and the calls that move them: pending, in_progress, then completed, failed or cancelled. */
export function taskEndpoints({ tasks }: Services): Endpoint[] {
	return [
		endpoint({
			method: "GET",
			path: "/api/hive/tasks",
			kind: "list",
			tag: "tasks",
			summary: "Tasks: what is still to be done first.",
			answer: z.object({ success, tasks: z.array(TaskView) }),
			keptAs: () => "tasks",
			handle: async ({ principal }) => ({ success: true as const, tasks: (await tasks.list(principal)).map(taskView) }),
		}),
		endpoint({
			method: "POST",
			path: "/api/hive/tasks",
			kind: "write",
			tag: "tasks",
			summary: "Adds a task, which waits for an agent to claim it.",
			body: CreateTask,
			answer: TaskView,
			handle: async ({ principal, body }) =>
				taskView(
					await tasks.create(principal, {
						description: body.description,
						priority: body.priority,
						strategy: body.strategy,
						dependencies: body.dependencies ?? [],
					}),
				),
		}),
		endpoint({
			method: "GET",
			path: "/api/hive/tasks/:taskId",
			kind: "read",
			tag: "tasks",
			summary: "One task.",
			params: TaskParams,
			answer: TaskAnswer,
			handle: async ({ principal, params }) => moved(await tasks.get(principal, params.taskId)),
		}),
		endpoint({
			method: "DELETE",
			path: "/api/hive/tasks/:taskId",
			kind: "write",
			tag: "tasks",
			summary: "Cancels a task that is not over yet. One that is not there needs no cancelling, and is no error.",
			params: TaskParams,
			answer: z.object({ success, taskId: z.string() }),
			handle: async ({ principal, params }) => {
				try {
					await tasks.cancel(principal, params.taskId);
				} catch (error) {
					if (!(error instanceof ServiceError) || error.code !== "NOT_FOUND") throw error;
				}
				return { success: true as const, taskId: params.taskId };
			},
		}),
		endpoint({
			method: "POST",
			path: "/api/hive/tasks/:taskId/claim",
			kind: "write",
			tag: "tasks",
			summary: "An agent takes a pending task. 409 where another has it.",
			params: TaskParams,
			body: Claim,
			answer: TaskAnswer,
			handle: async ({ principal, params, body }) => moved(await tasks.claim(principal, params.taskId, body.agentId)),
		}),
		endpoint({
			method: "POST",
			path: "/api/hive/tasks/:taskId/progress",
			kind: "write",
			tag: "tasks",
			summary: "How far a claimed task is, and a sign that its agent lives: a claim that is silent too long goes back to pending.",
			params: TaskParams,
			body: Progress,
			answer: TaskAnswer,
			handle: async ({ principal, params, body }) => moved(await tasks.progress(principal, params.taskId, body.progress)),
		}),
		endpoint({
			method: "POST",
			path: "/api/hive/tasks/:taskId/complete",
			kind: "completion",
			tag: "tasks",
			summary: "A claimed task is done.",
			params: TaskParams,
			body: Completion,
			answer: TaskAnswer,
			handle: async ({ principal, params, body }) => moved(await tasks.complete(principal, params.taskId, body.result ?? null)),
		}),
		endpoint({
			method: "POST",
			path: "/api/hive/tasks/:taskId/fail",
			kind: "completion",
			tag: "tasks",
			summary: "A claimed task cannot be done.",
			params: TaskParams,
			body: TaskFailure,
			answer: TaskAnswer,
			handle: async ({ principal, params, body }) => moved(await tasks.fail(principal, params.taskId, body.error)),
		}),
		endpoint({
			method: "POST",
			path: "/api/hive/tasks/:taskId/cancel",
			kind: "completion",
			tag: "tasks",
			summary: "A task that is not over yet shall not be done. 409 where it is over.",
			params: TaskParams,
			answer: TaskAnswer,
			handle: async ({ principal, params }) => moved(await tasks.cancel(principal, params.taskId)),
		}),
	];
}

function moved(task: Task): z.input<typeof TaskAnswer> {
	return { success: true, task: taskView(task), timestamp: now() };
}
