/** What a terminal host is told. */
import type { ShellLimits } from "./launch.ts";

export interface TerminalHostSettings {
	/** In the logs; what it is called in Redis has something of chance behind it. */
	readonly name: string;
	/** Folder for the shells' homes. */
	readonly homes: string;
	/** The first of a thousand user ids for shells; null where all shells run as this process's user. */
	readonly firstUid: number | null;
	/** Path of the shell. */
	readonly shell: string;
	readonly limits: TerminalLimits;
}

export interface TerminalLimits extends ShellLimits {
	/** Terminals of this host. */
	readonly sessions: number;
	/** Milliseconds in which nothing goes in or out, in which nobody is connected, and of a terminal's whole life. */
	readonly idleMs: number;
	readonly detachedMs: number;
	readonly lifetimeMs: number;
	/** UTF-16 units a second that a shell may write, that all of the host may together, and those that are kept for who comes back. */
	readonly outputPerSecond: number;
	readonly hostOutputPerSecond: number;
	readonly keptOutput: number;
}
