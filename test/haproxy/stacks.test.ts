import { describe, expect, it } from "vitest";
import { record } from "../../preview/record.ts";
import { PROJECT } from "../../stacks/config.ts";
import { loadStack } from "../../stacks/load.ts";
import { platform } from "../../stacks/platform.ts";
import { check, missing } from "./daemon.ts";

const root = new URL("../..", import.meta.url).pathname;

describe.skipIf(missing)("the configuration that a stack deploys", () => {
	it.each(["dev", "prod"])("of %s passes HAProxy's own check", async (stack) => {
		const { resources } = await record({ project: PROJECT, stack }, () => platform(loadStack(stack, { root }), stack));
		const map = resources.find(({ type, name }) => type === "kubernetes:core/v1:ConfigMap" && name === "haproxy-config");
		const data = map?.inputs.data as Record<string, string> | undefined;
		const configuration = data?.["haproxy.cfg"] ?? "";
		expect(configuration).toContain("frontend traffic");
		// Newer ones warn where this machine has fewer processors than a node of the stack: that alone is none of its faults.
		const { code, output } = check(configuration.replace(/nbthread \d+/, "nbthread 1"));
		expect(output.replace("Configuration file is valid", "").trim()).toBe("");
		expect(code).toBe(0);
	});
});
