import { describe, expect, it } from "vitest";
import { readSaved } from "./read-saved.ts";
import { resource, stackOf } from "./record.fixture.ts";

const sound = stackOf([resource({ type: "t", name: "a" }), resource({ type: "t", name: "b" })], { url: "x" });
const read = (saved: unknown) => readSaved(typeof saved === "string" ? saved : JSON.stringify(saved), "a.json");

describe("a saved preview", () => {
	it("is read as it was written", () => {
		expect(read(sound)).toEqual(sound);
	});

	it("may have fields that this version does not know", () => {
		expect(read({ ...sound, more: 1 })).toMatchObject(sound);
	});

	it.each<[string, unknown, RegExp]>([
		["an empty file", " ", /a\.json: is empty\n {6}fix: write it again/],
		["a broken file", "{", /a\.json: is not JSON: /],
		["a list", [], /a\.json: its top is not an object/],
		[
			"another JSON file",
			{ name: "x" },
			/stack: is missing; it must be text\n.*\n {2}outputs: is missing.*\n.*\n {2}resources: is missing/,
		],
		["a resource that is none", { ...sound, resources: [1] }, /resources\[0\]: is 1, not an object/],
		[
			"a wrong field",
			{ ...sound, resources: [{ ...sound.resources[0], protect: "no" }] },
			/resources\[0\]\.protect: is "no", not true or false/,
		],
		[
			"a wrong list",
			{ ...sound, resources: [{ ...sound.resources[0], dependencies: [1] }] },
			/resources\[0\]\.dependencies: is \[1\], not a list of URNs/,
		],
		["a resource twice", { ...sound, resources: [sound.resources[0], sound.resources[0]] }, /resources\[1\]\.urn: urn:\S+ is there twice/],
	])("is not %s", (_name, saved, message) => {
		expect(() => read(saved)).toThrow(message);
	});

	it("is refused with the first ten faults where there are many", () => {
		const faulty = { ...sound, resources: Array.from({ length: 50 }, () => ({})) };
		expect(() => read(faulty)).toThrow(/a\.json: has 590 more faults of this kind/);
	});
});
