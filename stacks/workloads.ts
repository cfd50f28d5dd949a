/** What runs in the cluster: the settings of each Kubernetes workload. */
import type * as pulumi from "@pulumi/pulumi";
import { workerPorts } from "../app/contract.ts";
import { App, WORKERS_SERVICE, workerPortNames } from "../components/app.ts";
import type { Stores } from "../components/app-environment.ts";
import { ClusterAutoscaler } from "../components/cluster-autoscaler.ts";
import { Haproxy } from "../components/haproxy.ts";
import { JobWorkers } from "../components/jobs.ts";
import { Migration } from "../components/migration.ts";
import type { Shutdown } from "../components/pod.ts";
import { TerminalHost } from "../components/terminal-host.ts";
import { clusterAutoscalerImage, imageOf } from "../components/versions.ts";
import { type Cloud, MONITOR_PATH, NODE_PORT } from "./cloud.ts";
import type { StackConfig } from "./config.ts";
import { type Foundation, namespaceNames } from "./foundation.ts";
import { scalingOf, sizesOf } from "./sizes.ts";

/** What every workload is told. */
interface Setting {
	readonly config: StackConfig;
	readonly cloud: Cloud;
	readonly foundation: Foundation;
	readonly images: Images;
	readonly stores: Stores;
	readonly dataCidrs: readonly string[];
	readonly sizes: ReturnType<typeof sizesOf>;
}

/** What the workloads run, each by digest. */
export interface Images {
	/** Of every role but the terminal hosts'. */
	readonly server: pulumi.Input<string>;
	readonly terminalHost: pulumi.Input<string>;
}

/** Every workload, in the order in which they need each other: the database's schema before what uses it. */
export function createWorkloads(config: StackConfig, cloud: Cloud, foundation: Foundation, images: Images): void {
	const setting: Setting = {
		config,
		cloud,
		foundation,
		images,
		stores: storesOf(config, cloud),
		dataCidrs: cloud.subnets.data.map(({ cidr }) => cidr),
		sizes: sizesOf(config),
	};
	const migration = createMigration(setting);
	createApp(setting, migration);
	createJobWorkers(setting, migration);
	createTerminalHost(setting);
	createHaproxy(setting);
	createAutoscaler(setting);
}

function storesOf({ postgres }: StackConfig, { data }: Cloud): Stores {
	return {
		redisState: data.redisState,
		redisCache: data.redisCache,
		postgres: {
			primary: data.postgres.primary,
			replicas: data.postgres.replicas,
			database: data.postgres.databaseName,
			poolPrimary: postgres.poolPrimary,
			poolReplica: postgres.poolReplica,
		},
	};
}

/** Options of a workload: nodes and names before its pods, and whatever else it needs. */
function after({ cloud, foundation }: Setting, ...needed: pulumi.Resource[]): pulumi.ComponentResourceOptions {
	return { ...foundation.opts, dependsOn: [...cloud.ready, ...needed] };
}

function createMigration(setting: Setting): Migration {
	const { config, foundation, images, stores, dataCidrs, sizes } = setting;
	const namespace = foundation.namespaces.app;
	return new Migration(
		"migration",
		{
			namespace: namespace.name,
			image: images.server,
			release: config.app.image ?? "none yet",
			size: sizes.migrate,
			postgresPrimary: stores.postgres.primary,
			database: stores.postgres.database,
			databaseCidrs: dataCidrs,
			secrets: { postgresAdmin: foundation.secrets.postgresAdmin },
			credentialVersion: config.secrets.databaseVersion,
			retentionMonths: config.app.retentionMonths,
			retries: config.app.migration.retries,
			deadlineSeconds: config.app.migration.deadlineSeconds,
		},
		after(setting, namespace),
	);
}

function createApp(setting: Setting, migration: Migration): void {
	const { config, cloud, foundation, images, stores, dataCidrs, sizes } = setting;
	const { namespaces, secrets } = foundation;
	const { postgres, redisState, redisCache, session } = secrets;
	const alternativeNames = config.domain?.alternativeNames ?? [];
	new App(
		"app",
		{
			namespace: namespaces.app.name,
			image: images.server,
			size: sizes.server,
			workersPerPod: config.app.workersPerPod,
			scaling: scalingOf(config).server,
			shutdown: config.app,
			stores,
			dataCidrs,
			haproxyNamespace: namespaceNames.edge,
			secrets: { postgres, redisState, redisCache, session },
			publicOrigin: cloud.loadBalancer.url,
			allowedHosts: config.domain ? [config.domain.name, ...alternativeNames] : [cloud.loadBalancer.dnsName],
			allowedOrigins: [...alternativeNames.map((name) => `https://${name}`), ...config.app.allowedOrigins],
			pingSeconds: config.loadBalancer.timeouts.pingSeconds,
			keepAliveSeconds: config.loadBalancer.timeouts.keepAliveSeconds,
			stickyKey: config.loadBalancer.stickyKey,
			terminals: config.terminals.enabled,
		},
		after(setting, namespaces.app, migration),
	);
}

