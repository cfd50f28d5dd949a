import { describe, expect, it } from "vitest";
import { pruned } from "./pruned.ts";

describe("what an API did not keep", () => {
	it.each([
		["nothing, of equal objects", { a: { b: [1, "x"] } }, { a: { b: [1, "x"] } }],
		["nothing, where the API added fields", { a: 1 }, { a: 1, b: 2 }],
		["nothing, of one amount written in two ways", { cpu: "1000m", memory: "1024Mi" }, { cpu: "1", memory: "1Gi" }],
		["nothing, of a zero value that was left out", { a: false, b: {}, c: [], d: "", e: null }, {}],
	])("is %s", (_name, sent, answer) => {
		expect(pruned(sent, answer)).toEqual([]);
	});

	it.each([
		["a field that is gone", { a: { b: 1 } }, { a: {} }, "a.b: sent 1, got undefined"],
		["another value", { a: [{ b: "x" }] }, { a: [{ b: "y" }] }, 'a[0].b: sent "x", got "y"'],
		["another amount", { cpu: "100m" }, { cpu: "1" }, 'cpu: sent "100m", got "1"'],
		["a zero value that became another", { a: false }, { a: true }, "a: sent false, got true"],
		["an item of a list", { a: [1, 2] }, { a: [1] }, "a: sent [1,2], got [1]"],
		["an object that became a text", { a: { b: 1 } }, { a: "b" }, 'a: sent {"b":1}, got "b"'],
	])("is %s", (_name, sent, answer, line) => {
		expect(pruned(sent, answer)).toEqual([line]);
	});
});
