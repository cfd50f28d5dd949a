import type { Principal } from "../model.ts";
import { ServiceError } from "../ports.ts";
import type { Database } from "../stores/postgres.ts";
import {
	deleteStates,
	findState,
	listStates,
	measure,
	restoreMemory,
	restoreWorkspace,
	type SavedState,
	type Scope,
	saveState,
} from "../stores/saved-states.ts";
import type { Changer } from "./changes.ts";
import { demandLength } from "./demand.ts";

/** A state is written and put back in one transaction: bytes and entries that this may cost. States of a scope that are kept. */
export const savedLimits = { bytes: 16_777_216, entries: 10_000, kept: 20, label: 500 } as const;

/** What is kept of a workspace, to be put back later: in the database, for the workspace alone. */
export interface SavedStateService {
	/** @returns the state, and the oldest ones that it takes the place of. @throws ServiceError CONFLICT where there is too much */
	save(principal: Principal, scope: Scope, label: string): Promise<{ state: SavedState; dropped: string[] }>;
	/** Newest first. */
	list(principal: Principal, scope: Scope): Promise<SavedState[]>;
	/**
	 * A state of memory is put over the entries that there are; one of the workspace takes the place of everything but the
	 * activities. Needs the role `operator`.
	 *
	 * @param name its id, or its label for the newest of that label
	 * @returns the state, and how many entries of memory were written: those expired meanwhile are not
	 * @throws ServiceError NOT_FOUND
	 */
	restore(principal: Principal, scope: Scope, name: string): Promise<{ state: SavedState; entries: number }>;
}

/** @param unpublish told when published entries may have changed; never fails */
export function savedStateService(database: Database, change: Changer, unpublish: (workspace: string) => Promise<void>): SavedStateService {
	return {
		save(principal, scope, label) {
			demandLength("the label", label, savedLimits.label);
			if (label === "") throw new ServiceError("INVALID", "the label is empty");
			return change(
				principal,
				(client) => Promise.all([measure(client, principal.workspace, scope), listStates(client, principal.workspace, scope)]),
				async ([size, there], { client, workspace, at, newId, noted }) => {
					demandSmall(size);
					const dropped = there.slice(savedLimits.kept - 1).map(({ id }) => id);
					if (dropped.length > 0) await deleteStates(client, workspace, dropped);
					const id = newId(scope === "memory" ? "backup" : "snapshot");
					const state = await saveState(client, workspace, principal.id, { id, scope, label, ...size }, at);
					noted("state_saved", `${scope === "memory" ? "The memory was" : "Everything was"} kept as ${label}`, { id, label, scope });
					return { state, dropped };
				},
			);
		},

		list: (principal, scope) => database.read(principal.id, (client) => listStates(client, principal.workspace, scope)),

		async restore(principal, scope, name) {
			if (!principal.roles.includes("operator")) throw new ServiceError("FORBIDDEN", "only an operator may put a saved state back");
			try {
				return await change(
					principal,
					(client) => findState(client, principal.workspace, scope, name),
					async (state, { client, workspace, at, happened, noted }) => {
						if (state === undefined)
							throw new ServiceError("NOT_FOUND", `there is no ${scope === "memory" ? "backup" : "snapshot"} ${name}`);
						const entries =
							scope === "memory"
								? await restoreMemory(client, workspace, state.id)
								: await restoreWorkspace(client, workspace, state.id, at);
						if (scope === "workspace") happened("swarm", null, "reset", null);
						happened("memory", null, "reset", { savedState: state.id });
						noted("state_restored", `${state.label} was put back`, { id: state.id, scope });
						return { state, entries };
					},
				);
			} finally {
				await unpublish(principal.workspace);
			}
		},
	};
}

/** @throws ServiceError CONFLICT where one transaction should not carry as much */
export function demandSmall({ bytes, entries, tasks }: Pick<SavedState, "bytes" | "entries" | "tasks">): void {
	const what =
		bytes > savedLimits.bytes
			? `${bytes} bytes; ${savedLimits.bytes}`
			: entries + tasks > savedLimits.entries
				? `${entries + tasks} entries and tasks; ${savedLimits.entries}`
				: null;
	if (what !== null)
		throw new ServiceError("CONFLICT", `there are ${what} can be copied at once. Delete what is not needed, or back the database up`);
}
