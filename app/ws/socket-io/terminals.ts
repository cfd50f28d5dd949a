/** Terminals over Socket.IO: the events of the contract, and those to come back to a terminal. */
import type { Socket } from "socket.io";
import * as z from "zod";
import type { Principal } from "../../model.ts";
import { ServiceError, type Services, type Terminal, type TerminalListener } from "../../ports.ts";
import { ownerOf } from "../gate.ts";
import type { SocketObserver, SocketSettings } from "../settings.ts";
import { Receipts } from "./receipts.ts";

/** Whose terminals, and what they reach. */
export interface TerminalCaller {
	readonly socket: Socket;
	readonly principal: Principal;
	readonly services: Pick<Services, "terminals" | "limits">;
	readonly settings: Pick<SocketSettings, "limits">;
	readonly observe: Pick<SocketObserver, "fault">;
}

interface Event {
	readonly schema: z.ZodType;
	handle(terminals: SocketTerminals, payload: unknown): void | Promise<void>;
}

function event<Schema extends z.ZodType>(
	schema: Schema,
	handle: (terminals: SocketTerminals, payload: z.infer<Schema>) => void | Promise<void>,
): Event {
	return { schema, handle: (terminals, payload) => handle(terminals, payload as z.infer<Schema>) };
}

/** UTF-16 units that may be typed at once; and those that go to the shell's host at once. */
const INPUT_LENGTH = 65_536;
const INPUT_PIECE = 16_384;

/** Terminals that one socket may be connected to. */
const MOST_OPEN = 32;

const sessionId = z.string().min(1).max(256);
const side = z.int().min(1).max(1_000);
const size = { cols: side.default(80), rows: side.default(24) };
const typed = z.string().max(INPUT_LENGTH);
const command = event(z.object({ sessionId, command: typed }), (terminals, { sessionId, command }) =>
	terminals.command(sessionId, command),
);

const events: Record<string, Event> = {
	"terminal:create": event(
		z.object({
			...size,
			cwd: z
				.string()
				.max(4_096)
				.refine((path) => !path.includes("\0"), "has a NUL")
				.nullable()
				.default(null),
		}),
		(terminals, settings) => terminals.create(settings),
	),
	"terminal:attach": event(z.object({ sessionId, offset: z.int().min(0).nullable().default(null) }), (terminals, { sessionId, offset }) =>
		terminals.attach(sessionId, offset),
	),
	"terminal:detach": event(z.object({ sessionId }), (terminals, { sessionId }) => terminals.detach(sessionId)),
	"terminal:list": event(z.unknown(), (terminals) => terminals.list()),
	"terminal:input": event(z.object({ sessionId, input: typed }), (terminals, { sessionId, input }) => terminals.input(sessionId, input)),
	"terminal:resize": event(z.object({ sessionId, cols: side, rows: side }), (terminals, { sessionId, ...size }) =>
		terminals.resize(sessionId, size),
	),
	"terminal-resize": event(z.object({ cols: side, rows: side }), (terminals, size) => terminals.resize(null, size)),
	"terminal:command": command,
	"terminal:claude-flow": command,
	"terminal:close": event(z.object({ sessionId }), (terminals, { sessionId }) => terminals.end(sessionId)),
};

/** What a client may send about terminals. */
export const terminalEvents: Readonly<Record<string, (terminals: SocketTerminals, payload: unknown) => void>> = Object.fromEntries(
	Object.entries(events).map(([name, { schema, handle }]) => [
		name,
		(terminals: SocketTerminals, payload: unknown) => {
			const read = schema.safeParse(payload ?? {});
			if (read.success) terminals.run(name, read.data, handle);
			else terminals.refuse(null, read.error.issues.map(({ path, message }) => `${path.join(".") || "payload"}: ${message}`).join("; "));
		},
	]),
);

/**
 * The terminals that one socket is connected to. What is not among them does not exist for it: input to it is dropped, as the
 * original does, and says nothing of what others have.
 */
export class SocketTerminals {
	readonly #caller: TerminalCaller;
	readonly #open = new Map<string, Terminal>();
	readonly #receipts: Receipts;
	/** The one that was opened last. */
	#own: string | null = null;

	constructor(caller: TerminalCaller) {
		this.#caller = caller;
		this.#receipts = new Receipts(caller.socket.conn);
	}

	async create(settings: { cols: number; rows: number; cwd: string | null }): Promise<void> {
		const { principal, services } = this.#caller;
		this.#pay();
		const listener = this.#listener();
		const terminal = await services.terminals.create(principal, settings, listener);
		this.#opened("terminal:created", terminal, listener);
	}

	async attach(sessionId: string, offset: number | null): Promise<void> {
		const { principal, services } = this.#caller;
		this.#pay();
		const listener = this.#listener();
		const terminal = await services.terminals.attach(principal, sessionId, offset, listener);
		this.#opened("terminal:attached", terminal, listener);
	}

