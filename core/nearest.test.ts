import { expect, it } from "vitest";
import { nearest } from "./nearest.ts";

const known = ["replicas", "region", "version"];

it.each([
	["replica", "replicas"],
	["Replicas", "replicas"],
	["vresion", "version"],
	["regions", "region"],
	["password", undefined],
	["x", undefined],
])("%s is taken for %s", (word, meant) => {
	expect(nearest(word, known)).toBe(meant);
});
