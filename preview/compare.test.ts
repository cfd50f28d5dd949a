import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { stableJson } from "../core/names.ts";
import { type RecordedValue, SECRET, UNKNOWN } from "../core/record.ts";
import { compare } from "./compare.ts";

describe("what differs between two values", () => {
	it.each<[string, RecordedValue, RecordedValue, object[]]>([
		["a property", { a: { b: 1 } }, { a: { b: 2 } }, [{ path: "a.b", before: 1, after: 2 }]],
		["a new property", {}, { a: null }, [{ path: "a", after: null }]],
		["a property that is gone", { a: [1] }, {}, [{ path: "a", before: [1] }]],
		["a type", { a: 1 }, { a: "1" }, [{ path: "a", before: 1, after: "1" }]],
		[
			"an item by its position",
			{ a: [1, 2] },
			{ a: [1, 3, 4] },
			[
				{ path: "a[1]", before: 2, after: 3 },
				{ path: "a[2]", after: 4 },
			],
		],
		["a list that became an object", { a: [] }, { a: {} }, [{ path: "a", before: [], after: {} }]],
		["an unknown that becomes known", { a: UNKNOWN }, { a: "x" }, [{ path: "a", before: UNKNOWN, after: "x" }]],
		["a secret that is no longer one", { a: SECRET }, { a: "x" }, [{ path: "a", before: SECRET, after: "x" }]],
		["a key that is no word", { "a.b/c": 1 }, { "a.b/c": 2 }, [{ path: '["a.b/c"]', before: 1, after: 2 }]],
		["a key every object inherits", { constructor: 1 }, {}, [{ path: "constructor", before: 1 }]],
	])("is %s", (_name, before, after, changes) => {
		expect(compare(before, after)).toEqual(changes);
	});

	it("is found by name in lists whose items have one", () => {
		const before = [
			{ name: "a", v: 1 },
			{ name: "b", v: 1 },
		];
		expect(
			compare(
				before,
				[
					{ name: "c", v: 1 },
					{ name: "b", v: 2 },
				],
				"env",
			),
		).toEqual([
			{ path: "env[a]", before: { name: "a", v: 1 } },
			{ path: "env[b].v", before: 1, after: 2 },
			{ path: "env[c]", after: { name: "c", v: 1 } },
		]);
	});

	it("is the order alone where named items were moved", () => {
		expect(compare([{ name: "a" }, { name: "b" }], [{ name: "b" }, { name: "a" }], "env")).toEqual([
			{ path: "env(order)", before: ["a", "b"], after: ["b", "a"] },
		]);
	});

	it("goes by position where two items share a name", () => {
		const twice = [
			{ name: "a", v: 1 },
			{ name: "a", v: 2 },
		];
		expect(
			compare(
				twice,
				[
					{ name: "a", v: 1 },
					{ name: "a", v: 3 },
				],
				"l",
			),
		).toEqual([{ path: "l[1].v", before: 2, after: 3 }]);
	});

	it("is found inside texts that hold JSON, however they are spaced", () => {
		const [before, after] = ['{"Statement":[{"Effect":"Allow"}]}', '{ "Statement": [{ "Effect": "Deny" }] }'];
		expect(compare({ policy: before }, { policy: after })).toEqual([
			{ path: "policy(JSON).Statement[0].Effect", before: "Allow", after: "Deny" },
		]);
	});

	it("is the text where two texts hold the same JSON", () => {
		expect(compare('{"a":1}', '{ "a": 1 }', "p")).toEqual([{ path: "p", before: '{"a":1}', after: '{ "a": 1 }' }]);
	});
});

const value = fc.jsonValue().map((json) => json as RecordedValue);

describe("any two values", () => {
	it("have no difference when they are equal", () => {
		fc.assert(
			fc.property(value, (json) => {
				expect(compare(json, structuredClone(json))).toEqual([]);
			}),
		);
	});

	it("have one when they are not, and the same places differ the other way round", () => {
		fc.assert(
			fc.property(value, value, (a, b) => {
				const places = (changes: { path: string }[]) => changes.map(({ path }) => path).sort();
				expect(compare(a, b).length > 0).toBe(stableJson(a) !== stableJson(b));
				expect(places(compare(a, b))).toEqual(places(compare(b, a)));
			}),
		);
	});
});
