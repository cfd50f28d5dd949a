/** One thing wrong with what the user gave us, in the order a reader needs it: where, what, why, how to fix. */
export interface Fault {
	/** Where: a settings path (`postgres.replicas`), a file, an argument. */
	readonly at: string;
	/** What is wrong, with the user's own value in it. */
	readonly what: string;
	/** Why it is not allowed. Left out where `what` already says it. */
	readonly why?: string;
	/** The next thing to do. */
	readonly fix: string;
}

/**
 * A mistake of the user's: bad settings, a missing file, an unknown command.
 * The command prints every fault and exits with 2; a stack trace is never shown.
 * Everything else that is thrown is our own fault and exits with 1.
 */
export class UserError extends Error {
	readonly faults: readonly Fault[];

	constructor(summary: string, faults: readonly Fault[]) {
		super(`${summary}\n${faults.map(formatFault).join("\n")}`);
		this.name = "UserError";
		this.faults = faults;
	}
}

/**
 * Something that was asked for did not work, and neither the command line nor the command is at fault: a daemon that does not
 * start, a store that is away. The command prints the message and exits with 1.
 */
export class OperationFailed extends Error {
	constructor(what: string, why: string, fix: string) {
		super(`${what}\n  why: ${why.replaceAll("\n", "\n       ")}\n  fix: ${fix}`);
		this.name = "OperationFailed";
	}
}

/** A fault as the lines a terminal shows. */
export function formatFault({ at, what, why, fix }: Fault): string {
	const lines = [`  ${at}: ${what}`];
	if (why) lines.push(`      why: ${why}`);
	lines.push(`      fix: ${fix}`);
	return lines.join("\n");
}

/** What the operating system said about a file or folder that a user named, in words. */
export function reasonOf(error: unknown): string {
	switch ((error as NodeJS.ErrnoException).code) {
		case "ENOENT":
			return "there is no such file or folder";
		case "EISDIR":
			return "is a folder, not a file";
		case "EEXIST":
			return "is a file, not a folder";
		case "ENOTDIR":
			return "a part of its path is a file, not a folder";
		case "EACCES":
		case "EPERM":
			return "you may not do that there";
		default:
			return (error as Error).message;
	}
}
