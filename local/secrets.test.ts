import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Layout, layout } from "./place.ts";
import { readSecrets, writePrivate } from "./secrets.ts";

describe("the secrets of a topology", () => {
	let place: Layout;
	beforeEach(() => {
		place = layout(mkdtempSync(path.join(tmpdir(), "af-secrets-")));
	});
	afterEach(() => rmSync(place.folder, { recursive: true }));

	const file = () => path.join(place.secrets, "all.json");

	it("are made once, each another, and are for their user alone", () => {
		const made = readSecrets(place);
		expect(readSecrets(place)).toEqual(made);
		const { roleA, roleB, ...others } = made;
		const all = [roleA.password, roleB.password, ...Object.values(others)];
		expect(new Set(all).size).toBe(7);
		for (const secret of all) expect(secret).toMatch(/^[0-9a-f]{48}$/);
		expect([roleA.username, roleB.username]).toEqual(["server_a", "server_b"]);
		expect(statSync(file()).mode & 0o777).toBe(0o600);
	});

	it("of an earlier version are kept, and what it had not is made and kept", () => {
		const { redisTerminals: _, ...earlier } = readSecrets(place);
		writePrivate(file(), JSON.stringify(earlier, null, 2));
		const completed = readSecrets(place);
		expect(completed).toEqual({ ...earlier, redisTerminals: expect.stringMatching(/^[0-9a-f]{48}$/) });
		expect(readSecrets(place)).toEqual(completed);
		expect(JSON.parse(readFileSync(file(), "utf8"))).toEqual(completed);
	});

	it("that are damaged are not made anew: what they open would be lost", () => {
		readSecrets(place);
		writeFileSync(file(), "{");
		expect(() => readSecrets(place)).toThrow();
		expect(readFileSync(file(), "utf8")).toBe("{");
	});
});
