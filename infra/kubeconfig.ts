import { stableJson } from "../core/names.ts";

/**
 * A kubeconfig that holds no credentials: whoever uses it asks AWS for a token with their own. No role is taken for it:
 * a role that runs the update would have to trust itself. The same cluster gives the same text. AWS CLIs since 2022 answer
 * in the stable `v1` of client credentials: https://kubernetes.io/docs/reference/config-api/client-authentication.v1/
 */
export function kubeconfig(cluster: {
	readonly name: string;
	readonly region: string;
	readonly endpoint: string;
	/** PEM, in base64. */
	readonly certificateAuthority: string;
}): string {
	const { name, region, endpoint, certificateAuthority } = cluster;
	const exec = {
		apiVersion: "client.authentication.k8s.io/v1",
		command: "aws",
		args: ["eks", "get-token", "--cluster-name", name, "--region", region, "--output", "json"],
		interactiveMode: "Never",
	};
	return stableJson({
		apiVersion: "v1",
		kind: "Config",
		clusters: [{ name, cluster: { server: endpoint, "certificate-authority-data": certificateAuthority } }],
		users: [{ name, user: { exec } }],
		contexts: [{ name, context: { cluster: name, user: name } }],
		"current-context": name,
	});
}
