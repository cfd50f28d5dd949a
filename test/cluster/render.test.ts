import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import type { Answer, KubernetesObject } from "./api.ts";
import { ControlPlane, missing } from "./control-plane.ts";
import { pruned } from "./pruned.ts";

const root = path.dirname(path.dirname(import.meta.dirname));

/** Namespaces whose pods need more than the restricted Pod Security level, with the level they get. */
const LESS_THAN_RESTRICTED: Record<string, string> = { "agentic-flow-terminals": "baseline" };

describe.skipIf(missing).each(["dev", "prod"])("the objects rendered from the stack %s", (stack) => {
	let plane: ControlPlane;
	let objects: KubernetesObject[];
	let answers: Answer[];

	beforeAll(async () => {
		objects = render(stack);
		plane = await ControlPlane.start();
		answers = [];
		for (const object of objects) answers.push(await plane.api.apply(object)); // one after another: the order is part of the promise
	});

	afterAll(() => plane?.stop());

	const each = <T>(of: (object: KubernetesObject, answer: Answer) => T) =>
		objects.map((object, index) => of(object, answers[index] as Answer));

	it("are all accepted, in the order they are written", () => {
		expect(objects.length).toBeGreaterThan(10);
		const refused = each((object, { status, body }) => (status < 300 ? [] : [`${nameOf(object)}: ${status} ${body.message}`]));
		expect(refused.flat()).toEqual([]);
	});

	it("raise no warning", () => {
		expect(each((object, { warnings }) => warnings.map((warning) => `${nameOf(object)}: ${warning}`)).flat()).toEqual([]);
	});

	it("are kept whole by the API", () => {
		expect(each((object, { body }) => pruned(object, body).map((line) => `${nameOf(object)}: ${line}`)).flat()).toEqual([]);
	});

	it("make pods that Pod Security, quotas, limits and service accounts let in", async () => {
		const workloads = objects.flatMap(
			(object) => plane.api.dryRunPod(object)?.then((answer) => ({ name: nameOf(object), ...answer })) ?? [],
		);
		expect(workloads.length).toBeGreaterThan(3);
		const refused = (await Promise.all(workloads)).filter(({ status, warnings }) => status !== 201 || warnings.length > 0);
		expect(refused.map(({ name, status, body, warnings }) => `${name}: ${status} ${body.message ?? warnings.join(", ")}`)).toEqual([]);
	});

	it("hold every namespace to the restricted level, but for those named here", () => {
		const levels = objects
			.filter(({ kind }) => kind === "Namespace")
			.map(({ metadata }) => [
				metadata.name,
				(metadata as { labels?: Record<string, string> }).labels?.["pod-security.kubernetes.io/enforce"],
			]);
		expect(levels.length).toBeGreaterThan(0);
		// What a stack has switched off has no namespace.
		const expected = Object.entries(LESS_THAN_RESTRICTED).filter(([name]) => levels.some(([each]) => each === name));
		expect(levels.filter(([, level]) => level !== "restricted")).toEqual(expected);
	});

	it("change nothing when they are applied again", async () => {
		const changed: string[] = [];
		for (const object of objects) {
			const before = await plane.api.read(object);
			const after = await plane.api.apply(object);
			if (after.body.metadata?.resourceVersion !== before.body.metadata.resourceVersion) changed.push(nameOf(object));
		}
		expect(changed).toEqual([]);
	});
});

/** What `flowctl render` writes: one object a file, numbered in the order in which they are to be applied. */
function render(stack: string): KubernetesObject[] {
	const folder = mkdtempSync(path.join(tmpdir(), `render-${stack}-`));
	try {
		execFileSync(process.execPath, [path.join(root, "cli/flowctl.ts"), "render", stack, "--out", folder], {
			cwd: root,
			stdio: ["ignore", "ignore", "inherit"],
		});
		const files = readdirSync(folder)
			.filter((file) => file.endsWith(".yaml"))
			.sort();
		return files.map((file) => parse(readFileSync(path.join(folder, file), "utf8")));
	} finally {
		rmSync(folder, { recursive: true });
	}
}

function nameOf({ kind, metadata }: KubernetesObject): string {
	return [kind, metadata.namespace, metadata.name].filter(Boolean).join("/");
}
