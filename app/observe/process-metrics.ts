import { collectDefaultMetrics, type Registry } from "prom-client";

/** How often the event loop's delay is looked at, milliseconds. Each look wakes a process that may have nothing to do. */
const LOOK_EVERY = 100;

/** Memory, processor time, garbage collection and event loop of this process. */
export function processMetrics(registry: Registry): void {
	collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: LOOK_EVERY });
}
