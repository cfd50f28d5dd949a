import { Secret } from "@pulumi/kubernetes/core/v1/secret.js";
import type * as pulumi from "@pulumi/pulumi";
import { SECRETS_DIR, secretFiles } from "../app/contract.ts";
import { PART_OF } from "./labels.ts";
import { type Mounts, mountsOf } from "./pod.ts";

/** A credential of the server's: a folder of files below its secrets folder. */
export type Credential = keyof typeof secretFiles;

/** Settings of {@link credentialSecret}. */
export interface CredentialSecretArgs {
	readonly namespace: pulumi.Input<string>;
	readonly credential: Credential;
	/** The files and what is in them. All of it is kept secret, user names too. */
	readonly files: Readonly<Record<string, pulumi.Input<string>>>;
}

/**
 * A credential as a Secret of the cluster, under one name for good: a new password reaches the files of running pods by
 * itself, within a minute or two. Needs a provider with `enableSecretMutable`, which else replaces the whole Secret.
 */
export function credentialSecret(
	name: string,
	{ namespace, credential, files }: CredentialSecretArgs,
	opts: pulumi.CustomResourceOptions,
): Secret {
	// The class itself marks all of `stringData` as secret.
	return new Secret(
		name,
		{ metadata: { name: secretFiles[credential], namespace, labels: PART_OF }, type: "Opaque", stringData: files },
		opts,
	);
}

/** Names of the Secrets that hold credentials. */
export type SecretNames<C extends Credential> = { readonly [K in C]: pulumi.Input<string> };

/**
 * The given credentials and no others, each in its own folder, readable by the pod's group. Whole folders: a single file
 * (`subPath`) would never be renewed.
 */
export function secretMounts<C extends Credential>(names: SecretNames<C>, credentials: readonly C[]): Mounts {
	return mountsOf(
		credentials.map((credential) => {
			const folder = secretFiles[credential];
			return {
				volumes: [{ name: folder, secret: { secretName: names[credential], defaultMode: 0o440 } }],
				volumeMounts: [{ name: folder, mountPath: `${SECRETS_DIR}/${folder}`, readOnly: true }],
			};
		}),
	);
}
