/** For tests: a topology of their own, on ports and in a folder of their own, by the real command. */
import { execFile } from "node:child_process";
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Status } from "../../local/control.ts";

const flowctlFile = path.join(import.meta.dirname, "..", "..", "cli", "flowctl.ts");

export interface Ran {
	readonly code: number;
	readonly stdout: string;
	readonly stderr: string;
}

export class TestTopology {
	readonly port: number;
	/** FLOWCTL_STATE. */
	readonly folder: string;

	constructor(port: number) {
		this.port = port;
		this.folder = mkdtempSync(path.join(tmpdir(), "af-local-"));
		// PostgreSQL's user has to get through.
		chmodSync(this.folder, 0o711);
	}

	/** Runs `flowctl`, for this topology. */
	flowctl(...words: string[]): Promise<Ran> {
		return this.flowctlWith({}, ...words);
	}

	/** In another environment. */
	flowctlWith(changes: Readonly<Record<string, string>>, ...words: string[]): Promise<Ran> {
		const args = [flowctlFile, ...words, "--port", String(this.port)];
		const env = { ...process.env, FLOWCTL_STATE: this.folder, NO_COLOR: "1", ...changes };
		return new Promise((resolve) => {
			execFile(process.execPath, args, { env, timeout: 240_000, maxBuffer: 16 * 1024 * 1024 }, (error, stdout, stderr) => {
				resolve({ code: error ? Number(error.code ?? 1) : 0, stdout, stderr });
			});
		});
	}

	async status(): Promise<Status> {
		return JSON.parse((await this.flowctl("status", "--json")).stdout);
	}

	/** Ids of processes that have anything of this topology in their command line or environment. */
	processes(): number[] {
		const needle = this.folder;
		return readdirSync("/proc").flatMap((name) => {
			if (!/^\d+$/.test(name) || Number(name) === process.pid) return [];
			const has = ["cmdline", "environ"].some((file) => {
				try {
					return readFileSync(`/proc/${name}/${file}`, "utf8").includes(needle);
				} catch {
					return false;
				}
			});
			return has ? [Number(name)] : [];
		});
	}

	/** Ends it, whatever state it is in, and deletes its folder. */
	async remove(): Promise<void> {
		await this.flowctl("down");
		rmSync(this.folder, { recursive: true, force: true });
	}
}
