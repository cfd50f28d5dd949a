/** A worker's HTTP server with its sockets, on a free loopback port, for the tests of this folder. */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { Services } from "../ports.ts";
import { type SocketLimits, type SocketSettings, socketLimits } from "./settings.ts";
import { attachSockets, type Sockets } from "./sockets.ts";

export interface TestWorker {
	readonly server: Server;
	readonly sockets: Sockets;
	readonly port: number;
	/** `127.0.0.1:<port>`, which is also the one host it answers to. */
	readonly host: string;
	/** What the observer was told, a line each. */
	readonly observed: string[];
	stop(): Promise<void>;
}

export const ORIGIN = "https://flow.example";

/** @param changes settings that differ from a production worker's */
export async function startWorker(
	services: Services,
	changes: Partial<Omit<SocketSettings, "limits">> & { readonly limits?: Partial<SocketLimits> } = {},
): Promise<TestWorker> {
	const server = createServer((_request, response) => response.end("plain"));
	await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
	const { port } = server.address() as AddressInfo;
	const host = `127.0.0.1:${port}`;
	const observed: string[] = [];
	const sockets = attachSockets(
		server,
		services,
		{
			version: "1.2.3",
			worker: { stickyKey: "key", address: "127.0.0.1", port },
			origins: { isOurs: (name) => name === host, isAllowed: (origin) => origin === ORIGIN },
			legacy: null,
			sessionOf: ({ headers }) => /session=([^;]+)/.exec(headers.cookie ?? "")?.[1] ?? null,
			addressOf: ({ headers, socket }) => String(headers["x-forwarded-for"] ?? socket.remoteAddress),
			redis: null,
			performance: () => null,
			pingMs: 25_000,
			pingTimeoutMs: 20_000,
			...changes,
			limits: { ...socketLimits, ...changes.limits },
		},
		{
			opened: (protocol) => observed.push(`opened ${protocol}`),
			closed: (protocol, code) => observed.push(`closed ${protocol} ${code}`),
			refused: (reason) => observed.push(`refused ${reason}`),
			delivered: () => {},
			resumed: (events) => observed.push(`resumed ${events}`),
			gap: () => observed.push("gap"),
			fault: (where, error) => observed.push(`fault ${where} ${error}`),
		},
	);
	return {
		server,
		sockets,
		port,
		host,
		observed,
		async stop() {
			await sockets.drain(200);
			server.closeAllConnections();
			await new Promise((resolve) => server.close(resolve));
		},
	};
}
