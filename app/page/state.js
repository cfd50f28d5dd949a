/** What is known of the workspace: a snapshot, and every update since. Pure: no browser in here. */

/**
 * @typedef {object} Swarm
 * @property {string} swarmId
 * @property {string} name
 * @property {string} topology
 * @property {string | null} strategy
 * @property {number | null} maxAgents
 * @property {number} createdAt
 *
 * @typedef {object} Agent
 * @property {string} id
 * @property {string} name
 * @property {string} type
 * @property {"idle" | "busy" | "offline"} status
 * @property {number} completedTasks
 * @property {number | null} performance
 * @property {string | null} memory
 * @property {number | null} cpu
 * @property {string | null} currentTask
 * @property {number} createdAt
 *
 * @typedef {object} Task
 * @property {string} id
 * @property {string} description
 * @property {"pending" | "in_progress" | "completed" | "failed" | "cancelled"} status
 * @property {"low" | "medium" | "high" | "critical"} priority
 * @property {number} progress
 * @property {string | null} assignedAgent
 * @property {string | null} error
 * @property {number} createdAt
 * @property {number | null} startTime
 * @property {number | null} endTime
 *
 * @typedef {object} Activity
 * @property {string} id
 * @property {string} type
 * @property {string} message
 * @property {number} timestamp
 *
 * @typedef {object} WorkerFigures
 * @property {number} eventLoopDelayMs
 * @property {number} eventLoopUtilization
 * @property {number} memoryBytes
 * @property {number} uptimeSeconds
 *
 * @typedef {object} State
 * @property {Swarm | null} swarm
 * @property {Map<string, Agent>} agents
 * @property {Map<string, Task>} tasks
 * @property {Map<string, Activity>} activities
 * @property {WorkerFigures | null} worker of the worker at the other end of the socket
 *
 * @typedef {{readonly type: string, readonly data?: any, readonly [name: string]: unknown}} Message
 */

/** Activities remembered. */
const MOST_ACTIVITIES = 50;

/** @returns {State} */
export function emptyState() {
	return { swarm: null, agents: new Map(), tasks: new Map(), activities: new Map(), worker: null };
}

/**
 * Takes in a message of /sync. What it is not about it leaves alone.
 * @param {State} state
 * @param {Message} message
 */
export function apply(state, { type, data }) {
	switch (type) {
		case "initial-state":
			state.swarm = data.swarms[0] ?? null;
			state.agents = byId(data.agents);
			state.tasks = byId(data.tasks);
			break;
		case "swarm-update":
			state.swarm = data.data;
			if (data.action !== "reset") break;
			// A new swarm begins with nothing.
			state.agents.clear();
			state.tasks.clear();
			state.activities.clear();
			break;
		case "agent-update":
			change(state.agents, data);
			break;
		case "task-update":
			change(state.tasks, data);
			break;
		case "log-update":
			addActivities(state, [data.data]);
			break;
		case "performance-update":
			state.worker = data;
	}
}

/**
 * @param {State} state
 * @param {readonly Activity[]} activities
 */
export function addActivities(state, activities) {
	for (const activity of activities) state.activities.set(activity.id, activity);
	const kept = [...state.activities.values()].sort((one, other) => other.timestamp - one.timestamp).slice(0, MOST_ACTIVITIES);
	state.activities = byId(kept);
}

/**
 * What is still to be done first: under way, then waiting; what is over comes last. The newest first of each.
 * @param {Iterable<Task>} tasks
 */
export function inOrder(tasks) {
	/** @param {Task} task */
	const rank = ({ status }) => (status === "in_progress" ? 0 : status === "pending" ? 1 : 2);
	/** @param {Task} task */
	const time = (task) => task.endTime ?? task.createdAt;
	return [...tasks].sort((one, other) => rank(one) - rank(other) || time(other) - time(one) || (one.id < other.id ? 1 : -1));
}

/** @param {Task} task */
export function isOpen({ status }) {
	return status === "pending" || status === "in_progress";
}

/**
 * @template {{id: string}} Entity
 * @param {Map<string, Entity>} entities
 * @param {{action: string, data: Entity}} update
 */
function change(entities, { action, data }) {
	if (action === "deleted") entities.delete(data.id);
	else entities.set(data.id, data);
}

/**
 * @template {{id: string}} Entity
 * @param {readonly Entity[]} entities
 */
function byId(entities) {
	return new Map(entities.map((entity) => [entity.id, entity]));
}
