/**
 * The offline preview against the Pulumi CLI's own, resource by resource. Runs where `pulumi` and plugins for the
 * program's providers are on PATH, and needs no login: the state is a folder of its own.
 */
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { record } from "../../preview/record.ts";
import { PROJECT } from "../../stacks/config.ts";
import { loadStack } from "../../stacks/load.ts";
import { platform } from "../../stacks/platform.ts";

const root = new URL("../..", import.meta.url).pathname;
const version = await execa("pulumi", ["version"], { reject: false });
const skipped = version.failed ? "no `pulumi` on PATH" : undefined;
if (skipped) console.log(`skipped: the offline preview against the Pulumi CLI (${skipped})`);

interface Step {
	readonly urn: string;
	readonly newState?: { readonly parent?: string; readonly protect?: boolean; readonly dependencies?: readonly string[] };
}

describe.skipIf(skipped)("beside the Pulumi CLI's own preview", () => {
	// A copy, for `stack init` writes into the stack's file.
	const project = mkdtempSync(join(tmpdir(), "pulumi-project-"));
	const env = {
		PATH: `${join(root, "node_modules/.bin")}:${process.env.PATH}`,
		PULUMI_BACKEND_URL: `file://${join(project, "state")}`,
		PULUMI_CONFIG_PASSPHRASE: "for this test alone",
		PULUMI_SKIP_UPDATE_CHECK: "true",
	};

	beforeAll(() => {
		mkdirSync(join(project, "state"));
		for (const part of [
			"app",
			"components",
			"core",
			"infra",
			"stacks",
			"package.json",
			"Pulumi.yaml",
			"Pulumi.dev.yaml",
			"Pulumi.prod.yaml",
		]) {
			cpSync(join(root, part), join(project, part), { recursive: true, filter: (path) => !path.includes("node_modules") });
		}
		symlinkSync(join(root, "node_modules"), join(project, "node_modules"));
	});
	afterAll(() => rmSync(project, { recursive: true }));

	it.each(["dev", "prod"])(
		"%s has the same resources, parents, dependencies and protection",
		async (stack) => {
			const pulumi = (...args: string[]) => execa("pulumi", [...args, "--non-interactive"], { cwd: project, env });
			await pulumi("stack", "init", stack);
			const { stdout } = await pulumi("preview", "--stack", stack, "--json");
			const { steps } = JSON.parse(stdout) as { steps: Step[] };
			const offline = await record({ project: PROJECT, stack }, () => platform(loadStack(stack, { root }), stack));

			const byUrn = (a: { urn: string }, b: { urn: string }) => (a.urn < b.urn ? -1 : 1);
			const theirs = steps
				// The engine's own providers, for which the program asks nothing.
				.filter(({ urn }) => !/::pulumi:providers:\w+::default/.test(urn))
				.map(({ urn, newState }) => ({
					urn,
					parent: newState?.parent ?? null,
					protect: newState?.protect ?? false,
					dependencies: [...(newState?.dependencies ?? [])].sort(),
				}))
				.sort(byUrn);
			const ours = offline.resources.map(({ urn, parent, protect, dependencies }) => ({ urn, parent, protect, dependencies })).sort(byUrn);
			expect(ours).toEqual(theirs);
		},
		300_000,
	);
});
