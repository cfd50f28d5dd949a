/** One WebSocket of the generator's: a connection, its handshake, and what it has been told. */
import { connect, type Socket } from "node:net";
import type { FrameReader, Heard } from "./frames.ts";

/** Masked with zeros, which changes nothing: a pong, and the texts of Engine.IO that a client has to send. */
const PONG = Buffer.from([0x8a, 0x80, 0, 0, 0, 0]);
const ENGINE_PONG = maskedText("3");
const ENGINE_OPEN = maskedText("40");

function maskedText(text: string): Buffer {
	return Buffer.concat([Buffer.from([0x81, 0x80 | text.length, 0, 0, 0, 0]), Buffer.from(text)]);
}

export interface Ears {
	heard(socket: ClientSocket, heard: Heard): void;
	/** It was open, and is not any more. */
	lost(socket: ClientSocket): void;
}

/** All sockets of a process read into one buffer: what is not complete is copied. */
const shared = Buffer.allocUnsafe(262_144);

export class ClientSocket {
	/** The last position it was told; -1 before the first. */
	position = -1;
	messages = 0;
	pings = 0;
	isOpen = false;
	readonly #reader: FrameReader;
	readonly #engine: boolean;
	readonly #ears: Ears;
	#socket: Socket | null = null;
	#piece: Buffer | null = null;

	constructor(reader: FrameReader, engine: boolean, ears: Ears) {
		this.#reader = reader;
		this.#engine = engine;
		this.#ears = ears;
	}

	/** @throws Error with the status, or with what became of the connection */
	open(
		address: { readonly host: string; readonly port: number; readonly localAddress: string },
		request: string,
		patienceMs: number,
	): Promise<void> {
		return new Promise((resolve, reject) => {
			let upgraded = false;
			const fail = (why: string) => {
				clearTimeout(timer);
				this.#socket?.destroy();
				this.#socket = null;
				reject(new Error(why));
			};
			const timer = setTimeout(() => fail("timeout"), patienceMs);
			const ready = () => {
				clearTimeout(timer);
				this.isOpen = true;
				resolve();
			};
			const onread = {
				buffer: shared,
				callback: (bytes: number): boolean => {
					let chunk = this.#whole(shared.subarray(0, bytes));
					if (!upgraded) {
						const end = chunk.indexOf("\r\n\r\n");
						if (end < 0) {
							this.#piece = Buffer.from(chunk);
							return true;
						}
						const status = chunk.toString("latin1", 9, 12);
						if (status !== "101") {
							fail(status);
							return true;
						}
						upgraded = true;
						if (!this.#engine) ready();
						chunk = chunk.subarray(end + 4);
						if (this.#engine) this.#socket?.write(ENGINE_OPEN);
					}
					if (chunk.length > 0) this.#hear(chunk, this.isOpen ? null : ready);
					return true;
				},
			};
			const socket = connect({ ...address, noDelay: true, onread });
			this.#socket = socket;
			socket.on("error", (error: NodeJS.ErrnoException) => (this.isOpen ? undefined : fail(error.code ?? error.message)));
			socket.once("connect", () => socket.write(request));
			socket.once("close", () => {
				if (this.#socket !== socket) return;
				if (!this.isOpen) fail("closed");
				else {
					this.isOpen = false;
					this.#ears.lost(this);
				}
			});
		});
	}

	close(): void {
		this.isOpen = false;
		const socket = this.#socket;
		this.#socket = null;
		socket?.destroy();
	}

	#whole(chunk: Buffer): Buffer {
		if (this.#piece === null) return chunk;
		const whole = Buffer.concat([this.#piece, chunk]);
		this.#piece = null;
		return whole;
	}

	#hear(chunk: Buffer, ready: (() => void) | null): void {
		const heard = this.#reader.read(chunk);
		if (heard.rest > 0) this.#piece = Buffer.from(chunk.subarray(chunk.length - heard.rest));
		if (heard.pings > 0) {
			this.pings += heard.pings;
			this.#socket?.write(PONG);
		}
		if (heard.enginePings > 0) {
			this.pings += heard.enginePings;
			this.#socket?.write(ENGINE_PONG);
		}
		if (heard.opened) ready?.();
		this.#ears.heard(this, heard);
		// Whoever is told to go is gone.
		if (heard.closed) this.#socket?.destroy();
	}
}
