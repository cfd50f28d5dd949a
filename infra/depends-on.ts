import * as pulumi from "@pulumi/pulumi";

/**
 * A component's `dependsOn` with more besides, for a resource in it. A child waits for its component, and so for these,
 * in any case; given by name they also show among the resource's own dependencies.
 */
export function dependsOnWith(
	dependsOn: pulumi.ResourceOptions["dependsOn"],
	more: readonly pulumi.Resource[],
): pulumi.Input<pulumi.Resource[]> {
	return pulumi.output(dependsOn ?? []).apply((given) => [given, ...more].flat());
}
