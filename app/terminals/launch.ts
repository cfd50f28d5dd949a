/** How a shell is started: an argument list, an environment of its own, and no more rights and room than it needs. */
import { spawnSync } from "node:child_process";
import { accessSync, constants } from "node:fs";

/** Who a shell runs as. */
export interface ShellUser {
	readonly uid: number;
}

/** What one shell and all that it starts may have. */
export interface ShellLimits {
	/** Processes at the same time. */
	readonly processes: number;
	/** Memory of each process for its data, MiB. */
	readonly memoryMib: number;
	/** Files that a process may have open. */
	readonly openFiles: number;
}

/** Where the marks of a terminal's processes are looked for: in their environment. */
export const MARK = "AGENTIC_TERMINAL";

/**
 * Shells get what processors the server leaves: one that computes or writes without end keeps nobody from being answered,
 * and one that waits for a key is there soon enough.
 */
const NICENESS = 10;

/**
 * Its arguments are a program and the program's arguments. Where the kernel groups processes by session, the niceness of a
 * process counts within its session alone, and the session has one of its own (sched(7), "The autogroup feature"). Who is
 * not CAP_SYS_ADMIN sets it once in 100 ms, all of the machine together (proc_sched_autogroup_set_nice() of the kernel): of
 * terminals that are opened at the same moment one has it at once, and the others try again beside their shells, for a minute
 * at most, as the user of the host and not of the shell.
 */
const POLITE = `group=/proc/self/autogroup
if [ -e $group ] && ! echo ${NICENESS} > $group; then
	for try in $(seq 300); do sleep 0.2; echo ${NICENESS} > $group && break; done > /dev/null < /dev/null &
fi 2> /dev/null
exec "$@"`;

/** Its arguments are a folder, a program, and the program's arguments. A folder that is not there ends it with 1. */
const IN_FOLDER = 'cd -- "$1" || exit 1; shift; exec "$@"';

/**
 * A command under a user's own limits and with none of this process's rights. It dies with this process, is the first to
 * die where memory runs out, comes after the server where processors are short, and gains nothing from a set-uid program.
 *
 * @param user null for this process's own; the limit of processes is then left out, for it counts all of the user's
 */
export function confined(user: ShellUser | null, limits: ShellLimits, cwd: string, command: readonly string[]): [string, ...string[]] {
	return [
		"prlimit",
		...(user === null ? [] : [`--nproc=${limits.processes}`]),
		`--data=${limits.memoryMib * 1_048_576}`,
		`--nofile=${limits.openFiles}`,
		"--core=0",
		"choom",
		"--adjust=1000",
		"--",
		"nice",
		`--adjustment=${NICENESS}`,
		"sh",
		"-c",
		POLITE,
		"sh",
		...as(user),
		"sh",
		"-c",
		IN_FOLDER,
		"sh",
		cwd,
		...command,
	];
}

/** A command as another user, without the rest of {@link confined}. */
export function as(user: ShellUser | null): string[] {
	const identity = user === null ? [] : [`--reuid=${user.uid}`, `--regid=${user.uid}`, "--clear-groups"];
	return ["setpriv", ...identity, "--no-new-privs", "--pdeathsig=KILL", "--"];
}

/** Those of the programs that {@link confined} uses, and of the shell, that are not here or not as they should be. */
export function missingPrograms(shell: string): string[] {
	const tools: [string, ...string[]][] = [
		["prlimit", "--version"],
		["choom", "--version"],
		["nice", "--version"],
		["setpriv", "--version"],
		["sh", "-c", ":"],
	];
	const missing = tools
		.filter(([program, ...args]) => spawnSync(program, args, { stdio: "ignore" }).status !== 0)
		.map(([program]) => program);
	try {
		accessSync(shell, constants.X_OK);
		return missing;
	} catch {
		return [...missing, shell];
	}
}

/** All that a shell finds in its environment. */
export function shellEnvironment(home: string, shell: string, mark: string): Record<string, string> {
	return {
		PATH: "/usr/local/bin:/usr/bin:/bin",
		HOME: home,
		USER: "terminal",
		LOGNAME: "terminal",
		SHELL: shell,
		TERM: "xterm-256color",
		COLORTERM: "truecolor",
		LANG: "C.UTF-8",
		TMPDIR: `${home}/tmp`,
		[MARK]: mark,
	};
}
