/** One terminal: a shell behind a PTY, the end of what it has written, and those who read it. */
import type { Socket } from "node:net";
import { type IPty, spawn } from "@lydell/node-pty";
import { type EndReason, following, PIECE, type TerminalEnd, type TerminalSize, type ToWorker, WINDOW } from "./messages.ts";
import { Ring } from "./ring.ts";

/** Output that follows on silence is sent at once, so that what is typed is seen; the rest is gathered for so long. Milliseconds. */
const GATHER_MS = 5;

/** Units that wait for the fastest reader before the shell has to wait for it, and those from which it goes on. */
const backlog = { most: 64 * 1_024, few: 16 * 1_024 } as const;

/** Bytes typed that the shell does not read: what comes then is dropped, as a terminal does. */
const UNREAD_INPUT = 64 * 1_024;

/** A shell may be ahead of its share of output by so long, milliseconds: less means more and smaller messages for the same output. */
const LEAD_MS = 250;

/** How often a paused shell is looked at, milliseconds. */
const WATCH_MS = 50;

/** From the polite signal to the other one, milliseconds. */
export const HANGUP_MS = 1_000;

export interface SessionSettings extends TerminalSize {
	readonly command: readonly [string, ...string[]];
	readonly environment: Readonly<Record<string, string>>;
	/** Units of output kept for who comes back, at least. */
	readonly keptOutput: number;
}

/** Told what becomes of it; must not throw. */
export interface SessionListener {
	send(worker: string, message: ToWorker): void;
	wrote(units: number): void;
	/** The shell is gone; its children may still be there. */
	ended(end: TerminalEnd): void;
}

interface Reader {
	readonly worker: string;
	/** Position up to which it was sent output, and up to which that has arrived. */
	sent: number;
	arrived: number;
	/** False until it says that it can take something. */
	ready: boolean;
	heardAt: number;
}

export class Session {
	readonly #pty: IPty;
	readonly #listener: SessionListener;
	readonly #ring: Ring;
	readonly #readers = new Map<string, Reader>();
	#size: TerminalSize;
	#end: TerminalEnd | null = null;
	#told = false;
	/** Why it will be over, where that has been decided here. */
	#reason: EndReason = "exited";
	#gathering: NodeJS.Timeout | null = null;
	#sentAt = 0;
	/** Until when what it has written takes, at the share it had then, milliseconds of a clock that does not jump. */
	#paidUntil = 0;
	#throttled: NodeJS.Timeout | null = null;
	/** While it is paused: looks whether the shell is still there. */
	#watching: NodeJS.Timeout | null = null;
	#killing: NodeJS.Timeout | null = null;
	/** When something went in or out, and since when nobody reads, milliseconds of a clock that does not jump. */
	activeAt = performance.now();
	detachedAt: number | null = performance.now();
	readonly startedAt = performance.now();
	/** Units a second that the shell may write: its share of what the host may. */
	outputPerSecond: number;
	#wroteSinceLook = 0;

	constructor(settings: SessionSettings, outputPerSecond: number, listener: SessionListener) {
		this.outputPerSecond = outputPerSecond;
		this.#listener = listener;
		this.#ring = new Ring(settings.keptOutput);
		const { cols, rows, command, environment } = settings;
		this.#size = { cols, rows };
		const [program, ...args] = command;
		this.#pty = spawn(program, args, { name: environment.TERM ?? "xterm", cols, rows, cwd: "/", env: environment });
		this.#pty.onData((data) => this.#wrote(data));
		this.#pty.onExit(({ exitCode, signal = 0 }) => this.#ended({ exitCode, signal, reason: this.#reason }));
	}

	get pid(): number {
		return this.#pty.pid;
	}

	get size(): TerminalSize {
		return this.#size;
	}

