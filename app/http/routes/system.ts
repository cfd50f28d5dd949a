import { z } from "zod";
import type { Services } from "../../ports.ts";
import { type Endpoint, endpoint } from "../endpoint.ts";
import { envelope, Integrations } from "../schemas.ts";
import type { HttpSettings } from "../settings.ts";
import { systemFigures } from "../system-figures.ts";
import { now } from "../views.ts";
import { integrations, isDegraded } from "./health.ts";

/** The machine and the worker. */
export function systemEndpoints({ health }: Services, { version }: HttpSettings): Endpoint[] {
	const figures = systemFigures();
	return [
		endpoint({
			method: "GET",
			path: "/api/system/metrics",
			kind: "read",
			tag: "system",
			summary: "Figures of the host that this worker runs on.",
			answer: z.object({
				cpu: z.object({
					usage: z.number().meta({ description: "Per cent of all processors since the request before." }),
					cores: z.int(),
					model: z.string(),
				}),
				memory: z.object({ total: z.int(), used: z.int(), free: z.int(), usage: z.int() }).meta({ description: "MiB, and per cent." }),
				uptime: z.int().meta({ description: "Seconds, of the host." }),
				platform: z.string(),
				arch: z.string(),
			}),
			handle: figures,
		}),
		endpoint({
			method: "GET",
			path: "/api/status",
			kind: "read",
			tag: "system",
			summary: "State of the server, as this worker sees it.",
			answer: z.object({
				...envelope,
				system: z.object({
					backend: z.enum(["healthy", "degraded"]),
					version: z.string(),
					uptime: z.number().meta({ description: "Seconds, of this worker." }),
					memory: z
						.object({ rss: z.int(), heapTotal: z.int(), heapUsed: z.int(), external: z.int(), arrayBuffers: z.int() })
						.meta({ description: "Bytes, of this worker." }),
				}),
				integrations: Integrations,
			}),
			handle: () => ({
				success: true as const,
				system: {
					backend: isDegraded(health) ? ("degraded" as const) : ("healthy" as const),
					version,
					uptime: process.uptime(),
					memory: process.memoryUsage(),
				},
				integrations: integrations(health),
				timestamp: now(),
			}),
		}),
	];
}
