import * as pulumi from "@pulumi/pulumi";
import { UserError } from "../core/errors.ts";
import { createCloud } from "./cloud.ts";
import type { StackConfig } from "./config.ts";
import { createFoundation } from "./foundation.ts";
import { stackwideOf } from "./stackwide.ts";
import { createWorkloads, type Images } from "./workloads.ts";

/**
 * The whole stack: AWS, the cluster's foundation and, unless a GitOps pipeline applies them, the workloads.
 *
 * @returns the stack's outputs. Those of the data stores are also what a rendered object's placeholders are named after.
 * @throws UserError in an update, not in a preview, when there is no image to run
 */
export async function platform(config: StackConfig, stack: string): Promise<Record<string, unknown>> {
	const images = imagesOf(config, stack);
	const stackwide = stackwideOf(config, stack);
	const cloud = createCloud(stackwide);
	const foundation = createFoundation(stackwide, cloud);
	if (config.delivery === "pulumi") createWorkloads(config, cloud, foundation, images);

	const { loadBalancer, registry, cluster, data } = cloud;
	return {
		url: loadBalancer.url,
		loadBalancerDnsName: loadBalancer.dnsName,
		imageRepository: registry.url,
		clusterName: cluster.name,
		kubeconfig: cluster.kubeconfig,
		redisStateHost: data.redisState.host,
		redisCacheHost: data.redisCache.host,
		postgresPrimaryHost: data.postgres.primary.host,
		...Object.fromEntries(data.postgres.replicas.map(({ host }, index) => [`postgresReplica${index + 1}Host`, host])),
	};
}

/** Unknown in a preview without one. An update stops before it has touched anything. */
function imagesOf({ app, terminals, delivery }: StackConfig, stack: string): Images {
	const missing = [
		...(app.image === undefined ? [missingImage("app.image", "an update starts the server")] : []),
		...(terminals.enabled && terminals.image === undefined ? [missingImage("terminals.image", "an update starts the terminal hosts")] : []),
	];
	if (missing.length > 0 && delivery === "pulumi" && !pulumi.runtime.isDryRun()) {
		throw new UserError(`stack ${stack} has no image to run`, missing);
	}
	const unknown = pulumi.output(pulumi.unknown as unknown as string);
	return { server: app.image ?? unknown, terminalHost: terminals.image ?? unknown };
}

function missingImage(setting: string, why: string) {
	return {
		at: `agentic-flow:${setting}`,
		what: "is missing",
		why: `${why}, and starts exactly the image that was reviewed`,
		fix: `set ${setting} to <repository>@sha256:<digest>; for a first update, that makes the repository, set delivery to gitops: it leaves the workloads out`,
	};
}
