import * as pulumi from "@pulumi/pulumi";

/**
 * A component's `dependsOn` with more besides. The engine does not hand a component's own down to what is in it, so each
 * resource that must wait is given it by name.
 */
export function dependsOnWith(
	dependsOn: pulumi.ResourceOptions["dependsOn"],
	more: readonly pulumi.Resource[],
): pulumi.Input<pulumi.Resource[]> {
	return pulumi.output(dependsOn ?? []).apply((given) => [given, ...more].flat());
}
