/** A command as a child of its own: without a shell, without this process's environment, and gone with all of its children when it is over. */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import type { Readable } from "node:stream";
import { StringDecoder } from "node:string_decoder";
import { ToolError } from "./tool.ts";

/** Bytes of output that are kept; a command that says more is ended. */
export const MOST_OUTPUT = 1_048_576;

/** Milliseconds. */
const ms = {
	/** Between being asked to end and being made to. */
	grace: 1_500,
	/** For what was written before the end to arrive, where something that outlived the command still holds its output. */
	rest: 500,
} as const;

const SHELL = "/bin/sh";

/**
 * Puts a guard into the command's process group before it becomes the command: when this process dies, however it does, the
 * other end of descriptor 3 is closed, and the guard kills the group and itself. What the command is told is not the shell's.
 */
const GUARDED = `( trap '' TERM INT HUP; read -r _ <&3; kill -KILL 0 ) >/dev/null 2>&1 & exec "$@" 3<&-`;

/** An image without a system has no shell: then a command outlives a worker that is killed, until it writes to nobody. */
const guarded = existsSync(SHELL);

export interface CommandRun {
	readonly file: string;
	readonly args: readonly string[];
	readonly folder: string;
	/** All that it finds in its environment. */
	readonly environment: Readonly<Record<string, string>>;
	readonly timeLimitMs: number;
	readonly signal: AbortSignal;
	readonly onOutput: (stream: "stdout" | "stderr", data: string) => void;
}

export interface CommandEnd {
	/** Null where a signal ended it. */
	readonly code: number | null;
	readonly killedBy: string | null;
	readonly stdout: string;
	readonly stderr: string;
}

/**
 * Runs it to its end. Whatever it has started in its process group ends with it.
 *
 * @throws ToolError TIMEOUT, OUTPUT_LIMIT, TOOL_UNAVAILABLE where it cannot be started; the signal's reason
 */
export async function runCommand(run: CommandRun): Promise<CommandEnd> {
	run.signal.throwIfAborted();
	const child = start(run);
	let why: unknown = null;
	let force: NodeJS.Timeout | undefined;
	function end(reason: unknown): void {
		if (why !== null) return;
		why = reason;
		signalGroup(child, "SIGTERM");
		force = setTimeout(() => signalGroup(child, "SIGKILL"), ms.grace);
	}
	const late = setTimeout(() => end(new ToolError("TIMEOUT", `not done within ${run.timeLimitMs / 1_000} seconds`)), run.timeLimitMs);
	const letGo = () => end(run.signal.reason);
	run.signal.addEventListener("abort", letGo, { once: true });
	try {
		const output = gather(child, run.onOutput, () =>
			end(new ToolError("OUTPUT_LIMIT", `it wrote more than ${MOST_OUTPUT / 1_048_576} MiB, which is all that is kept`)),
		);
		const { code, killedBy } = await ended(child);
		// Before anything else: what it left behind must not live on.
		signalGroup(child, "SIGKILL");
		await drained(child);
		if (why !== null) throw why;
		return { code, killedBy, ...output() };
	} finally {
		clearTimeout(late);
		clearTimeout(force);
		run.signal.removeEventListener("abort", letGo);
	}
}

type Child = ChildProcessByStdio<null, Readable, Readable>;

/** As the leader of a process group of its own. */
function start({ file, args, folder, environment }: CommandRun): Child {
	const [first, ...rest] = guarded ? [SHELL, "-c", GUARDED, SHELL, file, ...args] : [file, ...args];
	try {
		const stdio = ["ignore", "pipe", "pipe", "pipe"] as const;
		return spawn(first as string, rest, { cwd: folder, env: environment, detached: true, stdio: [...stdio] }) as unknown as Child;
	} catch (error) {
		throw unstartable(file, error);
	}
}

function signalGroup({ pid }: Child, signal: NodeJS.Signals): void {
	if (pid === undefined) return;
	try {
		process.kill(-pid, signal);
	} catch (error) {
		// There is nobody left in the group.
		if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
	}
}

function ended(child: Child): Promise<{ code: number | null; killedBy: string | null }> {
	return new Promise((resolve, reject) => {
		child.once("error", (error) => reject(unstartable(child.spawnfile, error)));
		child.once("exit", (code, killedBy) => resolve({ code, killedBy }));
	});
}

/** Its output has ended, or is not waited for any longer: a process that has left the group may hold it for ever. */
async function drained(child: Child): Promise<void> {
	const streams = [child.stdout, child.stderr].filter((stream) => !stream.closed);
	if (streams.length === 0) return;
	const patience = Promise.withResolvers<void>();
	const timer = setTimeout(patience.resolve, ms.rest);
	await Promise.race([Promise.all(streams.map((stream) => new Promise((resolve) => stream.once("close", resolve)))), patience.promise]);
	clearTimeout(timer);
	for (const stream of streams) stream.destroy();
}

/** @returns a way to what was kept */
function gather(child: Child, onOutput: CommandRun["onOutput"], onTooMuch: () => void): () => { stdout: string; stderr: string } {
	const kept = { stdout: "", stderr: "" };
	let bytes = 0;
	for (const name of ["stdout", "stderr"] as const) {
		const decoder = new StringDecoder("utf8");
		child[name].on("data", (chunk: Buffer) => {
			const room = MOST_OUTPUT - bytes;
			bytes += chunk.length;
			if (room > 0) {
				const text = decoder.write(chunk.subarray(0, room));
				kept[name] += text;
				if (text !== "") onOutput(name, text);
			}
			if (chunk.length > room) onTooMuch();
		});
		// Of a stream that is let go of early.
		child[name].on("error", () => {});
	}
	return () => kept;
}

function unstartable(file: string, error: unknown): ToolError {
	const { code, message } = error as NodeJS.ErrnoException;
	return new ToolError("TOOL_UNAVAILABLE", `the command ${file} cannot be started: ${code ?? message}`);
}
