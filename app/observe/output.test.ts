import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { Output } from "./output.ts";

const folder = mkdtempSync(path.join(tmpdir(), "af-output-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A pipe that takes 64 KiB before somebody reads. */
function pipe(name: string): { output: Output; read(): string; close(): void } {
	const file = path.join(folder, name);
	execFileSync("mkfifo", [file]);
	const reader = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK);
	const writer = openSync(file, constants.O_WRONLY | constants.O_NONBLOCK);
	const read = () => {
		const buffer = Buffer.alloc(1_000_000);
		try {
			return buffer.subarray(0, readSync(reader, buffer)).toString();
		} catch {
			return "";
		}
	};
	return { output: new Output(writer), read, close: () => closeSync(reader) };
}

describe("an output", () => {
	it("keeps what a slow reader does not take yet, in order", async () => {
		const { output, read } = pipe("slow");
		const lines = Array.from({ length: 2_000 }, (_, index) => `${index} ${"x".repeat(100)}\n`);
		for (const line of lines) output.write(line);
		let seen = "";
		await expect.poll(() => (seen += read()), { timeout: 5_000 }).toBe(lines.join(""));
	});

	it("writes at the end what it still holds, and waits a second at most for a reader that does not read", async () => {
		const { output, read } = pipe("end");
		output.write(`${"first ".repeat(20_000)}\n`);
		await expect.poll(() => read().length).toBeGreaterThan(0);
		output.write("last\n");
		read();
		output.flush();
		expect(read().endsWith("last\n")).toBe(true);
		output.write("x".repeat(1_000_000));
		await new Promise((resolve) => setTimeout(resolve, 100));
		const before = performance.now();
		output.flush();
		expect(performance.now() - before).toBeLessThan(2_000);
	});

	it("does not keep a process from ending whose reader is gone", async () => {
		const script = `
			import { createLog } from "./log.ts";
			const { log, flush } = createLog({ level: "info" }, "worker", "1.2.3");
			process.once("SIGTERM", () => { log.info("draining"); log.info("drained"); flush(); process.exit(0); });
			setInterval(() => {}, 1_000);
			log.info("ready");
		`;
		const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
			cwd: import.meta.dirname,
			stdio: ["ignore", "pipe", "inherit"],
		});
		await once(child.stdout, "data");
		child.stdout.destroy();
		child.kill("SIGTERM");
		const late = setTimeout(() => child.kill("SIGKILL"), 5_000);
		expect(await once(child, "exit")).toEqual([0, null]);
		clearTimeout(late);
	});
});
