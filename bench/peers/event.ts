/** What a peer tells its clients of a task that was posted: the same two messages as the topology does, field for field. */
export interface PeerEvent {
	readonly type: "task-update" | "log-update";
	readonly data: object;
}

export function eventsOf(posted: string): PeerEvent[] {
	const { description } = JSON.parse(posted) as { description: string };
	const timestamp = Date.now();
	const id = `task-${timestamp}-${ENDING}`;
	const message = `Task created: ${description}`;
	const task = {
		id,
		description,
		status: "pending",
		priority: "medium",
		strategy: null,
		progress: 0,
		assignedAgent: null,
		dependencies: [],
		result: null,
		error: null,
		createdAt: timestamp,
		startTime: null,
		endTime: null,
	};
	const activity = {
		id: `activity-${timestamp}-${ENDING}`,
		type: "task_created",
		message,
		metadata: { taskId: id, priority: "medium" },
		timestamp,
	};
	return [
		{ type: "task-update", data: { action: "created", data: task } },
		{ type: "log-update", data: { action: "created", data: activity, filename: activity.type, line: message, timestamp } },
	];
}

/** Of an id that cannot be guessed: here nobody tries. */
const ENDING = "6f1d2c3b4a5968778695a4b3";
