/** Tools that say what work took: nothing but what the database has written down. */
import { isCount, metrics, type ToolFigures } from "../stores/reports.ts";
import { neededText, oneOf, text, texts, timeframe } from "./read.ts";
import { type Tool, ToolError, type ToolRun } from "./tool.ts";

/** Parts that a trend's period has. */
const PARTS = 12;

/** Subjects that one measure of a bottleneck names. */
const MOST = 5;

const components = ["jobs", "tasks", "agents", "dependencies"] as const;

export const reportTools: Readonly<Record<string, Tool>> = {
	async performance_report(args, { services: { reports }, principal }) {
		const within = timeframe(args, "timeframe", "24h");
		const format = oneOf(args, "format", ["summary", "detailed", "json"], "summary");
		const since = Date.now() - within.ms;
		const [tools, tasks] = await Promise.all([reports.tools(principal, since), reports.tasks(principal, since)]);
		return {
			success: true,
			format,
			timeframe: within.name,
			jobs: { ...jobTotals(tools), successRate: rate(total(tools, "completed"), total(tools, "failed")) },
			tasks: { ...tasks, successRate: rate(tasks.completed, tasks.failed) },
			...(format !== "summary" && { tools }),
		};
	},

	async bottleneck_analyze(args, run) {
		const component = text(args, "component");
		const wanted = component === null ? components : [oneOf(args, "component", components, "jobs")];
		const measures = texts(args, "metrics");
		const all = (await Promise.all(wanted.map((each) => look[each](run)))).flat();
		const findings = measures === null ? all : all.filter(({ measure }) => measures.includes(measure));
		return {
			success: true,
			timeframe: LOOKED_AT,
			components: wanted,
			findings,
			note: "Ranked within each measure; what is too much is not for this tool to say.",
		};
	},

	async trend_analysis(args, { services, principal }) {
		const name = neededText(args, "metric", `one of ${metrics.join(", ")}`);
		const metric = metrics.find((each) => each === name);
		if (metric === undefined)
			throw new ToolError("INVALID", `metric must be one of ${metrics.join(", ")}; nobody measures ${JSON.stringify(name.slice(0, 60))}`);
		const period = timeframe(args, "period", "24h");
		const to = Date.now();
		const from = to - period.ms;
		const known = new Map((await services.reports.trend(principal, metric, from, to, PARTS)).map(({ part, value }) => [part, value]));
		const points = Array.from({ length: PARTS }, (_, index) => ({
			from: Math.round(from + (index * period.ms) / PARTS),
			value: known.get(index + 1) ?? (isCount(metric) ? 0 : null),
		}));
		return {
			success: true,
			metric,
			period: period.name,
			unit: isCount(metric) ? "per part" : "milliseconds on average",
			points,
			...directionOf(points),
		};
	},

	async usage_stats(args, { services: { reports }, principal }) {
		const component = oneOf(args, "component", ["tools", "storage", "all"], "all");
		const within = timeframe({}, "timeframe", "30d");
		const [tools, storage] = await Promise.all([
			component === "storage" ? null : reports.tools(principal, Date.now() - within.ms),
			component === "tools" ? null : reports.stored(principal),
		]);
		return {
			success: true,
			component,
			...(tools !== null && {
				timeframe: within.name,
				tools: tools.map(({ tool, calls, completed, failed }) => ({ tool, calls, completed, failed })),
			}),
			...(storage !== null && { storage }),
		};
	},
};

const LOOKED_AT = "24h";

interface Finding {
	readonly component: (typeof components)[number];
	readonly measure: "wait" | "duration" | "failures" | "blocked" | "age" | "idle" | "down";
	readonly subject: string;
	readonly value: number;
	readonly unit: string;
	readonly detail?: string;
}

const look: Readonly<Record<(typeof components)[number], (run: ToolRun) => Promise<Finding[]>>> = {
	async jobs({ services, principal }) {
		const tools = await services.reports.tools(principal, Date.now() - 86_400_000);
		const ranked = (measure: Finding["measure"], unit: string, measured: (tool: ToolFigures) => number | null) =>
			tools
				.map((tool) => ({ component: "jobs" as const, measure, subject: tool.tool, value: measured(tool) ?? 0, unit }))
				.filter(({ value }) => value > 0)
				.sort((one, other) => other.value - one.value)
				.slice(0, MOST);
		return [
			...ranked("wait", "ms until begun, 95th percentile", ({ waitP95Ms }) => waitP95Ms),
			...ranked("duration", "ms, 95th percentile", ({ p95Ms }) => p95Ms),
			...ranked("failures", "share of those that ended", ({ completed, failed }) => (failed === 0 ? null : failed / (completed + failed))),
		];
	},

	async tasks({ services, principal }) {
		const [figures, blocked] = await Promise.all([services.reports.tasks(principal, Date.now()), services.reports.blocked(principal)]);
		const age = figures.oldestPendingAt === null ? [] : [Math.max(0, Date.now() - figures.oldestPendingAt)];
		return [
			...age.map((value) => ({
				component: "tasks" as const,
				measure: "age" as const,
				subject: "the oldest pending task",
				value,
				unit: "ms",
			})),
			...blocked.map(({ taskId, dependency, status }) => ({
				component: "tasks" as const,
				measure: "blocked" as const,
				subject: taskId,
				value: 1,
				unit: "task",
				detail: `it waits for ${dependency}, which is ${status}`,
			})),
		];
	},

	async agents({ services, principal }) {
		const [agents, figures] = await Promise.all([services.agents.list(principal), services.reports.tasks(principal, Date.now())]);
		const idle = agents.filter(({ status }) => status === "idle").length;
		const detail = `${agents.length} agents, ${figures.pending} pending tasks`;
		return [{ component: "agents", measure: "idle", subject: "idle agents", value: idle, unit: "agents", detail }];
	},

	async dependencies({ services }) {
		const down = Object.entries(services.health.dependencies()).filter(([, { status }]) => status === "down");
		return down.map(([subject, { since }]) => ({
			component: "dependencies",
			measure: "down",
			subject,
			value: Date.now() - since,
			unit: "ms",
		}));
	},
};

function total(tools: readonly ToolFigures[], name: "calls" | "completed" | "failed" | "cancelled" | "open"): number {
	return tools.reduce((sum, tool) => sum + tool[name], 0);
}

function jobTotals(tools: readonly ToolFigures[]) {
	return {
		calls: total(tools, "calls"),
		completed: total(tools, "completed"),
		failed: total(tools, "failed"),
		cancelled: total(tools, "cancelled"),
		open: total(tools, "open"),
	};
}

function rate(completed: number, failed: number): number | null {
	return completed + failed === 0 ? null : completed / (completed + failed);
}

/** By the line of least squares through the parts that have a value. */
function directionOf(points: readonly { readonly value: number | null }[]): { slopePerPart: number | null; direction: string | null } {
	const known = points.flatMap(({ value }, index) => (value === null ? [] : [{ x: index, y: value }]));
	if (known.length < 2) return { slopePerPart: null, direction: null };
	const meanX = known.reduce((sum, { x }) => sum + x, 0) / known.length;
	const meanY = known.reduce((sum, { y }) => sum + y, 0) / known.length;
	const slope =
		known.reduce((sum, { x, y }) => sum + (x - meanX) * (y - meanY), 0) / known.reduce((sum, { x }) => sum + (x - meanX) ** 2, 0);
	return { slopePerPart: slope, direction: slope > 0 ? "rising" : slope < 0 ? "falling" : "level" };
}
