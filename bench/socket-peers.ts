/** Peers that hold WebSockets, and the Redis between them. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Redis } from "ioredis";
import type { Context } from "./context.ts";
import { startProgram } from "./kit/child.ts";
import { peerFile, peerPorts } from "./peers.ts";

/** A Redis of the peers' own. @param durable with an append-only file, written once a second */
export async function startRedisPeer({
	durable = false,
} = {}): Promise<{ readonly port: number; readonly pid: number; stop(): Promise<void> }> {
	const port = peerPorts.redis;
	const folder = mkdtempSync(path.join(tmpdir(), "af-bench-redis-"));
	const server = startProgram("redis-server", [
		"--bind",
		"127.0.0.1",
		"--port",
		String(port),
		"--save",
		"",
		"--appendonly",
		durable ? "yes" : "no",
		"--dir",
		folder,
	]);
	const stop = async () => {
		await server.stop();
		rmSync(folder, { recursive: true, force: true });
	};
	for (const deadline = Date.now() + 10_000; !(await answers(port)); await sleep(50)) {
		if (Date.now() < deadline) continue;
		await stop();
		throw new Error(`the peers' Redis does not get ready: ${server.output()}`);
	}
	return { port, pid: server.pid, stop };
}

async function answers(port: number): Promise<boolean> {
	const redis = new Redis(port, { lazyConnect: true, retryStrategy: () => null });
	redis.on("error", () => {});
	try {
		await redis.connect();
		return (await redis.ping()) === "PONG";
	} catch {
		return false;
	} finally {
		redis.disconnect();
	}
}

export interface SocketPeers {
	readonly ports: readonly number[];
	readonly pids: readonly number[];
}

/** Garbage is collected when it is told to: see kit/collect-on-signal.mjs. */
export const COLLECTING = `--import=${path.join(import.meta.dirname, "kit", "collect-on-signal.mjs")}`;

/** @param redisPort 0 for a process that knows no other */
export async function startSocketPeers(
	context: Context,
	kind: "socket-io" | "raw-ws",
	count: number,
	redisPort: number,
): Promise<SocketPeers> {
	const first = peerPorts.sockets + (kind === "socket-io" ? 0 : 50);
	const ports = Array.from({ length: count }, (_, index) => first + index);
	const args = kind === "raw-ws" ? ["coalescing"] : [];
	const children = await Promise.all(
		ports.map((port) => context.child(peerFile(kind), [port, redisPort, ...args], { nodeOptions: [COLLECTING] })),
	);
	return { ports, pids: children.map(({ pid }) => pid) };
}
