import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Principal, Role } from "../model.ts";
import { argumentLimits } from "./arguments.ts";
import { looksUp, lookUps } from "./catalogue/look-ups.ts";
import { tableOf } from "./catalogue.fixture.ts";
import { toolCatalogue, toolEntries } from "./catalogue.ts";

const catalogue = toolCatalogue();

const somebody = (...roles: Role[]): Principal => ({
	id: "token:somebody",
	roles: ["member", ...roles],
	workspace: "default",
	expiresAt: null,
	credentialId: "somebody",
});
const operator = somebody("operator");

/** What the original publishes, where its description lies beside this repository. */
const published = new URL(process.env.MCP_TOOLS_FILE ?? "../../../shared/docs/mcp-tools.json", import.meta.url);

function faults(name: string, args: unknown): string[] {
	const tool = catalogue.find(operator, name);
	if (tool === undefined) throw new Error(`no tool ${name}`);
	return catalogue.faults(tool, args);
}

describe("the catalogue", () => {
	it("has the 82 tools of the original, in its categories", () => {
		const counts = Object.groupBy(toolEntries, ({ category }) => category);
		expect(Object.fromEntries(Object.entries(counts).map(([category, entries]) => [category, entries.length]))).toEqual({
			coordination: 5,
			monitoring: 11,
			memory: 12,
			neural: 16,
			github: 8,
			system: 19,
			workflow: 2,
			daa: 8,
			sparc: 1,
		});
		expect(new Set(toolEntries.map(({ name }) => name)).size).toBe(82);
	});

	it("has the original's schemas to the letter", () => {
		const schemas = JSON.stringify(toolEntries.map(({ category, name, inputSchema }) => ({ category, name, inputSchema })));
		expect(createHash("sha256").update(schemas).digest("hex")).toBe("9ef3d06e9d288f165c3fcab821d906629ce812d304349595077a6c80c8a71b1b");
	});

	it.skipIf(!existsSync(published))("is what the original publishes (skipped where MCP_TOOLS_FILE is not there)", () => {
		const ours = toolEntries.map(({ category, name, inputSchema }) => ({ category, name, inputSchema }));
		expect(ours).toEqual(JSON.parse(readFileSync(published, "utf8")));
	});

	it("says of each what it does, in a sentence", () => {
		expect(toolEntries.filter(({ description }) => !/^.{10,200}\.$/.test(description)).map(({ name }) => name)).toEqual([]);
	});

	it("is in docs/tools.md as it is", () => {
		const page = readFileSync(new URL("../../docs/tools.md", import.meta.url), "utf8");
		const table = tableOf(toolEntries).join("\n");
		expect(page.slice(page.indexOf("| category |")).trim(), "put this table into docs/tools.md").toBe(table);
	});

	it("finds a tool with and without the prefix of some clients", () => {
		const tool = catalogue.find(operator, "swarm_init");
		expect(tool?.name).toBe("swarm_init");
		expect(catalogue.find(operator, "mcp__claude-flow__swarm_init")).toEqual(tool);
		for (const name of ["", "mcp__claude-flow__", "mcp__other__swarm_init", "Swarm_Init", "__proto__", "constructor"]) {
			expect(catalogue.find(operator, name)).toBeUndefined();
		}
	});

	it("has no tool for a member that only an operator may call", () => {
		const member = somebody();
		const hidden = toolEntries.filter(({ role }) => role === "operator").map(({ name }) => name);
		expect(hidden).toContain("terminal_execute");
		for (const name of hidden) expect(catalogue.find(member, name)).toBeUndefined();
		expect(catalogue.list(member)).toHaveLength(82 - hidden.length);
		expect(catalogue.list(operator)).toHaveLength(82);
	});

	it("calls no tool repeatable that an operator alone may call for what it changes outside", () => {
		const outside = toolEntries.filter(({ runs, role, repeatable }) => runs === "external" && role === "operator" && repeatable);
		expect(outside.map(({ name }) => name)).toEqual(["security_scan", "log_analysis"]);
	});
});

