/** What the server is told here, under the names of its contract. */
import { env } from "../app/contract.ts";
import { HOST, type Ports, replicaPorts } from "./place.ts";
import type { Environment } from "./services/server.ts";
import type { Ingredients } from "./topology.ts";

/** The name Sentinel has for the state's servers. */
export const REDIS_GROUP = "state";

export const DRAIN_SECONDS = 10;

/** Of a terminal host: whoever takes the topology down means the shells as well. */
export const TERMINAL_DRAIN_SECONDS = 5;

/**
 * A worker refuses requests from this delay of its event loop. Far more than in the cluster: all nodes share one machine's
 * processors here, and a worker that starts makes the others late.
 */
const SHED_DELAY_MS = 500;

/** A worker's memory before PM2 replaces it, MiB: what a pod of the default size gives it, or less on a small machine. */
const WORKER_MEMORY_MIB = 512;

/** What every process of the server is told, as the stack's pods are. */
export function serverEnvironment({ config, settings, layout, ports }: Ingredients): Environment {
	const { loadBalancer, postgres, app } = config;
	const { timeouts } = loadBalancer;
	const at = (port: number) => `${HOST}:${port}`;
	const names = ["localhost", HOST];
	const hosts = [ports.http, ports.sync, ports.mcp, ports.tls].flatMap((port) => names.map((name) => `${name}:${port}`));
	const origins = names.flatMap((name) => [`http://${name}:${ports.http}`, `https://${name}:${ports.tls}`]);
	const values: { [S in keyof typeof env]?: string | number | boolean } = {
		secretsDir: layout.secrets,
		workerMemoryMib: WORKER_MEMORY_MIB,
		drainSeconds: DRAIN_SECONDS,
		stickyKey: loadBalancer.stickyKey,
		publicOrigin: originOf(ports),
		allowedHosts: hosts.join(","),
		allowedOrigins: [...new Set([...origins, ...UI_ORIGINS, ...app.allowedOrigins])].join(","),
		pingSeconds: timeouts.pingSeconds,
		keepAliveSeconds: timeouts.keepAliveSeconds,
		terminals: true,
		redisState: `sentinel:${REDIS_GROUP}@${at(ports.sentinel)}`,
		redisCache: at(ports.redisCache),
		redisTls: false,
		postgresPrimary: at(ports.postgresPrimary),
		postgresReplicas: replicaPorts(ports, config.postgres.replicas).map(at).join(","),
		postgresDatabase: DATABASE,
		postgresTls: false,
		poolPrimary: postgres.poolPrimary,
		poolReplica: postgres.poolReplica,
		retentionMonths: app.retentionMonths,
	};
	const contract = Object.fromEntries(Object.entries(values).map(([setting, value]) => [env[setting as keyof typeof env], String(value)]));
	return {
		...contract,
		SHED_DELAY_MS: String(SHED_DELAY_MS),
		...(settings.legacyOpen ? { LEGACY_OPEN: "1" } : {}),
		// A token is proof enough; whoever has none would run commands on this machine by a page that knows where it is.
		...(settings.legacyOpen && settings.allowShell ? { ANONYMOUS_SHELL: "1" } : {}),
		...(settings.traces === null ? {} : { OTEL_EXPORTER_OTLP_ENDPOINT: settings.traces }),
		...settings.env,
	};
}

/** The server's database. */
export const DATABASE = "agentic_flow";

/** Where the original's user interface is served from. */
const UI_ORIGINS = [5173, 5174, 3000].flatMap((port) => [`http://localhost:${port}`, `http://${HOST}:${port}`]);

/** Where a browser finds the server. */
export function originOf({ http }: Pick<Ports, "http">): string {
	return `http://localhost:${http}`;
}
