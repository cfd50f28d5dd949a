import type { MemorySystem, Principal } from "../model.ts";
import { ServiceError } from "../ports.ts";
import { clearNamespace, copySystem, deleteExpired, type NamespaceFigures, namespaceFigures } from "../stores/namespaces.ts";
import type { Database } from "../stores/postgres.ts";
import { measure } from "../stores/saved-states.ts";
import type { Changer } from "./changes.ts";
import { demandSmall } from "./saved-states.ts";

/** Memory by the namespace instead of by the key. */
export interface NamespaceService {
	/** Largest first, at most 1,000. @param namespace null for all; @param since milliseconds since 1970 */
	figures(principal: Principal, namespace: string | null, since: number): Promise<NamespaceFigures[]>;
	/** Deletes all entries of a namespace. @returns how many there were */
	clear(principal: Principal, system: MemorySystem, namespace: string): Promise<number>;
	/** Deletes what has expired before housekeeping does. @param namespace null for all. @returns how many there were */
	deleteExpired(principal: Principal, namespace: string | null): Promise<number>;
	/**
	 * Copies what a system has to the other one, unless that has a newer entry.
	 *
	 * @returns how many entries were written
	 * @throws ServiceError CONFLICT where there is too much
	 */
	copy(principal: Principal, from: MemorySystem, to: MemorySystem): Promise<number>;
}

/** @param unpublish told when published entries may have changed; never fails */
export function namespaceService(database: Database, change: Changer, unpublish: (workspace: string) => Promise<void>): NamespaceService {
	return {
		figures: (principal, namespace, since) =>
			database.read(principal.id, (client) => namespaceFigures(client, principal.workspace, namespace, since)),

		async clear(principal, system, namespace) {
			if (namespace === "") throw new ServiceError("INVALID", "namespace is empty");
			try {
				return await change(
					principal,
					(client) => clearNamespace(client, principal.workspace, system, namespace),
					async (count, { happened, noted }) => {
						if (count > 0) {
							happened("memory", null, "reset", { system, namespace });
							noted("namespace_cleared", `${count} entries of ${namespace} were deleted`, { system, namespace, count });
						}
						return count;
					},
				);
			} finally {
				await unpublish(principal.workspace);
			}
		},

		deleteExpired: (principal, namespace) =>
			change(
				principal,
				(client) => deleteExpired(client, principal.workspace, namespace),
				async (count) => count,
			),

		async copy(principal, from, to) {
			try {
				return await change(
					principal,
					(client) => measure(client, principal.workspace, "memory"),
					async (size, { client, workspace, happened, noted }) => {
						demandSmall(size);
						const count = await copySystem(client, workspace, from, to);
						if (count > 0) {
							happened("memory", null, "reset", { system: to });
							noted("memory_copied", `${count} entries were copied from ${from} to ${to}`, { from, to, count });
						}
						return count;
					},
				);
			} finally {
				await unpublish(principal.workspace);
			}
		},
	};
}
