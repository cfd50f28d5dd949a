/** Checks who imports whom: the layers below, no cycles, no whole-package imports. Run by `npm run lint`. */
import { globSync, readFileSync } from "node:fs";
import path from "node:path";
import { parseSync, Visitor } from "rolldown/utils";

interface Layer {
	/** Folders (ending in `/`) and files it may import, beside its own. */
	readonly may: readonly string[];
	/** What it may import only as a type. */
	readonly types?: readonly string[];
	readonly why: string;
}

const CONTRACT = "app/contract.ts";

/** Tests, and what tests beside each other share. */
const TEST = /\.(test|fixture)\.ts$/;

/**
 * Folders that are not here (test, bench, scripts), `*.test.ts` and `*.fixture.ts` may import everything but the inside of app.
 * Only test/ sees that too: it shows that the server and what stands around it agree.
 */
const layers: Record<string, Layer> = {
	core: { may: [], why: "everything stands on it" },
	infra: { may: ["core/"], why: "an AWS building block knows neither Kubernetes nor the stacks; only stacks/ joins them" },
	components: { may: ["core/", CONTRACT], why: "a Kubernetes component gets what it needs of AWS as inputs; only stacks/ joins them" },
	stacks: { may: ["core/", "infra/", "components/", CONTRACT], why: "the program must run under the engine as well as under the command" },
	preview: { may: ["core/"], why: "it works on records, whatever program made them" },
	policies: { may: ["core/"], why: "a rule is a function of resources, whatever program made them" },
	local: {
		may: ["core/", CONTRACT],
		types: ["stacks/config.ts"],
		why: "the local topology is another driver of the settings and loads no cloud SDK",
	},
	cli: {
		may: ["core/", "stacks/", "preview/", "policies/", "local/", "package.json"],
		why: "a command joins the drivers and holds no building blocks",
	},
	app: { may: [], why: "the server is an image of its own, built from app/ alone" },
};

/** Packages whose index loads thousands of modules. */
const WHOLE_PACKAGE = /^@pulumi\/(aws|kubernetes)(\/index\.js)?$/;

/** One import of one file. */
interface Import {
	readonly line: number;
	readonly specifier: string;
	readonly isType: boolean;
}

/**
 * Every breach of the rules, as `file:line: what`, `rule`, `why`, sorted by file.
 *
 * @param sources the text of each TypeScript or JavaScript file, by its path from the repository's root
 */
export function lintImports(sources: ReadonlyMap<string, string>): string[] {
	const imports = new Map([...sources].map(([file, source]) => [file, importsOf(file, source)]));
	const breaches = [...imports].flatMap(([file, list]) => list.flatMap((found) => breach(file, found)));
	return [...breaches, ...cycles(imports)];
}

/** Static, dynamic, type and re-exporting imports alike. */
function importsOf(file: string, source: string): Import[] {
	const { program, errors } = parseSync(file, source);
	if (errors[0]) throw new SyntaxError(`${file}: ${errors[0].message}`);
	const found: Import[] = [];
	const add = (node: { start: number; source: { type: string; value?: unknown } | null }, isType: boolean) => {
		if (node.source === null || typeof node.source.value !== "string") return; // a local export, or a computed import
		const line = source.slice(0, node.start).split("\n").length;
		found.push({ line, specifier: node.source.value, isType });
	};
	new Visitor({
		ImportDeclaration: (node) => add(node, node.importKind === "type"),
		ExportNamedDeclaration: (node) => add(node, node.exportKind === "type"),
		ExportAllDeclaration: (node) => add(node, node.exportKind === "type"),
		ImportExpression: (node) => add(node, false),
		TSImportType: (node) => add(node, true),
	}).visit(program);
	return found.sort((a, b) => a.line - b.line);
}

function breach(file: string, { line, specifier, isType }: Import): string[] {
	const tell = (rule: string, why: string) => [`${file}:${line}: imports ${specifier}\n  rule: ${rule}\n  why: ${why}`];
	if (file === CONTRACT) return tell(`${CONTRACT} imports nothing`, "everything that deploys, balances or watches the server reads it");
	if (WHOLE_PACKAGE.test(specifier)) {
		return tell("import a class by its own file, such as @pulumi/aws/ec2/vpc.js", "the index loads the whole SDK, which takes seconds");
	}
	const target = resolve(file, specifier);
	if (target === undefined) return [];
	const from = folderOf(file);
	const to = folderOf(target);
	if (from === to) return [];
	if (to === "app" && target !== CONTRACT && from !== "test")
		return tell(`of app/ only ${CONTRACT} may be imported`, "the server's inside changes without asking those who deploy it");
	const layer = layers[from];
	if (!layer || TEST.test(file)) return [];
	const matches = (allowed: string) => target === allowed || (allowed.endsWith("/") && target.startsWith(allowed));
	if (layer.may.some(matches) || (isType && layer.types?.some(matches))) return [];
	return tell(`${from}/ may import ${describe(layer)}`, layer.why);
}

function describe({ may, types = [] }: Layer): string {
	const all = [...may, ...types.map((each) => `${each} (with \`import type\`)`)];
	return all.length > 0 ? all.join(", ") : "nothing of ours";
}

/** Every ring of files that need each other to load. An `import type` needs nothing at run time, so it closes none. */
function cycles(imports: ReadonlyMap<string, readonly Import[]>): string[] {
	const done = new Set<string>();
	const trail: string[] = [];
	const found: string[] = [];
	const visit = (file: string) => {
		const start = trail.indexOf(file);
		if (start >= 0) {
			const ring = [...trail.slice(start), file].join(" -> ");
			found.push(`${file}: imports itself: ${ring}\n  rule: no cycles\n  why: one of them runs before what it imports`);
		}
		if (start >= 0 || done.has(file)) return;
		trail.push(file);
		for (const { specifier, isType } of imports.get(file) ?? []) {
			const target = isType ? undefined : resolve(file, specifier);
			if (target !== undefined) visit(target);
		}
		trail.pop();
		done.add(file);
	};
	for (const file of [...imports.keys()].sort()) visit(file);
	return found;
}

/** The imported file's path from the root; undefined for a package. */
function resolve(file: string, specifier: string): string | undefined {
	return specifier.startsWith(".") ? path.posix.join(path.posix.dirname(file), specifier) : undefined;
}

/** The first folder of a path; a file at the root, or outside of it, is in a folder of its own. */
function folderOf(file: string): string {
	return file.split("/")[0] as string;
}

if (import.meta.main) {
	const root = path.dirname(import.meta.dirname);
	const files = globSync("**/*.{ts,mts,js,mjs}", { cwd: root, exclude: ["**/node_modules", ".*"] }).sort();
	const breaches = lintImports(new Map(files.map((file) => [file, readFileSync(path.join(root, file), "utf8")])));
	for (const text of breaches) console.error(text);
	console.log(`${files.length} files, ${breaches.length} breaches of the import rules`);
	process.exitCode = breaches.length > 0 ? 1 : 0;
}
