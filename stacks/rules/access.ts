/** Who may reach what, and lists that name something twice. */
import type { Fault } from "../../core/errors.ts";
import type { Rule } from "./rule.ts";

const EVERYBODY = "0.0.0.0/0";

export const accessRules = {
	apiReachable: ({ cluster: { publicAccessCidrs, privateAccessCidrs } }) =>
		publicAccessCidrs.length + privateAccessCidrs.length > 0
			? []
			: [
					{
						at: "cluster.publicAccessCidrs",
						what: "is empty, and so is cluster.privateAccessCidrs",
						why: "nobody would reach the cluster's API, `pulumi up` included",
						fix: "name where you run it from: an address outside in publicAccessCidrs, or one inside the network in privateAccessCidrs",
					},
				],

	apiPrivate: ({ environment, cluster: { publicAccessCidrs } }) =>
		environment === "production" && publicAccessCidrs.includes(EVERYBODY)
			? [
					{
						at: "cluster.publicAccessCidrs",
						what: `has ${EVERYBODY}`,
						why: "production's API is not for everybody to try",
						fix: "name your own addresses",
					},
				]
			: [],

	callers: ({ domain, loadBalancer: { allowedCidrs } }) => {
		const at = "loadBalancer.allowedCidrs";
		if (domain && allowedCidrs.length > 0) {
			return [
				{
					at,
					what: `has ${allowedCidrs.join(", ")}, beside a domain`,
					why: "with a domain everybody may come, over HTTPS: the list would say otherwise",
					fix: "leave one of the two out",
				},
			];
		}
		if (allowedCidrs.includes(EVERYBODY)) {
			return [
				{
					at,
					what: `has ${EVERYBODY}`,
					why: "without a domain there is no HTTPS, and tokens would be for everybody to read",
					fix: "name your own addresses, or give a domain",
				},
			];
		}
		return [];
	},

	repeated: ({ aws, network, cluster, app, loadBalancer }) => [
		...repeatedIn("network.interfaceEndpoints", network.interfaceEndpoints),
		...repeatedIn("cluster.publicAccessCidrs", cluster.publicAccessCidrs),
		...repeatedIn("cluster.privateAccessCidrs", cluster.privateAccessCidrs),
		...repeatedIn("cluster.logTypes", cluster.logTypes),
		...repeatedIn("app.allowedOrigins", app.allowedOrigins),
		...repeatedIn("loadBalancer.allowedCidrs", loadBalancer.allowedCidrs),
		// Roles are told apart by their last name, whatever folder they are in.
		...repeatedIn(
			"aws.adminRoleArns",
			aws.adminRoleArns.map(
				(arn) =>
					arn
						.split(":role/")
						.at(-1)
						?.replace(/[^A-Za-z0-9]+/g, "-")
						.toLowerCase() ?? arn,
			),
		),
	],

	repeatedNames: ({ domain }) => (domain ? repeatedIn("domain.alternativeNames", [domain.name, ...domain.alternativeNames], 1) : []),
} satisfies Record<string, Rule>;

/** A fault for each entry that was there before. `offset` entries at the front are not of the list itself. */
function repeatedIn(at: string, entries: readonly string[], offset = 0): Fault[] {
	return entries.flatMap((entry, index) =>
		entries.indexOf(entry) < index ? [{ at: `${at}[${index - offset}]`, what: `"${entry}" is there twice`, fix: "name it once" }] : [],
	);
}
