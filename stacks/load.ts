/** From a stack's file, or the engine's configuration, to complete settings; every fault of it in one report. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Document, isMap, parseDocument, type YAMLError } from "yaml";
import type { z } from "zod";
import { type Fault, reasonOf, UserError } from "../core/errors.ts";
import { nearest } from "../core/nearest.ts";
import { PROJECT, type StackConfig, sections } from "./config.ts";
import { faultsOf, pathOf, unknownSetting } from "./faults.ts";
import { rules } from "./rules/index.ts";
import type { Rule } from "./rules/rule.ts";

/** Keys that Pulumi itself puts at the top of a stack file. */
const PULUMI_KEYS = ["config", "secretsprovider", "encryptionsalt", "encryptedkey", "environment"];

/** Namespaces whose settings Pulumi and its providers read; they are none of ours. */
const OTHER_NAMESPACES = ["pulumi", "aws", "kubernetes", "random"];

/**
 * The settings of a stack, read from `Pulumi.<stack>.yaml` in the folder `root`.
 *
 * @throws UserError with every fault found: no such stack, an unreadable, empty or broken file, unknown settings,
 * values that are not allowed, and settings that do not go together.
 */
export function loadStack(stack: string, { root }: { root: string }): StackConfig {
	const file = `Pulumi.${stack}.yaml`;
	const { raw, faults } = readSections(file, readStackFile(stack, root));
	return parseSections(file, raw, faults);
}

/**
 * Complete settings from one raw value a section.
 *
 * @param source what the report calls the place they come from.
 * @param earlier faults found on the way here, to be reported with the rest.
 * @throws UserError with every fault found.
 */
export function parseSections(source: string, raw: Readonly<Record<string, unknown>>, earlier: readonly Fault[] = []): StackConfig {
	const faults = [...earlier];
	const sound: Record<string, unknown> = {};
	for (const key of Object.keys(raw)) {
		if (!Object.hasOwn(sections, key)) faults.push(unknownSetting(`${PROJECT}:${key}`, key, Object.keys(sections)));
	}
	for (const [key, section] of Object.entries(sections) as [string, z.ZodType][]) {
		const parsed = parseSection(section, raw[key]);
		if ("value" in parsed) sound[key] = parsed.value;
		faults.push(...faultsOf(`${PROJECT}:${key}`, section, raw[key], parsed.issues));
	}
	faults.push(...Object.values(rules).flatMap((rule) => faultsOfRule(rule, sound)));
	if (faults.length > 0) throw new UserError(`${source}: ${faults.length} fault${faults.length > 1 ? "s" : ""}`, faults);
	return sound as StackConfig;
}

/** A section with misspelt keys only is still understood, so that the rules can look at the rest of it. */
function parseSection(section: z.ZodType, value: unknown): { issues: readonly z.core.$ZodIssue[]; value?: unknown } {
	const first = section.safeParse(value);
	if (first.success) return { issues: [], value: first.data };
	const { issues } = first.error;
	if (!issues.every(({ code }) => code === "unrecognized_keys")) return { issues };
	const again = section.safeParse(withoutKeys(value, issues));
	return again.success ? { issues, value: again.data } : { issues };
}

function withoutKeys(value: unknown, issues: readonly z.core.$ZodIssue[]): unknown {
	const copy: unknown = structuredClone(value);
	for (const issue of issues) {
		if (issue.code !== "unrecognized_keys") continue;
		const parent = issue.path.reduce<unknown>((here, key) => (here as Record<PropertyKey, unknown>)[key], copy);
		for (const key of issue.keys) delete (parent as Record<string, unknown>)[key];
	}
	return copy;
}

const UNSOUND = Symbol("a section that could not be read");

/** A rule's faults; none where it looks at a section that has faults of its own already. */
function faultsOfRule(rule: Rule, sound: Readonly<Record<string, unknown>>): Fault[] {
	const guarded = new Proxy(sound, {
		get(target, key) {
			if (!Object.hasOwn(target, key)) throw UNSOUND;
			return target[key as string];
		},
	});
	try {
		return rule(guarded as unknown as StackConfig).map((fault) => ({ ...fault, at: `${PROJECT}:${fault.at}` }));
	} catch (error) {
		if (error === UNSOUND) return [];
		throw error;
	}
}

