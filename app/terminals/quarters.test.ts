import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, expect, it } from "vitest";
import { MARK } from "./launch.ts";
import { Quarters } from "./quarters.ts";

const folder = mkdtempSync(path.join(tmpdir(), "quarters-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Within an exec a process has no environment, and nothing tells that it is one of a terminal's. */
it.skipIf(process.platform !== "linux")("kills as well what is just becoming another program [needs Linux]", async () => {
	const quarters = new Quarters(path.join(folder, "homes"), null);
	const script = path.join(folder, "restless");
	writeFileSync(script, '#!/bin/sh\nexec "$0"\n', { mode: 0o755 });
	for (let round = 0; round < 40; round += 1) {
		const quarter = quarters.occupy(`session-${round}`);
		const restless = spawn(script, { env: { [MARK]: quarter.mark }, stdio: "ignore" });
		const exited = once(restless, "exit");
		try {
			await once(restless, "spawn");
			expect(await quarters.vacate(quarter)).toBe(0);
			// Signals of the kernel are there at once; that it has ended is told a moment later.
			const late = new Promise((_, reject) => setTimeout(() => reject(new Error(`it runs on in round ${round}`)), 5_000).unref());
			expect(await Promise.race([exited, late])).toEqual([null, "SIGKILL"]);
		} finally {
			restless.kill("SIGKILL");
		}
	}
});
