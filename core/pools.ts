/** The two kinds of nodes: `app` for the server and the job workers alone, `system` for everything else. */
export type Pool = "app" | "system";

/** Node label by which a pod chooses its pool. */
export const POOL_LABEL = "agentic-flow.io/pool";

/** Only what belongs to the app runs on app nodes: its pods are sized to fill them. */
export const APP_TAINT = { key: POOL_LABEL, value: "app", effect: "NoSchedule" } as const;

/** Where a pod of this pool may run: the fields of a pod's spec. */
export function placement(pool: Pool): {
	nodeSelector: Record<string, string>;
	tolerations: { key: string; operator: string; value: string; effect: string }[];
} {
	return {
		nodeSelector: { [POOL_LABEL]: pool },
		tolerations: pool === "app" ? [{ key: APP_TAINT.key, operator: "Equal", value: APP_TAINT.value, effect: APP_TAINT.effect }] : [],
	};
}
