/**
 * The stack's topology as processes of this machine. Pure: settings and facts go in, services come out, nothing is started.
 *
 * redis-state-1, redis-state-2 <- sentinel   redis-cache   postgres-primary <- postgres-standby, postgres-replica-N <- migrate
 * redis-state and sentinel <- terminal-host-N; all of them <- node-N, jobs-N; haproxy-N, prometheus and alertmanager need nobody
 */
import { env, redisKeys } from "../app/contract.ts";
import { rulesForPrefix } from "../core/redis-rules.ts";
import type { StackConfig } from "../stacks/config.ts";
import { DATABASE, DRAIN_SECONDS, REDIS_GROUP, serverEnvironment, TERMINAL_DRAIN_SECONDS } from "./environment.ts";
import { jobWorkerAddress, type Layout, nodeAddress, type Ports, replicaPorts, terminalHostAddress } from "./place.ts";
import { type Secrets, TERMINALS_USER } from "./secrets.ts";
import { haproxyProcesses, haproxyService } from "./services/haproxy.ts";
import { grafanaService, logsService } from "./services/observability.ts";
import { postgresService } from "./services/postgres.ts";
import { alertmanagerService, type PrometheusPlan, prometheusService } from "./services/prometheus.ts";
import { CACHE_SETTINGS, type RedisUser, redisService, STATE_SETTINGS, sentinelService } from "./services/redis.ts";
import { type Environment, jobWorkerService, migrateService, nodeService, terminalHostService } from "./services/server.ts";
import type { Service, User } from "./services/service.ts";
import { jobWorkersOf, type LocalSettings, MOST_NODES, socketsOf, workersOf } from "./settings.ts";

/** What the machine has. */
export interface Machine {
	readonly programs: {
		readonly haproxy: string;
		readonly redis: string;
		/** Folder of PostgreSQL's programs. */
		readonly postgres: string;
		/** Null where it is not installed. */
		readonly prometheus: string | null;
		readonly alertmanager: string | null;
		readonly rsyslog: string | null;
	};
	/** Files one process may open. */
	readonly openFiles: number;
	/** Who runs PostgreSQL, where the supervisor runs as root. */
	readonly postgresUser: User | undefined;
	/** The first user id for shells; null where they cannot have users of their own. */
	readonly firstShellUid: number | null;
	/** Whether ::1 is there. */
	readonly ipv6: boolean;
}

/** Everything a topology is made of. */
export interface Ingredients {
	readonly config: StackConfig;
	readonly settings: LocalSettings;
	readonly machine: Machine;
	readonly layout: Layout;
	readonly ports: Ports;
	readonly secrets: Secrets;
	/** Which of PostgreSQL's two data folders is the primary's. */
	readonly postgresActive: "a" | "b";
}

export interface Topology {
	/** In an order in which they can be started. */
	readonly services: readonly Service[];
	readonly nodes: readonly LocalNode[];
	readonly workersPerNode: number;
	/** Of a process of the server that is no node: `token`. */
	readonly environment: Environment;
	/** What the cluster has and this machine has not, and how to have it. */
	readonly absent: readonly { readonly name: string; readonly how: string }[];
}

export interface LocalNode {
	readonly name: string;
	readonly address: string;
	readonly pm2Home: string;
}

export function topologyOf(ingredients: Ingredients): Topology {
	const { config, settings, layout, ports } = ingredients;
	const workersPerNode = workersOf(settings, config);
	const nodes = Array.from({ length: settings.nodes }, (_, index) => {
		const node = index + 1;
		return { name: `node-${node}`, address: nodeAddress(ports.http, node), pm2Home: layout.node(node) };
	});
	const environment = serverEnvironment(ingredients);
	const redis = redisServices(ingredients);
	const jobWorkers = Array.from({ length: jobWorkersOf(settings, config) }, (_, index) => ({
		name: `jobs-${index + 1}`,
		address: jobWorkerAddress(ports.http, index + 1),
	}));
	const terminalHosts = terminalHostsOf(ingredients, environment);
	// A job worker may have another process beside it.
	const postgres = postgresServices(ingredients, MOST_NODES * workersPerNode + 2 * jobWorkers.length);
	const migrate = migrateService(environment, postgres.map(nameOf));
	const needed = [...redis.map(nameOf), migrate.name];
	return {
		services: [
			...logServices(ingredients),
			...redis,
			...postgres,
			migrate,
			...nodes.map(({ name, address, pm2Home }) =>
				nodeService({
					name,
					address,
					workers: workersPerNode,
					drainSeconds: DRAIN_SECONDS,
					after: needed,
					environment: { ...environment, [env.podIp]: address, [env.workers]: String(workersPerNode), [env.pm2Home]: pm2Home },
				}),
			),
			...jobWorkers.map(({ name, address }) =>
				jobWorkerService({
					name,
					address,
					drainSeconds: DRAIN_SECONDS,
					after: needed,
					environment: { ...environment, [env.podIp]: address, [env.jobConcurrency]: String(config.jobs.concurrency) },
				}),
			),
			...terminalHosts.map((host) => terminalHostService({ ...host, drainSeconds: TERMINAL_DRAIN_SECONDS, after: redis.map(nameOf) })),
			...haproxyServices(ingredients, nodes, workersPerNode),
			...watchers(ingredients, { nodes, workersPerNode, jobWorkers, terminalHosts }),
		],
		nodes,
		workersPerNode,
		environment,
		absent: absent(ingredients),
	};
}

