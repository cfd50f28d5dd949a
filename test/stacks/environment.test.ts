import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readJobsConfig, readMigrateConfig, readPodConfig } from "../../app/config.ts";
import { env, secretFiles } from "../../app/contract.ts";
import type { ResourceRecord } from "../../core/record.ts";
import { tokensOf } from "../../preview/placeholders.ts";
import type { StackConfig } from "../../stacks/config.ts";
import { recordOf } from "../../stacks/platform.fixture.ts";

/** Files of every credential: their content is no setting. */
const secretsDir = mkdtempSync(path.join(tmpdir(), "secrets-"));
beforeAll(() => {
	for (const folder of Object.values(secretFiles)) {
		mkdirSync(path.join(secretsDir, folder));
		for (const file of ["username", "password", "current"]) writeFileSync(path.join(secretsDir, folder, file), "x");
	}
});
afterAll(() => rmSync(secretsDir, { recursive: true }));

/** With lists as long as they get: another name, and another's page. */
function withLists(config: StackConfig): StackConfig {
	const domain = config.domain && { ...config.domain, alternativeNames: ["www.example.com"] };
	return { ...config, domain, app: { ...config.app, allowedOrigins: ["http://localhost:5173"] } };
}

describe.each(["dev", "prod"])("the settings that %s gives its pods are ones that the image takes:", (stack) => {
	let resources: readonly ResourceRecord[];
	beforeAll(async () => {
		({ resources } = await recordOf(stack, withLists, tokensOf));
	}, 60_000);

	/** The environment of a workload's one container. */
	function environmentOf(workload: string): Record<string, string> {
		const { inputs } = resources.find(({ type, name }) => type.startsWith("kubernetes:") && name === workload) as ResourceRecord;
		// biome-ignore lint/suspicious/noExplicitAny: manifests are looked into, not typed again.
		const variables: { name: string; value?: string }[] = (inputs as any).spec.template.spec.containers[0].env;
		const given = Object.fromEntries(variables.map(({ name, value }) => [name, value ?? "10.0.0.1"]));
		return { ...given, [env.secretsDir]: secretsDir };
	}

	it("server", () => {
		const config = readPodConfig(environmentOf("app-deployment"));
		expect(config).toMatchObject({ address: "10.0.0.1", port: 3100, workerPorts: [3101, 3102, 3103, 3104], pm2Home: "/pm2" });
	});

	it("migrate", () => {
		const { postgres } = readMigrateConfig(environmentOf("migration-job"));
		expect(postgres).toMatchObject({ primary: { port: 5432 }, database: "agentic_flow", tls: true });
	});

	it("jobs", () => {
		expect(readJobsConfig(environmentOf("jobs-deployment"))).toMatchObject({ address: "0.0.0.0", port: 3100 });
	});
});

it("pages of every name of the domain may use the server", async () => {
	const { resources } = await recordOf("prod", withLists, tokensOf);
	expect(JSON.stringify(resources)).toContain('"https://www.example.com,http://localhost:5173"');
});
