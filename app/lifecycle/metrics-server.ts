import { createServer, type Server } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { paths } from "../contract.ts";
import type { Log } from "../observe/log.ts";

const RETRY_MS = 250;

/** What there is to serve. */
export interface Figures {
	readonly contentType: string;
	text(): Promise<string>;
}

/**
 * Serves metrics on a port of its own: never shared with the worker that this one replaces, which lets go of it when it
 * begins to drain. Until then it is tried again.
 *
 * @returns the way to let go of the port
 */
export function serveMetrics(figures: Figures, host: string, port: number, log: Log): () => void {
	let current: Server | null = null;
	let open = true;
	const attempt = async () => {
		for (let tries = 0; open; tries += 1) {
			const server = answering(figures);
			current = server;
			const error = await listening(server, host, port);
			if (error === null) return;
			if (tries === 0 && error.code !== "EADDRINUSE") log.error({ err: error }, "metrics cannot be served; trying again");
			await sleep(RETRY_MS, undefined, { ref: false });
		}
	};
	void attempt();
	return () => {
		open = false;
		current?.close();
		current?.closeAllConnections();
	};
}

function answering(figures: Figures): Server {
	return createServer((request, response) => {
		if (request.method !== "GET" || request.url !== paths.metrics) {
			response.writeHead(404).end();
			return;
		}
		figures.text().then(
			(text) => response.writeHead(200, { "Content-Type": figures.contentType }).end(text),
			() => response.writeHead(500).end(),
		);
	});
}

function listening(server: Server, host: string, port: number): Promise<NodeJS.ErrnoException | null> {
	return new Promise((resolve) => {
		server.once("error", resolve);
		// Exclusive: PM2's workers would else share it with each other, and a scrape would meet either.
		server.listen({ host, port, exclusive: true }, () => resolve(null));
	});
}
