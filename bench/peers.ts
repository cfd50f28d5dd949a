/** Who the subject is compared with: each is a process, or several, on ports of its own. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ENGINE_SESSION_PARAM, ENGINE_SESSION_SEPARATOR, lateAnswers, paths, publicPaths, STICKY_COOKIE } from "../app/contract.ts";
import { renderHaproxy } from "../core/haproxy.ts";
import { type Child, startChild, startProgram } from "./kit/child.ts";
import { familyOf } from "./kit/proc.ts";

/** Ports of peers: well away from those of the topology and of the kernel's own choice. */
export const peerPorts = {
	raw: 25_001,
	balanced: 25_100,
	balancedAdmin: 25_101,
	classic: 25_200,
	sockets: 25_300,
	redis: 25_400,
	collector: 25_500,
} as const;

const folder = path.join(import.meta.dirname, "peers");

export const peerFile = (name: string) => path.join(folder, `${name}.ts`);

export function startCollector(): Promise<Child> {
	return startChild(peerFile("collector"), [peerPorts.collector]);
}

export interface Balanced {
	/** Of HAProxy, and of the processes behind it. */
	readonly haproxy: number[];
	readonly servers: readonly number[];
	stop(): Promise<void>;
}

/**
 * HAProxy before some processes of one kind, configured by the very text that the topology's has: what differs is who answers.
 *
 * @param start starts the process that is to listen on 127.0.0.1 and this port
 */
export async function startBalanced(count: number, start: (port: number) => Promise<Child>): Promise<Balanced> {
	const ports = Array.from({ length: count }, (_, index) => peerPorts.raw + 1 + index);
	const servers = await Promise.all(ports.map(start));
	const scratch = mkdtempSync(path.join(tmpdir(), "af-bench-haproxy-"));
	const file = path.join(scratch, "haproxy.cfg");
	writeFileSync(file, configuration(ports));
	const haproxy = startProgram("haproxy", ["-db", "-f", file]);
	const stop = async () => {
		await haproxy.stop();
		await Promise.all(servers.map((server) => server.stop()));
		rmSync(scratch, { recursive: true, force: true });
	};
	const answers = () =>
		fetch(`http://127.0.0.1:${peerPorts.balanced}/`).then(
			({ status }) => status === 200,
			() => false,
		);
	for (const deadline = Date.now() + 10_000; !(await answers()); await sleep(50)) {
		if (Date.now() < deadline) continue;
		await stop();
		throw new Error(`HAProxy before the peers does not get ready: ${haproxy.output()}`);
	}
	return { haproxy: familyOf([haproxy.pid]), servers: servers.map(({ pid }) => pid), stop };
}

/** As local/services/haproxy.ts has it, with the numbers of the dev stack. */
function configuration(ports: readonly number[]): string {
	return renderHaproxy({
		process: { threads: 1, maxConnections: 9_000, drainMs: 0, hardStopMs: 3_600_000, log: "problems" },
		binds: [{ address: "127.0.0.1", port: peerPorts.balanced, tls: null, mount: null }],
		admin: { address: "127.0.0.1", port: peerPorts.balancedAdmin, readyPath: "/ready", metricsPath: "/metrics" },
		monitorPath: "/.haproxy/health",
		client: { kind: "connection" },
		maxBodyBytes: 10 * 1024 * 1024,
		sticky: { cookie: STICKY_COOKIE, key: "bench-key", secure: false },
		engine: { path: paths.socketIo, sessionParam: ENGINE_SESSION_PARAM, separator: ENGINE_SESSION_SEPARATOR },
		tunnelPaths: lateAnswers,
		cache: { paths: publicPaths, totalMib: 64, maxObjectBytes: 1024 * 1024, maxPerWorker: 32 },
		http: { maxPerWorker: 128, maxQueuePerWorker: 128 },
		tunnels: { maxPerWorker: 9_000 },
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
			clientMs: 90_000,
			serverMs: 60_000,
			pollMs: 90_000,
			tunnelMs: 90_000,
			requestMs: 10_000,
			keepAliveMs: 90_000,
			queueMs: 5_000,
			clientFinMs: 10_000,
		},
		workers: { kind: "addresses", servers: ports.map((port, index) => ({ name: `w${index + 1}`, host: "127.0.0.1", port })) },
	});
}