describe("a tool's arguments", () => {
	it.each<[string, unknown, string[]]>([
		["swarm_init", {}, []],
		["swarm_init", { topology: "mesh", maxAgents: 3, more: "than the schema names" }, []],
		["swarm_init", { topology: "blob" }, ['topology must be one of hierarchical, mesh, ring, star; it is "blob"']],
		["swarm_init", { maxAgents: "8", strategy: 1 }, ["maxAgents must be a number, not text", "strategy must be text, not a number"]],
		["memory_usage", {}, ["action is missing"]],
		["quality_assess", {}, ["target is missing", "criteria is missing"]],
		["terminal_execute", { args: ["a", 1, null] }, ["args[1] must be text, not a number", "args[2] must be text, not null"]],
		["daa_communication", { from: "a", to: "b", message: [] }, ["message must be an object, not a list"]],
		["swarm_init", undefined, ["the arguments must be an object, not nothing"]],
		["swarm_init", null, ["the arguments must be an object, not null"]],
		["swarm_init", [], ["the arguments must be an object, not a list"]],
		["swarm_init", "{}", ["the arguments must be an object, not text"]],
	])("%s %j: %j", (name, args, expected) => {
		expect(faults(name, args)).toEqual(expected);
	});

	it("are checked alike for every schema, the second time too", () => {
		for (const entry of toolEntries) {
			const wrong = Object.fromEntries(Object.keys(entry.inputSchema.properties as object).map((name) => [name, true]));
			expect(catalogue.faults(entry, wrong)).toHaveLength(Object.keys(wrong).length);
			expect(catalogue.faults(entry, wrong)).toHaveLength(Object.keys(wrong).length);
		}
	});

	it("are looked at whatever they are, and found faulty the same way every time", () => {
		const names = toolEntries.map(({ name }) => name);
		fc.assert(
			fc.property(fc.constantFrom(...names), fc.anything({ withNullPrototype: true }), (name, args) => {
				const found = faults(name, args);
				expect(found.every((fault) => fault.length > 0 && fault.length < 1_000)).toBe(true);
				expect(faults(name, args)).toEqual(found);
			}),
			{ numRuns: 1_000 },
		);
	});

	it("are refused where they are too deep, however deep", () => {
		const deep = JSON.parse(`${'{"a":'.repeat(5_000)}1${"}".repeat(5_000)}`);
		expect(faults("neural_patterns", { action: "learn", metadata: deep })).toEqual(["the arguments are nested deeper than 32 levels"]);
		const circle: Record<string, unknown> = { action: "learn" };
		circle.metadata = circle;
		expect(faults("neural_patterns", circle)).toEqual(["the arguments are nested deeper than 32 levels"]);
	});

	it("are refused where there are too many of them, or too much text", () => {
		expect(faults("load_balance", { tasks: Array(argumentLimits.values).fill(0) })).toEqual(["the arguments have more than 20000 values"]);
		expect(faults("agent_spawn", { name: "x".repeat(argumentLimits.characters + 1) })).toEqual([
			"the arguments have more than 2097152 characters",
		]);
		expect(faults("agent_spawn", { ["k".repeat(argumentLimits.characters)]: "vv" })).toHaveLength(1);
	});

	it("are refused with a key that stands for the prototype, wherever it is", () => {
		const refused = ['the arguments have a key "__proto__", which is not taken'];
		expect(faults("swarm_init", JSON.parse('{"__proto__": {"topology": "mesh"}}'))).toEqual(refused);
		expect(faults("load_balance", { tasks: [JSON.parse('{"a": {"__proto__": 1}}')] })).toEqual(refused);
	});

	it("have no required value by inheritance", () => {
		expect(faults("memory_usage", Object.create({ action: "list" }))).toEqual(["action is missing"]);
	});

	it("have no more faults named than can be read", () => {
		const many = faults("terminal_execute", { args: Array(900).fill(1) });
		expect(many).toHaveLength(21);
		expect(many.at(-1)).toBe("and 880 more");
		// Nor are they all looked for where there may be thousands.
		expect(faults("terminal_execute", { args: Array(19_000).fill(1) })).toEqual(["args[0] must be text, not a number"]);
	});

	it("show a long wrong value only at its beginning", () => {
		const [fault] = faults("swarm_init", { topology: "x".repeat(100_000) });
		expect(fault?.length).toBeLessThan(160);
	});
});

describe("a call that only looks something up", () => {
	it("is one of a tool that runs here and may be run again, with an action that the tool has", () => {
		for (const [name, actions] of Object.entries(lookUps)) {
			expect(
				toolEntries.find((entry) => entry.name === name),
				name,
			).toMatchObject({ runs: "here", repeatable: true });
			const schema = catalogue.find(operator, name)?.inputSchema as { properties: { action?: { enum?: string[] } } };
			if (actions !== null) expect(schema.properties.action?.enum).toEqual(expect.arrayContaining([...actions]));
		}
	});

	it("is told from one that changes something, whatever else it is called with", () => {
		expect(looksUp("memory_usage", { action: "retrieve", key: "a" })).toBe(true);
		expect(looksUp("task_status", {})).toBe(true);
		for (const [tool, args] of [
			["memory_usage", { action: "store", key: "a", value: "retrieve" }],
			["memory_usage", { action: "delete", key: "a" }],
			["memory_usage", {}],
			["memory_usage", { action: ["retrieve"] }],
			["agent_spawn", { action: "retrieve" }],
			["constructor", {}],
			["__proto__", { action: "retrieve" }],
		] as const)
			expect(looksUp(tool, args), tool).toBe(false);
	});
});
