import { z } from "zod";
import { paths } from "../../contract.ts";
import type { HealthService, Services } from "../../ports.ts";
import { type Endpoint, endpoint } from "../endpoint.ts";
import { Dependencies, Integrations } from "../schemas.ts";
import type { HttpSettings } from "../settings.ts";
import { now } from "../views.ts";

/** Paths of the services that once were processes of their own: each has its health, at the same paths below its own. */
const prefixes = ["", paths.sync, paths.mcp] as const;

/**
 * Health for clients and probes. A dependency that is away makes a service degraded and its routes answer 503; the worker
 * stays ready, or all would leave at once.
 */
export function healthEndpoints({ health }: Services, settings: HttpSettings): Endpoint[] {
	return prefixes.flatMap((prefix) => [
		prefix === "" ? serverHealth(health, settings) : channelHealth(prefix, health, settings),
		endpoint({
			method: "GET",
			path: `${prefix}${paths.apiHealth}`,
			kind: "health",
			tag: "health",
			summary: "Whether the server answers, and what it depends on.",
			answer: z.object({ status: z.enum(["ok", "degraded"]), message: z.string(), dependencies: Dependencies, timestamp: z.string() }),
			handle: () => {
				const degraded = isDegraded(health);
				return {
					status: degraded ? ("degraded" as const) : ("ok" as const),
					message: degraded ? "Some of what the server needs is away" : "The server is running",
					dependencies: dependenciesOf(health),
					timestamp: now(),
				};
			},
		}),
		endpoint({
			method: "GET",
			path: `${prefix}${paths.live}`,
			kind: "health",
			tag: "health",
			summary: "Whether this worker answers at all.",
			answer: z.object({ status: z.literal("live"), timestamp: z.string() }),
			handle: () => ({ status: "live" as const, timestamp: now() }),
		}),
		readiness(`${prefix}${paths.ready}`, settings),
	]);
}

/** Whether anything that the server depends on is away. */
export function isDegraded(health: HealthService): boolean {
	return Object.values(health.dependencies()).some(({ status }) => status === "down");
}

export function integrations(health: HealthService): z.input<typeof Integrations> {
	return { hive: isDegraded(health) ? "disconnected" : "connected", mastra: "disconnected" };
}

function serverHealth(health: HealthService, settings: HttpSettings): Endpoint {
	return endpoint({
		method: "GET",
		path: paths.health,
		kind: "health",
		tag: "health",
		summary: "Whether the server is well, and what it depends on.",
		answer: z.object({
			status: z.enum(["healthy", "degraded"]),
			version: z.string(),
			integrations: Integrations,
			dependencies: Dependencies,
			timestamp: z.string(),
		}),
		handle: () => ({
			status: isDegraded(health) ? ("degraded" as const) : ("healthy" as const),
			version: settings.version,
			integrations: integrations(health),
			dependencies: dependenciesOf(health),
			timestamp: now(),
		}),
	});
}

function channelHealth(prefix: typeof paths.sync | typeof paths.mcp, health: HealthService, settings: HttpSettings): Endpoint {
	return endpoint({
		method: "GET",
		path: `${prefix}${paths.health}`,
		kind: "health",
		tag: "health",
		summary: "Whether the channel is well, and how many are connected to this worker.",
		answer: z.object({
			status: z.enum(["healthy", "degraded"]),
			uptime: z.number().meta({ description: "Seconds, of this worker." }),
			connections: z.int(),
			timestamp: z.string(),
		}),
		handle: () => ({
			status: isDegraded(health) ? ("degraded" as const) : ("healthy" as const),
			uptime: process.uptime(),
			connections: settings.sockets()[prefix === paths.sync ? "sync" : "mcp"],
			timestamp: now(),
		}),
	});
}

function readiness(path: string, settings: HttpSettings): Endpoint {
	const Readiness = z.object({ status: z.enum(["starting", "ready", "stalled", "draining"]), timestamp: z.string() });
	return endpoint({
		method: "GET",
		path,
		kind: "health",
		tag: "health",
		summary: "Whether this worker takes requests: 503 where it does not.",
		answer: Readiness,
		otherAnswers: { 503: Readiness },
		handle: ({ reply }) => {
			const status = settings.state();
			reply.code(status === "ready" ? 200 : 503);
			return { status, timestamp: now() };
		},
	});
}

/** Without details: they are for the log, and these routes for everybody. */
function dependenciesOf(health: HealthService): z.input<typeof Dependencies> {
	return Object.fromEntries(
		Object.entries(health.dependencies()).map(([name, { status, since }]) => [name, { status, since: new Date(since).toISOString() }]),
	);
}
