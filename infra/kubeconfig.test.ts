import { expect, it } from "vitest";
import { kubeconfig } from "./kubeconfig.ts";

const cluster = {
	name: "agentic-flow-test",
	region: "eu-west-1",
	endpoint: "https://ABC.gr7.eu-west-1.eks.amazonaws.com",
	certificateAuthority: "LS0tLS1CRUdJTg==",
};

it("asks AWS for a token at every use, with its user's own credentials", () => {
	const { users, clusters, contexts, ...rest } = JSON.parse(kubeconfig(cluster));
	expect(users).toEqual([
		{
			name: "agentic-flow-test",
			user: {
				exec: {
					apiVersion: "client.authentication.k8s.io/v1",
					command: "aws",
					args: ["eks", "get-token", "--cluster-name", "agentic-flow-test", "--region", "eu-west-1", "--output", "json"],
					interactiveMode: "Never",
				},
			},
		},
	]);
	expect(clusters[0].cluster).toEqual({ server: cluster.endpoint, "certificate-authority-data": cluster.certificateAuthority });
	expect(contexts[0].context).toEqual({ cluster: "agentic-flow-test", user: "agentic-flow-test" });
	expect(rest["current-context"]).toBe("agentic-flow-test");
});

it("is the same text for the same cluster, in whatever order it is described", () => {
	const { name, ...others } = cluster;
	expect(kubeconfig({ ...others, name })).toBe(kubeconfig(cluster));
});
