import type { Server } from "node:http";
import net, { type Socket } from "node:net";

const LOOK_MS = 50;

/**
 * Prepares a server to be drained; to be called before it listens.
 *
 * @returns what drains it: it stops accepting connections, and lets those that are open end by themselves. Whatever is asked
 *   on them is answered, and the answer closes them. Those that stay idle are closed after `lingerMs`, when a balancer has
 *   had time to forget them; at once, a request could be on its way. Resolves when every connection is closed, upgraded ones too.
 */
export function drainable(server: Server): (lingerMs: number) => Promise<void> {
	const sockets = new Set<Socket>();
	function forget(this: Socket): void {
		sockets.delete(this);
	}
	server.on("connection", (socket) => {
		sockets.add(socket);
		socket.once("close", forget);
	});
	return (lingerMs) => {
		server.prependListener("request", (_request, response) => {
			response.shouldKeepAlive = false;
		});
		const closed = new Promise<void>((resolve) => server.once("close", resolve));
		// Who has connected and is not accepted yet would be reset: a turn of the event loop accepts whoever waits.
		// Not the HTTP server's own close: that closes idle connections at once.
		setImmediate(() => setImmediate(() => net.Server.prototype.close.call(server)));
		const start = performance.now();
		const look = setInterval(() => {
			if (performance.now() - start < lingerMs) return;
			server.closeIdleConnections();
			// Opened in advance, and never used: these do not count as idle.
			for (const socket of sockets) if (socket.bytesRead === 0) socket.destroy();
		}, LOOK_MS);
		return closed.finally(() => clearInterval(look));
	};
}
