/** The tools there are, and whether a call of one makes sense. */
import type { Principal } from "../model.ts";
import type { ToolCatalogue, ToolDescription } from "../ports.ts";
import { faultsOf } from "./arguments.ts";
import type { ToolEntry } from "./catalogue/entry.ts";
import { githubEntries } from "./catalogue/github.ts";
import { memoryEntries } from "./catalogue/memory.ts";
import { neuralEntries } from "./catalogue/neural.ts";
import { otherEntries } from "./catalogue/others.ts";
import { swarmEntries } from "./catalogue/swarm.ts";
import { systemEntries } from "./catalogue/system.ts";

/** What some clients put before a tool's name. */
const PREFIX = "mcp__claude-flow__";

/** All of them, whoever may call them. */
export const toolEntries: readonly ToolEntry[] = [
	...swarmEntries,
	...memoryEntries,
	...neuralEntries,
	...githubEntries,
	...systemEntries,
	...otherEntries,
];

const byName: ReadonlyMap<string, ToolEntry> = new Map(toolEntries.map((entry) => [entry.name, entry]));

/** @param name without a prefix */
export function toolEntry(name: string): ToolEntry | undefined {
	return byName.get(name);
}

export function mayCall(principal: Principal, { role }: ToolEntry): boolean {
	return role === "member" || principal.roles.includes(role);
}

export function toolCatalogue(): ToolCatalogue {
	return {
		list: (principal) => toolEntries.filter((entry) => mayCall(principal, entry)).map(described),
		find(principal, name) {
			const entry = byName.get(name.startsWith(PREFIX) ? name.slice(PREFIX.length) : name);
			return entry !== undefined && mayCall(principal, entry) ? described(entry) : undefined;
		},
		faults: ({ inputSchema }, args) => faultsOf(inputSchema, args),
	};
}

/** The same schema object every time: what is compiled of it is found by it. */
function described({ name, category, description, inputSchema }: ToolEntry): ToolDescription {
	return { name, category, description, inputSchema };
}
