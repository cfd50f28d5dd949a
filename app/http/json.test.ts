import { describe, expect, it } from "vitest";
import { parseBody } from "./json.ts";

const parse = (text: string) => parseBody(Buffer.from(text));

describe("parseBody", () => {
	it.each([
		"{}",
		"[]",
		"1",
		'"a"',
		"null",
		'{"a":[1,{"b":"\\u00e9\\"\\\\"}]}',
		'{"\\ud83d\\ude00":"😀"}',
		' {"a" : 1} ',
		'{"constructor":1,"a":"__proto__"}',
	])("reads %s as JSON does", (text) => {
		expect(parse(text)).toEqual(JSON.parse(text));
	});

	it("finds nothing in an empty body", () => {
		expect(parse("")).toBeUndefined();
	});

	it.each(["{", "[1,", '"', '"\\', "undefined", "{'a':1}", '{"a":1}x', '"\\u12"', '"\\x"', "\ufeff{}", "]"])(
		"refuses %j as no JSON",
		(text) => {
			expect(() => parse(text)).toThrow("The request body is not valid JSON");
		},
	);

	it("refuses what is not UTF-8", () => {
		expect(() => parseBody(Buffer.from([0x22, 0xff, 0x22]))).toThrow("The request body is not valid UTF-8");
	});

	it.each([
		["[", "]"],
		['{"a":', "}"],
	])("follows %s to a depth of 64, and no further", (open, close) => {
		const nested = (depth: number) => `${open.repeat(depth)}1${close.repeat(depth)}`;
		expect(parse(nested(64))).toBeDefined();
		expect(() => parse(nested(65))).toThrow("The request body is nested more than 64 deep");
	});

	it("is not misled by brackets in text", () => {
		expect(parse(`{"a":"${"[".repeat(1_000)}","b":"\\"${"{".repeat(1_000)}"}`)).toBeDefined();
	});

	it("refuses ten megabytes of depth or of values in no time", () => {
		const started = performance.now();
		expect(() => parse("[".repeat(10_000_000))).toThrow("nested");
		expect(() => parse(`[${"[],".repeat(3_000_000)}1]`)).toThrow("The request body has more than 200000 values");
		expect(performance.now() - started).toBeLessThan(1_000);
	});

	it("takes two hundred thousand values", () => {
		expect(parse(`[${"0,".repeat(199_997)}0]`)).toHaveLength(199_998);
	});

	it.each([
		'{"__proto__":{"a":1}}',
		'[{"a":{"__proto__":1}}]',
		'{"\\u005f_proto__":1}',
		'{"constructor":{"prototype":{"a":1}}}',
		'{"c\\u006fnstructor":{"prototype":1}}',
	])("refuses the keys of %s", (text) => {
		expect(() => parse(text)).toThrow("The request body has a forbidden key");
		expect(({} as { a?: unknown }).a).toBeUndefined();
	});

	it.each(['"\\u0000"', '{"a\\u0000":1}', '["\\\\\\u0000"]'])("refuses the NUL in %s", (text) => {
		expect(() => parse(text)).toThrow("Text must not contain NUL characters");
	});

	it("takes a backslash before what only looks like one", () => {
		expect(parse('"\\\\u0000"')).toBe("\\u0000");
	});

	it.each(['"\\ud83d"', '"\\ude00"', '"\\ud83dx"', '"\\ud83d\\u0041"', '"\\ude00\\ud83d"'])("refuses the half pair in %s", (text) => {
		expect(() => parse(text)).toThrow("Text must not contain half of a surrogate pair");
	});
});
