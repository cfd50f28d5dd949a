import { setTimeout as sleep } from "node:timers/promises";
import { type Tool, ToolError } from "../../app/tools/tool.ts";

/** Tools whose effects a test can count. */
const tools: Readonly<Record<string, Tool>> = {
	/** Its one effect is an agent of that name, in the middle of the time it takes. */
	async spawn({ name, ms = 0 }, { services, principal, progress }) {
		progress(10, "waiting");
		await sleep(Number(ms) / 2);
		const agent = await services.agents.spawn(principal, { type: "coder", name: String(name), capabilities: [] });
		progress(60, "spawned");
		await sleep(Number(ms) / 2);
		return { agentId: agent.id };
	},
	echo: async (args) => args,
	/** Called as one that only looks something up, so that it is begun without a claim. What it then does, its arguments say. */
	async memory_usage({ ms = 0, name, dies }, { services, principal }) {
		await sleep(Number(ms));
		if (dies === true) {
			process.kill(process.pid, "SIGKILL");
			await sleep(10_000);
		}
		if (name !== undefined) await services.agents.spawn(principal, { type: "coder", name: String(name), capabilities: [] });
		return { looked: true };
	},
	async wait({ ms }, { signal, progress, output }) {
		output("stdout", "begun\n");
		for (let percent = 0; percent < 100; percent += 10) {
			progress(percent, `at ${percent}`);
			await sleep(Number(ms) / 10, undefined, { signal });
		}
		return "waited";
	},
	/** Takes its worker along, whoever else is in it. */
	async poison() {
		process.kill(process.pid, "SIGKILL");
		await sleep(10_000);
	},
	async fails({ code, retryable }) {
		throw new ToolError(code as "TOOL_FAILED", "it failed", retryable === true);
	},
	async faulty() {
		throw new TypeError("secret inside");
	},
};

export function testTools(name: string): Tool {
	const tool = tools[name];
	if (tool === undefined) throw new ToolError("TOOL_UNAVAILABLE", `there is no tool ${name} here`);
	return tool;
}
