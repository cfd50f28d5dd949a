/** Whether this machine can run a topology, and how to help where it cannot. */
import { createServer } from "node:net";
import os from "node:os";
import { ports as contract, workerPorts } from "../app/contract.ts";
import type { StackConfig } from "../stacks/config.ts";
import { findPrograms, firstShellUid, hasIpv6, openFiles, type Programs, postgresUser, versionOf, which } from "./machine.ts";
import { HOST, type Layout, nodeAddress, type Ports, replicaPorts, terminalHostAddress } from "./place.ts";
import { freeMib, LEAST_MIB } from "./prepare.ts";
import { haproxyProcesses } from "./services/haproxy.ts";
import { type LocalSettings, socketsOf, workersOf } from "./settings.ts";
import type { Machine } from "./topology.ts";

export interface Finding {
	readonly at: string;
	/** `bad` stops `up`; `poor` means that something will be missing. */
	readonly is: "good" | "poor" | "bad";
	readonly what: string;
	readonly fix: string | null;
}

export interface Diagnosis {
	readonly findings: readonly Finding[];
	/** Null where something is bad. */
	readonly machine: (Machine & { readonly openssl: string }) | null;
}

/** Oldest versions that do: HAProxy's dynamic cookies with `http-error`, Redis' ACLs, PostgreSQL's `FIRST 1`. */
const OLDEST = { haproxy: 2.6, redis: 7, postgres: 15 } as const;

/** MiB that a worker takes, a terminal host without shells, and everything else together. */
const WORKER_MIB = 130;
const TERMINAL_HOST_MIB = 70;
const REST_MIB = 700;

/**
 * @param isUp whether the topology runs: then its ports are busy because of itself
 */
export async function diagnose(
	{ config, settings, layout, ports }: { config: StackConfig; settings: LocalSettings; layout: Layout; ports: Ports },
	isUp: boolean,
): Promise<Diagnosis> {
	const programs = findPrograms();
	const openssl = which("openssl");
	const user = postgresUser();
	const findings = [
		platform(),
		...programFindings(programs, openssl),
		...forwardingFindings(programs, settings),
		...(user === null
			? [bad("user postgres", "is missing, and PostgreSQL refuses to run as root", "apt-get install postgresql makes it")]
			: []),
		filesFinding(config, settings),
		memoryFinding(config, settings),
		diskFinding(layout),
		...(isUp ? [] : await portFindings(config, settings, ports)),
	];
	const { haproxy, redis, postgres, prometheus, alertmanager, rsyslog } = programs;
	if (findings.some(({ is }) => is === "bad") || !haproxy || !redis || !postgres || !openssl || user === null)
		return { findings, machine: null };
	return {
		findings,
		machine: {
			programs: { haproxy, redis, postgres, prometheus, alertmanager, rsyslog },
			openFiles: openFiles(),
			postgresUser: user,
			firstShellUid: firstShellUid(),
			ipv6: hasIpv6(),
			openssl,
		},
	};
}

function good(at: string, what: string): Finding {
	return { at, is: "good", what, fix: null };
}

function bad(at: string, what: string, fix: string): Finding {
	return { at, is: "bad", what, fix };
}

function poor(at: string, what: string, fix: string): Finding {
	return { at, is: "poor", what, fix };
}

function platform(): Finding {
	if (process.platform === "linux") return good("system", `${os.type()} ${os.release()}, Node ${process.versions.node}`);
	return bad("system", `is ${process.platform}`, "use Linux: a virtual machine or a container with Debian will do");
}

function programFindings({ haproxy, redis, postgres, prometheus, alertmanager }: Programs, openssl: string | null): Finding[] {
	const needed = (at: string, program: string | null, flag: string, oldest: number, packages: string): Finding => {
		if (program === null) return bad(at, "is not installed", `apt-get install ${packages}`);
		const version = versionOf(program, flag);
		if (version === null) return bad(at, `${program} cannot be run`, `run "${program} ${flag}" to see why`);
		const number = Number(/(\d+(\.\d+)?)/.exec(version.replace(/^.*?version/i, ""))?.[1] ?? /v=(\d+)/.exec(version)?.[1] ?? Number.NaN);
		if (number < oldest) return bad(at, `is ${number}`, `install ${oldest} or later`);
		return good(at, version);
	};
	const wanted = (at: string, program: string | null, packages: string): Finding =>
		program === null ? poor(at, "is not installed: there will be none", `apt-get install ${packages}`) : good(at, program);
	return [
		needed("HAProxy", haproxy, "-v", OLDEST.haproxy, "haproxy"),
		needed("Redis", redis, "--version", OLDEST.redis, "redis-server"),
		needed("PostgreSQL", postgres && `${postgres}/postgres`, "--version", OLDEST.postgres, "postgresql"),
		openssl === null ? bad("openssl", "is not installed", "apt-get install openssl") : good("openssl", openssl),
		wanted("Prometheus", prometheus, "prometheus"),
		wanted("Alertmanager", alertmanager, "prometheus-alertmanager"),
	];
}

