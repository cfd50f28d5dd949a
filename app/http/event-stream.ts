import type { OutgoingHttpHeaders } from "node:http";
import type { FastifyReply } from "fastify";

/** Of silence, after which a comment shows to whatever is in between that the stream lives. Milliseconds. */
const SILENCE_MS = 15_000;

/** Bytes that may wait for a client which does not read; it is let go of then, and may come again. */
const BUFFERED_BYTES = 1_048_576;

/** Milliseconds after which a client comes again whose stream has ended before its time. */
const RETRY_MS = 500;

/** An answer that is written as it happens. https://html.spec.whatwg.org/multipage/server-sent-events.html */
export class EventStream {
	/** Aborted when nobody listens any more. */
	readonly closed: AbortSignal;
	readonly #response: FastifyReply["raw"];
	readonly #beat: NodeJS.Timeout;

	/** Sends the headers. From now on the reply is the stream's. */
	constructor(reply: FastifyReply) {
		const closing = new AbortController();
		this.closed = closing.signal;
		this.#response = reply.raw;
		reply.headers({ "content-type": "text/event-stream", "cache-control": "no-store, no-transform" });
		const headers = reply.getHeaders() as OutgoingHttpHeaders;
		reply.hijack();
		this.#beat = setInterval(() => this.#write(": alive\n\n"), SILENCE_MS);
		const close = () => {
			clearInterval(this.#beat);
			closing.abort();
		};
		this.#response.once("close", close);
		if (this.#response.destroyed) close();
		else this.#response.writeHead(200, headers).flushHeaders();
	}

	/** @param id from which the client may go on elsewhere */
	send({ event, id, data }: { readonly event?: string; readonly id?: string; readonly data: unknown }): void {
		const lines = [
			...(event === undefined ? [] : [`event: ${event}`]),
			...(id === undefined ? [] : [`id: ${id}`]),
			`data: ${JSON.stringify(data)}`,
		];
		this.#write(`${lines.join("\n")}\n\n`);
	}

	/** Where the client may go on, before there is anything to send. */
	prime(id: string): void {
		this.#write(`id: ${id}\nretry: ${RETRY_MS}\ndata: \n\n`);
	}

	end(): void {
		clearInterval(this.#beat);
		this.#response.end();
	}

	#write(text: string): void {
		if (this.#response.writableEnded || this.#response.destroyed) return;
		if (this.#response.writableLength > BUFFERED_BYTES) this.#response.destroy();
		else this.#response.write(text);
	}
}
