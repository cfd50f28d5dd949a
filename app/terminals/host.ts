/** Keeps the shells of one host: does what workers ask for by its mailbox, and sends output to theirs. */
import { randomUUID } from "node:crypto";
import { chownSync } from "node:fs";
import type { Redis } from "ioredis";
import { Mailbox, post } from "../stores/mailbox.ts";
import { heartbeat, hostMailbox, type RegisteredTerminal, TerminalRegistry, upkeep } from "../stores/terminal-registry.ts";
import { confined, shellEnvironment } from "./launch.ts";
import type { EndReason, TerminalEnd, TerminalSize, ToHost, ToWorker } from "./messages.ts";
import type { Quarter, Quarters } from "./quarters.ts";
import { HANGUP_MS, Session } from "./session.ts";
import type { TerminalHostSettings } from "./settings.ts";

/** How often limits of time are looked at, milliseconds. */
const SWEEP_MS = 500;

/** A shell that has written more between two looks writes a lot, UTF-16 units; and one that waits because it has. */
const BUSY = 8_192;

/** For how long the end of a terminal is kept for who comes back, milliseconds. */
const EPITAPH_MS = 60_000;

/** Told what happens, for the audit, metrics and the log; must not throw. */
export interface TerminalHostObserver {
	started(terminal: Audited): void;
	ended(terminal: Audited, end: TerminalEnd): void;
	/** UTF-16 units of output. */
	wrote(units: number): void;
	problem(what: string, error: unknown): void;
}

/** What is written down of a terminal, and nothing of what is typed in it. */
export interface Audited {
	readonly sessionId: string;
	readonly who: string;
	readonly shell: string;
	readonly pid: number;
	readonly uid: number | null;
}

interface Hosted {
	readonly terminal: Omit<RegisteredTerminal, "cols" | "rows">;
	readonly audited: Audited;
	readonly session: Session;
	readonly quarter: Quarter;
	/** When it was over; null while it is not. */
	endedAt: number | null;
}

export class TerminalHost {
	readonly id: string;
	readonly #settings: TerminalHostSettings;
	readonly #redis: Redis;
	readonly #registry: TerminalRegistry;
	readonly #quarters: Quarters;
	readonly #observe: TerminalHostObserver;
	readonly #hosted = new Map<string, Hosted>();
	/** Quarters that are being cleared. */
	readonly #leaving = new Set<Promise<void>>();
	readonly #timers: NodeJS.Timeout[] = [];
	#mailbox: Mailbox<ToHost> | null = null;
	#open = false;
	/** Units a second that each shell may write now. */
	#share = 0;

	constructor(settings: TerminalHostSettings, quarters: Quarters, redis: Redis, observe: TerminalHostObserver) {
		// One that comes back is another one: the terminals of the first are lost.
		this.id = `${settings.name}-${randomUUID().slice(0, 8)}`;
		this.#settings = settings;
		this.#redis = redis;
		this.#registry = new TerminalRegistry(redis);
		this.#quarters = quarters;
		this.#observe = observe;
		this.#divideOutput();
	}

