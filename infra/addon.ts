import { Addon } from "@pulumi/aws/eks/addon.js";
import type * as pulumi from "@pulumi/pulumi";
import { stableJson } from "../core/names.ts";

/** One EKS add-on. */
export interface AddonSettings {
	readonly clusterName: pulumi.Input<string>;
	/** EKS's name for it, e.g. `vpc-cni`. */
	readonly addon: string;
	/** The exact version, e.g. `v1.20.4-eksbuild.1`. */
	readonly version: string;
	/** Settings, of the schema that `aws eks describe-addon-configuration` prints. Empty for none. */
	readonly configuration: Readonly<Record<string, unknown>>;
	/** The roles its service accounts take. */
	readonly identities: readonly { readonly serviceAccount: string; readonly roleArn: pulumi.Input<string> }[];
}

/** An add-on of a pinned version, whose settings are the ones given here and no others. */
export function createAddon(name: string, settings: AddonSettings, opts: pulumi.CustomResourceOptions): Addon {
	const { clusterName, addon, version, configuration, identities } = settings;
	return new Addon(
		name,
		{
			clusterName,
			addonName: addon,
			addonVersion: version,
			// Sorted keys, or every preview shows a difference.
			configurationValues: Object.keys(configuration).length > 0 ? stableJson(configuration) : undefined,
			podIdentityAssociations: identities.length > 0 ? [...identities] : undefined,
			resolveConflictsOnCreate: "OVERWRITE",
			resolveConflictsOnUpdate: "OVERWRITE",
			preserve: false,
		},
		opts,
	);
}
