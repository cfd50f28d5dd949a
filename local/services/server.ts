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

/** A pod of the server's: what it is called, where it is, and when it is told what. */
export interface PodPlan {
	readonly name: string;
	readonly address: string;
	readonly environment: Environment;
	readonly drainSeconds: number;
	readonly after: readonly string[];
}

export interface NodePlan extends PodPlan {
	readonly workers: number;
}

/** A pod's one process, in whatever role: it drains when it is told to stop. */
function podService(role: "server" | "jobs" | "terminal-host", { name, environment, drainSeconds, after }: PodPlan) {
	return {
		...plainService,
		name,
		after,
		command: serverCommand(role, environment),
		stop: { signal: "SIGTERM" as const, graceMs: (drainSeconds + 10) * 1_000 },
	};
}

async function isReady(address: string): Promise<boolean> {
	return (await askHttp(address, ports.pod, paths.ready)).status === 200;
}

/** A job worker. */
export function jobWorkerService(plan: PodPlan): Service {
	const { address } = plan;
	return {
		...podService("jobs", plan),
		role: "jobs",
		startMs: 60_000,
		ready: () => isReady(address),
		inspect: async () => ({ address }),
	};
}

/** A terminal host: no child of a node's, so that a reload of the nodes leaves users' shells alone. */
export function terminalHostService(plan: PodPlan): Service {
	const { address } = plan;
	return {
		...podService("terminal-host", plan),
		role: "terminal-host",
		ready: () => isReady(address),
		async inspect() {
			const { body } = await askHttp(address, ports.pod + ports.metricsOffset, paths.metrics);
			return { address, terminals: Number(/^terminal_sessions (\d+)/m.exec(body)?.[1] ?? 0) };
		},
	};
}

/** A node: the image's entry process, with PM2 and its workers below. */
export function nodeService(plan: NodePlan): Service {
	const { address, workers } = plan;
	const counts = async () => {
		const { body } = await askHttp(address, ports.pod, paths.ready);
		return (JSON.parse(body) as { workers: { ready: number } }).workers;
	};
	return {
		...podService("server", plan),
		role: "node",
		startMs: 60_000,
		ready: async () => (await counts()).ready === workers,
		async inspect() {
			const { ready } = await counts();
			return { address, workers: `${ready}/${workers} ready` };
		},
	};
}
