/** One subnet of the plan. */
export interface PlannedSubnet {
	/** Availability zone id, e.g. `euw1-az1`. */
	readonly zone: string;
	readonly cidr: string;
}

/** The subnets of a VPC, each list in the order of the zones. */
export interface SubnetPlan {
	/** Load balancers and NAT gateways. */
	readonly public: readonly PlannedSubnet[];
	/** Nodes, pods and interface endpoints: the largest. */
	readonly private: readonly PlannedSubnet[];
	/** Databases and caches. */
	readonly data: readonly PlannedSubnet[];
}

interface Range {
	/** First address, as a number. */
	readonly start: number;
	/** How many addresses. */
	readonly size: number;
}

// https://docs.aws.amazon.com/vpc/latest/userguide/subnet-sizing.html
const RESERVED_ADDRESSES = 5;
const SMALLEST_SUBNET = 2 ** (32 - 28);

/**
 * Lays out a VPC: three quarters for private subnets, an eighth each for public ones and for data. Every tier is cut
 * for `maxZones`, so a zone appended to `zones` takes the next free cut and moves no other.
 *
 * @throws TypeError when there is no such plan: more zones than planned for, a zone twice, a CIDR that is none or does
 * not start where its prefix says, or subnets smaller than AWS's /28.
 */
export function planSubnets(options: { readonly cidr: string; readonly zones: readonly string[]; readonly maxZones: number }): SubnetPlan {
	const { cidr, zones, maxZones } = options;
	const vpc = parseCidr(cidr);
	if (!Number.isInteger(maxZones) || maxZones < 1) throw new TypeError(`maxZones must be a positive integer, got ${maxZones}`);
	if (zones.length > maxZones) throw new TypeError(`${zones.length} zones, but subnets are planned for ${maxZones}`);
	if (new Set(zones).size < zones.length) throw new TypeError(`a zone is named twice: ${zones.join(", ")}`);

	const eighth = vpc.size / 8;
	const tier = (from: number, eighths: number) =>
		subnetsIn({ start: vpc.start + from * eighth, size: eighths * eighth }, maxZones)
			.slice(0, zones.length)
			.map((subnet, index) => ({ zone: zones[index] as string, cidr: subnet }));
	return { private: tier(0, 6), public: tier(6, 1), data: tier(7, 1) };
}

/** Addresses a subnet can give away. AWS keeps five of each. */
export function usableAddresses(cidr: string): number {
	return Math.max(0, parseCidr(cidr).size - RESERVED_ADDRESSES);
}

/** `count` subnets of one size, a power of two and as large as the range allows. */
function subnetsIn(range: Range, count: number): string[] {
	const size = 2 ** Math.floor(Math.log2(range.size / count));
	if (size < SMALLEST_SUBNET) throw new TypeError(`${range.size} addresses do not hold ${count} subnets of /28 or larger`);
	return Array.from({ length: count }, (_, index) => formatCidr(range.start + index * size, size));
}

function parseCidr(cidr: string): Range {
	const parts = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\/(\d{1,2})$/.exec(cidr)?.slice(1).map(Number);
	const octets = parts?.slice(0, 4) ?? [];
	const prefix = parts?.[4] ?? 33;
	if (prefix > 32 || octets.some((octet) => octet > 255)) throw new TypeError(`not an IPv4 CIDR: ${cidr}`);
	const start = octets.reduce((address, octet) => address * 256 + octet, 0);
	const size = 2 ** (32 - prefix);
	if (start % size !== 0) throw new TypeError(`${cidr} does not start at a multiple of its size`);
	return { start, size };
}

function formatCidr(start: number, size: number): string {
	const octets = [2 ** 24, 2 ** 16, 2 ** 8, 1].map((unit) => Math.floor(start / unit) % 256);
	return `${octets.join(".")}/${32 - Math.log2(size)}`;
}
