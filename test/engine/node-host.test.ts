import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { recordOf } from "../../stacks/platform.fixture.ts";
import { runUnderHost } from "./node-host.ts";

const root = new URL("../..", import.meta.url).pathname;
const host = { root, program: "stacks/index.ts", project: "agentic-flow" };

/** A stack's configuration as the engine hands it to its language host: text, JSON where it is structured. */
function configOf(stack: string): Record<string, string> {
	const { config } = parse(readFileSync(`${root}/Pulumi.${stack}.yaml`, "utf8")) as { config: Record<string, unknown> };
	return Object.fromEntries(Object.entries(config).map(([key, value]) => [key, typeof value === "string" ? value : JSON.stringify(value)]));
}

describe("under the engine's own Node host", () => {
	it.each(["dev", "prod"])("%s registers exactly what the offline preview shows", async (stack) => {
		const run = await runUnderHost({ ...host, stack, config: configOf(stack), dryRun: true, stackTraces: false });
		expect(run).toMatchObject({ exitCode: 0, log: [] });
		expect(run.record).toEqual(await recordOf(stack));
	});

	it.each(["dev", "prod"])("an update of %s makes the resources that its preview promised", async (stack) => {
		const image = `example.com/server@sha256:${"0".repeat(64)}`;
		const withImage = (key: string) => JSON.stringify({ ...JSON.parse(configOf(stack)[key] as string), image });
		const keys = ["agentic-flow:app", "agentic-flow:terminals"];
		const config = { ...configOf(stack), ...Object.fromEntries(keys.map((key) => [key, withImage(key)])) };
		const made = await runUnderHost({ ...host, stack, config, dryRun: false, stackTraces: false });
		expect(made.exitCode, made.log.join("\n")).toBe(0);
		const promised = await recordOf(stack, (settings) => ({
			...settings,
			app: { ...settings.app, image },
			terminals: { ...settings.terminals, image },
		}));
		const shape = ({ resources }: typeof made.record) => resources.map(({ urn, parent, protect }) => ({ urn, parent, protect }));
		expect(shape(made.record)).toEqual(shape(promised));
	});

	it("an update without an image stops before anything is registered, with advice and no stack trace", async () => {
		const run = await runUnderHost({ ...host, stack: "dev", config: configOf("dev"), dryRun: false, stackTraces: true });
		expect(run.exitCode).not.toBe(0);
		expect(run.record.resources.filter(({ custom }) => custom)).toEqual([]);
		expect(run.log.join("\n")).toContain("set app.image to <repository>@sha256:<digest>");
		expect(run.log.join("\n")).not.toContain("    at ");
	});

	it("broken settings are reported with advice and no stack trace", async () => {
		const config = { ...configOf("dev"), "agentic-flow:environment": "staging" };
		const run = await runUnderHost({ ...host, stack: "dev", config, dryRun: true, stackTraces: true });
		expect(run.exitCode).not.toBe(0);
		expect(run.log.join("\n")).toContain('agentic-flow:environment: "staging" is not allowed');
		expect(run.log.join("\n")).not.toContain("    at ");
	});
});