function createJobWorkers(setting: Setting, migration: Migration): void {
	const { config, foundation, images, stores, dataCidrs, sizes } = setting;
	const { namespaces, secrets } = foundation;
	const { postgres, redisState, redisCache } = secrets;
	new JobWorkers(
		"jobs",
		{
			namespace: namespaces.app.name,
			image: images.server,
			size: sizes.jobs,
			concurrency: config.jobs.concurrency,
			scaling: scalingOf(config).jobs,
			shutdown: atOnce(config.jobs),
			stores,
			dataCidrs,
			secrets: { postgres, redisState, redisCache },
			retentionMonths: config.app.retentionMonths,
		},
		after(setting, namespaces.app, migration),
	);
}

function createTerminalHost(setting: Setting): void {
	const { config, foundation, images, stores, dataCidrs, sizes } = setting;
	const { terminals } = foundation;
	if (!terminals) return;
	new TerminalHost(
		"terminals",
		{
			namespace: terminals.namespace.name,
			image: images.terminalHost,
			hosts: config.terminals.hosts,
			size: sizes.terminals,
			shutdown: atOnce(config.terminals),
			redisState: stores.redisState,
			redisCidrs: dataCidrs,
			secrets: { redisTerminals: terminals.credential },
		},
		after(setting, terminals.namespace),
	);
}

function createHaproxy(setting: Setting): void {
	const { config, cloud, foundation, sizes } = setting;
	const { app, domain, imageRegistry, loadBalancer } = config;
	const { haproxy, timeouts } = loadBalancer;
	const internal = !domain && loadBalancer.allowedCidrs.length === 0;
	const ports = workerPorts(app.workersPerPod);
	new Haproxy(
		"haproxy",
		{
			namespace: foundation.namespaces.edge.name,
			image: imageOf("haproxy", imageRegistry ?? null),
			nodePort: NODE_PORT,
			clientCidrs: cloud.subnets[internal ? "private" : "public"].map(({ cidr }) => cidr),
			scrapers: [],
			replicas: haproxy.replicas,
			size: sizes.haproxy,
			shutdown: {
				preStopSeconds: haproxy.preStopSeconds,
				drainSeconds: haproxy.hardStopSeconds,
				terminationGraceSeconds: haproxy.terminationGraceSeconds,
			},
			maxConnections: haproxy.maxConnections,
			monitorPath: MONITOR_PATH,
			stickyKey: loadBalancer.stickyKey,
			https: domain !== undefined,
			workers: {
				service: WORKERS_SERVICE,
				namespace: namespaceNames.app,
				ports: workerPortNames(app.workersPerPod).map((name, index) => ({ name, port: ports[index] as number })),
				maxPods: scalingOf(config).server.maxPods,
				requests: app.requestsPerWorker,
				sockets: app.socketsPerWorker,
			},
			readySeconds: loadBalancer.healthCheck.intervalSeconds * loadBalancer.healthCheck.healthyThreshold,
			checkSeconds: haproxy.checkSeconds,
			resolveSeconds: haproxy.resolveSeconds,
			holdSeconds: haproxy.holdSeconds,
			timeouts: {
				idleSeconds: timeouts.haproxyIdleSeconds,
				responseSeconds: timeouts.responseSeconds,
				queueSeconds: timeouts.queueSeconds,
				headerSeconds: timeouts.headerSeconds,
			},
		},
		after(setting, foundation.namespaces.edge),
	);
}

function createAutoscaler(setting: Setting): void {
	const { config, cloud, foundation, sizes } = setting;
	const { app, jobs, terminals, loadBalancer } = config;
	new ClusterAutoscaler(
		"autoscaler",
		{
			namespace: foundation.namespaces.system.name,
			image: clusterAutoscalerImage(config.cluster.version, config.imageRegistry ?? null),
			size: sizes.autoscaler,
			clusterName: cloud.cluster.name,
			region: config.aws.region,
			...config.autoscaler,
			podGraceSeconds: Math.max(
				...[app, jobs, terminals, loadBalancer.haproxy].map(({ terminationGraceSeconds }) => terminationGraceSeconds),
			),
			scrapers: [],
		},
		after(setting, foundation.namespaces.system, foundation.autoscalerRole),
	);
}

/** What nobody sends anything to has nobody to wait for before it stops. */
function atOnce({ drainSeconds, terminationGraceSeconds }: Omit<Shutdown, "preStopSeconds">): Shutdown {
	return { preStopSeconds: 0, drainSeconds, terminationGraceSeconds };
}
