import * as pulumi from "@pulumi/pulumi";
import { UserError } from "../core/errors.ts";
import { createCloud } from "./cloud.ts";
import type { StackConfig } from "./config.ts";
import { createFoundation } from "./foundation.ts";
import { stackwideOf } from "./stackwide.ts";
import { createWorkloads } from "./workloads.ts";

/**
 * The whole stack: AWS, the cluster's foundation and, unless a GitOps pipeline applies them, the workloads.
 *
 * @returns the stack's outputs. Those of the data stores are also what a rendered object's placeholders are named after.
 * @throws UserError in an update, not in a preview, when there is no image to run
 */
export async function platform(config: StackConfig, stack: string): Promise<Record<string, unknown>> {
	const image = imageOf(config, stack);
	const stackwide = stackwideOf(config, stack);
	const cloud = createCloud(stackwide);
	const foundation = createFoundation(stackwide, cloud);
	if (config.delivery === "pulumi") createWorkloads(config, cloud, foundation, image);

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
function imageOf({ app, delivery }: StackConfig, stack: string): pulumi.Input<string> {
	if (app.image !== undefined) return app.image;
	if (delivery === "pulumi" && !pulumi.runtime.isDryRun()) {
		throw new UserError(`stack ${stack} has no image to run`, [
			{
				at: "agentic-flow:app.image",
				what: "is missing",
				why: "an update starts the server, and starts exactly the image that was reviewed",
				fix: "set app.image to <repository>@sha256:<digest>; for a first update, that makes the repository, set delivery to gitops: it leaves the workloads out",
			},
		]);
	}
	return pulumi.output(pulumi.unknown as unknown as string);
}
