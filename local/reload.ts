/** Replaces every worker, node after node, as a rolling restart of the pods' processes does. */
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import type { LocalCluster, Tell } from "./cluster.ts";
import { identityOf, run } from "./processes.ts";

export async function reloadNodes({ topology, layout }: LocalCluster, tell: Tell): Promise<void> {
	const pm2 = createRequire(import.meta.url).resolve("pm2/bin/pm2");
	for (const { name, pm2Home } of topology.nodes) {
		const started = performance.now();
		tell({ service: name, state: "restarting", ms: null });
		// Where its PM2 is away the supervisor brings the node back, with new workers anyway; `pm2` would begin one of its own.
		if (isRunning(path.join(pm2Home, "pm2.pid"))) {
			await run(
				{ program: process.execPath, args: [pm2, "reload", "server"], env: { PM2_HOME: pm2Home, PM2_DISABLE_VERSION_CHECK: "true" } },
				layout.folder,
			);
		}
		tell({ service: name, state: "ready", ms: performance.now() - started });
	}
}

function isRunning(pidFile: string): boolean {
	return existsSync(pidFile) && identityOf(Number(readFileSync(pidFile, "utf8"))) !== null;
}
