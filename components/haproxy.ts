import { Deployment } from "@pulumi/kubernetes/apps/v1/deployment.js";
import { ConfigMap } from "@pulumi/kubernetes/core/v1/configMap.js";
import { Service } from "@pulumi/kubernetes/core/v1/service.js";
import { ServiceAccount } from "@pulumi/kubernetes/core/v1/serviceAccount.js";
import { NetworkPolicy } from "@pulumi/kubernetes/networking/v1/networkPolicy.js";
import { PodDisruptionBudget } from "@pulumi/kubernetes/policy/v1/podDisruptionBudget.js";
import type { input } from "@pulumi/kubernetes/types/index.js";
import * as pulumi from "@pulumi/pulumi";
import { renderHaproxy } from "../core/haproxy.ts";
import { nameByContent } from "../core/names.ts";
import { oneAtATime, oneAway, rolloutTimeouts } from "./availability.ts";
import { type HaproxyBalancing, haproxyGrace, haproxyPaths, haproxyPorts, haproxySettings } from "./haproxy-settings.ts";
import { labelsOf, selectorOf } from "./labels.ts";
import { allow, blocks, type Peer, podsOf } from "./network-policies.ts";
import { httpProbe, resourcesOf, restrictedContainer, restrictedPod, spread } from "./pod.ts";

/** Settings of {@link Haproxy}. */
export interface HaproxyArgs extends HaproxyBalancing {
	readonly namespace: pulumi.Input<string>;
	/** Sends SIGUSR1 to stop its container, as HAProxy's official images do. */
	readonly image: string;
	/** Port of every node that runs a pod: where the load balancer sends its traffic. */
	readonly nodePort: number;
	/** Where the load balancer's addresses are: blocks of addresses. Nobody else may open a connection. */
	readonly clientCidrs: readonly string[];
	/** Who may read the metrics. */
	readonly scrapers: readonly Peer[];
}

/** Nobody on the host, and none of the server's users. */
const USER = 10_003;

const CONFIG_FOLDER = "/etc/haproxy";

/**
 * The second tier of load balancing, between the load balancer and the server's workers.
 *
 * A pod that is told to stop fails its monitor at once, so that the load balancer turns away from its node, and serves
 * on as ready meanwhile: with `externalTrafficPolicy: Local` its node sends to nobody else. Then it closes its ports,
 * and at last what is still open.
 */
export class Haproxy extends pulumi.ComponentResource {
	constructor(name: string, args: HaproxyArgs, opts: pulumi.ComponentResourceOptions) {
		super("agentic-flow:components:Haproxy", name, {}, opts);
		const meta = { name: "haproxy", namespace: args.namespace, labels: labelsOf("haproxy") };
		const account = new ServiceAccount(`${name}-account`, { metadata: meta, automountServiceAccountToken: false }, { parent: this });
		const policy = this.createPolicy(name, args, meta);
		const config = this.createConfig(name, args);
		this.createDeployment(name, args, { meta, account, config, policy });
		this.createTrafficService(name, args, meta);
		this.createMetricsService(name, args);
		new PodDisruptionBudget(`${name}-budget`, { metadata: meta, spec: oneAway("haproxy") }, { parent: this });
		this.registerOutputs({});
	}

	private createPolicy(name: string, args: HaproxyArgs, metadata: input.meta.v1.ObjectMeta): NetworkPolicy {
		const { workers } = args;
		const spec = allow("haproxy", {
			ingress: [
				{ peers: blocks(args.clientCidrs), ports: [haproxyPorts.traffic] },
				...(args.scrapers.length > 0 ? [{ peers: args.scrapers, ports: [haproxyPorts.admin] }] : []),
			],
			egress: [{ peers: [podsOf("server", workers.namespace)], ports: workers.ports.map(({ port }) => port) }],
		});
		return new NetworkPolicy(`${name}-policy`, { metadata, spec }, { parent: this });
	}

