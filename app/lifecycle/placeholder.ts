/** A role that this build has no work for: it says so, and is healthy, so that what is deployed with it is not held up. */
import { createServer } from "node:http";
import { readPlainConfig } from "../config.ts";
import { paths, ports, type Role } from "../contract.ts";
import { createLog } from "../observe/log.ts";
import { createMetrics } from "../observe/metrics.ts";
import { serveMetrics } from "./metrics-server.ts";
import { stopOnOrder } from "./stop.ts";

const DRAIN_MS = 1_000;

/** @throws ConfigError with every fault */
export async function runPlaceholder(role: Role, environment: NodeJS.ProcessEnv): Promise<void> {
	const config = readPlainConfig(environment);
	const { log, flush } = createLog(config.log, role, config.version);
	const message = `this build has nothing to do for the role ${role}`;
	const server = createServer((request, response) => {
		const known = request.url === paths.live || request.url === paths.ready;
		response.writeHead(known ? 200 : 404, { "Content-Type": "application/json", "Cache-Control": "no-store" });
		response.end(JSON.stringify(known ? { status: "idle", message } : { error: "Not Found" }));
	});
	const releaseMetrics = serveMetrics(createMetrics(), config.address, config.port + ports.metricsOffset, log);
	stopOnOrder(process, {
		drainMs: DRAIN_MS,
		log,
		last: flush,
		async drain() {
			releaseMetrics();
			server.close();
			server.closeAllConnections();
		},
	});
	await new Promise<void>((resolve, reject) => server.once("error", reject).listen(config.port, config.address, resolve));
	log.warn(message);
}
