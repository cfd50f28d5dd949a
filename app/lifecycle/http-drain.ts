import type { Server } from "node:http";
import net, { type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

const LOOK_MS = 50;

/** How a server is drained. */
export interface DrainPlan {
	/**
	 * Milliseconds in which whoever sends requests hears that there is another place for them, and forgets connections that it
	 * does not use.
	 */
	readonly lingerMs: number;
	/** Whether this process is not needed at its port any more: another one listens there as well, or has to. */
	readonly released: () => Promise<boolean>;
}

/**
 * Prepares a server to be drained; to be called before it listens.
 *
 * @returns what drains it. It accepts connections for as long as somebody may still come and there is nobody else: those that
 *   the kernel has made and nobody has accepted are reset when the last process closes the port, with the requests on them.
 *   Then it lets those that are open end by themselves. Whatever is asked on them is answered, and the answer closes them.
 *   Those that stay idle are closed after `lingerMs`; at once, a request could be on its way. Resolves when every connection is
 *   closed, upgraded ones too.
 */
export function drainable(server: Server): (plan: DrainPlan) => Promise<void> {
	const sockets = new Set<Socket>();
	function forget(this: Socket): void {
		sockets.delete(this);
	}
	server.on("connection", (socket) => {
		sockets.add(socket);
		socket.once("close", forget);
	});
	return async ({ lingerMs, released }) => {
		server.prependListener("request", (_request, response) => {
			response.shouldKeepAlive = false;
		});
		const end = performance.now() + lingerMs;
		while (performance.now() < end && !(await released())) await sleep(LOOK_MS);
		const closed = new Promise<void>((resolve) => server.once("close", resolve));
		// Not the HTTP server's own close: that closes idle connections at once.
		net.Server.prototype.close.call(server);
		const look = setInterval(() => {
			if (performance.now() < end) return;
			server.closeIdleConnections();
			// Opened in advance, and never used: these do not count as idle.
			for (const socket of sockets) if (socket.bytesRead === 0) socket.destroy();
		}, LOOK_MS);
		return closed.finally(() => clearInterval(look));
	};
}
