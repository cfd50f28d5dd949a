/** Tools that only look something up in the stores, mostly in some milliseconds; of those that also do other things, the actions. */
export const lookUps: Readonly<Record<string, readonly string[] | null>> = {
	memory_usage: ["retrieve", "list", "search"],
	memory_search: null,
	swarm_status: null,
	agent_list: null,
	agent_metrics: null,
	task_status: null,
	task_results: null,
	health_check: null,
};

/** Whether a call only looks something up. */
export function looksUp(tool: string, args: Readonly<Record<string, unknown>>): boolean {
	if (!Object.hasOwn(lookUps, tool)) return false;
	const actions = lookUps[tool];
	return actions == null || actions.includes(args.action as string);
}
