import { createServer, get } from "node:http";
import { paths } from "../contract.ts";

/**
 * Answers the probes of a process that serves nothing else.
 *
 * @param state `ready` for work; `draining` for none that is new
 * @returns the way to let go of the port
 * @throws where it is taken
 */
export async function serveProbes(address: string, port: number, state: () => "ready" | "draining"): Promise<() => void> {
	const server = createServer((request, response) => {
		const known = request.url === paths.live || request.url === paths.ready;
		const status = known ? (request.url === paths.ready && state() !== "ready" ? 503 : 200) : 404;
		response.writeHead(status, { "Content-Type": "application/json", "Cache-Control": "no-store" });
		response.end(JSON.stringify(known ? { status: state(), timestamp: new Date().toISOString() } : { error: "Not Found" }));
	});
	await new Promise<void>((resolve, reject) => server.once("error", reject).listen(port, address, resolve));
	return () => {
		server.close();
		server.closeAllConnections();
	};
}

/** A probe that is not answered by then has failed, milliseconds. */
const PROBE_MS = 2_000;

/** What a process answers when it is asked whether it is ready: a status, or null where nobody answers. */
export function askReady(host: string, port: number): Promise<number | null> {
	return new Promise((resolve) => {
		// By the name that probes have: a worker answers to no address.
		const headers = { host: "health" };
		const request = get({ host, port, path: paths.ready, headers, agent: false, timeout: PROBE_MS }, (response) => {
			response.resume();
			resolve(response.statusCode ?? null);
		});
		request.once("timeout", () => request.destroy(new Error("no answer")));
		request.once("error", () => resolve(null));
	});
}
