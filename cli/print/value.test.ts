import { describe, expect, it } from "vitest";
import { type RecordedValue, SECRET, UNKNOWN } from "../../core/record.ts";
import { plain } from "./paint.ts";
import { oneLine, propertyLines } from "./value.ts";

describe("the lines of a property", () => {
	it.each<[string, RecordedValue, string]>([
		["a text", "10.0.0.0/16", "x: 10.0.0.0/16"],
		["a text that reads as a number", "443", 'x: "443"'],
		["a text that reads as a switch", "true", 'x: "true"'],
		["an empty text", "", 'x: ""'],
		["a text with a colon", "a: b", 'x: "a: b"'],
		["a text that would steer a terminal", "a\u001b[31m", 'x: "a\\u001b[31m"'],
		["a number", 3, "x: 3"],
		["nothing", null, "x: null"],
		["an unknown", UNKNOWN, "x: (known after up)"],
		["a secret", SECRET, "x: (secret)"],
		["an empty list", [], "x: []"],
		["an empty object", {}, "x: {}"],
		["a list of plain values", ["a", 1, UNKNOWN], "x: [a, 1, (known after up)]"],
		["a list of objects", [{ a: 1, b: { c: 2 } }, { a: 3 }], "x:\n  - a: 1\n    b:\n      c: 2\n  - a: 3"],
		["a list of lists", [[1], [{ a: 2 }]], "x:\n  - [1]\n  - - a: 2"],
		["a text of several lines", "a\n\n\tb\u001b\n", "x: |\n  a\n\n  \tb\\u001b"],
		["a text without a last line break", "a\nb", "x: |-\n  a\n  b"],
		["a policy", '{"Statement":[{"Effect":"Allow"}]}', "x: (JSON)\n  Statement:\n    - Effect: Allow"],
		["a short list in JSON", '["a","b"]', "x: (JSON) [a, b]"],
		["what begins like JSON", "{a", 'x: "{a"'],
	])("show %s", (_name, value, expected) => {
		expect(propertyLines("x", value, plain).join("\n")).toBe(expected);
	});

	it("break a list that is too wide for a line", () => {
		const names = Array.from({ length: 10 }, (_, index) => `some-long-name-${index}`);
		expect(propertyLines("x", names, plain)).toEqual(["x:", ...names.map((name) => `  - ${name}`)]);
	});
});

describe("a value on one line", () => {
	it.each<[RecordedValue, string]>([
		["5", '"5"'],
		[5, "5"],
		[{ a: [1, "b"], c: {} }, '{ a: [1, "b"], c: {} }'],
		[[UNKNOWN, SECRET], "[(known after up), (secret)]"],
		["a\u009bb", '"a\\u009bb"'],
	])("shows %j", (value, expected) => {
		expect(oneLine(value, plain)).toBe(expected);
	});
});
