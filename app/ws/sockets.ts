import type { Server } from "node:http";
import { paths } from "../contract.ts";
import { McpServer } from "../mcp/server.ts";
import type { Services } from "../ports.ts";
import { Credentials } from "./credentials.ts";
import { Feeds } from "./feed.ts";
import { Gate } from "./gate.ts";
import type { SocketObserver, SocketSettings } from "./settings.ts";
import { SocketIoServer } from "./socket-io/server.ts";
import { SyncServer } from "./sync/server.ts";
import { routeUpgrades } from "./upgrade.ts";

export interface Sockets {
	/**
	 * Lets nobody in any more, tells those inside to come again elsewhere, spread over most of the time there is, and
	 * settles when all are gone or the time is over. The HTTP server is its owner's to close.
	 */
	drain(deadlineMs: number): Promise<void>;
	/** What is open at this moment. */
	counts(): { readonly sync: number; readonly socketIo: number; readonly mcp: number; readonly workspaces: number };
}

/** Speaks Socket.IO, /sync and /mcp on a worker's HTTP server. To be called after everything else listens for its requests. */
export function attachSockets(server: Server, services: Services, settings: SocketSettings, observe: SocketObserver): Sockets {
	const credentials = new Credentials(services.identity, settings);
	const gate = new Gate(credentials, settings, observe);
	const feeds = new Feeds(services.events, settings.limits.tickMs);
	const context = { services, settings, gate, credentials, feeds, observe };
	const sync = new SyncServer(context);
	const socketIo = new SocketIoServer(context);
	const mcp = new McpServer(context);
	routeUpgrades(server, gate, {
		sync: { path: paths.sync, take: (...upgrade) => sync.take(...upgrade) },
		socketIo: {
			path: paths.socketIo,
			take: (...upgrade) => socketIo.take(...upgrade),
			resume: (...upgrade) => socketIo.resume(...upgrade),
		},
		mcp: { path: paths.mcp, take: (...upgrade) => mcp.take(...upgrade) },
	});
	socketIo.serve(server);
	const sweeper = setInterval(() => {
		const now = Date.now();
		credentials.sweep(now);
		sync.sweep(now);
		feeds.sweep(now);
	}, SWEEP_MS);
	sweeper.unref();

	return {
		async drain(deadlineMs) {
			const end = performance.now() + deadlineMs;
			gate.closing = true;
			await Promise.all([sync, socketIo, mcp].map((protocol) => protocol.drain(deadlineMs * SPREAD)));
			// The last ones may still be saying good-bye.
			const left = () => sync.sockets + socketIo.connections + mcp.sockets;
			while (left() > 0 && performance.now() < end) await new Promise((resolve) => setTimeout(resolve, 20));
			clearInterval(sweeper);
			sync.close();
			mcp.close();
			await socketIo.close();
			feeds.close();
			credentials.close();
		},
		counts: () => ({ sync: sync.sockets, socketIo: socketIo.connections, mcp: mcp.sockets, workspaces: feeds.size }),
	};
}

/** How often ended credentials and slow clients are looked for. */
const SWEEP_MS = 1_000;

/** The part of the time for a drain in which clients are sent away; the rest is for them to go. */
const SPREAD = 0.7;
