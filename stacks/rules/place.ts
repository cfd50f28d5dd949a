/** Where a stack may be: account, zones, addresses, versions. */
import type { Fault } from "../../core/errors.ts";
import { instanceTypes } from "../../infra/instance-types.ts";
import { planSubnets, usableAddresses } from "../../infra/subnet-plan.ts";
import type { StackConfig } from "../config.ts";
import type { Rule } from "./rule.ts";

export const placeRules = {
	accounts: ({ aws: { accountId, deployRoleArn, adminRoleArns } }) => {
		const roles = [
			{ at: "aws.deployRoleArn", arn: deployRoleArn },
			...adminRoleArns.map((arn, index) => ({ at: `aws.adminRoleArns[${index}]`, arn })),
		];
		const foreign = roles
			.filter(({ arn }) => arn.split(":")[4] !== accountId)
			.map(({ at, arn }) => ({
				at,
				what: `"${arn}" is not in account ${accountId}`,
				why: "an access entry of the cluster names a role of its own account",
				fix: `use a role of ${accountId}, or set aws.accountId to ${arn.split(":")[4]}`,
			}));
		const repeated = roles
			.filter(({ arn }, index) => roles.findIndex((role) => role.arn === arn) !== index)
			.map(({ at, arn }) => ({
				at,
				what: `"${arn}" is an administrator already`,
				why: "EKS refuses a second access entry",
				fix: "leave it out",
			}));
		return [...foreign, ...repeated];
	},

	zones: ({ aws: { region, availabilityZones }, network }) => {
		const faults: Fault[] = [];
		const prefix = zoneIdPrefix(region);
		for (const [index, zone] of availabilityZones.entries()) {
			if (!zone.startsWith(`${prefix}-az`)) {
				faults.push({
					at: `aws.availabilityZones[${index}]`,
					what: `"${zone}" is not in ${region}`,
					fix: `use ids that begin with ${prefix}-az`,
				});
			}
			if (availabilityZones.indexOf(zone) !== index) {
				faults.push({ at: `aws.availabilityZones[${index}]`, what: `"${zone}" is listed twice`, fix: "list each zone once" });
			}
		}
		if (availabilityZones.length > network.maxAvailabilityZones) {
			faults.push({
				at: "network.maxAvailabilityZones",
				what: `is ${network.maxAvailabilityZones}, but ${availabilityZones.length} zones are listed`,
				why: "subnets are laid out for that many zones once and for all",
				fix: `raise it to ${availabilityZones.length} before the first up, or list fewer zones`,
			});
		}
		return faults;
	},

	addresses: (config) => addressFaults(config),

	addons: ({ cluster: { version, addons } }) =>
		addons.kubeProxy.startsWith(`v${version}.`)
			? []
			: [
					{
						at: "cluster.addons.kubeProxy",
						what: `is ${addons.kubeProxy}, on a ${version} cluster`,
						why: "kube-proxy is of the cluster's own minor version, never newer",
						fix: `give a v${version}.x build: aws eks describe-addon-versions --addon-name kube-proxy --kubernetes-version ${version}`,
					},
				],
} satisfies Record<string, Rule>;

/** Of the private subnets only: even of a /20 for six zones the others are a /26, more than load balancers and data stores take. */
function addressFaults({ aws, network, nodes }: StackConfig): Fault[] {
	const size = Number(network.cidr.split("/")[1]);
	if (size < 16 || size > 20) {
		return [
			{
				at: "network.cidr",
				what: `"${network.cidr}" is a /${size}`,
				why: "subnets for every tier and zone fit into a /16 to a /20",
				fix: "take a block between /16 and /20",
			},
		];
	}
	const zones = new Set(aws.availabilityZones).size;
	if (zones < aws.availabilityZones.length || zones > network.maxAvailabilityZones) return []; // reported by `zones`: there is no plan
	const plan = planSubnets({ cidr: network.cidr, zones: aws.availabilityZones, maxZones: network.maxAvailabilityZones });
	const aZone = (count: number, { maxAddresses }: { maxAddresses: number }) => Math.ceil(count / zones) * maxAddresses;
	const needed =
		aZone(nodes.app.max, instanceTypes[nodes.app.instanceType]) +
		aZone(nodes.system.max, instanceTypes[nodes.system.instanceType]) +
		network.interfaceEndpoints.length;
	const { cidr } = plan.private[0] as { cidr: string };
	if (usableAddresses(cidr) >= needed) return [];
	return [
		{
			at: "network.cidr",
			what: `"${network.cidr}" gives each private subnet ${usableAddresses(cidr)} addresses (${cidr})`,
			why: `${nodes.app.max} app and ${nodes.system.max} system nodes with their pods may take ${needed} in one zone`,
			fix: "take a larger block, fewer network.maxAvailabilityZones, or fewer nodes",
		},
	];
}

/** `eu-west-1` -> `euw1`, `ap-southeast-2` -> `apse2`: how AWS names a region in zone ids. https://docs.aws.amazon.com/global-infrastructure/latest/regions/az-ids.html */
function zoneIdPrefix(region: string): string {
	const letters: Record<string, string> = {
		northeast: "ne",
		northwest: "nw",
		southeast: "se",
		southwest: "sw",
		north: "n",
		south: "s",
		east: "e",
		west: "w",
		central: "c",
		gov: "g",
	};
	return region
		.split("-")
		.map((word) => letters[word] ?? word)
		.join("");
}
