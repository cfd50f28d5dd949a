/** Puts what is known onto the page. All of it is set as text, never as markup. */
import { inOrder, isOpen } from "./state.js";

/**
 * @typedef {import("./state.js").State} State
 * @typedef {import("./state.js").Task} Task
 * @typedef {import("./state.js").Agent} Agent
 * @typedef {import("./state.js").Activity} Activity
 */

/** Rows shown of each list: more would be read by nobody. */
const MOST_ROWS = 100;

/** What there is to show where nothing is known. */
export const UNKNOWN = "–";

/** @param {string} id */
export function byId(id) {
	const found = document.getElementById(id);
	if (found === null) throw new Error(`the page has no #${id}`);
	return found;
}

/**
 * @param {string} id
 * @param {string} text
 */
export function show(id, text) {
	setText(byId(id), text);
}

/**
 * A message, or nothing.
 * @param {Element} element
 * @param {string | null} text
 */
export function tell(element, text) {
	/** @type {HTMLElement} */ (element).hidden = text === null;
	setText(element, text ?? "");
}

/**
 * @param {State} state
 * @param {{cancel: (task: Task) => void, remove: (agent: Agent) => void}} actions
 */
export function render(state, actions) {
	const tasks = inOrder(state.tasks.values());
	const agents = [...state.agents.values()].sort((one, other) => other.createdAt - one.createdAt || (one.id < other.id ? 1 : -1));
	renderOverview(state, agents, tasks);
	renderList(byId("tasks"), tasks, taskRow(state, actions.cancel));
	show("tasks-rest", restOf(tasks.length, "No task yet. Create the first one above, or with POST /api/hive/tasks."));
	renderList(byId("agents"), agents, agentRow(state, actions.remove));
	show("agents-rest", restOf(agents.length, "No agent yet. Create one above; it claims tasks by the API."));
	const activities = [...state.activities.values()];
	renderList(byId("activities"), activities, activityRow);
	show("activities-rest", activities.length === 0 ? "Nothing yet." : "");
	renderWorker(state);
}

/**
 * @param {State} state
 * @param {readonly Agent[]} agents
 * @param {readonly Task[]} tasks
 */
function renderOverview({ swarm }, agents, tasks) {
	/** @param {Task["status"]} status */
	const count = (status) => tasks.filter((task) => task.status === status).length;
	show("swarm-name", swarm?.name ?? "None yet");
	const limit = swarm?.maxAgents ? `, ${swarm.maxAgents} agents at most` : "";
	show("swarm-more", swarm === null ? "POST /api/hive/init begins one" : `${swarm.topology}${limit}, since ${timeOf(swarm.createdAt)}`);
	show("agent-count", String(agents.length));
	const busy = agents.filter(({ status }) => status === "busy").length;
	const offline = agents.filter(({ status }) => status === "offline").length;
	show("agent-more", `${busy} busy, ${agents.length - busy - offline} idle, ${offline} offline`);
	show("task-count", String(tasks.filter(isOpen).length));
	show("task-more", `${count("in_progress")} under way, ${count("pending")} waiting`);
	show("over-count", String(tasks.length - tasks.filter(isOpen).length));
	show("over-more", `${count("completed")} completed, ${count("failed")} failed, ${count("cancelled")} cancelled`);
}

/** @param {State} state */
function renderWorker({ worker }) {
	show("loop-delay", worker === null ? UNKNOWN : `${worker.eventLoopDelayMs.toFixed(1)} ms`);
	show("loop-busy", worker === null ? UNKNOWN : `${Math.round(worker.eventLoopUtilization * 100)} %`);
	show("worker-memory", worker === null ? UNKNOWN : `${Math.round(worker.memoryBytes / 1_048_576)} MiB`);
	show("worker-uptime", worker === null ? UNKNOWN : durationOf(worker.uptimeSeconds));
}

/**
 * @param {{cpu: {usage: number, cores: number}, memory: {used: number, total: number}} | null} host
 * @param {Readonly<Record<string, {status: "up" | "down"}>> | null} dependencies
 */
export function renderServer(host, dependencies) {
	show("host-cpu", host === null ? UNKNOWN : `${Math.round(host.cpu.usage)} % of ${host.cpu.cores}`);
	show("host-memory", host === null ? UNKNOWN : `${gibibytes(host.memory.used)} of ${gibibytes(host.memory.total)} GiB`);
	const chips = Object.entries(dependencies ?? {}).map(([name, { status }]) => ({ id: name, status }));
	renderList(byId("dependencies"), chips, {
		make: () => element("li", "pill"),
		fill(row, { id, status }) {
			setClass(row, `pill ${status}`);
			setText(row, `${id} ${status}`);
		},
	});
}

/**
 * How a list's rows are made, and filled again when they change.
 * @template Item
 * @typedef {{make: (item: Item) => HTMLElement, fill: (row: HTMLElement, item: Item) => void}} Row
 */

/**
 * @param {State} state
 * @param {(task: Task) => void} cancel
 * @returns {Row<Task>}
 */
