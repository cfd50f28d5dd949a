/** The page: who is logged in, what is live, what can be done. */
import { call, Refused, reasonOf } from "./api.js";
import { Chart, Series, SPAN_SECONDS } from "./chart.js";
import { addActivities, apply, emptyState } from "./state.js";
import { Sync } from "./sync.js";
import { Terminal } from "./terminal.js";
import { byId, render, renderServer, show, tell, UNKNOWN } from "./view.js";

/** Milliseconds. */
const ms = { measure: 1_000, server: 5_000, news: 10_000, again: 1_000 };

let state = emptyState();
/** @type {Sync | null} */
let sync = null;
/** @type {import("./sync.js").Status} */
let status = { kind: "connecting" };
let isDrawn = false;

const series = { http: new Series(), ping: new Series() };
const chart = new Chart(/** @type {any} */ (byId("chart")), new Map(Object.entries(series)));

const terminal = new Terminal(byId("terminal"), (text, isOpen) => {
	show("terminal-status", text);
	byId("open-terminal").hidden = isOpen;
	byId("close-terminal").hidden = !isOpen;
});
byId("open-terminal").addEventListener("click", () => void terminal.open());
byId("close-terminal").addEventListener("click", () => terminal.close());

// --- Who is logged in

/** Logs in by a link, where the page was opened by one; else goes on with the session that there is. */
async function start() {
	const code = /^#login=(.+)$/.exec(location.hash)?.[1];
	if (code !== undefined) {
		// Before anything else: it belongs neither in the history nor into a copied address.
		history.replaceState(null, "", location.pathname);
		return await login(code);
	}
	await goOn(null);
}

/**
 * With the session that there is.
 * @param {string | null} otherwise what to say where there is none
 */
async function goOn(otherwise) {
	try {
		const { principal } = await persistently(() => call("GET", "/api/session"));
		enter(principal);
	} catch (error) {
		leave(isUnknown(error) ? otherwise : `${reasonOf(error)}.`);
	}
}

/** @param {unknown} error */
function isUnknown(error) {
	return error instanceof Refused && error.status === 401;
}

/**
 * Tries again for as long as the server is away or too busy.
 * @template Answer
 * @param {() => Promise<Answer>} work
 */
async function persistently(work) {
	for (;;) {
		try {
			return await work();
		} catch (error) {
			if (error instanceof Refused && error.status < 500 && error.status !== 429) throw error;
			byId("connection").hidden = false;
			onStatus({ kind: "waiting", untilMs: Date.now() + ms.again });
			await new Promise((resolve) => setTimeout(resolve, ms.again));
		}
	}
}

/** @param {string} code */
async function login(code) {
	try {
		const { principal } = await persistently(() => call("POST", "/api/session", { code }));
		enter(principal);
	} catch (error) {
		await goOn(isUnknown(error) ? "This login link is no good: it was used before, or is older than ten minutes." : `${reasonOf(error)}.`);
	}
}

/** @param {{id: string, workspace: string, roles: string[]}} principal */
function enter({ id, workspace, roles }) {
	reset();
	const name = id.slice(id.indexOf(":") + 1);
	show("who", `${name}${roles.includes("operator") ? " (operator)" : ""}, workspace ${workspace}`);
	byId("outside").hidden = true;
	for (const part of ["inside", "account", "connection"]) byId(part).hidden = false;
	// Whoever comes in without a session has none to leave.
	byId("logout").hidden = !id.startsWith("session:");
	renderServer(null, null);
	draw();
	sync = new Sync({
		onMessage,
		onStatus,
		onRoundTrip: (measured) => measure("ping", measured),
		isAllowed,
		onEnded: () => leave("The session is over."),
	});
	void lookAtServer();
}

/** @param {string | null} why */
function leave(why) {
	reset();
	for (const part of ["inside", "account", "connection"]) byId(part).hidden = true;
	byId("outside").hidden = false;
	tell(byId("login-notice"), why);
}

function reset() {
	sync?.stop();
	terminal.stop("");
	sync = null;
	state = emptyState();
	for (const each of Object.values(series)) each.samples = [];
}

async function isAllowed() {
	try {
		await call("GET", "/api/session");
		return true;
	} catch (error) {
		if (isUnknown(error)) return false;
		throw error;
	}
}

// --- What is live

/** @param {import("./state.js").Message} message */
function onMessage(message) {
	apply(state, message);
	if (message.type === "initial-state") void readActivities(sync);
	draw();
}

/** @param {Sync | null} whose it is forgotten with the connection that it is for */
async function readActivities(whose) {
	try {
		const activities = await call("GET", "/api/hive/activities?limit=50");
		if (sync !== whose) return;
		addActivities(state, activities);
		draw();
	} catch {
		if (sync === whose) setTimeout(() => void readActivities(whose), ms.again);
	}
}

