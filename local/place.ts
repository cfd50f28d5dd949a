/** Where a local topology is on this machine: its addresses, ports and files. Pure. */
import path from "node:path";
import { ports as contract } from "../app/contract.ts";

export const HOST = "127.0.0.1";

/** Ports of 127.0.0.1, all derived from the one that HTTP has. */
export interface Ports {
	readonly http: number;
	/** What the original's clients have written into them: `/sync` and `/mcp`, each on a port of its own. */
	readonly sync: number;
	readonly mcp: number;
	/** HTTPS, with a certificate made here. */
	readonly tls: number;
	readonly redisState: readonly [number, number];
	readonly sentinel: number;
	readonly redisCache: number;
	readonly postgresPrimary: number;
	readonly postgresStandby: number;
	postgresReplica(index: number): number;
	readonly prometheus: number;
	readonly alertmanager: number;
	/** Of the load balancer's process `index`, for its metrics. */
	haproxyAdmin(index: number): number;
}

/** The default, 3001, gives 3007, 3008 and 3443, and 4001 to 4050 for what only the platform uses. */
export function portsFrom(http: number): Ports {
	const inner = http + 1_000;
	return {
		http,
		sync: http + (contract.native.sync - contract.native.http),
		mcp: http + (contract.native.mcp - contract.native.http),
		tls: http + 442,
		redisState: [inner, inner + 1],
		sentinel: inner + 2,
		redisCache: inner + 3,
		postgresPrimary: inner + 10,
		postgresStandby: inner + 11,
		postgresReplica: (index) => inner + 12 + index,
		prometheus: inner + 20,
		alertmanager: inner + 21,
		haproxyAdmin: (index) => inner + 30 + index,
	};
}

/** Where the replicas are that are read from. */
export function replicaPorts(ports: Ports, count: number): number[] {
	return Array.from({ length: count }, (_, index) => ports.postgresReplica(index));
}

/**
 * A node's address. Each node has one, as pods do, so that every node uses the ports of a pod. Topologies on different
 * ports have different blocks of them.
 */
export function nodeAddress(http: number, node: number): string {
	return `127.0.${1 + ((http - contract.native.http + 251 * 256) % 251)}.${node}`;
}

/** A job worker's address, in the block of the nodes' and beyond them. */
export function jobWorkerAddress(http: number, worker: number): string {
	return nodeAddress(http, 100 + worker);
}

/** A terminal host's address: one a node, out of the nodes' and the job workers' way. */
export function terminalHostAddress(http: number, node: number): string {
	return nodeAddress(http, 200 + node);
}

/** Files and folders below the topology's one folder. */
export function layout(folder: string) {
	const at = (...parts: string[]) => path.join(folder, ...parts);
	return {
		folder,
		/** What runs, and with which settings. */
		state: at("state.json"),
		/** Where the supervisor is told what to do. */
		control: at("control.sock"),
		logs: at("logs"),
		log: (service: string) => at("logs", `${service}.log`),
		secrets: at("secrets"),
		certificate: at("tls", "origin.pem"),
		/** The token that `up` shows, for curl. */
		token: at("token.json"),
		/** Which of the two PostgreSQL data folders is the primary's. */
		postgresActive: at("postgres", "active"),
		postgresData: (name: string) => at("postgres", name),
		redis: (name: string) => at("redis", name),
		haproxy: (index: number) => at("haproxy", `${index}.cfg`),
		node: (node: number) => at("nodes", `${node}`),
		/** Homes of the shells of a terminal host. */
		terminalHomes: (node: number) => at("terminals", `${node}`),
		prometheus: at("prometheus"),
		alertmanager: at("alertmanager"),
		rsyslog: at("rsyslog"),
		/** What `down --volumes` deletes. */
		data: [
			at("postgres"),
			at("redis"),
			at("prometheus"),
			at("alertmanager"),
			at("rsyslog"),
			at("token.json"),
			at("secrets"),
			at("nodes"),
			at("terminals"),
		],
	};
}

export type Layout = ReturnType<typeof layout>;
