import { describe, expect, it } from "vitest";
import { stickyCookie, xxh64 } from "./sticky-cookie.ts";

describe("xxh64", () => {
	// Published with xxHash and its bindings, one for each way through the function.
	it.each([
		["", "ef46db3751d8e999"],
		["a", "d24ec4f1a98c6e5b"],
		["abc", "44bc2cf5ad770999"],
		["Nobody inspects the spammish repetition", "fbcea83c8a378bf1"],
	])("of %j is %s", (input, expected) => {
		expect(xxh64(Buffer.from(input)).toString(16)).toBe(expected);
	});
});

describe("stickyCookie", () => {
	// As a HAProxy 2.6 with `dynamic-cookie-key secret-key` and these servers sent them.
	it.each([
		["127.0.0.1", 13101, "7e33b4a0a7f08719"],
		["127.0.0.1", 13102, "fbf1c0cdeb6cf0a3"],
	])("of %s:%i is what HAProxy sends", (address, port, expected) => {
		expect(stickyCookie("secret-key", address, port)).toBe(expected);
	});

	it("always has 16 digits", () => {
		const lengths = Array.from({ length: 4_000 }, (_, port) => stickyCookie("k", "10.0.0.1", port + 1).length);
		expect(new Set(lengths)).toEqual(new Set([16]));
	});

	it.each(["localhost", "10.0.0", "10.0.0.256", "::1", ""])("refuses the address %j", (address) => {
		expect(() => stickyCookie("k", address, 1)).toThrow(`not an IPv4 address: ${address}`);
	});

	it.each([0, 65_536, 1.5])("refuses the port %d", (port) => {
		expect(() => stickyCookie("k", "10.0.0.1", port)).toThrow(`not a TCP port: ${port}`);
	});
});
