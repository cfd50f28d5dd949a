/**
 * The sticky cookie of a worker, as HAProxy computes it for `cookie ... dynamic`: XXH64 (seed 0) of the
 * `dynamic-cookie-key`, the four address bytes and the port as four bytes in network order, as 16 hexadecimal digits.
 * A worker that knows its own address can so name itself in what it hands out, and every HAProxy finds it by that.
 * Layout: https://github.com/haproxy/haproxy/blob/master/admin/dyncookie/dyncookie.c
 *
 * @param key the balancers' `dynamic-cookie-key`
 * @param address IPv4 address at which HAProxy reaches the worker
 * @param port TCP port at which HAProxy reaches the worker
 * @throws TypeError when the address is not IPv4 or the port is none
 */
export function stickyCookie(key: string, address: string, port: number): string {
	const octets = address.split(".").map(Number);
	if (octets.length !== 4 || !octets.every((octet) => Number.isInteger(octet) && octet >= 0 && octet <= 255)) {
		throw new TypeError(`not an IPv4 address: ${address}`);
	}
	if (!Number.isInteger(port) || port < 1 || port > 65_535) throw new TypeError(`not a TCP port: ${port}`);
	const portBytes = Buffer.alloc(4);
	portBytes.writeUInt32BE(port);
	return xxh64(Buffer.concat([Buffer.from(key), Buffer.from(octets), portBytes]))
		.toString(16)
		.padStart(16, "0");
}

const MASK = 0xffff_ffff_ffff_ffffn;
const PRIME_1 = 0x9e37_79b1_85eb_ca87n;
const PRIME_2 = 0xc2b2_ae3d_27d4_eb4fn;
const PRIME_3 = 0x1656_67b1_9e37_79f9n;
const PRIME_4 = 0x85eb_ca77_c2b2_ae63n;
const PRIME_5 = 0x27d4_eb2f_1656_67c5n;

/** XXH64 with seed 0: https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md */
export function xxh64(input: Buffer): bigint {
	let at = 0;
	let hash = PRIME_5;
	if (input.length >= 32) {
		const lanes = [wrap(PRIME_1 + PRIME_2), PRIME_2, 0n, wrap(-PRIME_1)];
		for (; at + 32 <= input.length; at += 32) {
			for (const [lane, value] of lanes.entries()) lanes[lane] = round(value, input.readBigUInt64LE(at + lane * 8));
		}
		hash = wrap(lanes.reduce((sum, value, lane) => sum + rotate(value, [1n, 7n, 12n, 18n][lane] as bigint), 0n));
		for (const value of lanes) hash = wrap((hash ^ round(0n, value)) * PRIME_1 + PRIME_4);
	}
	hash = wrap(hash + BigInt(input.length));
	for (; at + 8 <= input.length; at += 8) hash = wrap(rotate(hash ^ round(0n, input.readBigUInt64LE(at)), 27n) * PRIME_1 + PRIME_4);
	for (; at + 4 <= input.length; at += 4)
		hash = wrap(rotate(hash ^ wrap(BigInt(input.readUInt32LE(at)) * PRIME_1), 23n) * PRIME_2 + PRIME_3);
	for (; at < input.length; at += 1) hash = wrap(rotate(hash ^ wrap(BigInt(input.readUInt8(at)) * PRIME_5), 11n) * PRIME_1);
	hash = wrap((hash ^ (hash >> 33n)) * PRIME_2);
	hash = wrap((hash ^ (hash >> 29n)) * PRIME_3);
	return hash ^ (hash >> 32n);
}

function round(lane: bigint, input: bigint): bigint {
	return wrap(rotate(wrap(lane + input * PRIME_2), 31n) * PRIME_1);
}

function rotate(value: bigint, bits: bigint): bigint {
	return wrap(value << bits) | (value >> (64n - bits));
}

function wrap(value: bigint): bigint {
	return value & MASK;
}