	detach(sessionId: string): void {
		this.#open.get(sessionId)?.detach();
		this.#forget(sessionId);
	}

	async list(): Promise<void> {
		const { principal, services } = this.#caller;
		this.#pay();
		this.#send("terminal:list", { sessions: await services.terminals.list(principal) });
	}

	async input(sessionId: string, input: string): Promise<void> {
		const terminal = this.#open.get(sessionId);
		for (let at = 0; at < input.length; at += INPUT_PIECE) await terminal?.input(input.slice(at, at + INPUT_PIECE));
	}

	async command(sessionId: string, command: string): Promise<void> {
		if (!this.#open.has(sessionId)) return;
		this.#send("terminal:output", { sessionId, data: command, type: "command" });
		await this.input(sessionId, `${command}\r`);
	}

	async resize(sessionId: string | null, size: { cols: number; rows: number }): Promise<void> {
		await this.#open.get(sessionId ?? this.#own ?? "")?.resize(size);
	}

	async end(sessionId: string): Promise<void> {
		await this.#open.get(sessionId)?.end();
	}

	/** What fails is answered with `terminal:error {sessionId, error}`. */
	run(name: string, payload: unknown, handle: Event["handle"]): void {
		const { sessionId = null } = payload as { readonly sessionId?: string | null };
		new Promise<void>((resolve) => resolve(handle(this, payload))).catch((error: unknown) => {
			if (!(error instanceof ServiceError)) this.#caller.observe.fault(`socket-io ${name}`, error);
			this.refuse(sessionId, error instanceof ServiceError ? error.message : "Internal error.");
		});
	}

	refuse(sessionId: string | null, error: string): void {
		this.#send("terminal:error", { sessionId, error });
	}

	/** The socket is gone; its terminals go on for a while. */
	leave(): void {
		for (const terminal of this.#open.values()) terminal.detach();
		this.#open.clear();
	}

	/** What costs more than what is typed. */
	#pay(): void {
		const { principal, services, settings } = this.#caller;
		if (this.#open.size >= MOST_OPEN) throw new ServiceError("RATE_LIMITED", `A connection has at most ${MOST_OPEN} terminals.`);
		const seconds = services.limits.take(`sockets:${ownerOf(principal)}`, 1, settings.limits.queries);
		if (seconds > 0) throw new ServiceError("RATE_LIMITED", `Too many requests. Try again in ${Math.ceil(seconds)} s.`, seconds);
	}

	#opened(name: string, terminal: Terminal, listener: Bound): void {
		const { sessionId, description, offset } = terminal;
		if (!this.#caller.socket.connected) {
			terminal.detach();
			return;
		}
		this.#open.get(sessionId)?.detach();
		this.#open.set(sessionId, terminal);
		this.#own = sessionId;
		listener.terminal = terminal;
		const { cwd, shell, cols, rows } = description;
		this.#send(name, { sessionId, cwd, shell, cols, rows, offset });
		terminal.follow(offset);
	}

	/** There is no output before the terminal is followed. */
	#listener(): Bound {
		const bound: Bound = {
			terminal: null,
			output: (offset, data) => {
				const { terminal } = bound;
				if (terminal === null) return;
				// Not before it has been read is there room for more: who does not read makes the shell wait, and nothing grows.
				this.#receipts.expect(terminal, offset + data.length, data.length);
				this.#send("terminal:output", { sessionId: terminal.sessionId, data, type: "stdout", offset });
			},
			skipped: (from, to) => {
				const data = `\r\n[${to - from} characters of output were not kept]\r\n`;
				this.#send("terminal:output", { sessionId: bound.terminal?.sessionId, data, type: "info", skipped: { from, to } });
			},
			ended: ({ exitCode, signal, reason }) => {
				const { terminal } = bound;
				if (terminal === null || this.#open.get(terminal.sessionId) !== terminal) return;
				const { sessionId } = terminal;
				this.#forget(sessionId);
				if (reason === "idle") this.#send("terminal:timeout", { sessionId });
				this.#send("terminal:exit", { sessionId, exitCode, signal, reason });
			},
		};
		return bound;
	}

	#forget(sessionId: string): void {
		this.#open.delete(sessionId);
		if (this.#own === sessionId) this.#own = [...this.#open.keys()].at(-1) ?? null;
	}

	/** To this socket and no further: `emit` would send it through Redis past every worker, because sessions can be recovered. */
	#send(name: string, payload: object): void {
		const { socket } = this.#caller;
		socket.nsp.local.to(socket.id).emit(name, payload);
	}
}

interface Bound extends TerminalListener {
	/** Null until it is opened. */
	terminal: Terminal | null;
}
