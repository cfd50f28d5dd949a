/** What only tools ask for. */
import { type CacheService, publishedPrefix } from "../ports.ts";
import type { Database } from "../stores/postgres.ts";
import type { Changer } from "./changes.ts";
import { type CoordinationService, coordinationService } from "./coordination.ts";
import { type NamespaceService, namespaceService } from "./namespaces.ts";
import { type ReportService, reportService } from "./reports.ts";
import { type SavedStateService, savedStateService } from "./saved-states.ts";
import { type WorkflowService, workflowService } from "./workflows.ts";

export interface ToolServices {
	readonly coordination: CoordinationService;
	readonly namespaces: NamespaceService;
	readonly savedStates: SavedStateService;
	readonly workflows: WorkflowService;
	readonly reports: ReportService;
}

export function toolServices(
	{ database, cache, onProblem }: { database: Database; cache: CacheService; onProblem: (what: string, error: unknown) => void },
	change: Changer,
): ToolServices {
	const unpublish = (workspace: string) =>
		cache.invalidate(publishedPrefix(workspace)).catch((error) => onProblem("published entries may be outdated", error));
	return {
		coordination: coordinationService(change),
		namespaces: namespaceService(database, change, unpublish),
		savedStates: savedStateService(database, change, unpublish),
		workflows: workflowService(database, change),
		reports: reportService(database),
	};
}
