/** The load balancer: HAProxy with the cluster's own configuration, and plain addresses in place of the DNS. */
import {
	ENGINE_SESSION_PARAM,
	ENGINE_SESSION_SEPARATOR,
	lateAnswers,
	paths,
	publicPaths,
	STICKY_COOKIE,
	workerPorts,
} from "../../app/contract.ts";
import type { HaproxyBind, HaproxySettings } from "../../core/haproxy/settings.ts";
import { renderHaproxy } from "../../core/haproxy.ts";
import { HOST } from "../place.ts";
import { askHttp } from "./ask.ts";
import { plainService, type Service } from "./service.ts";

/** Client connections of one process: each needs two descriptors, and a process has 20,000 at most on many machines. */
const MOST_CONNECTIONS = 9_000;

/** Several processes on one port get unequal shares of the clients: the kernel's choice is by hash. */
const UNEVEN = 1.4;

const READY_PATH = "/ready";
const METRICS_PATH = "/metrics";
export const MONITOR_PATH = "/.haproxy/health";

/**
 * How many processes, and how many client connections each takes.
 *
 * @param sockets clients to make room for
 * @param openFiles that one process may have
 */
export function haproxyProcesses(sockets: number, openFiles: number): { readonly count: number; readonly maxConnections: number } {
	const most = Math.min(MOST_CONNECTIONS, Math.floor((openFiles - 500) / 2));
	if (sockets <= most * 0.9) return { count: 1, maxConnections: most };
	return { count: Math.ceil((sockets * UNEVEN) / most), maxConnections: most };
}

export interface HaproxyPlan {
	readonly name: string;
	readonly program: string;
	readonly file: string;
	readonly adminPort: number;
	readonly maxConnections: number;
	/** The stack's settings, as far as they mean the same here. Seconds. */
	readonly stack: {
		readonly stickyKey: string;
		readonly requestsPerWorker: number;
		readonly idleSeconds: number;
		readonly responseSeconds: number;
		readonly queueSeconds: number;
		readonly headerSeconds: number;
	};
	readonly ports: { readonly http: number; readonly sync: number; readonly mcp: number; readonly tls: number };
	/** PEM file of the TLS origin. */
	readonly certificate: string;
	/** Whether `localhost` also means ::1 here. */
	readonly ipv6: boolean;
	readonly nodes: readonly { readonly name: string; readonly address: string }[];
	readonly workersPerNode: number;
}

export function haproxyService(plan: HaproxyPlan): Service {
	const metrics = () => askHttp(HOST, plan.adminPort, METRICS_PATH).then(({ body }) => body);
	return {
		...plainService,
		name: plan.name,
		role: "haproxy",
		// It stops before them as well, so that they have nobody left to wait for.
		after: plan.nodes.map(({ name }) => name),
		files: [{ path: plan.file, text: renderHaproxy(haproxySettings(plan)) }],
		// A master and its process: on SIGUSR2 a new one takes the listening sockets over, and no client is refused.
		command: { program: plan.program, args: ["-W", "-db", "-f", plan.file] },
		stop: { signal: "SIGTERM", graceMs: 5_000 },
		ready: async () => (await askHttp(HOST, plan.adminPort, READY_PATH)).status === 200,
		async inspect() {
			const text = await metrics();
			const figure = (name: string, proxy: string) =>
				Number(new RegExp(`^${name}\\{proxy="${proxy}"\\} (\\S+)`, "m").exec(text)?.[1] ?? Number.NaN);
			return {
				workersUp: figure("haproxy_backend_active_servers", "http"),
				requestsPerSecond: figure("haproxy_frontend_http_requests_rate", "traffic") || 0,
				clients: figure("haproxy_frontend_current_sessions", "traffic"),
				sockets: figure("haproxy_backend_current_sessions", "tunnels"),
			};
		},
	};
}

function haproxySettings(plan: HaproxyPlan): HaproxySettings {
	const { stack, ports, maxConnections, nodes, workersPerNode } = plan;
	const idleMs = stack.idleSeconds * 1_000;
	return {
		// No drain: on a reload the new process has the ports already. Sockets of the old one may stay for long.
		process: { threads: 1, maxConnections, drainMs: 0, hardStopMs: 3_600_000, log: "problems" },
		binds: [HOST, ...(plan.ipv6 ? ["::1"] : [])].flatMap((address) => bindsOn(address, ports, plan.certificate)),
		admin: { address: HOST, port: plan.adminPort, readyPath: READY_PATH, metricsPath: METRICS_PATH },
		monitorPath: MONITOR_PATH,
		client: { kind: "connection" },
		maxBodyBytes: 10 * 1024 * 1024,
		sticky: { cookie: STICKY_COOKIE, key: stack.stickyKey, secure: false },
		engine: { path: paths.socketIo, sessionParam: ENGINE_SESSION_PARAM, separator: ENGINE_SESSION_SEPARATOR },
		tunnelPaths: lateAnswers,
		cache: { paths: publicPaths, totalMib: 64, maxObjectBytes: 1024 * 1024, maxPerWorker: 32 },
		http: { maxPerWorker: stack.requestsPerWorker, maxQueuePerWorker: stack.requestsPerWorker },
		tunnels: { maxPerWorker: maxConnections },
		check: {
			path: paths.ready,
			intervalMs: 500,
			fastIntervalMs: 250,
			downIntervalMs: 250,
			timeoutMs: 1_000,
			rise: 1,
			fall: 2,
		},
		timeouts: {
			connectMs: 1_000,
			clientMs: idleMs,
			serverMs: stack.responseSeconds * 1_000,
			pollMs: idleMs,
			tunnelMs: idleMs,
			requestMs: stack.headerSeconds * 1_000,
			keepAliveMs: idleMs,
			queueMs: stack.queueSeconds * 1_000,
			clientFinMs: 10_000,
		},
		workers: {
			kind: "addresses",
			servers: nodes.flatMap(({ name, address }) =>
				workerPorts(workersPerNode).map((port, index) => ({ name: `${name}-w${index + 1}`, host: address, port })),
			),
		},
	};
}

function bindsOn(address: string, ports: HaproxyPlan["ports"], certificate: string): HaproxyBind[] {
	return [
		{ address, port: ports.http, tls: null, mount: null },
		{ address, port: ports.tls, tls: { certificate }, mount: null },
		{ address, port: ports.sync, tls: null, mount: paths.sync },
		{ address, port: ports.mcp, tls: null, mount: paths.mcp },
	];
}