	/** Another configuration is another ConfigMap, so that a change rolls out, and back, like any other. */
	private createConfig(name: string, args: HaproxyArgs): ConfigMap {
		const data = { "haproxy.cfg": renderHaproxy(haproxySettings(args)) };
		return new ConfigMap(
			`${name}-config`,
			{
				metadata: { name: nameByContent(["haproxy"], data), namespace: args.namespace, labels: labelsOf("haproxy") },
				immutable: true,
				data,
			},
			{ parent: this },
		);
	}

	private createDeployment(name: string, args: HaproxyArgs, { meta, account, config, policy }: Parts): Deployment {
		const pod = podSpec(args, account.metadata.name, config.metadata.name);
		return new Deployment(
			`${name}-deployment`,
			{
				metadata: meta,
				spec: {
					replicas: args.replicas,
					...oneAtATime(args.shutdown),
					minReadySeconds: args.readySeconds,
					selector: { matchLabels: selectorOf("haproxy") },
					template: { metadata: { labels: labelsOf("haproxy") }, spec: pod },
				},
			},
			{ parent: this, dependsOn: [policy], customTimeouts: rolloutTimeouts(args.replicas, args.shutdown, args.checkSeconds) },
		);
	}

	/** Local: the load balancer's own address is kept, no second hop is made, and its check is of this node's pod. */
	private createTrafficService(name: string, args: HaproxyArgs, metadata: input.meta.v1.ObjectMeta): void {
		new Service(
			`${name}-service`,
			{
				metadata,
				spec: {
					type: "NodePort",
					externalTrafficPolicy: "Local",
					selector: selectorOf("haproxy"),
					ports: [{ name: "traffic", port: 80, targetPort: "traffic", nodePort: args.nodePort, protocol: "TCP" }],
				},
			},
			{ parent: this },
		);
	}

	/** Headless: every pod has metrics of its own. */
	private createMetricsService(name: string, args: HaproxyArgs): void {
		new Service(
			`${name}-metrics`,
			{
				metadata: { name: "haproxy-metrics", namespace: args.namespace, labels: labelsOf("haproxy") },
				spec: {
					clusterIP: "None",
					selector: selectorOf("haproxy"),
					ports: [{ name: "admin", port: haproxyPorts.admin, targetPort: "admin", protocol: "TCP" }],
				},
			},
			{ parent: this },
		);
	}
}

interface Parts {
	readonly meta: input.meta.v1.ObjectMeta;
	readonly account: ServiceAccount;
	readonly config: ConfigMap;
	readonly policy: NetworkPolicy;
}

function podSpec(args: HaproxyArgs, account: pulumi.Input<string>, config: pulumi.Input<string>): input.core.v1.PodSpec {
	return {
		...restrictedPod({ pool: "system", serviceAccount: account, user: USER }),
		terminationGracePeriodSeconds: haproxyGrace(args.shutdown),
		// Two on one node would be away together, and the load balancer checks nodes, not pods.
		affinity: {
			podAntiAffinity: {
				requiredDuringSchedulingIgnoredDuringExecution: [
					{ topologyKey: "kubernetes.io/hostname", labelSelector: { matchLabels: selectorOf("haproxy") } },
				],
			},
		},
		topologySpreadConstraints: spread("haproxy", "should"),
		volumes: [{ name: "config", configMap: { name: config } }],
		containers: [
			{
				name: "haproxy",
				image: args.image,
				command: ["haproxy", "-db", "-f", `${CONFIG_FOLDER}/haproxy.cfg`],
				ports: [
					{ name: "traffic", containerPort: haproxyPorts.traffic, protocol: "TCP" },
					{ name: "admin", containerPort: haproxyPorts.admin, protocol: "TCP" },
				],
				readinessProbe: httpProbe(haproxyPaths.ready, "admin", { periodSeconds: 2, failureThreshold: 3 }),
				// A minute: HAProxy has a watchdog of its own, and a restart under load makes the load worse.
				livenessProbe: httpProbe(haproxyPaths.ready, "admin", { periodSeconds: 10, failureThreshold: 6 }),
				resources: resourcesOf(args.size),
				securityContext: restrictedContainer,
				volumeMounts: [{ name: "config", mountPath: CONFIG_FOLDER, readOnly: true }],
			},
		],
	};
}
