/** Tools that keep copies of a workspace and put them back. */
import type { SavedState, Scope } from "../stores/saved-states.ts";
import { neededText, text } from "./read.ts";
import type { Tool, ToolRun } from "./tool.ts";

const WHERE = "in the database, for this workspace alone; no file was written";

export const savedStateTools: Readonly<Record<string, Tool>> = {
	async memory_persist(args, run) {
		const sessionId = text(args, "sessionId") ?? "default";
		const kept = await save(run, "memory", `session:${sessionId}`);
		return { ...kept, sessionId, note: "Every entry is durable from the moment it is stored; this copy is the memory as it is now." };
	},

	memory_backup: (args, run) => save(run, "memory", text(args, "path") ?? "backup"),

	async memory_restore(args, run) {
		const name = neededText(args, "backupPath", "the label or id of a backup");
		const { state, entries } = await run.services.savedStates.restore(run.principal, "memory", name);
		return { success: true, backupId: state.id, label: state.label, createdAt: state.createdAt, entriesRestored: entries };
	},

	async memory_sync(args, run) {
		const target = neededText(args, "target", "hivemind, swarm, or a label to keep a copy under");
		if (target !== "hivemind" && target !== "swarm") return { ...(await save(run, "memory", target)), target };
		const from = target === "swarm" ? "hivemind" : "swarm";
		const copied = await run.services.namespaces.copy(run.principal, from, target);
		return { success: true, from, target, entriesCopied: copied };
	},

	state_snapshot: (args, run) => save(run, "workspace", text(args, "name") ?? "snapshot"),

	async context_restore(args, run) {
		const name = neededText(args, "snapshotId", "the id or name of a snapshot");
		const { state, entries } = await run.services.savedStates.restore(run.principal, "workspace", name);
		const { id, label, agents, tasks, createdAt } = state;
		return { success: true, snapshotId: id, label, createdAt, agentsRestored: agents, tasksRestored: tasks, entriesRestored: entries };
	},
};

async function save({ services, principal }: ToolRun, scope: Scope, label: string) {
	const { state, dropped } = await services.savedStates.save(principal, scope, label);
	return { success: true, ...named(state), stored: WHERE, dropped };
}

function named({ id, ...state }: SavedState) {
	return state.scope === "memory" ? { backupId: id, ...state } : { snapshotId: id, ...state };
}
