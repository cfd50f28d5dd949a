/** What a peer tells its clients of a task that was posted: the same two messages, and about as long, as the topology does. */
export interface PeerEvent {
	readonly type: "task-update" | "log-update";
	readonly data: object;
}

export function eventsOf(posted: string): PeerEvent[] {
	const { description } = JSON.parse(posted) as { description: string };
	const timestamp = Date.now();
	const id = `task-${timestamp}-6f1d2c3b4a5968778695a4b3`;
	const task = {
		id,
		description,
		status: "pending",
		priority: "medium",
		strategy: null,
		progress: 0,
		assignedAgent: null,
		createdAt: timestamp,
	};
	const line = {
		id: `activity-${timestamp}`,
		type: "task_created",
		message: `Task created: ${description}`,
		metadata: { taskId: id },
		timestamp,
	};
	return [
		{ type: "task-update", data: { action: "created", data: task } },
		{ type: "log-update", data: { action: "created", data: line } },
	];
}