	/** Terminals whose shell is there. */
	get sessions(): number {
		return [...this.#hosted.values()].filter(({ endedAt }) => endedAt === null).length;
	}

	/** Whether it takes new terminals. */
	get open(): boolean {
		return this.#open;
	}

	/**
	 * Settles when terminals can be opened here.
	 *
	 * @param reader a connection of its own, made with {@link mailboxOptions}; closed with the host
	 */
	async start(reader: Redis): Promise<void> {
		const problem = (error: unknown) => this.#observe.problem("its mailbox cannot be read", error);
		this.#mailbox = await Mailbox.open<ToHost>(hostMailbox(this.id), reader, this.#redis, (message) => this.#hear(message), problem);
		this.#open = true;
		await this.#beat();
		this.#timers.push(
			setInterval(() => void this.#beat(), heartbeat.everyMs),
			setInterval(() => void this.#keep(), upkeep.everyMs),
			setInterval(() => this.#sweep(), SWEEP_MS),
		);
	}

	/**
	 * Takes no more terminals, and ends those that are still there after a while: it tells why, and leaves nothing running.
	 *
	 * @param graceMs for users to come to an end
	 */
	async close(graceMs: number): Promise<void> {
		this.#open = false;
		await this.#beat();
		await this.#ends(graceMs);
		for (const { session } of this.#hosted.values()) session.stop("host-stopped");
		await this.#ends(2 * HANGUP_MS);
		await Promise.all(this.#leaving);
		for (const timer of this.#timers) clearInterval(timer);
		await this.#registry.forgetHost(this.id).catch((error: unknown) => this.#observe.problem("it cannot sign off", error));
		for (const sessionId of this.#hosted.keys()) await this.#strikeOut(sessionId);
		this.#mailbox?.close();
	}

	#hear(message: ToHost): void {
		try {
			if (message.kind === "create") this.#create(message);
			else this.#told(message);
		} catch (error) {
			this.#observe.problem(`${message.kind} failed`, error);
		}
	}

	#create({ sessionId, owner, who, attachment, worker, cwd, ...size }: Extract<ToHost, { kind: "create" }>): void {
		if (!this.#open || this.sessions >= this.#settings.limits.sessions || this.#hosted.has(sessionId)) {
			this.#send(worker, { attachment, kind: "refused", why: "full" });
			return;
		}
		const { shell } = this.#settings;
		const quarter = this.#quarters.occupy(sessionId);
		const folder = cwd ?? quarter.home;
		const session = this.#spawn(sessionId, quarter, folder, size);
		const terminal = { sessionId, owner, host: this.id, shell, cwd: folder, createdAt: Date.now() };
		const audited = { sessionId, who, shell, pid: session.pid, uid: quarter.user?.uid ?? null };
		const hosted: Hosted = { terminal, audited, session, quarter, endedAt: null };
		this.#hosted.set(sessionId, hosted);
		this.#observe.started(audited);
		void this.#write([hosted]);
		const offset = session.attach(attachment, worker, 0);
		this.#send(worker, { attachment, kind: "attached", terminal: describe(hosted), offset });
	}

	#spawn(sessionId: string, quarter: Quarter, cwd: string, size: TerminalSize): Session {
		const { shell, limits } = this.#settings;
		const session = new Session(
			{
				command: confined(quarter.user, limits, cwd, [shell]),
				environment: shellEnvironment(quarter.home, shell, quarter.mark),
				...size,
				keptOutput: limits.keptOutput,
			},
			this.#share,
			{
				send: (worker, message) => this.#send(worker, message),
				wrote: (units) => this.#observe.wrote(units),
				ended: (end) => this.#ended(sessionId, end),
			},
		);
		// It opens its terminal by name, as `tmux` does, only where that is its own.
		if (quarter.user !== null) chownSync(session.device, quarter.user.uid, -1);
		return session;
	}

	/** What is somebody else's does not exist. */
	#told(message: Exclude<ToHost, { kind: "create" }>): void {
		const hosted = this.#hosted.get(message.sessionId);
		if (hosted === undefined || ("owner" in message && message.owner !== hosted.terminal.owner)) {
			if ("worker" in message) this.#send(message.worker, { attachment: message.attachment, kind: "refused", why: "absent" });
			return;
		}
		const { session } = hosted;
		switch (message.kind) {
			case "input":
				session.input(message.data);
				break;
			case "resize":
				session.resize(message);
				if (hosted.endedAt === null) void this.#write([hosted]);
				break;
			case "follow":
				session.follow(message.attachment, message.worker, message.offset, message.again);
				break;
			case "attach": {
				const offset = session.attach(message.attachment, message.worker, message.offset);
				this.#send(message.worker, { attachment: message.attachment, kind: "attached", terminal: describe(hosted), offset });
				break;
			}
			case "detach":
				session.detach(message.attachment);
				break;
			case "close":
				session.stop("closed");
		}
	}

	#ended(sessionId: string, end: TerminalEnd): void {
		const hosted = this.#hosted.get(sessionId);
		if (hosted === undefined) return;
		hosted.endedAt = performance.now();
		this.#observe.ended(hosted.audited, end);
		this.#registry
			.leave(hosted.terminal.owner, sessionId)
			.catch((error: unknown) => this.#observe.problem("a terminal cannot be struck out", error));
		const leaving = this.#quarters
			.vacate(hosted.quarter)
			.then((left) => {
				if (left > 0) this.#observe.problem("processes of a terminal would not die", new Error(`${left} of ${sessionId}`));
			})
			.catch((error: unknown) => this.#observe.problem("a terminal's home cannot be removed", error))
			.finally(() => this.#leaving.delete(leaving));
		this.#leaving.add(leaving);
	}

	/** Nobody waits for the answer: a reader that misses something asks again. */
	#send(worker: string, message: ToWorker): void {
		post(this.#redis, worker, message).catch((error: unknown) => this.#observe.problem("output cannot be sent", error));
	}

	/** Those that write a lot divide between them what the host may write: what is typed elsewhere has to come through beside it. */
	#divideOutput(): void {
		const { outputPerSecond, hostOutputPerSecond } = this.#settings.limits;
		const busy = [...this.#hosted.values()].filter(({ session }) => session.takeWritten() > BUSY || session.throttled).length;
		this.#share = Math.min(outputPerSecond, hostOutputPerSecond / Math.max(1, busy));
		for (const { session } of this.#hosted.values()) session.outputPerSecond = this.#share;
	}

	#sweep(): void {
		this.#divideOutput();
		const { idleMs, detachedMs, lifetimeMs } = this.#settings.limits;
		const now = performance.now();
		for (const [sessionId, { session, endedAt }] of this.#hosted) {
			session.sweep(now);
			const { activeAt, detachedAt, startedAt } = session;
			if (endedAt !== null) {
				if (now - endedAt < EPITAPH_MS && (session.readers > 0 || session.unread)) continue;
				void this.#strikeOut(sessionId);
				continue;
			}
			const reasons: [boolean, EndReason][] = [
				[now - startedAt > lifetimeMs, "lifetime"],
				[detachedAt !== null && now - detachedAt > detachedMs, "detached"],
				[now - activeAt > idleMs, "idle"],
			];
			const [, reason] = reasons.find(([over]) => over) ?? [];
			if (reason !== undefined) session.stop(reason);
		}
	}

	async #strikeOut(sessionId: string): Promise<void> {
		const owner = this.#hosted.get(sessionId)?.terminal.owner ?? "";
		this.#hosted.delete(sessionId);
		try {
			await this.#registry.release(owner, sessionId);
		} catch (error) {
			this.#observe.problem("a terminal cannot be struck out", error);
		}
	}

	/** Waits for the end of all terminals, so long at most. */
	async #ends(ms: number): Promise<void> {
		for (const end = performance.now() + ms; this.sessions > 0 && performance.now() < end; ) {
			await new Promise((resolve) => setTimeout(resolve, 20));
		}
	}

	/** One that stops is there, and has room for nobody. */
	async #beat(): Promise<void> {
		const capacity = this.#open ? this.#settings.limits.sessions : 0;
		try {
			await this.#registry.beat({ host: this.id, sessions: this.sessions, capacity });
		} catch (error) {
			this.#observe.problem("it cannot say that it is there", error);
		}
	}

	#keep(): Promise<void> {
		return this.#write([...this.#hosted.values()].filter(({ endedAt }) => endedAt === null));
	}

	async #write(hosted: readonly Hosted[]): Promise<void> {
		try {
			await this.#registry.keep(hosted.map((each) => ({ ...each.terminal, ...each.session.size })));
		} catch (error) {
			this.#observe.problem("terminals cannot be written down", error);
		}
	}
}

function describe({ terminal: { owner: _, host: __, ...terminal }, session }: Hosted) {
	return { ...terminal, ...session.size };
}
