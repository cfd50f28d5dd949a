import { describe, expect, it } from "vitest";
import { etagOf, groupsOf } from "./cache.ts";

describe("groupsOf", () => {
	it.each([
		["a", ["a"]],
		["a:b", ["a", "a:b"]],
		["a:b:c", ["a", "a:b", "a:b:c"]],
		["a:", ["a", "a:"]],
		["a:1:2:3:4:5:6:7:8", ["a", "a:1", "a:1:2", "a:1:2:3", "a:1:2:3:4", "a:1:2:3:4:5:6:7:8"]],
	])("of %s are its first parts and itself", (key, groups) => {
		expect(groupsOf(key)).toEqual(groups);
	});
});

describe("etagOf", () => {
	it("is strong, and the hash of the bytes", () => {
		expect(etagOf(Buffer.from("[]"))).toBe('"T1PNoYwrqgwDVLtfmj7L5e"');
	});
});
