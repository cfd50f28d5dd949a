/** The server's own processes: the migration, and the nodes with their PM2. */
import path from "node:path";
import { commandOf, paths, ports } from "../../app/contract.ts";
import { askHttp } from "./ask.ts";
import { type Command, plainService, type Service } from "./service.ts";

const app = path.join(import.meta.dirname, "..", "..", "app");

/** What every process of the server is told. */
export type Environment = Readonly<Record<string, string>>;

/** One process of the server in a role, as the image runs it. */
export function serverCommand(role: Parameters<typeof commandOf>[0], environment: Environment): Command {
	const [, file = "", ...args] = commandOf(role);
	return { program: process.execPath, args: [path.join(app, file), ...args], env: environment };
}

export function migrateService(environment: Environment, after: readonly string[]): Service {
	return {
		...plainService,
		name: "migrate",
		role: "migrate",
		after,
		command: serverCommand("migrate", environment),
		once: true,
		ready: async () => true,
		inspect: async () => ({}),
	};
}

export interface JobWorkerPlan {
	readonly name: string;
	readonly address: string;
	readonly environment: Environment;
	readonly drainSeconds: number;
	readonly after: readonly string[];
}

/** A job worker: one process, as in its pod. */
export function jobWorkerService({ name, address, environment, drainSeconds, after }: JobWorkerPlan): Service {
	return {
		...plainService,
		name,
		role: "jobs",
		after,
		command: serverCommand("jobs", environment),
		stop: { signal: "SIGTERM", graceMs: (drainSeconds + 10) * 1_000 },
		startMs: 60_000,
		ready: async () => (await askHttp(address, ports.pod, paths.ready)).status === 200,
		inspect: async () => ({ address }),
	};
}

export interface NodePlan {
	readonly name: string;
	readonly address: string;
	readonly workers: number;
	readonly environment: Environment;
	readonly drainSeconds: number;
	readonly after: readonly string[];
}

export interface TerminalHostPlan {
	readonly name: string;
	readonly address: string;
	readonly environment: Environment;
	readonly drainSeconds: number;
	readonly after: readonly string[];
}

/** A terminal host: no child of a node's, so that a reload of the nodes leaves users' shells alone. */
export function terminalHostService({ name, address, environment, drainSeconds, after }: TerminalHostPlan): Service {
	return {
		...plainService,
		name,
		role: "terminal-host",
		after,
		command: serverCommand("terminal-host", environment),
		stop: { signal: "SIGTERM", graceMs: (drainSeconds + 10) * 1_000 },
		ready: async () => (await askHttp(address, ports.pod, paths.ready)).status === 200,
		async inspect() {
			const { body } = await askHttp(address, ports.pod + ports.metricsOffset, paths.metrics);
			return { address, terminals: Number(/^terminal_sessions (\d+)/m.exec(body)?.[1] ?? 0) };
		},
	};
}

/** A node: the image's entry process, with PM2 and its workers below. */
export function nodeService({ name, address, workers, environment, drainSeconds, after }: NodePlan): Service {
	const counts = async () => {
		const { body } = await askHttp(address, ports.pod, paths.ready);
		return (JSON.parse(body) as { workers: { ready: number } }).workers;
	};
	return {
		...plainService,
		name,
		role: "node",
		after,
		command: serverCommand("server", environment),
		stop: { signal: "SIGTERM", graceMs: (drainSeconds + 10) * 1_000 },
		startMs: 60_000,
		ready: async () => (await counts()).ready === workers,
		async inspect() {
			const { ready } = await counts();
			return { address, workers: `${ready}/${workers} ready` };
		},
	};
}
