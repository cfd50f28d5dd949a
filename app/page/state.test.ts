import { describe, expect, it } from "vitest";
import { addActivities, apply, emptyState, inOrder, type Message, type Task } from "./state.js";

const task = (id: string, more: Partial<Task> = {}): Task => ({
	id,
	description: id,
	status: "pending",
	priority: "medium",
	progress: 0,
	assignedAgent: null,
	error: null,
	createdAt: 1_000,
	startTime: null,
	endTime: null,
	...more,
});

function after(...messages: Message[]) {
	const state = emptyState();
	for (const message of messages) apply(state, message);
	return state;
}

const begun: Message = {
	type: "initial-state",
	data: { swarms: [{ swarmId: "s" }], agents: [{ id: "a", name: "one" }], tasks: [task("t")] },
};

describe("what is known of the workspace", () => {
	it("begins with a state, and another one replaces it", () => {
		const state = after(begun, { type: "initial-state", data: { swarms: [], agents: [], tasks: [task("u")] } });
		expect([state.swarm, [...state.agents.keys()], [...state.tasks.keys()]]).toEqual([null, [], ["u"]]);
	});

	it("follows every update", () => {
		const state = after(
			begun,
			{ type: "agent-update", data: { action: "created", data: { id: "b" } } },
			{ type: "agent-update", data: { action: "deleted", data: { id: "a" } } },
			{ type: "task-update", data: { action: "updated", data: task("t", { status: "completed" }) } },
			{ type: "log-update", data: { action: "created", data: { id: "l", type: "x", message: "m", timestamp: 1 } } },
			{ type: "performance-update", data: { memoryBytes: 1 } },
			{ type: "memory-update", data: {} },
		);
		expect([...state.agents.keys()]).toEqual(["b"]);
		expect(state.tasks.get("t")?.status).toBe("completed");
		expect([...state.activities.keys()]).toEqual(["l"]);
		expect(state.worker).toEqual({ memoryBytes: 1 });
	});

	it("is nothing but the swarm when that begins anew", () => {
		const state = after(begun, { type: "swarm-update", data: { action: "reset", data: { swarmId: "n" } } });
		expect([state.swarm?.swarmId, state.agents.size, state.tasks.size]).toEqual(["n", 0, 0]);
	});

	it("has each activity once, the newest fifty first", () => {
		const state = emptyState();
		const activities = Array.from({ length: 60 }, (_, index) => ({ id: `${index}`, type: "x", message: "m", timestamp: index }));
		addActivities(state, activities.slice(0, 40));
		addActivities(state, activities.slice(20));
		expect([...state.activities.keys()]).toEqual(Array.from({ length: 50 }, (_, index) => `${59 - index}`));
	});
});

describe("the order of tasks", () => {
	it("is what is under way, what waits, what is over; the newest first of each", () => {
		const tasks = [
			task("over", { status: "failed", createdAt: 9, endTime: 10 }),
			task("over later", { status: "completed", createdAt: 1, endTime: 20 }),
			task("waits", { createdAt: 5 }),
			task("waits less", { createdAt: 6 }),
			task("under way", { status: "in_progress", createdAt: 1 }),
		];
		expect(inOrder(tasks).map(({ id }) => id)).toEqual(["under way", "waits less", "waits", "over later", "over"]);
	});
});
