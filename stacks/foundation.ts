/** What the cluster has whoever applies the rest: the way in, namespaces, credentials, the autoscaler's AWS role. */
import { Provider } from "@pulumi/kubernetes/provider.js";
import type * as pulumi from "@pulumi/pulumi";
import { AUTOSCALER_NAME, autoscalerPolicy } from "../components/cluster-autoscaler.ts";
import { Namespace, type NamespaceArgs, type Quota, quotaFor } from "../components/namespace.ts";
import { type Credential, credentialSecret, type SecretNames } from "../components/secret-mount.ts";
import type { Login } from "../infra/secrets.ts";
import { WorkloadRole } from "../infra/workload-role.ts";
import type { Cloud } from "./cloud.ts";
import type { StackConfig } from "./config.ts";
import { scalingOf, sizesOf } from "./sizes.ts";
import type { Stackwide } from "./stackwide.ts";

/** What a container gets that states nothing. All of ours state everything. */
const CONTAINER_DEFAULTS = { requests: { milliCpu: 50, memoryMib: 64 }, cpuLimitMilli: 200, ephemeralMib: 64 } as const;

/** Names in the cluster. A namespace is a border: its own quota, policies and credentials. */
export const namespaceNames = {
	app: "agentic-flow",
	edge: "agentic-flow-edge",
	system: "agentic-flow-system",
	terminals: "agentic-flow-terminals",
} as const;

export interface Foundation {
	/** For every object of the cluster. */
	readonly opts: pulumi.ComponentResourceOptions;
	readonly namespaces: {
		readonly app: Namespace;
		readonly edge: Namespace;
		readonly system: Namespace;
	};
	readonly secrets: SecretNames<"postgres" | "postgresAdmin" | "redisState" | "redisCache" | "session">;
	/** Only where users have shells: a namespace with one credential in it. */
	readonly terminals: { readonly namespace: Namespace; readonly credential: pulumi.Input<string> } | undefined;
	/** What the autoscaler's pods wait for: credentials reach only those that start later. */
	readonly autoscalerRole: WorkloadRole;
}

/** Namespaces and credentials, ready for the workloads. */
export function createFoundation(stackwide: Stackwide, cloud: Cloud): Foundation {
	const provider = new Provider(
		"kubernetes",
		{
			kubeconfig: cloud.cluster.kubeconfig,
			clusterIdentifier: cloud.cluster.clusterIdentifier,
			enableServerSideApply: true,
			// A Secret whose password changes keeps its name, and with it every pod that has it mounted.
			enableSecretMutable: true,
		},
		// Released last on destroy, or the objects could not be deleted.
		{ dependsOn: [...cloud.cluster.access] },
	);
	const opts = { provider };
	const namespaces = createNamespaces(stackwide, opts);
	return {
		opts,
		namespaces,
		secrets: createCredentials(cloud, namespaces.app, opts),
		terminals: stackwide.config.terminals.enabled ? createTerminals(stackwide, cloud, opts) : undefined,
		autoscalerRole: createAutoscalerRole(stackwide, cloud),
	};
}

function createNamespaces({ config }: Stackwide, opts: pulumi.ComponentResourceOptions): Foundation["namespaces"] {
	const sizes = sizesOf(config);
	const scaling = scalingOf(config);
	const appPods = [
		{ maxPods: scaling.server.maxPods, size: sizes.server },
		{ maxPods: scaling.jobs.maxPods, size: sizes.jobs },
		{ maxPods: 1, size: sizes.migrate },
	];
	return {
		app: createNamespace(config, "app", quotaFor(appPods, 0), opts),
		edge: createNamespace(config, "edge", quotaFor([{ maxPods: config.loadBalancer.haproxy.replicas, size: sizes.haproxy }], 1), opts),
		system: createNamespace(config, "system", quotaFor([{ maxPods: 1, size: sizes.autoscaler }], 0), opts),
	};
}

function createNamespace(
	config: StackConfig,
	key: keyof typeof namespaceNames,
	quota: Quota,
	opts: pulumi.ComponentResourceOptions,
	podSecurity: NamespaceArgs["podSecurity"] = "restricted",
): Namespace {
	return new Namespace(
		namespaceNames[key],
		{
			name: namespaceNames[key],
			kubernetesVersion: config.cluster.version,
			podSecurity,
			quota,
			containerDefaults: CONTAINER_DEFAULTS,
		},
		opts,
	);
}

/** The generated credentials of the server, each a Secret that its pods mount. */
function createCredentials({ data }: Cloud, namespace: Namespace, opts: pulumi.CustomResourceOptions): Foundation["secrets"] {
	const { postgresAdmin, postgres, redisState, redisCache, session } = data.secrets;
	const previous = { "previous-username": postgres.previous.username, "previous-password": postgres.previous.password };
	const current = { "current-username": postgres.current.username, "current-password": postgres.current.password };
	const mirror = (credential: Credential, files: Files) => mirrorSecret(namespace, credential, files, opts);
	return {
		postgres: mirror("postgres", { ...login(postgres.current), ...previous }),
		postgresAdmin: mirror("postgresAdmin", { ...login(postgresAdmin), ...current, ...previous }),
		redisState: mirror("redisState", login(redisState)),
		redisCache: mirror("redisCache", login(redisCache)),
		session: mirror("session", { current: session.current, previous: session.previous }),
	};
}

function createTerminals({ config }: Stackwide, { data }: Cloud, opts: pulumi.ComponentResourceOptions): Foundation["terminals"] {
	const quota = quotaFor([{ maxPods: config.terminals.hosts, size: sizesOf(config).terminals }], 0);
	// Its hosts are root within their pod, so that shells are not: see components/terminal-host.ts.
	const namespace = createNamespace(config, "terminals", quota, opts, "baseline");
	return { namespace, credential: mirrorSecret(namespace, "redisTerminals", login(data.secrets.redisTerminals), opts) };
}

type Files = Record<string, pulumi.Input<string>>;

function mirrorSecret(
	namespace: Namespace,
	credential: Credential,
	files: Files,
	opts: pulumi.CustomResourceOptions,
): pulumi.Output<string> {
	return credentialSecret(`credential-${credential}`, { namespace: namespace.name, credential, files }, opts).metadata.name;
}

function login({ username, password }: Login): Files {
	return { username, password };
}

function createAutoscalerRole({ prefix, accountId, region, opts }: Stackwide, { cluster }: Cloud): WorkloadRole {
	return new WorkloadRole(
		"autoscaler-role",
		{
			prefix,
			accountId,
			region,
			clusterName: cluster.name,
			namespace: namespaceNames.system,
			serviceAccount: AUTOSCALER_NAME,
			managedPolicyArns: [],
			statements: autoscalerPolicy(cluster.name, region, accountId),
			boundBy: "association",
		},
		{ ...opts, dependsOn: [...cluster.beforeNodes] },
	);
}
