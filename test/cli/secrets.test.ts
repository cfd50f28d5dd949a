import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { SecretVersion } from "@pulumi/aws/secretsmanager/secretVersion.js";
import { ConfigMap } from "@pulumi/kubernetes/core/v1/configMap.js";
import { Secret } from "@pulumi/kubernetes/core/v1/secret.js";
import * as pulumi from "@pulumi/pulumi";
import { afterAll, describe, expect, it, vi } from "vitest";
import { flowctl, temporaryFolder } from "./flowctl.ts";

const CANARY = "canary-5f3a9c";
const { folder, remove } = temporaryFolder();
afterAll(remove);

/** Whether the program of this test puts a secret where none may be. */
let leaky = false;

vi.mock("../../stacks/platform.ts", () => ({
	platform: async (_config: unknown, stack: string) => {
		const password = pulumi.secret(CANARY);
		const metadata = { name: "x", namespace: "ns" };
		new SecretVersion("version", { secretId: "s", secretString: pulumi.interpolate`{"password":"${password}","stack":"${stack}"}` });
		new Secret("secret", { metadata, stringData: { password, url: pulumi.interpolate`postgres://u:${password}@h` } });
		new ConfigMap("config", { metadata, data: leaky ? { password } : { stack } });
		return { password, list: [password], plain: "x" };
	},
}));

describe("a secret of the program", () => {
	it("is in no output of any command", async () => {
		const saved = path.join(folder, "dev.json");
		const out = path.join(folder, "out");
		const runs = [
			await flowctl(["preview", "dev"]),
			await flowctl(["preview", "dev", "--json"]),
			await flowctl(["preview", "dev", "--json", "--out", saved]),
			await flowctl(["diff", saved, "prod", "--names"]),
			await flowctl(["diff", "dev", "prod", "--json"]),
			await flowctl(["render", "dev", "--out", out]),
		];
		expect(runs.map(({ code, stderr }) => (code === 0 ? 0 : stderr))).toEqual(runs.map(() => 0));
		expect(runs[0]?.stdout).toContain("secretString: (secret)");
		expect(runs[0]?.stdout).toContain("  password: (secret)\n  plain: x\n");
		expect(runs[5]?.stdout).toContain("  ns/x\n");
		expect(readdirSync(out)).toEqual(["001-configmap-ns-x.yaml"]);
		const files = [saved, path.join(out, "001-configmap-ns-x.yaml")].map((file) => readFileSync(file, "utf8"));
		expect(JSON.stringify([runs, files])).not.toContain(CANARY);
	});

	it("stops a rendering where it is outside a Secret, and is not in the message either", async () => {
		leaky = true;
		const { code, stderr } = await flowctl(["render", "dev", "--out", path.join(folder, "leaky"), "--verbose"]);
		leaky = false;
		expect(code).toBe(1);
		expect(stderr).toContain("flowctl broke: ConfigMap ns x has a secret at data");
		expect(stderr).not.toContain(CANARY);
	});
});
