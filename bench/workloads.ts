/** All that is measured, in the order in which it is: what needs the same topology comes together. */
import type { Workload } from "./context.ts";
import { authenticatedGet } from "./workloads/authenticated-get.ts";
import { control } from "./workloads/control.ts";
import { drops } from "./workloads/drops.ts";
import { fanOut } from "./workloads/fan-out.ts";
import { idleSockets } from "./workloads/idle-sockets.ts";
import { jobs } from "./workloads/jobs.ts";
import { latency } from "./workloads/latency.ts";
import { manySockets } from "./workloads/many-sockets.ts";
import { publicGet } from "./workloads/public-get.ts";
import { recovery } from "./workloads/recovery.ts";
import { terminals } from "./workloads/terminals.ts";

export const workloads: readonly Workload[] = [
	control,
	publicGet,
	authenticatedGet,
	latency,
	jobs,
	terminals,
	idleSockets,
	fanOut,
	drops,
	recovery,
	manySockets,
];
