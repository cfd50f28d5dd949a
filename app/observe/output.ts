import { write, writeSync } from "node:fs";

/** What is held back for a reader that is slow, characters; what goes beyond is lost. */
const MOST_HELD = 8 * 1024 * 1024;
/** So long after a reader took nothing it is tried again, milliseconds. */
const RETRY_MS = 50;
/** How often, where the process is about to end. */
const LAST_TRIES = 20;

/**
 * A file descriptor that takes lines and never holds up the work, nor the end of the process: not for a reader that is
 * slow, and not for one that is gone. (pino's own tries again for ever at the end, where nobody reads any more.)
 */
export class Output {
	readonly #fd: number;
	/** What comes after the chunk. */
	#held = "";
	/** What is being written, or is to be tried again. */
	#chunk = Buffer.alloc(0);
	#retry: NodeJS.Timeout | undefined;
	/** Nobody reads any more. */
	#gone = false;

	constructor(fd: number) {
		this.#fd = fd;
		process.once("exit", () => this.flush());
	}

	write(line: string): void {
		if (this.#gone || this.#held.length + line.length > MOST_HELD) return;
		this.#held += line;
		if (this.#chunk.length === 0) this.#pass(this.#take());
	}

	/** Writes what is held back, now. */
	flush(): void {
		let rest = this.#take();
		// Else it is on its way.
		if (this.#retry !== undefined) rest = Buffer.concat([this.#chunk, rest]);
		clearTimeout(this.#retry);
		for (let tries = 0; rest.length > 0 && tries < LAST_TRIES; ) {
			try {
				rest = rest.subarray(writeSync(this.#fd, rest));
			} catch (error) {
				if (!this.#isSlow(error)) return;
				tries += 1;
				Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_MS);
			}
		}
	}

	#take(): Buffer<ArrayBuffer> {
		const held = Buffer.from(this.#held);
		this.#held = "";
		return held;
	}

	#pass(chunk: Buffer<ArrayBuffer>): void {
		this.#chunk = chunk;
		this.#retry = undefined;
		if (chunk.length === 0) return;
		write(this.#fd, chunk, (error, written) => {
			if (error === null) this.#pass(written < chunk.length ? chunk.subarray(written) : this.#take());
			else if (this.#isSlow(error)) this.#retry = setTimeout(() => this.#pass(chunk), RETRY_MS).unref();
		});
	}

	#isSlow(error: unknown): boolean {
		const { code } = error as NodeJS.ErrnoException;
		this.#gone = code !== "EAGAIN" && code !== "EBUSY";
		return !this.#gone;
	}
}