	/** The device that the shell has as its terminal. */
	get device(): string {
		return (this.#pty as unknown as { readonly ptsName: string }).ptsName;
	}

	get readers(): number {
		return this.#readers.size;
	}

	/** Whether nobody has been told of its end. */
	get unread(): boolean {
		return !this.#told;
	}

	/** Whether the shell waits because it has written more than its share. */
	get throttled(): boolean {
		return this.#throttled !== null;
	}

	/** @returns units written since this was asked last */
	takeWritten(): number {
		const written = this.#wroteSinceLook;
		this.#wroteSinceLook = 0;
		return written;
	}

	input(data: string): void {
		this.activeAt = performance.now();
		if (this.#end !== null || this.#socket.writableLength > UNREAD_INPUT) return;
		this.#pty.write(data);
	}

	resize({ cols, rows }: TerminalSize): void {
		if (this.#end !== null) return;
		this.#pty.resize(cols, rows);
		this.#size = { cols, rows };
	}

	/**
	 * Another reader, which gets nothing before it follows.
	 *
	 * @param offset up to where it has everything; null for nothing
	 * @returns where it will go on
	 */
	attach(attachment: string, worker: string, offset: number | null): number {
		const from = Math.min(Math.max(offset ?? this.#ring.start, 0), this.#ring.end);
		this.#readers.set(attachment, { worker, sent: from, arrived: from, ready: false, heardAt: performance.now() });
		this.detachedAt = null;
		this.#settle();
		return from;
	}

	/** A reader has everything up to a position. One that was let go of, because Redis was away for long, is there again. */
	follow(attachment: string, worker: string, offset: number, again: boolean): void {
		if (!this.#readers.has(attachment)) this.attach(attachment, worker, offset);
		const reader = this.#readers.get(attachment) as Reader;
		reader.heardAt = performance.now();
		reader.ready = true;
		if (again) reader.sent = reader.arrived = Math.min(Math.max(offset, 0), this.#ring.end);
		else reader.arrived = Math.min(Math.max(offset, reader.arrived), reader.sent);
		this.#send(attachment, reader);
		this.#settle();
	}

	detach(attachment: string): void {
		if (!this.#readers.delete(attachment)) return;
		if (this.#readers.size === 0) this.detachedAt = performance.now();
		this.#settle();
	}

	/** Lets go of readers of which nothing has been heard. */
	sweep(now: number): void {
		for (const [attachment, { heardAt }] of this.#readers) if (now - heardAt > following.silentMs) this.detach(attachment);
	}

	/** Ends the shell: politely, and after a while not so. */
	stop(reason: EndReason): void {
		if (this.#end !== null || this.#reason !== "exited") return;
		this.#reason = reason;
		this.#resume();
		this.#pty.kill("SIGHUP");
		this.#killing = setTimeout(() => this.#pty.kill("SIGKILL"), HANGUP_MS);
	}

	get #socket(): Socket {
		return (this.#pty as unknown as { readonly _socket: Socket })._socket;
	}

	#wrote(data: string): void {
		const now = performance.now();
		this.activeAt = now;
		this.#listener.wrote(data.length);
		this.#wroteSinceLook += data.length;
		this.#ring.append(data);
		this.#count(data.length, now);
		if (this.#gathering === null) {
			if (now - this.#sentAt > GATHER_MS) this.#sendAll();
			else this.#gathering = setTimeout(() => this.#sendAll(), GATHER_MS);
		}
		this.#settle();
	}

	#sendAll(): void {
		if (this.#gathering !== null) clearTimeout(this.#gathering);
		this.#gathering = null;
		this.#sentAt = performance.now();
		for (const [attachment, reader] of this.#readers) this.#send(attachment, reader);
		this.#settle();
	}

	/** As much as it may have on the way. */
	#send(attachment: string, reader: Reader): void {
		if (!reader.ready) return;
		let skipped = Math.max(0, this.#ring.start - reader.sent);
		if (skipped > 0) reader.sent = reader.arrived = this.#ring.start;
		for (;;) {
			const data = this.#ring.read(reader.sent, Math.min(PIECE, reader.arrived + WINDOW - reader.sent));
			if (data === "") break;
			this.#listener.send(reader.worker, { attachment, kind: "output", offset: reader.sent, data, skipped });
			reader.sent += data.length;
			skipped = 0;
		}
		if (this.#end === null || reader.sent < this.#ring.end) return;
		this.#listener.send(reader.worker, { attachment, kind: "end", ...this.#end });
		this.#told = true;
		this.#readers.delete(attachment);
	}

	/** Each unit takes its time of the shell's share. Who is ahead of it by too much waits; a small share comes in whole pieces. */
	#count(units: number, now: number): void {
		const msOf = (written: number) => (written / this.outputPerSecond) * 1_000;
		this.#paidUntil = Math.max(this.#paidUntil, now) + msOf(units);
		const ahead = this.#paidUntil - now;
		if (this.#throttled !== null || ahead < Math.max(LEAD_MS, msOf(PIECE))) return;
		this.#throttled = setTimeout(() => {
			this.#throttled = null;
			this.#settle();
		}, ahead);
	}

	/**
	 * Whether the shell may write. The fastest reader sets the pace, and the others miss what the ring has lost meanwhile.
	 * Nobody's shell goes on.
	 */
	#settle(): void {
		if (this.#end !== null) return;
		const waiting = Math.min(...[...this.#readers.values()].map(({ sent }) => this.#ring.end - sent));
		const paused = this.#watching !== null;
		const behind = this.#readers.size > 0 && waiting > (paused ? backlog.few : backlog.most);
		const pause = this.#reason === "exited" && (behind || this.#throttled !== null);
		if (pause && !paused) this.#pause();
		if (!pause && paused) this.#resume();
	}

	/** What is left of a shell that has ended is to be read at once: its PTY is closed 200 ms later, read or not. */
	#pause(): void {
		this.#pty.pause();
		this.#watching = setInterval(() => isAlive(this.pid) || this.#pty.resume(), WATCH_MS);
	}

	#resume(): void {
		if (this.#watching !== null) clearInterval(this.#watching);
		this.#watching = null;
		this.#pty.resume();
	}

	#ended(end: TerminalEnd): void {
		if (this.#end !== null) return;
		this.#end = end;
		for (const timer of [this.#killing, this.#throttled, this.#watching]) if (timer !== null) clearTimeout(timer);
		this.#sendAll();
		this.#listener.ended(end);
	}
}

function isAlive(pid: number): boolean {
	try {
		process.kill(pid, 0);
		return true;
	} catch (error) {
		// Another user's: it is there.
		return (error as NodeJS.ErrnoException).code === "EPERM";
	}
}
