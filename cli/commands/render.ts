import { type Fault, UserError } from "../../core/errors.ts";
import type { StackRecord } from "../../core/record.ts";
import { type Manifest, type Manifests, manifestsOf } from "../../preview/manifests.ts";
import { hasToken, imageSettings, namesOfTokens, textsIn, tokensOf } from "../../preview/placeholders.ts";
import { command, exitCodes } from "../command.ts";
import { readText } from "../files.ts";
import { type Paint, paintFor } from "../print/paint.ts";
import { headerOf, writeFolder } from "../render-folder.ts";
import { openStack, type Stack } from "../run-stack.ts";

export const renderCommand = command({
	name: "render",
	summary: "the stack's Kubernetes objects as YAML, in the order to apply them",
	details: [
		"Writes one file an object, numbered. Secrets are never written: `pulumi up` makes them.\nA Job must have succeeded before what is numbered after it is applied.",
		"A value that exists only after `pulumi up` becomes a placeholder with the name of the\nstack's output, such as ${postgresPrimaryHost}. To have the values instead:\n  pulumi stack output --json > outputs.json\n  flowctl render <stack> --out DIR --outputs outputs.json",
		"Of a stack with GitOps delivery, what `pulumi up` makes is left out, and a placeholder\nthat is left is an error.",
	],
	args: [{ name: "stack", summary: "the stack, as in Pulumi.<stack>.yaml" }],
	options: {
		out: { type: "string", value: "DIR", summary: "the folder: a new or empty one, or one with an earlier rendering of the stack" },
		outputs: { type: "string", value: "FILE", summary: "the stack's outputs, from `pulumi stack output --json`" },
	},
	async run({ args: [name = ""], options: { out, outputs: outputsFile }, io }) {
		if (!out) {
			throw new UserError("the command line cannot be used", [
				{ at: "--out", what: "is missing", fix: `give a folder: flowctl render ${name} --out DIR` },
			]);
		}
		const outputs = outputsFile ? readOutputs(readText(outputsFile, io.cwd), outputsFile) : undefined;
		const stack = await openStack(name, io);
		const found = await render(stack, outputs);
		const isComplete = outputs !== undefined || stack.config.delivery === "gitops";
		if (isComplete) refusePlaceholders(found.manifests, name, outputsFile);

		const { yamlOf } = await import("../print/yaml.ts");
		const files = new Map(found.manifests.map(({ file, object }) => [file, `${headerOf(name)}\n${yamlOf(object)}`]));
		const removed = writeFolder(out, name, files, io.cwd);
		io.stdout.write(summaryOf(found, out, removed, paintFor(io.stdout, io)));
		return exitCodes.done;
	},
});

/** The objects that a pipeline applies: all but what `pulumi up` makes itself when it leaves the rest to others. */
async function render({ config, run }: Stack, outputs: Outputs | undefined): Promise<Manifests> {
	const everything = { ...config, delivery: "pulumi" } as const;
	const withTokens = await run(everything, tokensOf);
	const names = namesOfTokens(withTokens.outputs);
	if (outputs) refuseOtherStack(outputs, withTokens);
	const valueFor = (token: string) => outputs?.get(names.get(token) ?? "") || token;
	// Once more with the values themselves, as in `pulumi up`: a name may be made from them.
	const filled = outputs
		? await run(everything, (type, name) =>
				Object.fromEntries(Object.entries(tokensOf(type, name)).map(([property, token]) => [property, valueFor(token)])),
			)
		: withTokens;
	const byPulumi = config.delivery === "gitops" ? (await run(config)).resources.map(({ urn }) => urn) : [];
	return manifestsOf(filled, new Set(byPulumi), names);
}

/** What is known without the cloud must be the same there: the hosts of another stack would be taken as readily. */
function refuseOtherStack(outputs: Outputs, { stack, outputs: known }: StackRecord): void {
	const faults = [...textsIn(known)].flatMap(([path, expected]): Fault[] => {
		const given = outputs.get(path);
		if (given === undefined || given === expected || hasToken(expected)) return [];
		return [{ at: path, what: `is ${JSON.stringify(given)}, but ${JSON.stringify(expected)} in ${stack}`, fix: writeOutputs(stack) }];
	});
	if (faults.length > 0) throw new UserError(`the outputs are not those of ${stack} as it is now`, faults);
}

/** Every text in the stack's outputs, by its path. */
type Outputs = ReadonlyMap<string, string>;

function readOutputs(text: string, file: string): Outputs {
	const fix = "write it again: pulumi stack output --json > outputs.json";
	const refuse = (what: string) => new UserError(`${file} does not hold a stack's outputs`, [{ at: file, what, fix }]);
	let outputs: unknown;
	try {
		outputs = JSON.parse(text);
	} catch (error) {
		throw refuse(text.trim() === "" ? "is empty" : `is not JSON: ${(error as Error).message}`);
	}
	if (typeof outputs !== "object" || outputs === null || Array.isArray(outputs)) throw refuse("its top is not an object");
	return textsIn(outputs as StackRecord["outputs"]);
}

/** Every placeholder with the places where it stands, by name. */
function placesOf(manifests: readonly Manifest[]): [name: string, places: string[]][] {
	const all = manifests.flatMap(({ file, placeholders }) => placeholders.map(({ name, path }) => ({ name, place: `${file}: ${path}` })));
	const byName = Map.groupBy(all, ({ name }) => name);
	return [...byName]
		.map(([name, group]): [string, string[]] => [name, group.map(({ place }) => place)])
		.sort(([a], [b]) => (a < b ? -1 : 1));
}

function refusePlaceholders(manifests: readonly Manifest[], stack: string, outputsFile: string | undefined): void {
	const faults = placesOf(manifests).map(
		([name, places]): Fault => ({
			at: `\${${name}}`,
			what: ["is left in", ...places].join("\n        "),
			fix: fixOf(name, stack, outputsFile),
		}),
	);
	if (faults.length === 0) return;
	const why = outputsFile ? `${outputsFile} does not give all` : "a pipeline would apply the files as they are";
	throw new UserError(`placeholders are left: ${why}`, faults);
}

function fixOf(placeholder: string, stack: string, outputsFile: string | undefined): string {
	const setting = imageSettings.get(placeholder);
	if (setting !== undefined) return `set ${setting} in Pulumi.${stack}.yaml`;
	return outputsFile ? writeOutputs(stack) : `${writeOutputs(stack)}; then add --outputs outputs.json`;
}

function writeOutputs(stack: string): string {
	return `after \`pulumi up\`: pulumi stack output --json --stack ${stack} > outputs.json`;
}

function summaryOf({ manifests, secrets }: Manifests, folder: string, removed: number, { bold, dim, yellow }: Paint): string {
	const placeholders = placesOf(manifests);
	const lines = [bold(`wrote ${manifests.length} objects to ${folder}`)];
	if (removed > 0) lines.push(`removed from an earlier rendering: ${removed}`);
	if (secrets.length > 0) lines.push("", "Secrets are never written, `pulumi up` makes them:", ...secrets.map((name) => `  ${name}`));
	if (placeholders.length > 0) {
		lines.push("", yellow("Not known yet, and written as placeholders (--outputs FILE fills them in):"));
		for (const [name, places] of placeholders) {
			const setting = imageSettings.get(name);
			const note = setting === undefined ? "" : dim(` (set ${setting} in the stack's file)`);
			lines.push(`  \${${name}}${note}`, ...places.map((place) => dim(`    ${place}`)));
		}
	}
	return `${lines.join("\n")}\n`;
}
