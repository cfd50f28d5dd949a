import type { IncomingMessage } from "node:http";
import { describe, expect, it } from "vitest";
import { addressOf, allowedOrigins, networkOf } from "./origins.ts";

describe("networkOf", () => {
	it.each([
		["192.0.2.1", "192.0.2.1"],
		["::ffff:192.0.2.1", "192.0.2.1"],
		["2001:db8:1:2:3:4:5:6", "2001:db8:1:2"],
		["2001:0db8:0001:0002::1", "2001:db8:1:2"],
		["2001:db8::1", "2001:db8:0:0"],
		["::1", "0:0:0:0"],
		["fe80::1:2:3:4", "fe80:0:0:0"],
		["1::", "1:0:0:0"],
		["unknown", "unknown"],
	])("of %s is %s", (address, network) => {
		expect(networkOf(address)).toBe(network);
	});
});

describe("addressOf", () => {
	const request = (forwarded: string | undefined) =>
		({ headers: { "x-forwarded-for": forwarded }, socket: { remoteAddress: "10.0.0.1" } }) as unknown as IncomingMessage;

	it.each([
		[true, "192.0.2.1", "192.0.2.1"],
		[true, "2001:db8::1", "2001:db8::1"],
		[true, "192.0.2.1, 192.0.2.2", "10.0.0.1"],
		[true, "nonsense", "10.0.0.1"],
		[true, undefined, "10.0.0.1"],
		[false, "192.0.2.1", "10.0.0.1"],
	])("with trust %s in %s is %s", (trust, forwarded, address) => {
		expect(addressOf(request(forwarded), trust)).toBe(address);
	});
});

describe("allowedOrigins", () => {
	it("has the public origin on both lists, with or without its port", () => {
		const origins = allowedOrigins({
			publicOrigin: "http://Agentic.example.com",
			allowedHosts: ["Other:3001"],
			allowedOrigins: ["http://PAGE:1"],
		});
		expect(
			["agentic.example.com", "agentic.example.com:80", "AGENTIC.example.com", "other:3001"].every((host) => origins.isOurs(host)),
		).toBe(true);
		expect(["agentic.example.com:443", "other", "other:3001:80", "", undefined].some((host) => origins.isOurs(host))).toBe(false);
		expect(["http://agentic.example.com", "http://page:1"].every((origin) => origins.isAllowed(origin))).toBe(true);
		expect(["https://agentic.example.com", "http://page", "null", ""].some((origin) => origins.isAllowed(origin))).toBe(false);
	});
});
