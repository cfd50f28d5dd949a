/** What the catalogue knows of a tool, and the words its input schemas are made of. */
import type { Role } from "../../model.ts";
import type { ToolDescription } from "../../ports.ts";

export const categories = ["coordination", "monitoring", "memory", "neural", "github", "system", "workflow", "daa", "sparc"] as const;

export interface ToolEntry extends ToolDescription {
	readonly category: (typeof categories)[number];
	/** Who may call it: an operator, or everybody. */
	readonly role: Role;
	/** By this server on its own stores, or by a command that is given to it. */
	readonly runs: "here" | "external";
	/** Whether it may be begun again where nobody knows if it took effect: it only reads, or changes through the services. */
	readonly repeatable: boolean;
}

type Property = Readonly<Record<string, unknown>>;

export function text(initial?: string): Property {
	return initial === undefined ? { type: "string" } : { type: "string", default: initial };
}

export function oneOf(...values: readonly string[]): Property {
	return { type: "string", enum: values };
}

export function number(initial?: number): Property {
	return initial === undefined ? { type: "number" } : { type: "number", default: initial };
}

export const texts: Property = { type: "array", items: { type: "string" } };
export const list: Property = { type: "array" };
export const object: Property = { type: "object" };

/** Where and by whom a tool is run. */
type Way = Pick<ToolEntry, "role" | "runs" | "repeatable">;

const here: Way = { role: "member", runs: "here", repeatable: true };
const hereForOperators: Way = { ...here, role: "operator" };
/** It changes nothing. */
const reads: Way = { role: "member", runs: "external", repeatable: true };
/** It reads what not everybody may see. */
const readsForOperators: Way = { ...reads, role: "operator" };
const changes: Way = { role: "member", runs: "external", repeatable: false };
/** It acts with the deployment's own rights: on its files, its machines, or its accounts elsewhere. */
const changesForOperators: Way = { ...changes, role: "operator" };

export const ways = { here, hereForOperators, reads, readsForOperators, changes, changesForOperators } as const;

/** A row of the catalogue. A property whose name ends in `!` is required. */
export type Row = readonly [name: string, way: keyof typeof ways, description: string, properties: Readonly<Record<string, Property>>];

/** The entries of a category, in the order of its rows. */
export function entriesOf(category: ToolEntry["category"], rows: readonly Row[]): ToolEntry[] {
	return rows.map(([name, way, description, properties]) => ({
		name,
		category,
		description,
		inputSchema: schemaOf(properties),
		...ways[way],
	}));
}

function schemaOf(properties: Readonly<Record<string, Property>>): Readonly<Record<string, unknown>> {
	const plain = (name: string) => name.replace(/!$/, "");
	const required = Object.keys(properties).filter((name) => name.endsWith("!"));
	return {
		type: "object",
		properties: Object.fromEntries(Object.entries(properties).map(([name, property]) => [plain(name), property])),
		...(required.length > 0 && { required: required.map(plain) }),
	};
}
