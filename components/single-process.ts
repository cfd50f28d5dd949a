/** A container of one process, without PM2: it answers for itself on the pod's port. */
import type { input } from "@pulumi/kubernetes/types/index.js";
import { paths, ports } from "../app/contract.ts";
import { START_SECONDS } from "./availability.ts";
import { httpProbe } from "./pod.ts";

/** What the process listens on: for its health, and with the contract's offset for its metrics. */
export const SINGLE_PROCESS_PORT = ports.pod;

/** Its ports and probes. */
export const singleProcess = {
	ports: [
		{ name: "health", containerPort: SINGLE_PROCESS_PORT, protocol: "TCP" },
		{ name: "metrics", containerPort: SINGLE_PROCESS_PORT + ports.metricsOffset, protocol: "TCP" },
	],
	startupProbe: httpProbe(paths.live, "health", { periodSeconds: 2, failureThreshold: START_SECONDS / 2 }),
	livenessProbe: httpProbe(paths.live, "health", { periodSeconds: 10, failureThreshold: 3 }),
	readinessProbe: httpProbe(paths.ready, "health", { periodSeconds: 5, failureThreshold: 2 }),
} satisfies Partial<input.core.v1.Container>;