/** Only where it is asked for. */
function forwardingFindings({ prometheus, rsyslog }: Programs, settings: LocalSettings): Finding[] {
	const missing = "is not installed, or not its part for Elasticsearch, and --logs needs it";
	return [
		...(settings.logs === null
			? []
			: [rsyslog === null ? bad("rsyslog", missing, "apt-get install rsyslog rsyslog-elasticsearch") : good("rsyslog", rsyslog)]),
		...(settings.grafana !== null && prometheus === null
			? [bad("--grafana", "there is no Prometheus to draw from", "apt-get install prometheus")]
			: []),
	];
}

function filesFinding(config: StackConfig, settings: LocalSettings): Finding {
	const files = openFiles();
	const wanted = socketsOf(settings, config);
	if (files < 2_000)
		return bad("open files", `a process may have ${files}`, "raise the hard limit: ulimit -Hn 20000, or LimitNOFILE= of its unit");
	const { count, maxConnections } = haproxyProcesses(wanted, files);
	const what = `a process may have ${files}: ${count} HAProxy of ${maxConnections} connections for ${wanted} WebSockets`;
	return count <= 16 ? good("open files", what) : bad("open files", what, "raise the hard limit, or ask for fewer --sockets");
}

function memoryFinding(config: StackConfig, settings: LocalSettings): Finding {
	const { nodes } = settings;
	const each = workersOf(settings, config);
	const needed = REST_MIB + nodes * (each * WORKER_MIB + TERMINAL_HOST_MIB);
	const free = Math.floor(os.freemem() / 1_048_576);
	const what = `${free} MiB free, ${nodes} x ${each} workers take about ${needed}`;
	return needed < free ? good("memory", what) : poor("memory", what, "ask for fewer --nodes or --workers");
}

function diskFinding({ folder }: Layout): Finding {
	const free = freeMib(folder);
	const what = `${free} MiB free at ${folder}`;
	return free >= LEAST_MIB
		? good("disk", what)
		: bad("disk", `${what}, ${LEAST_MIB} are needed`, "free some, or give another folder with FLOWCTL_STATE");
}

/** Whether nothing but busy ports is in the way. */
export function isAboutPorts({ findings }: Diagnosis): boolean {
	return findings.every(({ at, is }) => is !== "bad" || at === PORTS);
}

const PORTS = "ports";

async function portFindings(config: StackConfig, settings: LocalSettings, ports: Ports): Promise<Finding[]> {
	const each = workersOf(settings, config);
	const { count } = haproxyProcesses(socketsOf(settings, config), openFiles());
	const of = (host: string, list: readonly number[]) => list.map((port) => ({ host, port }));
	const wanted = [
		...of(HOST, [ports.http, ports.sync, ports.mcp, ports.tls, ...ports.redisState, ports.sentinel, ports.redisCache]),
		...of(HOST, [ports.postgresPrimary, ports.postgresStandby, ...replicaPorts(ports, config.postgres.replicas)]),
		...of(HOST, [ports.prometheus, ports.alertmanager, ...Array.from({ length: count }, (_, index) => ports.haproxyAdmin(index))]),
		...Array.from({ length: settings.nodes }, (_, index) => nodeAddress(ports.http, index + 1)).flatMap((address) =>
			of(address, [contract.pod, ...workerPorts(each).flatMap((port) => [port, port + contract.metricsOffset])]),
		),
		...Array.from({ length: settings.nodes }, (_, index) => terminalHostAddress(ports.http, index + 1)).flatMap((address) =>
			of(address, [contract.pod, contract.pod + contract.metricsOffset]),
		),
	];
	const taken = (await Promise.all(wanted.map(async ({ host, port }) => ((await isFree(host, port)) ? [] : [`${host}:${port}`])))).flat();
	if (taken.length === 0) return [good(PORTS, `${wanted.length} are free, ${ports.http} to clients`)];
	const fix = "stop what listens there (ss -ltnp shows it), or give another --port: all others follow from it";
	return [
		bad(
			PORTS,
			`${taken.slice(0, 5).join(", ")}${taken.length > 5 ? ` and ${taken.length - 5} more` : ""} ${taken.length > 1 ? "are" : "is"} in use`,
			fix,
		),
	];
}

function isFree(host: string, port: number): Promise<boolean> {
	return new Promise((resolve) => {
		const server = createServer()
			.once("error", () => resolve(false))
			.listen(port, host, () => server.close(() => resolve(true)));
	});
}
