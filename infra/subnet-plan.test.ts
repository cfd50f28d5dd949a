import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type PlannedSubnet, planSubnets, type SubnetPlan, usableAddresses } from "./subnet-plan.ts";

const ZONES = ["euw1-az1", "euw1-az2", "euw1-az3", "euw1-az4", "euw1-az5", "euw1-az6"];

/** A VPC of /16 to /20, a maximum of 2 to 6 zones, and how many of them are in use. */
const layouts = fc
	.record({ prefix: fc.integer({ min: 16, max: 20 }), block: fc.nat(), maxZones: fc.integer({ min: 2, max: 6 }) })
	.chain(({ prefix, block, maxZones }) => {
		const index = block % 2 ** (prefix - 8);
		const octets = [10, Math.floor((index * 2 ** (24 - prefix)) / 256) % 256, (index * 2 ** (24 - prefix)) % 256, 0];
		const cidr = `${octets.join(".")}/${prefix}`;
		return fc.record({ cidr: fc.constant(cidr), maxZones: fc.constant(maxZones), used: fc.integer({ min: 1, max: maxZones }) });
	});

describe("planSubnets", () => {
	it("gives one subnet a zone in every tier, disjoint and inside the VPC", () => {
		fc.assert(
			fc.property(layouts, ({ cidr, maxZones, used }) => {
				const plan = planSubnets({ cidr, zones: ZONES.slice(0, used), maxZones });
				const vpc = range(cidr);
				const subnets = all(plan)
					.map((subnet) => range(subnet.cidr))
					.sort((a, b) => a.first - b.first);
				expect(subnets).toHaveLength(3 * used);
				for (const [index, subnet] of subnets.entries()) {
					expect(subnet.first).toBeGreaterThanOrEqual(index === 0 ? vpc.first : (subnets[index - 1]?.last ?? Number.NaN) + 1);
					expect(subnet.last).toBeLessThanOrEqual(vpc.last);
				}
			}),
		);
	});

	it("moves no subnet when a zone is added", () => {
		fc.assert(
			fc.property(layouts, ({ cidr, maxZones, used }) => {
				const full = planSubnets({ cidr, zones: ZONES.slice(0, maxZones), maxZones });
				const part = planSubnets({ cidr, zones: ZONES.slice(0, used), maxZones });
				for (const tier of ["public", "private", "data"] as const) expect(part[tier]).toEqual(full[tier].slice(0, used));
			}),
		);
	});

	it("makes the private subnets the largest, and every one large enough for a load balancer", () => {
		fc.assert(
			fc.property(layouts, ({ cidr, maxZones }) => {
				const plan = planSubnets({ cidr, zones: ZONES.slice(0, maxZones), maxZones });
				const smallestPrivate = Math.min(...plan.private.map((subnet) => usableAddresses(subnet.cidr)));
				for (const subnet of [...plan.public, ...plan.data]) {
					expect(usableAddresses(subnet.cidr)).toBeLessThan(smallestPrivate);
					expect(usableAddresses(subnet.cidr)).toBeGreaterThanOrEqual(59);
				}
			}),
		);
	});

	it("lays out a /16 for four zones like this", () => {
		expect(planSubnets({ cidr: "10.40.0.0/16", zones: ["euw1-az1", "euw1-az2"], maxZones: 4 })).toEqual({
			private: [
				{ zone: "euw1-az1", cidr: "10.40.0.0/19" },
				{ zone: "euw1-az2", cidr: "10.40.32.0/19" },
			],
			public: [
				{ zone: "euw1-az1", cidr: "10.40.192.0/21" },
				{ zone: "euw1-az2", cidr: "10.40.200.0/21" },
			],
			data: [
				{ zone: "euw1-az1", cidr: "10.40.224.0/21" },
				{ zone: "euw1-az2", cidr: "10.40.232.0/21" },
			],
		});
	});

	it.each([
		{ cidr: "10.0.0.0/16", zones: ZONES.slice(0, 3), maxZones: 2, message: "3 zones, but subnets are planned for 2" },
		{ cidr: "10.0.0.0/16", zones: ["euw1-az1", "euw1-az1"], maxZones: 2, message: "a zone is named twice: euw1-az1, euw1-az1" },
		{ cidr: "10.0.0.0/16", zones: [], maxZones: 0, message: "maxZones must be a positive integer, got 0" },
		{ cidr: "10.0.8.0/16", zones: ["euw1-az1"], maxZones: 2, message: "10.0.8.0/16 does not start at a multiple of its size" },
		{ cidr: "10.0.0.256/16", zones: ["euw1-az1"], maxZones: 2, message: "not an IPv4 CIDR: 10.0.0.256/16" },
		{ cidr: "10.0.0.0", zones: ["euw1-az1"], maxZones: 2, message: "not an IPv4 CIDR: 10.0.0.0" },
		{ cidr: "10.0.0.0/24", zones: ["euw1-az1"], maxZones: 4, message: "32 addresses do not hold 4 subnets of /28 or larger" },
	])("refuses $message", ({ message, ...options }) => {
		expect(() => planSubnets(options)).toThrow(new TypeError(message));
	});
});

describe("usableAddresses", () => {
	it.each([
		["10.0.0.0/28", 11],
		["10.0.0.0/24", 251],
		["10.0.0.0/19", 8187],
		["10.0.0.0/32", 0],
	])("of %s are %i", (cidr, addresses) => {
		expect(usableAddresses(cidr)).toBe(addresses);
	});
});

function all(plan: SubnetPlan): PlannedSubnet[] {
	return [...plan.public, ...plan.private, ...plan.data];
}

function range(cidr: string): { first: number; last: number } {
	const [address = "", prefix] = cidr.split("/");
	const first = address.split(".").reduce((sum, octet) => sum * 256 + Number(octet), 0);
	return { first, last: first + 2 ** (32 - Number(prefix)) - 1 };
}
