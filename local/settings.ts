/** What may be said of a local topology beside its stack's own settings. Every default is here. */
import { z } from "zod";
import { workersPerPod } from "../app/contract.ts";
import type { Fault } from "../core/errors.ts";
import type { StackConfig } from "../stacks/config.ts";

const whole = (min: number, max: number) =>
	z.coerce.number({ error: `a whole number from ${min} to ${max}` }).pipe(
		z
			.int({ error: `a whole number from ${min} to ${max}` })
			.min(min)
			.max(max),
	);

/** Nodes at most, as in the cluster. */
export const MOST_NODES = 20;

/** Job workers at most, as in the cluster. */
export const MOST_JOB_WORKERS = 40;

const environment = z
	.string()
	.regex(/^([A-Z][A-Z0-9_]*=[^,]*)(,[A-Z][A-Z0-9_]*=[^,]*)*$/, { error: "NAME=VALUE, several separated by commas" })
	.transform((text) =>
		Object.fromEntries(text.split(",").map((pair) => [pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1)])),
	);

const address = z.url({ protocol: /^https?$/, error: "an http(s) URL" });

const shape = {
	/** Nodes: a PM2 daemon each, with an address of its own. */
	nodes: whole(1, MOST_NODES).default(3),
	/** Workers a node; null for what the stack has. */
	workers: whole(workersPerPod.min, workersPerPod.max).nullable().default(null),
	/** Job workers, a process each; null for what the stack has at least. */
	jobWorkers: whole(1, MOST_JOB_WORKERS).nullable().default(null),
	/** Where HTTP and Socket.IO are; every other port follows from it. */
	port: whole(1024, 50_000).default(3001),
	/** WebSockets to make room for at the load balancer; null for what the stack has. */
	sockets: whole(100, 200_000).nullable().default(null),
	/** Lets the original's clients in, which have no token. */
	legacyOpen: z.boolean().default(false),
	/** Gives them terminals as well. */
	allowShell: z.boolean().default(false),
	/** Base URL of an OTLP/HTTP receiver, such as Jaeger's; null for no traces. */
	traces: address.nullable().default(null),
	/** URL of an Elasticsearch that all logs go to, with its user where it has users; null for none. */
	logs: address.nullable().default(null),
	/** URL of a Grafana that is to draw from this Prometheus, with a user that may change data sources; null for none. */
	grafana: address.nullable().default(null),
	/** More of the workers' environment. */
	env: z.union([environment, z.record(z.string(), z.string())]).default({}),
} as const;

const schema = z.strictObject(shape);

export type LocalSettings = z.output<typeof schema>;

/** Workers of a node: as told, else what the stack puts on one. */
export function workersOf({ workers }: LocalSettings, { app }: StackConfig): number {
	return workers ?? Math.min(workersPerPod.max, app.podsPerNode * app.workersPerPod);
}

/** Job workers: as told, else as many as the stack has when there is little to do. */
export function jobWorkersOf({ jobWorkers }: LocalSettings, { jobs }: StackConfig): number {
	return jobWorkers ?? jobs.minPods;
}

/** WebSockets to make room for: as told, else what the stack has. */
export function socketsOf({ sockets }: LocalSettings, { loadBalancer }: StackConfig): number {
	return sockets ?? loadBalancer.webSockets;
}

/** What may be shown of a URL. */
export function withoutUser(text: string): string {
	const url = new URL(text);
	url.username = "";
	url.password = "";
	return url.href;
}

/** Settings without the passwords in them. */
export function shown(settings: LocalSettings): LocalSettings {
	const { logs, grafana } = settings;
	return { ...settings, logs: logs && withoutUser(logs), grafana: grafana && withoutUser(grafana) };
}

/** Settings as they were given, and what is wrong with them. */
export function readSettings(
	given: Readonly<Record<string, unknown>>,
): { settings: LocalSettings; faults: [] } | { settings: null; faults: Fault[] } {
	const result = schema.safeParse(given);
	if (result.success) return { settings: result.data, faults: [] };
	const faults = result.error.issues.map(({ path, message }) => {
		const name = String(path[0]);
		return { at: `--${optionOf(name)}`, what: `is ${JSON.stringify(given[name])}`, fix: `give ${allowedFor(name) ?? message}` };
	});
	return { settings: null, faults };
}

/** The command line's name of a setting. */
export function optionOf(setting: string): string {
	return setting.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

function allowedFor(setting: string): string | undefined {
	return {
		nodes: `a whole number from 1 to ${MOST_NODES}`,
		workers: `a whole number from ${workersPerPod.min} to ${workersPerPod.max}`,
		jobWorkers: `a whole number from 1 to ${MOST_JOB_WORKERS}`,
		port: "a port from 1024 to 50000",
		sockets: "a whole number from 100 to 200000",
		traces: "the URL of an OTLP/HTTP receiver, such as http://127.0.0.1:4318",
		logs: "the URL of an Elasticsearch, such as http://127.0.0.1:9200",
		grafana: "the URL of a Grafana, such as http://admin:password@127.0.0.1:3000",
		env: "NAME=VALUE, several separated by commas",
	}[setting];
}
