import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import type { RecordedValue } from "../../core/record.ts";
import { yamlOf } from "./yaml.ts";

describe("an object as YAML", () => {
	it.each(["yes", "off", "Null", "~", "0755", "0x1f", "1_000", "1:30", "12e3", "2026-11-24", "=", " a ", "a: b", "a #b", "${a}:1", "*"])(
		"keeps the text %j a text, for readers of YAML 1.1 and 1.2",
		(text) => {
			for (const version of ["1.1", "1.2"] as const)
				expect(parse(yamlOf({ a: text, [text]: 1 }), { version })).toEqual({ a: text, [text]: 1 });
		},
	);

	it("writes texts of several lines as they are, and long lines unbroken", () => {
		const config = `global\n\tmaxconn 5\n\n${"x ".repeat(200)}y\n`;
		expect(yamlOf({ config })).toBe(`config: |\n  global\n  \tmaxconn 5\n\n  ${"x ".repeat(200)}y\n`);
	});

	it("repeats what stands twice: no anchors", () => {
		const labels = { a: "b" };
		expect(yamlOf({ one: labels, two: labels })).toBe("one:\n  a: b\ntwo:\n  a: b\n");
	});

	it("is read back as the same object, whatever it is", () => {
		const keys = fc.string({ minLength: 1 }).filter((key) => key !== "<<");
		const objects = fc.dictionary(keys, fc.jsonValue({ stringUnit: "binary" }), { noNullPrototype: true });
		fc.assert(
			fc.property(objects, (object) => {
				const text = yamlOf(object as Record<string, RecordedValue>);
				for (const version of ["1.1", "1.2"] as const) expect(parse(text, { version })).toEqual(object);
			}),
			{ numRuns: 50 },
		);
	});
});
