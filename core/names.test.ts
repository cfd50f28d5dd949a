import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { nameByContent, nameOf, stableJson } from "./names.ts";

describe("a name", () => {
	it.each([
		[["agentic-flow-dev", "app"], "agentic-flow-dev-app"],
		[["agentic-flow-dev", "System", "euw1-az1"], "agentic-flow-dev-system-euw1-az1"],
		[["1st", "node"], "st-node"],
		[["a", "", "_b_"], "a-b"],
	])("of %j is %s", (parts, name) => {
		expect(nameOf(parts)).toBe(name);
	});

	it("that is too long is cut and told apart by a hash of the whole", () => {
		const [one, other] = ["x", "y"].map((end) => nameOf(["a".repeat(70), end], 32));
		expect(one).toMatch(/^a{23}-[0-9a-f]{8}$/);
		expect(one).not.toBe(other);
	});

	it("cannot be made of nothing", () => {
		expect(() => nameOf(["--", "9"])).toThrow(TypeError);
	});

	it("always keeps its guarantees", () => {
		fc.assert(
			fc.property(fc.array(fc.string(), { minLength: 1 }), fc.integer({ min: 20, max: 63 }), (parts, maxLength) => {
				const name = nameOf(["a", ...parts], maxLength);
				expect(name).toMatch(/^[a-z]([a-z0-9]|-(?!-))*$/);
				expect(name.endsWith("-")).toBe(false);
				expect(name.length).toBeLessThanOrEqual(maxLength);
				expect(nameOf(["a", ...parts], maxLength)).toBe(name);
			}),
		);
	});
});

describe("a name by content", () => {
	it("changes with the content and not with the order of its keys", () => {
		const name = nameByContent(["migrate"], { a: 1, b: 2 });
		expect(name).toMatch(/^migrate-[0-9a-f]{8}$/);
		expect(nameByContent(["migrate"], { b: 2, a: 1 })).toBe(name);
		expect(nameByContent(["migrate"], { a: 1, b: 3 })).not.toBe(name);
	});

	it("stays within the limit, hash included", () => {
		expect(nameByContent(["a".repeat(80)], "x", 40)).toHaveLength(40);
	});
});

it("equal values have equal JSON, however deep", () => {
	expect(stableJson({ b: [{ d: 1, c: 2 }], a: null })).toBe('{"a":null,"b":[{"c":2,"d":1}]}');
});
