import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { flowctl, root, temporaryFolder } from "./flowctl.ts";

const { folder, remove } = temporaryFolder();
afterAll(remove);

const IMAGE = `registry.example.com/app@sha256:${"a".repeat(64)}`;

/** Stacks of this test's own: `ready` has an image; `gitops` too, and leaves the objects to a pipeline. */
beforeAll(() => {
	cpSync(path.join(root, "Pulumi.yaml"), path.join(folder, "Pulumi.yaml"));
	const dev = readFileSync(path.join(root, "Pulumi.dev.yaml"), "utf8");
	const ready = dev.replace(/^ {4}# image: .*$/gm, `    image: ${IMAGE}`);
	writeFileSync(path.join(folder, "Pulumi.dev.yaml"), dev);
	writeFileSync(path.join(folder, "Pulumi.ready.yaml"), ready);
	writeFileSync(path.join(folder, "Pulumi.gitops.yaml"), `${ready}\n  agentic-flow:delivery: gitops\n`);
});

const render = (...argv: string[]) => flowctl(["render", ...argv], { cwd: folder });
const filesIn = (out: string) => readdirSync(path.join(folder, out)).sort();
const textOf = (out: string, name: RegExp) => {
	const [file] = filesIn(out).filter((each) => name.test(each));
	return readFileSync(path.join(folder, out, file as string), "utf8");
};

const hosts = {
	loadBalancerDnsName: "lb.example.com",
	postgresPrimaryHost: "primary.example.com",
	postgresReplica1Host: "replica.example.com",
	redisStateHost: "state.example.com",
	redisCacheHost: "cache.example.com",
};

function writeOutputs(name: string, outputs: object): string {
	writeFileSync(path.join(folder, name), JSON.stringify(outputs));
	return name;
}

describe.each(["dev", "prod"])("flowctl render %s", (stack) => {
	it("writes one object a file, namespaces first, the migration before the server, and no Secret", async () => {
		const out = path.join(folder, `whole-${stack}`);
		const { code, stdout, stderr } = await flowctl(["render", stack, "--out", out]);
		expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
		const files = readdirSync(out).sort();
		const objects = files.map((file) => parse(readFileSync(path.join(out, file), "utf8"), { version: "1.1" }));
		expect(files.map((file) => file.split("-")[0])).toEqual(files.map((_, index) => `${index + 1}`.padStart(3, "0")));
		for (const { apiVersion, kind, metadata } of objects) expect([apiVersion, kind, metadata.name]).not.toContain(undefined);
		const kinds: string[] = objects.map(({ kind }) => kind);
		expect(kinds).not.toContain("Secret");
		expect(kinds.lastIndexOf("Namespace")).toBeLessThan(kinds.findIndex((kind) => kind !== "Namespace"));
		expect(kinds.indexOf("Job")).toBeLessThan(
			objects.findIndex(({ kind, metadata }) => kind === "Deployment" && metadata.name === "server"),
		);
		expect(stdout).toContain("Secrets are never written, `pulumi up` makes them:\n");
		expect(stdout).toContain("  agentic-flow/postgres-admin\n");
	});

	it("writes the same bytes twice", async () => {
		const read = async (name: string) => {
			const out = path.join(folder, name);
			await flowctl(["render", stack, "--out", out]);
			return readdirSync(out)
				.sort()
				.map((file) => [file, readFileSync(path.join(out, file), "utf8")]);
		};
		expect(await read(`first-${stack}`)).toEqual(await read(`second-${stack}`));
	});
});

describe("values that are not known yet", () => {
	it("are placeholders with the names of the stack's outputs, listed with their places", async () => {
		const { stdout } = await render("dev", "--out", "placeholders");
		const server = textOf("placeholders", /deployment-agentic-flow-server/);
		expect(server).toMatch(/^# rendered by flowctl from the stack dev; do not edit\napiVersion: apps\/v1\nkind: Deployment\nmetadata:\n/);
		expect(server).toContain("value: ${postgresPrimaryHost}:5432\n");
		expect(server).toContain("value: http://${loadBalancerDnsName}\n");
		expect(server).toContain("image: ${appImage}\n");
		expect(server).not.toMatch(/token|\$unknown/);
		expect(stdout).toMatch(
			/\$\{appImage\} \(set app\.image in the stack's file\)\n {4}\d+-job-agentic-flow-migrate-\w+\.yaml: spec\.template\.spec\.containers\[0\]\.image\n/,
		);
	});

	it("are the outputs' values with --outputs", async () => {
		const { code, stdout } = await render("ready", "--out", "filled", "--outputs", writeOutputs("hosts.json", hosts));
		expect(code).toBe(0);
		expect(stdout).not.toContain("placeholders");
		const server = textOf("filled", /deployment-agentic-flow-server/);
		expect(server).toContain("value: primary.example.com:5432\n");
		expect(server).toContain("value: http://lb.example.com\n");
		expect(server).toContain(`image: ${IMAGE}\n`);
	});

	it("are a mistake where the outputs lack them, and nothing is written", async () => {
		const { postgresReplica1Host: _, ...some } = hosts;
		const { code, stderr } = await render(
			"ready",
			"--out",
			"lacking",
			"--outputs",
			writeOutputs("some.json", { ...some, redisCacheHost: "" }),
		);
		expect(code).toBe(2);
		expect(stderr).toMatch(
			/^placeholders are left: some\.json does not give all\n {2}\$\{postgresReplica1Host\}: is left in\n {8}\d+-deployment-agentic-flow-jobs\.yaml: spec/,
		);
		expect(stderr).toContain("${redisCacheHost}: is left in");
		expect(stderr).toContain("pulumi stack output --json --stack ready > outputs.json");
		expect(filesIn(".")).not.toContain("lacking");
	});

	it("are not taken from the outputs of another stack", async () => {
		const file = writeOutputs("other.json", { ...hosts, clusterName: "agentic-flow-prod" });
		const { code, stderr } = await render("ready", "--out", "other", "--outputs", file);
		expect(code).toBe(2);
		expect(stderr).toContain('clusterName: is "agentic-flow-prod", but "agentic-flow-ready" in ready');
	});

	it.each([
		["", "is empty"],
		["{", "is not JSON"],
		["[]", "its top is not an object"],
	])("cannot be read from the file %j", async (text, what) => {
		writeFileSync(path.join(folder, "bad.json"), text);
		const { code, stderr } = await render("ready", "--out", "bad", "--outputs", "bad.json");
		expect(code).toBe(2);
		expect(stderr).toContain(`bad.json: ${what}`);
	});
});

describe("a stack with GitOps delivery", () => {
	it("is refused while a placeholder is left", async () => {
		const { code, stderr } = await render("gitops", "--out", "early");
		expect(code).toBe(2);
		expect(stderr).toMatch(/^placeholders are left: a pipeline would apply the files as they are\n/);
		expect(stderr).toContain("then add --outputs outputs.json");
		expect(filesIn(".")).not.toContain("early");
	});

	it("has everything rendered but what `pulumi up` makes itself", async () => {
		const { code } = await render("gitops", "--out", "gitops", "--outputs", writeOutputs("hosts.json", hosts));
		expect(code).toBe(0);
		await render("ready", "--out", "all", "--outputs", "hosts.json");
		const kinds = (out: string) => new Set(filesIn(out).map((file) => file.split("-")[1]));
		expect([...kinds("all").difference(kinds("gitops"))].sort()).toEqual(["limitrange", "namespace", "resourcequota"]);
	});
});

describe("the folder", () => {
	it("is cleared of files of an earlier rendering that are no longer in the stack", async () => {
		await render("dev", "--out", "again");
		const stale = path.join(folder, "again", "999-configmap-stale.yaml");
		writeFileSync(stale, "# rendered by flowctl from the stack dev; do not edit\nkind: ConfigMap\n");
		const { code, stdout } = await render("dev", "--out", "again");
		expect(code).toBe(0);
		expect(stdout).toContain("removed from an earlier rendering: 1\n");
		expect(filesIn("again")).not.toContain("999-configmap-stale.yaml");
	});

	it.each([
		[
			"a file of somebody else's",
			(out: string) => writeFileSync(path.join(out, "notes.yaml"), "kind: Note\n"),
			"notes.yaml was not rendered from the stack dev",
		],
		["a folder", (out: string) => mkdirSync(path.join(out, "sub")), "sub was not rendered from the stack dev"],
		[
			"another stack's rendering",
			(out: string) => writeFileSync(path.join(out, "001-x.yaml"), "# rendered by flowctl from the stack prod; do not edit\n"),
			"001-x.yaml was not rendered from the stack dev",
		],
	])("is left alone where it holds %s", async (name, make, what) => {
		const out = path.join(folder, name.replaceAll(/\W/g, "-"));
		mkdirSync(out);
		make(out);
		const before = readdirSync(out);
		const { code, stderr } = await render("dev", "--out", out);
		expect(code).toBe(2);
		expect(stderr).toContain(what);
		expect(readdirSync(out)).toEqual(before);
	});

	it("must be one: a file is refused", async () => {
		writeFileSync(path.join(folder, "file"), "");
		expect(await render("dev", "--out", "file")).toMatchObject({ code: 2, stderr: expect.stringContaining("file cannot be written") });
	});
});