function nameOf({ name }: Service): string {
	return name;
}

/** User ids of one terminal host. */
const SHELL_USERS = 1_000;

/** What all shells of this machine may write in a second: their hosts divide its processors between them. */
const MACHINE_OUTPUT_KIB = 1_024;
const LEAST_OUTPUT_KIB = 64;

/** One a node. They are told where the state Redis is, and of no other store. */
function terminalHostsOf({ settings, machine, layout, ports }: Ingredients, environment: Environment) {
	const told = [env.secretsDir, env.redisState, env.redisTls].map((name) => [name, environment[name] ?? ""]);
	// Topologies on different ports have different users, as they have different addresses.
	const block = (ports.http % 500) * MOST_NODES * SHELL_USERS;
	const firstUid = (node: number) =>
		machine.firstShellUid === null ? null : machine.firstShellUid + (machine.firstShellUid > 65_536 ? block : 0) + SHELL_USERS * (node - 1);
	return Array.from({ length: settings.nodes }, (_, index) => {
		const node = index + 1;
		const address = terminalHostAddress(ports.http, node);
		const uid = firstUid(node);
		return {
			name: `terminal-host-${node}`,
			address,
			environment: {
				...Object.fromEntries(told),
				[env.podIp]: address,
				[env.drainSeconds]: String(TERMINAL_DRAIN_SECONDS),
				[env.terminalHomes]: layout.terminalHomes(node),
				[env.terminalHostOutputKib]: String(Math.max(LEAST_OUTPUT_KIB, Math.floor(MACHINE_OUTPUT_KIB / settings.nodes))),
				...(uid === null ? {} : { [env.terminalFirstUid]: String(uid) }),
				...settings.env,
			},
		};
	});
}

function redisServices({ machine, layout, ports, secrets }: Ingredients): Service[] {
	const program = machine.programs.redis;
	const server = (
		name: string,
		port: number,
		password: string,
		settings: Readonly<Record<string, string>>,
		users: readonly RedisUser[],
		replicaOf: { name: string; port: number } | null,
	) => redisService({ name, program, port, folder: layout.redis(name), password, users, replicaOf, settings });
	const users = [{ name: TERMINALS_USER, rules: [...rulesForPrefix(redisKeys.terminals), `>${secrets.redisTerminals}`] }];
	const state = { name: "redis-state-1", port: ports.redisState[0] };
	const replica = { name: "redis-state-2", port: ports.redisState[1] };
	return [
		server(state.name, state.port, secrets.redisState, STATE_SETTINGS, users, null),
		server(replica.name, replica.port, secrets.redisState, STATE_SETTINGS, users, state),
		sentinelService({
			name: "sentinel",
			program,
			port: ports.sentinel,
			folder: layout.redis("sentinel"),
			group: REDIS_GROUP,
			servers: [state, replica],
			password: secrets.redisState,
		}),
		server("redis-cache", ports.redisCache, secrets.redisCache, CACHE_SETTINGS, [], null),
	];
}

