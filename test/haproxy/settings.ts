import { ENGINE_SESSION_PARAM, ENGINE_SESSION_SEPARATOR, lateAnswers, paths, publicPaths, STICKY_COOKIE } from "../../app/contract.ts";
import type { HaproxySettings, HaproxyWorkers } from "../../core/haproxy/settings.ts";
import { freePort } from "./daemon.ts";
import type { Worker } from "./workers.ts";

/** Settings of a small HAProxy on free ports, with the given parts replaced. */
export async function settingsFor(workers: HaproxyWorkers, changes: Partial<HaproxySettings> = {}): Promise<HaproxySettings> {
	return {
		process: { threads: 2, maxConnections: 2_000, drainMs: 1_500, hardStopMs: 1_500, log: "all" },
		binds: [{ address: "127.0.0.1", port: await freePort(), tls: null, mount: null }],
		admin: { address: "127.0.0.1", port: await freePort(), readyPath: "/ready", metricsPath: "/metrics" },
		monitorPath: "/haproxy/health",
		client: { kind: "lastForwardedHop" },
		maxBodyBytes: 10_000,
		sticky: { cookie: STICKY_COOKIE, key: "a-key-of-these-tests", secure: false },
		engine: { path: paths.socketIo, sessionParam: ENGINE_SESSION_PARAM, separator: ENGINE_SESSION_SEPARATOR },
		tunnelPaths: lateAnswers,
		cache: { paths: publicPaths, totalMib: 4, maxObjectBytes: 100_000, maxPerWorker: 2 },
		http: { maxPerWorker: 4, maxQueuePerWorker: 8 },
		tunnels: { maxPerWorker: 600 },
		check: {
			path: paths.ready,
			intervalMs: 300,
			fastIntervalMs: 100,
			downIntervalMs: 300,
			timeoutMs: 1_000,
			rise: 1,
			fall: 2,
		},
		timeouts: {
			connectMs: 1_000,
			clientMs: 20_000,
			serverMs: 5_000,
			pollMs: 20_000,
			tunnelMs: 20_000,
			requestMs: 2_000,
			keepAliveMs: 20_000,
			queueMs: 1_000,
			clientFinMs: 2_000,
		},
		workers,
		...changes,
	};
}

/** Workers on this machine, by address. */
export function addressesOf(workers: readonly Worker[]): HaproxyWorkers {
	return { kind: "addresses", servers: workers.map(({ host, port }, index) => ({ name: `w${index + 1}`, host, port })) };
}

/** Workers of pods, by DNS. */
export function namesIn(namespace: string, nameserverPort: number, slots: number): HaproxyWorkers {
	return {
		kind: "dns",
		service: "workers",
		domain: `${namespace}.svc.cluster.local`,
		portNames: ["w1", "w2", "w3", "w4"],
		slots,
		nameservers: [{ host: "127.0.0.1", port: nameserverPort }],
		resolveIntervalMs: 500,
		retryMs: 300,
		retries: 3,
		holdMs: { obsolete: 500, nx: 30_000, refused: 30_000, timeout: 30_000, other: 30_000 },
	};
}
