import { describe, expect, it, vi } from "vitest";
import { flowctl } from "./flowctl.ts";

vi.mock("../../stacks/platform.ts", () => ({
	platform: () => {
		throw new RangeError("the planets do not align");
	},
}));

describe("a fault of ours", () => {
	it("exits with 1, says that it is ours, and where to report it", async () => {
		const { code, stdout, stderr } = await flowctl(["preview", "dev"]);
		expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
		expect(stderr).toMatch(
			/^flowctl broke: the planets do not align\n {2}This is a fault of ours, not of your settings or files\.\n {2}Please report it/,
		);
		expect(stderr).not.toContain("faults.test.ts");
	});

	it.each([
		["--verbose", ["preview", "dev", "--verbose"], {}],
		["FLOWCTL_DEBUG", ["preview", "dev"], { FLOWCTL_DEBUG: "1" }],
	])("shows where it happened with %s", async (_name, argv, env) => {
		const { code, stderr } = await flowctl(argv, { env });
		expect(code).toBe(1);
		expect(stderr).toMatch(/RangeError: the planets do not align\n +at .*faults\.test\.ts/);
	});
});