function postgresServices({ config, machine, layout, ports, secrets, postgresActive }: Ingredients, workers: number): Service[] {
	const standbyData = postgresActive === "a" ? "b" : "a";
	const replicas = replicaPorts(ports, config.postgres.replicas).map((port, index) => ({
		name: `postgres-replica-${index + 1}`,
		port,
		data: `replica-${index + 1}`,
	}));
	const followers = [{ name: "postgres-standby", port: ports.postgresStandby, data: standbyData }, ...replicas];
	const primary = { name: "postgres-primary", port: ports.postgresPrimary };
	const common = {
		programs: machine.programs.postgres,
		user: machine.postgresUser,
		password: secrets.postgresAdmin,
		passwordFile: layout.postgresData("password"),
		passFile: layout.postgresData("pgpass"),
		database: DATABASE,
		// For as many nodes as there may ever be: it cannot be changed while PostgreSQL runs. And some for whoever looks.
		maxConnections: workers * Math.max(config.postgres.poolPrimary, config.postgres.poolReplica) + 50,
	};
	return [
		postgresService({
			...common,
			...primary,
			data: layout.postgresData(postgresActive),
			from: null,
			synchronous: followers.map(({ name }) => name),
		}),
		...followers.map(({ name, port, data }) =>
			postgresService({ ...common, name, port, data: layout.postgresData(data), from: primary, synchronous: [] }),
		),
	];
}

function haproxyServices(
	{ config, settings, machine, layout, ports }: Ingredients,
	nodes: readonly LocalNode[],
	workersPerNode: number,
): Service[] {
	const { loadBalancer, app } = config;
	const { count, maxConnections } = haproxyProcesses(socketsOf(settings, config), machine.openFiles);
	return Array.from({ length: count }, (_, index) =>
		haproxyService({
			name: `haproxy-${index + 1}`,
			program: machine.programs.haproxy,
			file: layout.haproxy(index + 1),
			adminPort: ports.haproxyAdmin(index),
			maxConnections,
			stack: {
				stickyKey: loadBalancer.stickyKey,
				requestsPerWorker: app.requestsPerWorker,
				idleSeconds: loadBalancer.timeouts.haproxyIdleSeconds,
				responseSeconds: loadBalancer.timeouts.responseSeconds,
				queueSeconds: loadBalancer.timeouts.queueSeconds,
				headerSeconds: loadBalancer.timeouts.headerSeconds,
			},
			ports,
			certificate: layout.certificate,
			ipv6: machine.ipv6,
			nodes,
			workersPerNode,
		}),
	);
}

/** Nobody waits for it: what it has not sent it sends the next time. */
function logServices({ settings, machine, layout }: Ingredients): Service[] {
	const { rsyslog } = machine.programs;
	if (settings.logs === null || rsyslog === null) return [];
	return [logsService({ program: rsyslog, url: settings.logs, logs: layout.logs, folder: layout.rsyslog })];
}

function watchers(
	ingredients: Ingredients,
	watched: Pick<PrometheusPlan, "nodes" | "workersPerNode" | "jobWorkers" | "terminalHosts">,
): Service[] {
	const { config, settings, machine, layout, ports } = ingredients;
	const { prometheus, alertmanager } = machine.programs;
	const { count } = haproxyProcesses(socketsOf(settings, config), machine.openFiles);
	return [
		...(alertmanager === null
			? []
			: [alertmanagerService({ program: alertmanager, port: ports.alertmanager, folder: layout.alertmanager })]),
		...(prometheus === null
			? []
			: [
					prometheusService({
						program: prometheus,
						port: ports.prometheus,
						folder: layout.prometheus,
						alertmanagerPort: alertmanager === null ? null : ports.alertmanager,
						...watched,
						haproxyPorts: Array.from({ length: count }, (_, index) => ports.haproxyAdmin(index)),
					}),
					...(settings.grafana === null
						? []
						: [grafanaService({ url: settings.grafana, topology: ports.http, prometheusPort: ports.prometheus })]),
				]),
	];
}

function absent({ settings, machine }: Ingredients): Topology["absent"] {
	const { prometheus, alertmanager } = machine.programs;
	return [
		...(prometheus === null ? [{ name: "Prometheus", how: "apt-get install prometheus" }] : []),
		...(alertmanager === null ? [{ name: "Alertmanager", how: "apt-get install prometheus-alertmanager" }] : []),
		...(machine.firstShellUid === null
			? [{ name: "Users of their own for terminals", how: "run as root; a terminal here may do all that you may" }]
			: []),
		...(settings.traces === null ? [{ name: "Jaeger", how: "--traces URL of an OTLP/HTTP receiver sends traces there" }] : []),
		...(settings.logs === null ? [{ name: "Elasticsearch", how: "logs stay in files (flowctl logs); --logs URL sends them to one" }] : []),
		...(settings.grafana === null || prometheus === null
			? [{ name: "Grafana", how: "--grafana URL makes this Prometheus a data source of one" }]
			: []),
	];
}
