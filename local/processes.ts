/** Processes of this machine that one can be sure of: a pid together with when it started is nobody else's. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdirSync, openSync, readFileSync } from "node:fs";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Command } from "./services/service.ts";

export interface Identity {
	readonly pid: number;
	/** Clock ticks after boot, as the kernel has it. */
	readonly startTime: string;
}

/** Who has this pid now; null where nobody has, or only a zombie. */
export function identityOf(pid: number): Identity | null {
	try {
		const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
		// The name, in brackets, may hold anything.
		const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
		return fields[0] === "Z" || fields[0] === "X" ? null : { pid, startTime: fields[19] as string };
	} catch {
		return null;
	}
}

export function isAlive({ pid, startTime }: Identity): boolean {
	return identityOf(pid)?.startTime === startTime;
}

/** Sends a signal to that process and to nobody who got its pid later. @returns whether it was there */
export function signal(identity: Identity, name: NodeJS.Signals): boolean {
	if (!isAlive(identity)) return false;
	try {
		process.kill(identity.pid, name);
		return true;
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code === "ESRCH") return false;
		throw error;
	}
}

/** All processes below these, and these. */
export function familyOf(roots: readonly Identity[]): Identity[] {
	const found: Identity[] = [];
	const visit = (pid: number) => {
		const identity = identityOf(pid);
		if (identity === null || found.some((known) => known.pid === pid)) return;
		found.push(identity);
		for (const child of childrenOf(pid)) visit(child);
	};
	for (const root of roots) if (isAlive(root)) visit(root.pid);
	return found;
}

function childrenOf(pid: number): number[] {
	try {
		return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean).map(Number);
	} catch {
		return [];
	}
}

/** Tells it to stop and, after its grace, kills it and all below it. Nothing of it is there afterwards. */
export async function stop(identity: Identity, how: { readonly signal: NodeJS.Signals; readonly graceMs: number }): Promise<void> {
	const family = familyOf([identity]);
	signal(identity, "SIGCONT");
	signal(identity, how.signal);
	if (await gone([identity], how.graceMs)) {
		// What it should have taken along.
		if (await gone(family, 2_000)) return;
	}
	const left = familyOf([identity, ...family]);
	for (const each of left) signal(each, "SIGKILL");
	await gone(left, 5_000);
}

/** Whether all of them end within the time. */
export async function gone(identities: readonly Identity[], milliseconds: number): Promise<boolean> {
	const deadline = performance.now() + milliseconds;
	while (identities.some(isAlive)) {
		if (performance.now() > deadline) return false;
		await sleep(20);
	}
	return true;
}

/** A process in a session of its own, so that no Ctrl-C reaches it, and with a file for all it says. */
export function launch({ program, args, env, user }: Command, log: string, cwd: string): ChildProcess {
	mkdirSync(path.dirname(log), { recursive: true });
	const file = openSync(log, "a", 0o600);
	try {
		return spawn(program, args, { cwd, ...user, env: { ...surroundings(), ...env }, stdio: ["ignore", file, file], detached: true });
	} finally {
		closeSync(file);
	}
}

/** Of this process's own environment only what programs are found and texts are shown by: no credential goes on. */
function surroundings(): NodeJS.ProcessEnv {
	const kept = ["PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "USER"];
	return Object.fromEntries(kept.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])));
}

/** Runs a program to its end. @throws Error with the last lines it wrote */
export async function run({ program, args, env, user }: Command, cwd: string): Promise<string> {
	const child = spawn(program, args, { cwd, ...user, env: { ...surroundings(), ...env }, stdio: ["ignore", "pipe", "pipe"] });
	let output = "";
	let errors = "";
	child.stdout.on("data", (data) => (output += data));
	child.stderr.on("data", (data) => (errors = (errors + data).slice(-4_000)));
	const [code, signal] = (await once(child, "close")) as [number | null, string | null];
	if (code === 0) return output;
	throw new Error(`${path.basename(program)} ended with ${signal ?? code}: ${(errors || output).trim().split("\n").slice(-5).join("\n")}`);
}