function readStackFile(stack: string, root: string): string {
	const known = stacksIn(root);
	const file = `Pulumi.${stack}.yaml`;
	if (!/^[\w.-]+$/.test(stack) || (!known.includes(stack) && !exists(join(root, file)))) {
		const meant = nearest(stack, known);
		throw new UserError(`unknown stack "${stack}"`, [
			{
				at: file,
				what: "there is no such file",
				fix:
					known.length > 0
						? `${meant ? `did you mean "${meant}"? ` : ""}stacks here: ${known.join(", ")}`
						: `run the command in the project's folder: ${root} holds no stack file`,
			},
		]);
	}
	try {
		return readFileSync(join(root, file), "utf8");
	} catch (error) {
		throw new UserError(`${file} cannot be read`, [{ at: file, what: reasonOf(error), fix: "make it a file that you may read" }]);
	}
}

function exists(path: string): boolean {
	try {
		readFileSync(path);
		return true;
	} catch (error) {
		return (error as NodeJS.ErrnoException).code !== "ENOENT";
	}
}

/** Names of the stacks that have a file in the folder, sorted. */
export function stacksIn(root: string): string[] {
	return readdirSync(root)
		.flatMap((name) => /^Pulumi\.([\w.-]+)\.yaml$/.exec(name)?.[1] ?? [])
		.sort();
}

function readSections(file: string, text: string): { raw: Record<string, unknown>; faults: Fault[] } {
	const document = parseDocument(text, { prettyErrors: true, logLevel: "error" });
	if (document.errors.length > 0) {
		throw new UserError(
			`${file} is not valid YAML`,
			document.errors.map((error) => faultOfYaml(error, file)),
		);
	}
	if (document.contents === null) {
		throw new UserError(`${file} is empty`, [{ at: file, what: "holds no settings", fix: "copy Pulumi.dev.yaml and change what differs" }]);
	}
	const content = contentOf(document, file);
	const faults: Fault[] = [];
	const raw: Record<string, unknown> = {};
	if (!isMap(document.contents) || typeof content !== "object") {
		throw new UserError(`${file} is not a stack file`, [
			{ at: file, what: "its top is not a group of settings", fix: 'begin with "config:" and put the settings below it' },
		]);
	}
	const top = content as Record<string, unknown>;
	for (const key of Object.keys(top)) {
		if (!PULUMI_KEYS.includes(key)) faults.push(unknownSetting(key, key, PULUMI_KEYS));
	}
	const config = top.config;
	if (typeof config !== "object" || config === null || Array.isArray(config)) {
		faults.push({
			at: "config",
			what: config === undefined || config === null ? "is missing" : "is not a group of settings",
			fix: `put the settings below "config:", each as ${PROJECT}:<section>`,
		});
	} else {
		for (const [key, value] of Object.entries(config)) {
			const [namespace, ...rest] = key.split(":");
			const section = rest.join(":");
			if (namespace === PROJECT && section) {
				if (isEncrypted(value))
					faults.push({ at: key, what: "is encrypted", why: "settings hold no secrets: those are generated", fix: "give it in clear" });
				else raw[section] = value ?? undefined;
			} else if (!OTHER_NAMESPACES.includes(namespace ?? "")) {
				faults.push(
					unknownSetting(
						pathOf("config", [key]),
						key,
						Object.keys(sections).map((name) => `${PROJECT}:${name}`),
					),
				);
			}
		}
	}
	return { raw, faults };
}

/** What the document holds. Only here its aliases are followed. */
function contentOf(document: Document, file: string): unknown {
	try {
		return document.toJS();
	} catch (error) {
		const fix = "write the values themselves in place of the alias";
		throw new UserError(`${file} is not valid YAML`, [{ at: file, what: (error as Error).message, fix }]);
	}
}

function faultOfYaml({ code, message, linePos }: YAMLError, file: string): Fault {
	const at = linePos ? `line ${linePos[0].line}, column ${linePos[0].col}` : file;
	if (code === "MULTIPLE_DOCS") return { at, what: "a second document begins", fix: "leave out that line of dashes and all below it" };
	const what = message.split("\n")[0]?.replace(/ at line \d+, column \d+:?$/, "") ?? message;
	return { at, what, fix: "mend the YAML there; indentation and quotes are the usual cause" };
}

function isEncrypted(value: unknown): boolean {
	return typeof value === "object" && value !== null && Object.keys(value).join() === "secure";
}
