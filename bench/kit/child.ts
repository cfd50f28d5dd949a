/** Processes of the benchmark's own: peers and generators. None of them outlives it. */
import { type ChildProcess, fork, spawn } from "node:child_process";
import { once } from "node:events";
import os from "node:os";

const alive = new Set<ChildProcess>();

process.once("exit", () => {
	for (const child of alive) child.kill("SIGKILL");
});

export interface Child {
	readonly pid: number;
	/** Sends a message, and waits for the answer: one at a time. */
	ask<Answer>(message: unknown, onEvent?: (event: string) => void): Promise<Answer>;
	/** Tells it to come to an end with what it is doing, and to answer. */
	hasten(): void;
	stop(): Promise<void>;
}

const HASTEN = "hasten";

/** A program of this project, which answers each message with one. It has said something when it is ready. */
export async function startChild(
	file: string,
	args: readonly (string | number)[] = [],
	options: { readonly nodeOptions?: readonly string[]; readonly urgent?: boolean; readonly env?: Readonly<Record<string, string>> } = {},
): Promise<Child> {
	const child = fork(file, args.map(String), {
		execArgv: [...(options.nodeOptions ?? [])],
		env: { ...process.env, ...options.env },
		stdio: ["ignore", "inherit", "inherit", "ipc"],
	});
	alive.add(child);
	let ended = false;
	const exited = once(child, "exit").then(([code, signal]) => {
		ended = true;
		alive.delete(child);
		return signal ?? code;
	});
	if (options.urgent) hurry(child.pid as number);
	const answer = async () => {
		const answered = new Promise<unknown>((resolve) => {
			const listen = (message: unknown) => {
				if (eventOf(message) !== undefined) return;
				child.off("message", listen);
				resolve(message);
			};
			child.on("message", listen);
		});
		return await Promise.race([answered, exited.then((how) => Promise.reject(new Error(`${file} ended with ${how}`)))]);
	};
	await answer();
	return {
		pid: child.pid as number,
		async ask<Answer>(message: unknown, onEvent: (event: string) => void = () => {}) {
			const listen = (heard: unknown) => {
				const event = eventOf(heard);
				if (event !== undefined) onEvent(event);
			};
			child.on("message", listen);
			const next = answer();
			child.send(message as object);
			const answered = await next.finally(() => child.off("message", listen));
			if (answered !== null && typeof answered === "object" && "trouble" in answered) throw new Error(String(answered.trouble));
			return answered as Answer;
		},
		hasten: () => void child.send(HASTEN),
		async stop() {
			if (!ended) child.kill("SIGKILL");
			await exited;
		},
	};
}

/** Niceness of a generator. */
const URGENT = -10;

/** A generator that waits for a processor is late, and would blame whom it measures. Only root may do so. */
function hurry(pid: number, priority = URGENT): void {
	try {
		os.setPriority(pid, priority);
	} catch {
		// Then it is as late as it says.
	}
}

/** Generates in this process, as urgently as others do in theirs: they come from the same session, and would come first. */
export async function urgently<T>(generate: () => Promise<T>): Promise<T> {
	hurry(process.pid);
	try {
		return await generate();
	} finally {
		hurry(process.pid, 0);
	}
}

/** Runs a program in the foreground of nothing, until it is told to stop. */
export function startProgram(
	program: string,
	args: readonly string[],
): { readonly pid: number; readonly output: () => string; stop(): Promise<void> } {
	const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
	alive.add(child);
	let output = "";
	for (const stream of [child.stdout, child.stderr]) stream.on("data", (data) => (output = (output + data).slice(-4_000)));
	child.on("error", (error) => (output += error.message));
	const exited = new Promise<void>((resolve) => {
		child.once("exit", () => resolve());
		child.once("error", () => resolve());
	});
	void exited.then(() => alive.delete(child));
	return {
		pid: child.pid as number,
		output: () => output,
		async stop() {
			child.kill("SIGKILL");
			await exited;
		},
	};
}

function eventOf(message: unknown): string | undefined {
	return message !== null && typeof message === "object" && "event" in message ? String(message.event) : undefined;
}

/** For the program in the child: says what it has got to, before its answer. */
export function tellParent(event: string): void {
	process.send?.({ event });
}

/** For the program in the child: answers each message with what the handler returns. */
export function answerParent(handle: (message: never) => unknown, hastened: () => void = () => {}): void {
	process.on("message", (message) => {
		if (message === HASTEN) return hastened();
		Promise.resolve()
			.then(() => handle(message as never))
			.then(
				(answer) => process.send?.(answer ?? null),
				(error: unknown) => process.send?.({ trouble: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
			);
	});
	process.once("disconnect", () => process.exit(0));
	process.send?.("ready");
}
