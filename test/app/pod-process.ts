/** A node as it is deployed: a pod's entry process, its PM2 and its workers. */
import { execFile } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { ports } from "../../app/contract.ts";
import { freePort } from "./daemon.ts";
import { ServerProcess, until } from "./server-process.ts";

const pm2 = path.join(import.meta.dirname, "..", "..", "node_modules", "pm2", "bin", "pm2");

export class Pod {
	/** Where it answers for all of its workers. */
	readonly port: number;
	readonly workerPorts: readonly number[];
	readonly home = mkdtempSync(path.join(tmpdir(), "af-pm2-"));
	readonly #environment: Readonly<Record<string, string>>;
	#entry: ServerProcess | null = null;

	private constructor(port: number, workers: number, environment: Readonly<Record<string, string>>) {
		this.port = port;
		this.workerPorts = Array.from({ length: workers }, (_, index) => port + 1 + index);
		const own = { PORT: String(this.workerPorts[0]), WORKERS: String(workers), PM2_HOME: this.home, HOME: "/nonexistent" };
		this.#environment = { ...environment, ...own };
		chmodSync(this.home, 0o777);
	}

	/** One that does not run yet, on ports of its own. */
	static async create(workers: number, environment: Readonly<Record<string, string>>): Promise<Pod> {
		return new Pod(await freePort([0, 1, 2, ports.metricsOffset + 1, ports.metricsOffset + 2]), workers, environment);
	}

	/** Starts (again), and waits until every worker is ready. */
	async start(): Promise<this> {
		// As in the image: nobody in particular, who may write to PM2_HOME and /tmp alone.
		this.#entry = new ServerProcess("server", this.#environment, process.getuid?.() === 0 ? 65_534 : undefined);
		for (const port of [this.port, ...this.workerPorts]) await this.entry.ready(port);
		return this;
	}

	get entry(): ServerProcess {
		if (this.#entry === null) throw new Error("this pod has not been started");
		return this.#entry;
	}

	/** Process ids by port, as the last worker there has logged itself. */
	get workers(): Map<number, number> {
		const ready = this.entry.log.filter(({ message, ...rest }) => message === "ready" && rest["log.logger"] === "worker");
		return new Map(ready.map((line) => [Number(line["server.port"]), Number(line["process.pid"])]));
	}

	get pm2(): number {
		return Number(readFileSync(path.join(this.home, "pm2.pid"), "utf8"));
	}

	/** Everything of it that lives. */
	get processes(): number[] {
		return processesOf(this.home);
	}

	/** Replaces every worker, as an operator does. */
	async reload(): Promise<void> {
		const env = { PATH: process.env.PATH, PM2_HOME: this.home };
		await promisify(execFile)(process.execPath, [pm2, "reload", "all"], { env });
	}

	/** Ends everything of it at once, as a machine that loses power does. */
	async kill9(): Promise<void> {
		for (const pid of this.processes) process.kill(pid, "SIGKILL");
		await this.#gone();
	}

	/** Ends what is left, and removes its folder. */
	async remove(): Promise<void> {
		await this.kill9();
		rmSync(this.home, { recursive: true, force: true });
	}

	async #gone(): Promise<void> {
		await until(() => this.processes.length === 0, "the pod's processes to be gone");
	}
}

export function isAlive(pid: number): boolean {
	return existsSync(`/proc/${pid}`) && !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
}

/** Processes that have a folder as their PM2_HOME. */
function processesOf(home: string): number[] {
	const pids = readdirSync("/proc")
		.filter((name) => /^\d+$/.test(name))
		.map(Number);
	return pids.filter((pid) => {
		try {
			return isAlive(pid) && readFileSync(`/proc/${pid}/environ`, "utf8").split("\0").includes(`PM2_HOME=${home}`);
		} catch {
			return false;
		}
	});
}
