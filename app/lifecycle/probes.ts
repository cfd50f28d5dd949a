import { createServer } from "node:http";
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
