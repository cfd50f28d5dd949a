import { StatefulSet } from "@pulumi/kubernetes/apps/v1/statefulSet.js";
import { Service } from "@pulumi/kubernetes/core/v1/service.js";
import { ServiceAccount } from "@pulumi/kubernetes/core/v1/serviceAccount.js";
import { NetworkPolicy } from "@pulumi/kubernetes/networking/v1/networkPolicy.js";
import { PodDisruptionBudget } from "@pulumi/kubernetes/policy/v1/podDisruptionBudget.js";
import type { input } from "@pulumi/kubernetes/types/index.js";
import * as pulumi from "@pulumi/pulumi";
import { commandOf, TERMINAL_USER } from "../app/contract.ts";
import { environmentOf, type ServiceEndpoint, stateEnvironment } from "./app-environment.ts";
import { oneAway, rolloutTimeouts } from "./availability.ts";
import { labelsOf, selectorOf } from "./labels.ts";
import { allow, blocks } from "./network-policies.ts";
import {
	gracePeriod,
	mountsOf,
	type PodSize,
	resourcesOf,
	restrictedContainer,
	restrictedPod,
	type Shutdown,
	scratch,
	spread,
} from "./pod.ts";
import { type SecretNames, secretMounts } from "./secret-mount.ts";
import { SINGLE_PROCESS_PORT, singleProcess } from "./single-process.ts";

/** Where users' shells have their homes. Gone with the pod. */
const HOMES = "/home/terminals";

/**
 * What a host needs of root: to become the user of a shell, to give it its home and its terminal, and to end it. Its
 * shells have none of it.
 */
const CAPABILITIES = ["CHOWN", "KILL", "SETGID", "SETUID"];

/** Settings of {@link TerminalHost}. */
export interface TerminalHostArgs {
	/** A namespace with nothing else in it. */
	readonly namespace: pulumi.Input<string>;
	/** The Dockerfile's target terminal-host, by digest: the server's image has no shell. */
	readonly image: pulumi.Input<string>;
	/** Hosts. What a user runs stays on its host for as long as it lives, so their number is fixed. */
	readonly hosts: number;
	/** One host's share, which its users' shells divide between them. */
	readonly size: PodSize;
	/** Nobody has to forget a host: `preStopSeconds` is 0. Long: users' sessions live through the drain. */
	readonly shutdown: Shutdown;
	readonly redisState: ServiceEndpoint;
	/** Where the state Redis is: blocks of addresses. */
	readonly redisCidrs: readonly string[];
	/** A Redis user that sees terminals' keys and no others. */
	readonly secrets: SecretNames<"redisTerminals">;
}

/**
 * The hosts of users' shells: a namespace of their own, each shell a user of its own, one credential, and connections to the state Redis
 * alone. Nobody connects to them; what is typed comes through Redis.
 */
export class TerminalHost extends pulumi.ComponentResource {
	constructor(name: string, args: TerminalHostArgs, opts: pulumi.ComponentResourceOptions) {
		super("agentic-flow:components:TerminalHost", name, {}, opts);
		const metadata = { name: "terminal-host", namespace: args.namespace, labels: labelsOf("terminal-host") };
		const account = new ServiceAccount(`${name}-account`, { metadata, automountServiceAccountToken: false }, { parent: this });
		const egress = [{ peers: blocks(args.redisCidrs), ports: [args.redisState.port] }];
		const policy = new NetworkPolicy(
			`${name}-policy`,
			{ metadata, spec: allow("terminal-host", { ingress: [], egress }) },
			{ parent: this },
		);
		const service = this.createService(name, metadata);
		new StatefulSet(
			`${name}-set`,
			{
				metadata,
				spec: {
					serviceName: service.metadata.name,
					replicas: args.hosts,
					podManagementPolicy: "Parallel",
					updateStrategy: { type: "RollingUpdate" },
					revisionHistoryLimit: 3,
					selector: { matchLabels: selectorOf("terminal-host") },
					template: { metadata: { labels: labelsOf("terminal-host") }, spec: podSpec(args, account.metadata.name) },
				},
			},
			{ parent: this, dependsOn: [policy], customTimeouts: rolloutTimeouts(args.hosts, args.shutdown, 0) },
		);
		new PodDisruptionBudget(`${name}-budget`, { metadata, spec: oneAway("terminal-host") }, { parent: this });
		this.registerOutputs({});
	}

	/** Gives every host a name of its own in the DNS. */
	private createService(name: string, metadata: input.meta.v1.ObjectMeta): Service {
		const ports = [{ name: "health", port: SINGLE_PROCESS_PORT, targetPort: "health", protocol: "TCP" }];
		return new Service(
			`${name}-service`,
			{ metadata, spec: { clusterIP: "None", selector: selectorOf("terminal-host"), ports } },
			{ parent: this },
		);
	}
}

function podSpec(args: TerminalHostArgs, serviceAccount: pulumi.Input<string>): input.core.v1.PodSpec {
	const scratchMib = Math.floor(args.size.ephemeralMib / 3);
	const mounts = mountsOf([
		secretMounts(args.secrets, ["redisTerminals"]),
		scratch("home", HOMES, scratchMib),
		scratch("tmp", "/tmp", scratchMib),
	]);
	return {
		...rootOfItself(restrictedPod({ pool: "system", serviceAccount, user: TERMINAL_USER })),
		terminationGracePeriodSeconds: gracePeriod(args.shutdown),
		topologySpreadConstraints: spread("terminal-host", "should"),
		volumes: mounts.volumes,
		containers: [
			{
				name: "terminal-host",
				image: args.image,
				command: commandOf("terminal-host"),
				env: [
					...environmentOf({
						...stateEnvironment(args.redisState),
						port: SINGLE_PROCESS_PORT,
						drainSeconds: args.shutdown.drainSeconds,
						terminalHomes: HOMES,
					}),
				],
				...singleProcess,
				resources: resourcesOf(args.size),
				securityContext: { ...restrictedContainer, capabilities: { ...restrictedContainer.capabilities, add: CAPABILITIES } },
				volumeMounts: mounts.volumeMounts,
			},
		],
	};
}

/**
 * Shells of one user could read each other's memory and the host's credential. So the host is root, which may give each
 * another user; in a user namespace, in which that is nobody on the node.
 * https://kubernetes.io/docs/concepts/workloads/pods/user-namespaces/
 */
function rootOfItself(pod: ReturnType<typeof restrictedPod>) {
	const { fsGroup, seccompProfile } = pod.securityContext;
	return { ...pod, hostUsers: false, securityContext: { runAsUser: 0, runAsGroup: 0, fsGroup, seccompProfile } };
}
