import { describe, expect, it } from "vitest";
import type { Agent, Task } from "../model.ts";
import { assignments, fittingTopology, toRemove } from "./plans.ts";

const agent = (id: string, more: Partial<Agent> = {}): Agent => ({
	id,
	name: id,
	type: "coder",
	status: "idle",
	capabilities: [],
	tasks: 0,
	completedTasks: 0,
	performance: null,
	memory: null,
	cpu: null,
	currentTask: null,
	messageCount: 0,
	createdAt: 1,
	lastActive: 1,
	...more,
});

const task = (id: string, more: Partial<Task> = {}): Task => ({
	id,
	description: id,
	status: "pending",
	priority: "medium",
	strategy: null,
	progress: 0,
	assignedAgent: null,
	dependencies: [],
	result: null,
	error: null,
	createdAt: 1,
	startTime: null,
	endTime: null,
	...more,
});

describe("the topology that fits", () => {
	it.each<[number, string]>([
		[0, "mesh"],
		[6, "mesh"],
		[7, "star"],
		[12, "star"],
		[13, "hierarchical"],
		[1_000, "hierarchical"],
	])("%i agents is a %s", (agents, topology) => {
		expect(fittingTopology(agents, []).topology).toBe(topology);
	});

	const chain = [task("a"), task("b", { dependencies: ["a"] }), task("c", { dependencies: ["b"] })];

	it("tasks in a row is a ring, whatever is over", () => {
		expect(fittingTopology(2, chain).topology).toBe("ring");
		expect(fittingTopology(2, [...chain, task("d", { status: "completed" })]).topology).toBe("ring");
	});

	it.each<[string, Task[]]>([
		["two tasks in a row", chain.slice(0, 2)],
		["a task beside the row", [...chain, task("d")]],
		["a row that forks", [...chain, task("d", { dependencies: ["b"] })]],
		["a row that joins", [task("a"), task("b"), task("c", { dependencies: ["a", "b"] })]],
		["a row whose beginning is over", [task("a", { status: "completed" }), ...chain.slice(1)]],
	])("%s is no ring", (_, tasks) => {
		expect(fittingTopology(2, tasks).topology).toBe("mesh");
	});
});

describe("assignments", () => {
	it("go to the most urgent and oldest tasks, and to the agents with the fewest", () => {
		const tasks = [task("late", { createdAt: 2 }), task("early"), task("urgent", { priority: "critical", createdAt: 3 })];
		const { assigned, skipped } = assignments([agent("busy", { tasks: 5 }), agent("new")], tasks, null, new Set());
		expect(assigned).toEqual([
			{ taskId: "urgent", agentId: "new" },
			{ taskId: "early", agentId: "busy" },
		]);
		expect(skipped).toEqual([{ taskId: "late", why: "no agent is idle" }]);
	});

	it("wait for dependencies, and take each wanted task once", () => {
		const tasks = [task("a", { dependencies: ["x", "y"] }), task("b", { dependencies: ["x"] }), task("c", { status: "in_progress" })];
		const { assigned, skipped } = assignments([agent("1"), agent("2")], tasks, ["a", "b", "b", "c", "z"], new Set(["x"]));
		expect(assigned).toEqual([{ taskId: "b", agentId: "1" }]);
		expect(skipped).toEqual([
			{ taskId: "a", why: "it waits for y" },
			{ taskId: "c", why: "it is in_progress" },
			{ taskId: "z", why: "there is no such task that is open" },
		]);
	});
});

describe("agents to do without", () => {
	it("are those at rest, then the silent, and the newest of each", () => {
		const agents = [
			agent("busy", { status: "busy", createdAt: 9 }),
			agent("idle-old"),
			agent("idle-new", { createdAt: 2 }),
			agent("offline", { status: "offline", createdAt: 5 }),
		];
		expect(toRemove(agents, 4)).toEqual(["idle-new", "idle-old", "offline", "busy"]);
		expect(toRemove(agents, 1)).toEqual(["idle-new"]);
		expect(toRemove(agents, 0)).toEqual([]);
		expect(toRemove(agents, -2)).toEqual([]);
	});
});
