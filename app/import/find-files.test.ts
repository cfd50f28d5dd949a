import { expect, it } from "vitest";
import { unreadable } from "./find-files.ts";
import { Refused } from "./rows.ts";

it.each([
	["ENOENT", "it cannot be read: it is not there"],
	["ELOOP", "it cannot be read: it is a link that leads to itself"],
	["EACCES", "it cannot be read: this user may not read it"],
	["EPERM", "it cannot be read: this user may not read it"],
	["ENOSPC", "it cannot be copied: there is no room for its copy"],
	["EIO", "it cannot be read: what the system says"],
])("trouble with a file is said in words, with a way out: %s", (code, words) => {
	const refused = unreadable(Object.assign(new Error("what the system says"), { code }));
	expect([refused.message, refused.fix]).toEqual([words, expect.stringMatching(/\w/)]);
});

it("a refusal stays what it is, and a fault of ours is thrown", () => {
	const refused = new Refused("it is", "for a reason", "do this");
	expect(unreadable(refused)).toBe(refused);
	expect(() => unreadable(new TypeError("ours"))).toThrow("ours");
});
