/** Tools that say how the server itself is: measured when they are asked, or not said. */
import { readFileSync } from "node:fs";
import path from "node:path";
import { faultsOf } from "./arguments.ts";
import { toolEntries } from "./catalogue.ts";
import { commandFault, type ExternalSettings } from "./external.ts";
import { list, oneOf, texts } from "./read.ts";
import { inThread } from "./thread.ts";
import type { Tool, ToolRun } from "./tool.ts";

const DAY_MS = 86_400_000;

/** Milliseconds that a thread may take to say something. */
const THREAD_LIMIT = 10_000;

const VERSION: string = JSON.parse(readFileSync(path.join(import.meta.dirname, "../package.json"), "utf8")).version;

export function diagnosticTools(settings: ExternalSettings): Readonly<Record<string, Tool>> {
	const checks = checksWith(settings);
	return {
		async metrics_collect(args, run) {
			const wanted = texts(args, "components") ?? Object.keys(figures);
			const entries = await Promise.all(wanted.map(async (name) => [name, (await figuresNamed(name)?.(run)) ?? null] as const));
			const unmeasured = wanted.filter((name) => figuresNamed(name) === undefined);
			return { success: true, timestamp: Date.now(), metrics: Object.fromEntries(entries), unmeasured };
		},

		async health_check(args, { services }) {
			const known = new Map(Object.entries(services.health.dependencies()));
			const wanted = texts(args, "components") ?? [...known.keys()];
			const components = wanted.map((name) => ({ name, ...(known.get(name) ?? { status: "unknown" as const }) }));
			const status = components.every((each) => each.status === "up") ? "healthy" : "degraded";
			return { success: true, status, components, lookedAtBy: "the job worker" };
		},

		async diagnostic_run(args, run) {
			const wanted = (list(args, "components")?.length ?? 0) > 0 ? (texts(args, "components") as readonly string[]) : Object.keys(checks);
			const results = [];
			for (const [index, name] of wanted.entries()) {
				run.progress((100 * index) / wanted.length, name);
				results.push({ name, ...(await tried(Object.hasOwn(checks, name) ? checks[name] : undefined, run)) });
			}
			const failed = results.filter(({ status }) => status === "failed").length;
			return { success: true, passed: results.filter(({ status }) => status === "passed").length, failed, results };
		},

		async features_detect(args, run) {
			const component = oneOf(args, "component", ["tools", "versions", "all"], "all");
			const missing = await commandFault(settings.claudeFlowBin);
			const named = (runs: "here" | "external") => toolEntries.filter((entry) => entry.runs === runs).map(({ name }) => name);
			const tools = { here: named("here"), external: { available: missing === null, why: missing, tools: named("external") } };
			const versions = { server: VERSION, node: process.versions.node, postgres: await run.services.reports.databaseVersion() };
			return { success: true, component, ...(component !== "versions" && { tools }), ...(component !== "tools" && { versions }) };
		},
	};
}

/** Present figures, by what they are of. */
const figures: Readonly<Record<string, (run: ToolRun) => Promise<unknown>>> = {
	swarm: ({ services, principal }) => services.swarm.current(principal),

	async agents({ services, principal }) {
		const agents = await services.agents.list(principal);
		const count = (status: string) => agents.filter((agent) => agent.status === status).length;
		return { total: agents.length, idle: count("idle"), busy: count("busy"), offline: count("offline") };
	},

	tasks: ({ services, principal }) => services.reports.tasks(principal, Date.now() - DAY_MS),

	async memory({ services, principal }) {
		const { memoryEntries, memoryBytes, savedStates, savedBytes } = await services.reports.stored(principal);
		return { entries: memoryEntries, bytes: memoryBytes, savedStates, savedBytes };
	},

	jobs: ({ services, principal }) => services.reports.tools(principal, Date.now() - DAY_MS),

	async process() {
		const { rss, heapUsed, heapTotal } = process.memoryUsage();
		const { user, system } = process.cpuUsage();
		return { of: "the job worker", uptimeSeconds: process.uptime(), rss, heapUsed, heapTotal, cpuSeconds: (user + system) / 1_000_000 };
	},

	dependencies: async ({ services }) => services.health.dependencies(),
};

function figuresNamed(name: string): ((run: ToolRun) => Promise<unknown>) | undefined {
	return Object.hasOwn(figures, name) ? figures[name] : undefined;
}

/** A check says what it found, or throws. */
type Check = (run: ToolRun) => Promise<string>;

function checksWith({ claudeFlowBin }: ExternalSettings): Readonly<Record<string, Check>> {
	return {
		database: async ({ services }) => `PostgreSQL ${await services.reports.databaseVersion()} answers`,

		async dependencies({ services }) {
			const down = Object.entries(services.health.dependencies()).filter(([, { status }]) => status === "down");
			if (down.length > 0) throw new Error(`down: ${down.map(([name]) => name).join(", ")}`);
			return "all that is looked after answers";
		},

		async schemas() {
			for (const { inputSchema } of toolEntries) faultsOf(inputSchema, {});
			return `${toolEntries.length} schemas compile`;
		},

		async threads({ signal }) {
			await inThread(new URL("./log-groups.ts", import.meta.url), "groupLines", ["a line"], { signal, timeLimitMs: THREAD_LIMIT });
			return "a thread was started, and answered";
		},

		async command() {
			const fault = await commandFault(claudeFlowBin);
			if (fault !== null) throw new Error(fault);
			return `${claudeFlowBin} can be executed`;
		},
	};
}

async function tried(check: Check | undefined, run: ToolRun) {
	if (check === undefined) return { status: "unknown" as const, ms: null, detail: "there is no such check" };
	const begun = performance.now();
	try {
		const detail = await check(run);
		return { status: "passed" as const, ms: performance.now() - begun, detail };
	} catch (error) {
		run.signal.throwIfAborted();
		return { status: "failed" as const, ms: performance.now() - begun, detail: (error as Error).message };
	}
}
