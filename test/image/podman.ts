/** Podman, with a storage of this test's own: nothing of the machine's is seen, used or changed. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { homedir } from "node:os";
import path from "node:path";

/** What is worth keeping between two runs: the base, the packages, the layers. */
export const cache = path.join(homedir(), ".cache", "agentic-flow", "image");

/** Why there can be no image here, or null. */
export const podmanMissing = which("podman") ? null : "needs podman on the PATH";

export function which(program: string): string | null {
	const folders = [...(process.env.PATH ?? "").split(path.delimiter), "/usr/sbin", "/sbin"];
	return folders.map((folder) => path.join(folder, program)).find(existsSync) ?? null;
}

const runc = which("runc");
const storage = [
	...["--root", path.join(cache, "storage"), "--runroot", `/tmp/agentic-flow-image-${process.getuid?.()}`],
	// The default asks for more of the kernel than a sandbox has.
	...(runc ? ["--runtime", runc] : []),
];

/** The network of the machine, for stores on loopback. Podman would raise the limits, which not everybody may. */
const place = ["--network", "host", "--ulimit", "nproc=9000:9000", "--ulimit", "nofile=2000:2000"];

/** As a pod runs it: nothing to write to but its volumes, no capabilities. */
const restricted = ["--read-only", "--read-only-tmpfs=false", "--cap-drop", "all", "--security-opt", "no-new-privileges"];

/** Nothing that a test starts lives longer, seconds. */
const LIFE = 120;

export interface Ended {
	readonly code: number;
	readonly stdout: string;
	readonly stderr: string;
}

/** Runs a program to its end, or kills it and what it started. */
export async function run(program: string, args: readonly string[], seconds: number, input?: ChildProcess): Promise<Ended> {
	const child = spawn(program, args, { stdio: [input?.stdout ?? "ignore", "pipe", "pipe"], detached: true });
	const kill = () => {
		try {
			process.kill(-(child.pid as number), "SIGKILL");
		} catch {} // gone
	};
	process.once("exit", kill);
	const timer = setTimeout(kill, seconds * 1_000);
	const text = { stdout: "", stderr: "" };
	for (const name of ["stdout", "stderr"] as const) child[name].on("data", (data) => (text[name] += data));
	try {
		const code = await new Promise<number>((resolve, reject) => {
			child.once("error", reject);
			child.once("close", (code, signal) => resolve(code ?? (signal === null ? 1 : 137)));
		});
		return { code, ...text };
	} finally {
		clearTimeout(timer);
		process.off("exit", kill);
	}
}

/** @throws where it fails, with the last that it said */
export async function succeed(program: string, args: readonly string[], seconds: number, input?: ChildProcess): Promise<string> {
	const { code, stdout, stderr } = await run(program, args, seconds, input);
	if (code !== 0) throw new Error(`${path.basename(program)} ${args[0]} ended with ${code}: ${(stderr || stdout).trim().slice(-2_000)}`);
	return stdout;
}

export function podman(args: readonly string[], seconds = 30, input?: ChildProcess): Promise<string> {
	mkdirSync(cache, { recursive: true });
	return succeed("podman", [...storage, ...args], seconds, input);
}

/** Whether an image is in the storage. */
export async function hasImage(name: string): Promise<boolean> {
	return (await run("podman", [...storage, "image", "exists", name], 30)).code === 0;
}

let containers = 0;

/** A container that runs, and does not outlive the test by much. */
export class Container {
	readonly name = `agentic-flow-test-${process.pid}-${++containers}`;
	/** Its exit code. */
	readonly exited: Promise<number>;
	#output = "";

	/**
	 * @param secrets a folder, mounted where the server looks for it
	 * @param more of the options of `podman run`
	 */
	constructor(
		image: string,
		command: readonly string[],
		environment: Readonly<Record<string, string>>,
		secrets?: Mount,
		more: readonly string[] = [],
	) {
		const args = [
			...["run", "--rm", "--name", this.name, "--timeout", String(LIFE), "--pull", "never", ...place, ...restricted],
			...["/tmp", "/pm2"].flatMap((folder) => ["--tmpfs", `${folder}:size=64m`]),
			...(secrets ? ["--volume", `${secrets.from}:${secrets.to}:ro`] : []),
			...more,
			...Object.entries(environment).flatMap(([name, value]) => ["--env", `${name}=${value}`]),
			// As Kubernetes does it: the whole command, whatever the image says.
			...["--entrypoint", JSON.stringify(command), image],
		];
		const child = spawn("podman", [...storage, ...args], { stdio: ["ignore", "pipe", "pipe"] });
		for (const stream of [child.stdout, child.stderr]) stream.on("data", (data) => (this.#output += data));
		this.exited = new Promise((resolve) => child.once("close", (code) => resolve(code ?? 137)));
	}

	get output(): string {
		return this.#output;
	}

	async terminate(): Promise<void> {
		await podman(["kill", "--signal", "TERM", this.name]);
	}

	/** Runs a command beside the server, as an operator does. */
	exec(command: readonly string[]): Promise<string> {
		return podman(["exec", this.name, ...command]);
	}

	async remove(): Promise<void> {
		await podman(["rm", "--force", "--ignore", "--time", "0", this.name]);
		await this.exited;
	}
}

export interface Mount {
	readonly from: string;
	readonly to: string;
}
