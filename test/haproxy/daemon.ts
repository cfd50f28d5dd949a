import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { HaproxySettings } from "../../core/haproxy/settings.ts";
import { renderHaproxy } from "../../core/haproxy.ts";
import { get } from "./client.ts";

/** The program under test: HAPROXY names another than the one on PATH. */
export const binary = process.env.HAPROXY ?? "haproxy";

/** Why these tests are skipped, or null. */
export const missing = spawnSync(binary, ["-v"]).status === 0 ? null : `no HAProxy: ${binary} cannot be started`;
if (missing) process.stderr.write(`skipped: ${missing}\n`);

/** What `haproxy -c` says of a configuration: its exit code, and everything it wrote. */
export function check(configuration: string): { code: number | null; output: string } {
	const { folder, file } = written(configuration);
	const { status, stdout, stderr } = spawnSync(binary, ["-c", "-f", file], { encoding: "utf8" });
	rmSync(folder, { recursive: true });
	return { code: status, output: stdout + stderr };
}

/** A port of 127.0.0.1 on which nothing listens. */
export async function freePort(): Promise<number> {
	const server = createServer().listen(0, "127.0.0.1");
	await once(server, "listening");
	const { port } = server.address() as { port: number };
	server.close();
	await once(server, "close");
	return port;
}

/** A running HAProxy. */
export class Daemon {
	readonly settings: HaproxySettings;
	readonly #child: ChildProcess;
	readonly #folder: string;
	#log = "";

	private constructor(settings: HaproxySettings, child: ChildProcess, folder: string) {
		this.settings = settings;
		this.#child = child;
		this.#folder = folder;
		child.stdout?.on("data", (data) => (this.#log += data));
		child.stderr?.on("data", (data) => (this.#log += data));
	}

	/** Starts, and waits until `workers` of them are up. */
	static async start(settings: HaproxySettings, workers: number): Promise<Daemon> {
		const { folder, file } = written(renderHaproxy(settings));
		const daemon = new Daemon(settings, spawn(binary, ["-db", "-f", file], { stdio: ["ignore", "pipe", "pipe"] }), folder);
		try {
			await daemon.until(
				async () => (await daemon.up("http")) === workers && (await daemon.up("tunnels")) === workers,
				`${workers} workers up`,
			);
		} catch (error) {
			await daemon.stop();
			throw error;
		}
		return daemon;
	}

	/** URL of a path on the first bind, or on the `bind`th. */
	url(path: string, bind = 0): string {
		return `http://127.0.0.1:${this.settings.binds[bind]?.port}${path}`;
	}

	admin(path: string): string {
		return `http://127.0.0.1:${this.settings.admin.port}${path}`;
	}

	get log(): string {
		return this.#log;
	}

	get exited(): boolean {
		return this.#child.exitCode !== null || this.#child.signalCode !== null;
	}

	signal(name: NodeJS.Signals): void {
		this.#child.kill(name);
	}

	/** Servers of a backend that are up. */
	async up(backend: "http" | "tunnels"): Promise<number> {
		const { body } = await get(this.admin(this.settings.admin.metricsPath));
		return Number(new RegExp(`^haproxy_backend_active_servers\\{proxy="${backend}"\\} (\\d+)`, "m").exec(body)?.[1] ?? Number.NaN);
	}

	/** Waits, 15 s at most, until a condition holds. */
	async until(condition: () => Promise<boolean> | boolean, what: string): Promise<void> {
		const deadline = Date.now() + 15_000;
		while (!(await Promise.resolve(condition()).catch(() => false))) {
			if (Date.now() > deadline || this.exited) throw new Error(`HAProxy did not get to: ${what}\n${this.#log}`);
			await sleep(50);
		}
	}

	async stop(): Promise<void> {
		if (!this.exited) {
			this.#child.kill("SIGKILL");
			await once(this.#child, "exit");
		}
		rmSync(this.#folder, { recursive: true, force: true });
	}
}

function written(configuration: string): { folder: string; file: string } {
	const folder = mkdtempSync(join(tmpdir(), "haproxy-test-"));
	const file = join(folder, "haproxy.cfg");
	writeFileSync(file, configuration);
	return { folder, file };
}