/** @param {import("./sync.js").Status} next */
function onStatus(next) {
	status = next;
	showStatus();
	if (next.kind !== "live" || next.caughtUp === null) return;
	setTimeout(() => {
		if (status === next) onStatus({ kind: "live", caughtUp: null });
	}, ms.news);
}

function showStatus() {
	const pill = byId("connection");
	pill.className = `pill ${status.kind}`;
	tell(pill, wordsFor(status));
}

/** @param {import("./sync.js").Status} given */
function wordsFor(given) {
	if (given.kind === "connecting") return "Connecting";
	if (given.kind === "waiting") return "Connection lost, trying again";
	if (given.caughtUp === null) return "Live";
	return given.caughtUp === 1 ? "Live again, 1 event caught up" : `Live again, ${given.caughtUp} events caught up`;
}

/** At most once a frame. */
function draw() {
	if (isDrawn) return;
	isDrawn = true;
	requestAnimationFrame(() => {
		isDrawn = false;
		render(state, { cancel, remove });
	});
}

// --- Round trips, and the server

/**
 * @param {keyof typeof series} kind
 * @param {number | null} milliseconds
 */
function measure(kind, milliseconds) {
	series[kind].add(milliseconds, performance.now());
	const { figures } = series[kind];
	const cells = byId(`${kind}-figures`).querySelectorAll("td");
	const texts = figures === null ? Array(4).fill(UNKNOWN) : [figures.last, figures.median, figures.p95].map((each) => each.toFixed(1));
	if (figures !== null) texts.push(String(figures.lost));
	for (const [index, cell] of cells.entries()) cell.textContent = texts[index] ?? UNKNOWN;
	const words = Object.entries({ "HTTP request": series.http, "WebSocket ping": series.ping }).map(([name, { figures: each }]) =>
		each === null ? `${name}: none measured` : `${name}: median ${each.median.toFixed(1)} ms, p95 ${each.p95.toFixed(1)} ms`,
	);
	chart.describe(`Round trips of the last ${SPAN_SECONDS} seconds. ${words.join(". ")}.`);
	chart.draw(performance.now());
}

/** A request that no cache answers, for as long as somebody looks. */
async function measureRequest() {
	if (sync === null || document.hidden) return;
	const began = performance.now();
	try {
		await call("GET", "/api/session");
		measure("http", performance.now() - began);
	} catch {
		measure("http", null);
	}
}

async function lookAtServer() {
	if (sync === null || document.hidden) return;
	const [host, health] = await Promise.all([
		call("GET", "/api/system/metrics").catch(() => null),
		call("GET", "/api/health").catch(() => null),
	]);
	renderServer(host, health?.dependencies ?? null);
}

/**
 * One after another, however long each takes.
 * @param {() => Promise<void>} work
 * @param {number} every
 */
function repeat(work, every) {
	setTimeout(() => void work().finally(() => repeat(work, every)), every);
}

// --- What can be done

/** @param {import("./state.js").Task} task */
function cancel({ id }) {
	void attempt(byId("task-fault"), () => call("POST", `/api/hive/tasks/${encodeURIComponent(id)}/cancel`));
}

/** @param {import("./state.js").Agent} agent */
function remove({ id }) {
	void attempt(byId("agent-fault"), () => call("DELETE", `/api/hive/agents/${encodeURIComponent(id)}`));
}

/**
 * @param {Element} fault where it is told what went wrong
 * @param {() => Promise<unknown>} work
 */
async function attempt(fault, work) {
	try {
		await work();
		tell(fault, null);
		return true;
	} catch (error) {
		tell(fault, reasonOf(error));
		return false;
	}
}

/**
 * @param {string} id of the form
 * @param {string} path
 */
function creates(id, path) {
	const form = /** @type {HTMLFormElement} */ (byId(id));
	const fault = /** @type {Element} */ (form.querySelector(".fault"));
	const button = /** @type {HTMLButtonElement} */ (form.querySelector("button"));
	form.addEventListener("submit", async (event) => {
		event.preventDefault();
		button.disabled = true;
		const done = await attempt(fault, () => call("POST", path, Object.fromEntries(new FormData(form))));
		button.disabled = false;
		const first = /** @type {HTMLInputElement} */ (form.querySelector("input"));
		if (done) first.value = "";
		first.focus();
	});
}

creates("create-task", "/api/hive/tasks");
creates("create-agent", "/api/hive/agents");

byId("login").addEventListener("submit", (event) => {
	event.preventDefault();
	const field = /** @type {HTMLInputElement} */ (byId("code"));
	const given = field.value.trim();
	field.value = "";
	void login(given.slice(given.lastIndexOf("=") + 1));
});

byId("logout").addEventListener("click", async () => {
	try {
		await call("DELETE", "/api/session");
		leave("You have logged out.");
	} catch (error) {
		tell(byId("task-fault"), reasonOf(error));
	}
});

addEventListener("hashchange", () => void start());
repeat(measureRequest, ms.measure);
repeat(lookAtServer, ms.server);
void start();
