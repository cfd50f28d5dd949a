/** How far a client has read of what it is sent, told without its help. */
import type { Socket } from "socket.io";
import type { WebSocket } from "ws";

/** UTF-16 units that go out between two questions: what is typed and seen costs none. */
const ASK_AFTER = 8_192;

/** What somebody reads: told up to where. */
export interface Read {
	follow(offset: number): void;
}

/** Up to where somebody's output goes, and how many units of everybody's that are. */
class Batch {
	readonly ends = new Map<Read, number>();
	units = 0;

	add(read: Read, offset: number, units: number): void {
		this.ends.set(read, offset);
		this.units += units;
	}

	addAll({ ends, units }: Batch): void {
		for (const [read, offset] of ends) this.ends.set(read, offset);
		this.units += units;
	}

	follow(): void {
		for (const [read, offset] of this.ends) read.follow(offset);
	}
}

/**
 * Follows what is read with what the client has taken. Kernels on the way keep megabytes for a client that does not read, and so
 * it is pinged behind what it was sent: every WebSocket answers that by itself, and in its turn (RFC 6455, section 5.5.2). By
 * long-polling a client has read one answer when it asks for the next.
 */
export class Receipts {
	readonly #connection: Socket["conn"];
	/** Not on its way yet. */
	#queued = new Batch();
	/** On its way since the last question. */
	#sent = new Batch();
	/** Questions without an answer, in their order, and what was sent before each. */
	readonly #asked: { readonly question: string; readonly sent: Batch }[] = [];
	#questions = 0;
	/** The one whose answers are listened to. */
	#heard: WebSocket | null = null;

	constructor(connection: Socket["conn"]) {
		this.#connection = connection;
		connection.on("flush", () => this.#flushed());
	}

	/** What is sent next is output, and ends there. */
	expect(read: Read, offset: number, units: number): void {
		this.#queued.add(read, offset, units);
	}

	#flushed(): void {
		if (this.#queued.units === 0) return;
		const queued = this.#queued;
		this.#queued = new Batch();
		const { transport } = this.#connection;
		transport.once("drain", () => {
			this.#sent.addAll(queued);
			if (transport.name !== "websocket") this.#take().follow();
			else if (this.#sent.units >= ASK_AFTER) this.#ask((transport as unknown as { readonly socket: WebSocket }).socket);
		});
	}

	#take(): Batch {
		const sent = this.#sent;
		this.#sent = new Batch();
		return sent;
	}

	#ask(socket: WebSocket): void {
		if (socket.readyState !== socket.OPEN) return;
		if (this.#heard !== socket) {
			this.#heard = socket;
			socket.on("pong", (answer) => this.#answered(answer.toString()));
		}
		this.#questions += 1;
		const question = String(this.#questions);
		this.#asked.push({ question, sent: this.#take() });
		socket.ping(question);
	}

	/** Of several questions a client may answer the last alone. */
	#answered(answer: string): void {
		const index = this.#asked.findIndex(({ question }) => question === answer);
		for (const { sent } of this.#asked.splice(0, index + 1)) sent.follow();
	}
}
