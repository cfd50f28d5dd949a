import { ENGINE_SESSION_PARAM, ENGINE_SESSION_SEPARATOR, lateAnswers, paths, publicPaths, STICKY_COOKIE } from "../app/contract.ts";
import type { HaproxySettings } from "../core/haproxy/settings.ts";
import type { PodSize, Shutdown } from "./pod.ts";

/** The container's ports: traffic, and what only the cluster may reach. */
export const haproxyPorts = { traffic: 8080, admin: 8404 } as const;

/** Paths on the admin port. */
export const haproxyPaths = { ready: "/ready", metrics: "/metrics" } as const;

/** How the pods of one stack balance. Seconds, where a name says so. */
export interface HaproxyBalancing {
	/** Pods, each on a node of its own. */
	readonly replicas: number;
	readonly size: PodSize;
	/** `preStop` serves on while the load balancer notices; `drain` is what open connections then have left. */
	readonly shutdown: Shutdown;
	/** Client connections of one pod. */
	readonly maxConnections: number;
	/** The path that the load balancer in front checks. */
	readonly monitorPath: string;
	readonly stickyKey: string;
	/** Whether clients come by HTTPS, and cookies may travel by nothing else. */
	readonly https: boolean;
	readonly workers: {
		/** The headless Service that lists them. */
		readonly service: string;
		readonly namespace: string;
		/** Named ports of the Service, one a worker of a pod, and their numbers. */
		readonly ports: readonly { readonly name: string; readonly port: number }[];
		/** Pods at most. */
		readonly maxPods: number;
		/** Requests under way at one worker at most, while one HAProxy is away. */
		readonly requests: number;
		/** WebSockets at one worker at most, while one HAProxy is away. */
		readonly sockets: number;
	};
	/** How long a new pod has to be ready before the next one goes: by then the load balancer in front has found it. */
	readonly readySeconds: number;
	/** How often each worker is checked. */
	readonly checkSeconds: number;
	/** How often the workers' addresses are looked up. */
	readonly resolveSeconds: number;
	/** How long a worker stays after its address left the DNS. */
	readonly holdSeconds: number;
	readonly timeouts: {
		/** Silence after which a client connection or a tunnel is closed. Above the load balancer's own. */
		readonly idleSeconds: number;
		/** For a worker's answer. */
		readonly responseSeconds: number;
		/** For a free place at a worker. */
		readonly queueSeconds: number;
		/** For a request's headers. */
		readonly headerSeconds: number;
	};
}

/** What a worker of the server takes in one request body, and so what is let through to it. */
const MAX_BODY_BYTES = 10 * 1024 * 1024;

/** While the DNS is away, every known worker stays for this long, and its checks alone decide. */
const DNS_OUTAGE_MS = 60_000;

/** HAProxy's own settings for pods behind the load balancer, which writes the access log and ends TLS. */
export function haproxySettings(balancing: HaproxyBalancing): HaproxySettings {
	const { shutdown, workers, timeouts } = balancing;
	const idleMs = ms(timeouts.idleSeconds);
	const requests = share(workers.requests, balancing);
	return {
		process: {
			threads: Math.ceil(balancing.size.cpuLimitMilli / 1000),
			maxConnections: balancing.maxConnections,
			drainMs: ms(shutdown.preStopSeconds),
			hardStopMs: ms(shutdown.drainSeconds),
			log: "problems",
		},
		binds: [{ address: "*", port: haproxyPorts.traffic, tls: null, mount: null }],
		admin: { address: "*", port: haproxyPorts.admin, readyPath: haproxyPaths.ready, metricsPath: haproxyPaths.metrics },
		monitorPath: balancing.monitorPath,
		client: { kind: "lastForwardedHop" },
		maxBodyBytes: MAX_BODY_BYTES,
		sticky: { cookie: STICKY_COOKIE, key: balancing.stickyKey, secure: balancing.https },
		engine: { path: paths.socketIo, sessionParam: ENGINE_SESSION_PARAM, separator: ENGINE_SESSION_SEPARATOR },
		tunnelPaths: lateAnswers,
		cache: { paths: publicPaths, totalMib: 16, maxObjectBytes: 1024 * 1024, maxPerWorker: 32 },
		http: { maxPerWorker: requests, maxQueuePerWorker: requests },
		tunnels: { maxPerWorker: share(workers.sockets, balancing) },
		check: {
			path: paths.ready,
			intervalMs: ms(balancing.checkSeconds),
			fastIntervalMs: ms(balancing.checkSeconds) / 2,
			downIntervalMs: ms(balancing.checkSeconds),
			timeoutMs: ms(balancing.checkSeconds),
			rise: 2,
			fall: 2,
		},
		timeouts: {
			connectMs: 1_000,
			clientMs: idleMs,
			serverMs: ms(timeouts.responseSeconds),
			pollMs: idleMs,
			tunnelMs: idleMs,
			requestMs: ms(timeouts.headerSeconds),
			keepAliveMs: idleMs,
			queueMs: ms(timeouts.queueSeconds),
			clientFinMs: 10_000,
		},
		workers: {
			kind: "dns",
			service: workers.service,
			domain: `${workers.namespace}.svc.cluster.local`,
			portNames: workers.ports.map(({ name }) => name),
			slots: workers.maxPods,
			nameservers: "resolvConf",
			resolveIntervalMs: ms(balancing.resolveSeconds),
			retryMs: 500,
			retries: 3,
			holdMs: {
				obsolete: ms(balancing.holdSeconds),
				nx: DNS_OUTAGE_MS,
				refused: DNS_OUTAGE_MS,
				timeout: DNS_OUTAGE_MS,
				other: DNS_OUTAGE_MS,
			},
		},
	};
}

/**
 * The grace period of a pod. No margin as other pods have: what is open at the end is cut by HAProxy itself.
 *
 * @throws TypeError when the pod would be killed before that
 */
export function haproxyGrace({ preStopSeconds, drainSeconds, terminationGraceSeconds }: Shutdown): number {
	const needed = preStopSeconds + drainSeconds;
	if (terminationGraceSeconds <= needed)
		throw new TypeError(`a grace of ${terminationGraceSeconds} s is not above the ${needed} s that HAProxy takes to stop`);
	return terminationGraceSeconds;
}

/** One HAProxy's part of what a worker takes: each counts for itself, and with one away the others take it all. */
function share(whole: number, { replicas }: HaproxyBalancing): number {
	return Math.ceil(whole / (replicas - 1));
}

function ms(seconds: number): number {
	return seconds * 1000;
}
