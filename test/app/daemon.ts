import { type ChildProcess, spawn } from "node:child_process";
import { randomInt } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

const START_MS = 30_000;

/**
 * A port of 127.0.0.1 on which nothing listens; below the kernel's own choices, so that no outgoing connection takes it meanwhile.
 *
 * @param offsets of the ports beside it that must be free as well
 */
export async function freePort(offsets: readonly number[] = [0]): Promise<number> {
	for (;;) {
		const port = randomInt(10_000, 32_000 - Math.max(...offsets));
		const free = await Promise.all(offsets.map((offset) => isFree(port + offset)));
		if (free.every(Boolean)) return port;
	}
}

async function isFree(port: number): Promise<boolean> {
	const server = createServer().listen(port, "127.0.0.1");
	const free = await once(server, "listening").then(
		() => true,
		() => false,
	);
	server.close();
	return free;
}

export interface DaemonSettings {
	/** Path of the program. */
	readonly program: string;
	readonly args: readonly string[];
	/** Working directory. */
	readonly folder: string;
	/** What is deleted when the test process ends without stopping it. */
	readonly scratch: string;
	/** Who runs it; absent for whoever runs the test. */
	readonly user?: { readonly uid: number; readonly gid: number };
	/** The first answer that is true means it is ready. An error of it is no answer. */
	readonly ready: () => Promise<boolean>;
}

/** A program on this machine that can be started, paused, killed and started again, and that does not outlive this process. */
export class Daemon {
	readonly #settings: DaemonSettings;
	#child: ChildProcess | null = null;
	#watchdog: ChildProcess | null = null;
	#log = "";

	constructor(settings: DaemonSettings) {
		this.#settings = settings;
	}

	/** The last that it wrote. */
	get log(): string {
		return this.#log;
	}

	get running(): boolean {
		return this.#child !== null && this.#child.exitCode === null && this.#child.signalCode === null;
	}

	get pid(): number {
		if (!this.running) throw new Error(`${this.#settings.program} does not run; it said:\n${this.#log}`);
		return this.#child?.pid as number;
	}

	/** Starts (again), with what it has stored. `args` replace the ones it was made with. */
	async start(args: readonly string[] = this.#settings.args): Promise<void> {
		const { program, folder, user } = this.#settings;
		// Detached: a Ctrl-C in the terminal is for the test, which then ends this.
		const child = spawn(program, args, { cwd: folder, ...user, stdio: ["ignore", "pipe", "pipe"], detached: true });
		this.#child = child;
		for (const stream of [child.stdout, child.stderr]) stream?.on("data", (data) => (this.#log = (this.#log + data).slice(-8_000)));
		child.on("error", (error) => (this.#log += String(error)));
		this.#watch(child);
		await this.#untilReady();
	}

	/** Ends it and its children at once, as a machine that loses power does. */
	async kill9(): Promise<void> {
		if (!this.running) return;
		const child = this.#child as ChildProcess;
		const family = [this.pid, ...childrenOf(this.pid)];
		const gone = once(child, "exit");
		for (const pid of family) signal(pid, "SIGKILL");
		await gone;
		while (family.some(alive)) await sleep(5);
	}

	/** Stops it where it is, connections open: what a frozen machine or a cut network looks like. */
	pause(): void {
		signal(this.pid, "SIGSTOP");
		for (const pid of childrenOf(this.pid)) signal(pid, "SIGSTOP");
	}

	resume(): void {
		for (const pid of childrenOf(this.pid)) signal(pid, "SIGCONT");
		signal(this.pid, "SIGCONT");
	}

	/** Ends it in order. */
	async stop(how: NodeJS.Signals): Promise<void> {
		if (!this.running) return;
		const gone = once(this.#child as ChildProcess, "exit");
		this.resume();
		signal(this.pid, how);
		const late = setTimeout(() => void this.kill9(), 5_000);
		await gone;
		clearTimeout(late);
	}

	/** The kernel closes the watchdog's input when this process is gone, however it ended. */
	#watch(child: ChildProcess): void {
		const script = 'cat >/dev/null; kill -9 "$0"; sleep 1; rm -rf "$1"';
		const args = ["-c", script, String(child.pid), this.#settings.scratch];
		const watchdog = spawn("sh", args, { stdio: ["pipe", "ignore", "ignore"], detached: true });
		watchdog.stdin?.on("error", () => {});
		this.#watchdog = watchdog;
		child.once("exit", () => watchdog.kill("SIGKILL"));
	}

	async #untilReady(): Promise<void> {
		const deadline = Date.now() + START_MS;
		while (this.running && Date.now() < deadline) {
			if (await this.#settings.ready().catch(() => false)) return;
			await sleep(20);
		}
		await this.kill9();
		this.#watchdog?.kill("SIGKILL");
		throw new Error(`${this.#settings.program} did not become ready; it said:\n${this.#log}`);
	}
}

function signal(pid: number, name: NodeJS.Signals): void {
	try {
		process.kill(pid, name);
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
	}
}

function alive(pid: number): boolean {
	try {
		return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
	} catch {
		return false;
	}
}

function childrenOf(pid: number): number[] {
	try {
		return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean).map(Number);
	} catch {
		return [];
	}
}
