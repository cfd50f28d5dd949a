/**
 * Values that rendered objects carry although they exist only after `pulumi up`. The program runs with a token for each,
 * as if the value were known, and the stack's own outputs give every token the name under which it is asked for.
 */
import { createHash } from "node:crypto";
import { isUnknownMark, type RecordedValue, type StackRecord } from "../core/record.ts";
import { leavesOf, pathTo } from "./paths.ts";

/** Outputs that an object may carry, by the type of the resource that has them. All are text. */
const CARRIED: Readonly<Record<string, readonly string[]>> = {
	"aws:ecr/repository:Repository": ["repositoryUrl"],
	"aws:elasticache/replicationGroup:ReplicationGroup": ["primaryEndpointAddress", "readerEndpointAddress"],
	"aws:iam/role:Role": ["arn"],
	"aws:lb/loadBalancer:LoadBalancer": ["dnsName"],
	"aws:rds/instance:Instance": ["address"],
};

/** Letters, digits and `-` only, so that a program may put it wherever a host name goes. */
const TOKEN = /flowctl-[0-9a-f]{16}-token/g;

/** What a resource answers while rendering: a token for each output that an object may carry. */
export function tokensOf(type: string, name: string): Record<string, string> {
	const properties = Object.hasOwn(CARRIED, type) ? (CARRIED[type] as readonly string[]) : [];
	return Object.fromEntries(properties.map((property) => [property, tokenOf([type, name, property])]));
}

function tokenOf(parts: readonly string[]): string {
	return `flowctl-${createHash("sha256").update(parts.join("\n")).digest("hex").slice(0, 16)}-token`;
}

/** Whether a text has a token in it. */
export function hasToken(text: string): boolean {
	return text.match(TOKEN) !== null;
}

/** Every text in a stack's outputs, by its path: `postgresPrimaryHost`, `hosts[0]`. */
export function textsIn(outputs: StackRecord["outputs"]): Map<string, string> {
	const texts = [...leavesOf(outputs)].filter((leaf): leaf is [string, string] => typeof leaf[1] === "string");
	return new Map(texts);
}

/** The output's path for every token that is a whole output, or a whole part of one. */
export function namesOfTokens(outputs: StackRecord["outputs"]): Map<string, string> {
	const tokens = [...textsIn(outputs)].filter(([, text]) => text.match(TOKEN)?.[0] === text);
	return new Map(tokens.map(([path, token]) => [token, path]));
}

/** One place in an object whose value is not known yet. */
export interface Placeholder {
	/** Between `${` and `}`. */
	readonly name: string;
	/** Where it is: `spec.template.spec.containers[0].image`. */
	readonly path: string;
}

/**
 * The value with every token and every unknown as `${name}`, and the list of them. What no output gives is named after
 * its place, but for the image of the server: the only one that is not pinned.
 *
 * @throws Error where a token is no output of the stack: then nobody could ever fill it.
 */
export function withPlaceholders(
	value: RecordedValue,
	names: ReadonlyMap<string, string>,
	owner: string,
): { value: RecordedValue; placeholders: Placeholder[] } {
	const placeholders: Placeholder[] = [];
	const put = (name: string, path: string) => {
		placeholders.push({ name, path });
		return `\${${name}}`;
	};
	const filled = (text: string, path: string) =>
		text.replace(TOKEN, (token) => {
			const name = names.get(token);
			if (name === undefined) throw new Error(`${owner} carries a value at ${path} that is no output of the stack`);
			return put(name, path);
		});
	const visit = (here: RecordedValue, path: string): RecordedValue => {
		if (isUnknownMark(here)) return put(nameOfPlace(owner, path), path);
		if (typeof here === "string") return filled(here, path);
		if (Array.isArray(here)) return here.map((inner, index) => visit(inner, pathTo(path, index)));
		if (typeof here !== "object" || here === null) return here;
		return Object.fromEntries(Object.entries(here).map(([key, inner]) => [filled(key, path), visit(inner, pathTo(path, key))]));
	};
	return { value: visit(value, ""), placeholders };
}

/** Placeholders for images, and the settings that give them. */
export const imageSettings: ReadonlyMap<string, string> = new Map([
	["appImage", "app.image"],
	["terminalsImage", "terminals.image"],
]);

function nameOfPlace(owner: string, path: string): string {
	if (/\.(?:containers|initContainers)\[\d+\]\.image$/.test(path)) return owner.includes("terminal-host") ? "terminalsImage" : "appImage";
	const [first = "", ...rest] = `${owner} ${path}`.split(/[^A-Za-z0-9]+/).filter(Boolean);
	return first[0]?.toLowerCase() + first.slice(1) + rest.map((word) => word[0]?.toUpperCase() + word.slice(1)).join("");
}
