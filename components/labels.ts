/** What runs in the cluster: its objects are named and labelled after it. */
export type Workload = "server" | "jobs" | "terminal-host" | "migrate" | "haproxy" | "cluster-autoscaler";

/**
 * The label that selects a workload's pods, in a Deployment, a Service or a policy. It may never change:
 * Kubernetes does not let a selector be edited.
 */
export function selectorOf(workload: Workload): Record<string, string> {
	return { "app.kubernetes.io/name": workload };
}

/** The labels of every object of a workload, its pods included. https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/ */
export function labelsOf(workload: Workload): Record<string, string> {
	return { ...selectorOf(workload), ...PART_OF };
}

/** The label of what belongs to no workload, such as a namespace. */
export const PART_OF: Readonly<Record<string, string>> = { "app.kubernetes.io/part-of": "agentic-flow" };