function taskRow(state, cancel) {
	return {
		make(task) {
			const button = buttonFor("Cancel", `Cancel task: ${task.description || "without a description"}`, () => cancel(task));
			const facts = element("div", "facts", element("span", "pill"), element("span"), element("span"), element("time"));
			const progress = document.createElement("progress");
			progress.max = 100;
			progress.setAttribute("aria-label", "Progress");
			return element("li", "", element("div", "title"), facts, button, progress);
		},
		fill(row, task) {
			const [title, facts, button, progress] = /** @type {[HTMLElement, HTMLElement, HTMLElement, HTMLProgressElement]} */ ([
				...row.children,
			]);
			const [status, priority, agent, time] = /** @type {[HTMLElement, HTMLElement, HTMLElement, HTMLTimeElement]} */ ([...facts.children]);
			setText(title, task.description || "(without a description)");
			title.title = task.description;
			const isUnderWay = task.status === "in_progress";
			setClass(status, `pill ${task.status}`);
			setText(status, isUnderWay ? `in progress, ${Math.round(task.progress)} %` : task.status);
			setText(priority, `${task.priority} priority`);
			const name = task.assignedAgent === null ? null : (state.agents.get(task.assignedAgent)?.name ?? "an agent that has left");
			setText(agent, task.error !== null ? task.error : name === null ? "" : `by ${name}`);
			setTime(time, task.endTime ?? task.createdAt);
			button.hidden = !isOpen(task);
			progress.hidden = !isUnderWay;
			progress.value = task.progress;
		},
	};
}

/**
 * @param {State} state
 * @param {(agent: Agent) => void} remove
 * @returns {Row<Agent>}
 */
function agentRow(state, remove) {
	return {
		make(agent) {
			const button = buttonFor("Remove", `Remove agent ${agent.name}`, () => remove(agent));
			const facts = element("div", "facts", element("span", "pill"), element("span"), element("span"), element("span"));
			return element("li", "", element("div", "title"), facts, button);
		},
		fill(row, agent) {
			const [title, facts] = /** @type {[HTMLElement, HTMLElement]} */ ([...row.children]);
			const [status, type, work, figures] = /** @type {[HTMLElement, HTMLElement, HTMLElement, HTMLElement]} */ ([...facts.children]);
			setText(title, agent.name);
			title.title = agent.name;
			setClass(status, `pill ${agent.status}`);
			setText(status, agent.status);
			setText(type, agent.type);
			const task = agent.currentTask === null ? undefined : state.tasks.get(agent.currentTask);
			setText(work, task === undefined ? `${agent.completedTasks} completed` : `at “${task.description}”`);
			setText(figures, [agent.cpu === null ? null : `CPU ${agent.cpu} %`, agent.memory].filter((each) => each !== null).join(", "));
		},
	};
}

/** @type {Row<Activity>} */
const activityRow = {
	make: () => element("li", "", element("time"), element("span")),
	fill(row, { message, timestamp }) {
		const [time, text] = /** @type {[HTMLTimeElement, HTMLElement]} */ ([...row.children]);
		setTime(time, timestamp);
		setText(text, message);
	},
};

/** @type {WeakMap<Element, Map<string, HTMLElement>>} */
const rowsOf = new WeakMap();

/**
 * Rows stay the same elements for as long as their items are there: the focus stays where it is.
 * @template {{id: string}} Item
 * @param {HTMLElement} list
 * @param {readonly Item[]} items
 * @param {Row<Item>} row
 */
function renderList(list, items, { make, fill }) {
	const before = rowsOf.get(list) ?? new Map();
	/** @type {Map<string, HTMLElement>} */
	const rows = new Map();
	rowsOf.set(list, rows);
	for (const item of items.slice(0, MOST_ROWS)) {
		const row = before.get(item.id) ?? make(item);
		fill(row, item);
		rows.set(item.id, row);
	}
	for (const [id, row] of before) if (!rows.has(id)) row.remove();
	let index = 0;
	for (const row of rows.values()) {
		const present = list.children[index] ?? null;
		if (present !== row) list.insertBefore(row, present);
		index += 1;
	}
}

/**
 * @param {number} count
 * @param {string} none
 */
function restOf(count, none) {
	if (count === 0) return none;
	return count > MOST_ROWS ? `and ${count - MOST_ROWS} more` : "";
}

/**
 * @param {string} tag
 * @param {string} className
 * @param {Node[]} children
 */
function element(tag, className = "", ...children) {
	const made = document.createElement(tag);
	if (className !== "") made.className = className;
	made.append(...children);
	return made;
}

/**
 * @param {string} text
 * @param {string} label
 * @param {() => void} onClick
 */
function buttonFor(text, label, onClick) {
	const button = document.createElement("button");
	button.type = "button";
	button.className = "quiet";
	button.textContent = text;
	button.setAttribute("aria-label", label);
	button.addEventListener("click", onClick);
	return button;
}

/**
 * What does not change is left alone: a screen reader would read it again.
 * @param {Element} element
 * @param {string} text
 */
function setText(element, text) {
	if (element.textContent !== text) element.textContent = text;
}

/**
 * @param {Element} element
 * @param {string} name
 */
function setClass(element, name) {
	if (element.className !== name) element.className = name;
}

/**
 * @param {HTMLTimeElement} element
 * @param {number} milliseconds
 */
function setTime(element, milliseconds) {
	element.dateTime = new Date(milliseconds).toISOString();
	setText(element, timeOf(milliseconds));
}

/** @param {number} milliseconds */
function timeOf(milliseconds) {
	const date = new Date(milliseconds);
	const isToday = date.toDateString() === new Date().toDateString();
	return isToday ? date.toLocaleTimeString() : date.toLocaleString();
}

/** @param {number} seconds */
function durationOf(seconds) {
	if (seconds < 120) return `${seconds} s`;
	if (seconds < 7_200) return `${Math.floor(seconds / 60)} min`;
	return seconds < 172_800 ? `${Math.floor(seconds / 3_600)} h` : `${Math.floor(seconds / 86_400)} days`;
}

/** @param {number} mebibytes */
function gibibytes(mebibytes) {
	return (mebibytes / 1_024).toFixed(1);
}
