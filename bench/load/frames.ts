/** Reads a server's WebSocket frames as cheaply as counting them allows: thousands of sockets are sent the same bytes. */

/** What one chunk of bytes says, for whoever got it. */
export interface Heard {
	/** Text messages that carry one of the publisher's marks: when it was sent, microseconds, and its number. */
	readonly marks: readonly Mark[];
	/** Lowest position the first update may follow on, and the last position told; -1 where nothing has one. */
	readonly prev: number;
	readonly seq: number;
	/** Messages of any kind. */
	readonly texts: number;
	readonly pings: number;
	readonly closed: boolean;
	/** Socket.IO: Engine.IO's own ping, or the server's word that the session is open. */
	readonly enginePings: number;
	readonly opened: boolean;
	/** Updates that did not follow on the one before them within the chunk. */
	readonly torn: number;
	/** Bytes of a frame that is not complete. */
	readonly rest: number;
}

export interface Mark {
	readonly sentUs: number;
	readonly number: number;
}

/** The publisher writes `@<number>@<microseconds>@` into a value, whatever is around it. */
const MARK = /@(\d+)@(\d+)@/;
const POSITION = /"seq":(\d+)(?:,"count":\d+,"prev":(\d+))?\}$/;

/** Chunks that were read lately: what is said once is sent to everybody. */
const REMEMBERED = 8;

export class FrameReader {
	readonly #engine: boolean;
	readonly #known: { readonly bytes: Buffer; readonly heard: Heard }[] = [];

	/** @param engine whether what is in the frames is Engine.IO */
	constructor(engine: boolean) {
		this.#engine = engine;
	}

	read(chunk: Buffer): Heard {
		const known = this.#known.find(({ bytes }) => bytes.length === chunk.length && bytes.equals(chunk));
		if (known !== undefined) return known.heard;
		const heard = this.#parse(chunk);
		if (this.#known.length >= REMEMBERED) this.#known.shift();
		this.#known.push({ bytes: Buffer.from(chunk), heard });
		return heard;
	}

	#parse(chunk: Buffer): Heard {
		const marks: Mark[] = [];
		const heard = { marks, prev: -1, seq: -1, texts: 0, pings: 0, closed: false, enginePings: 0, opened: false, torn: 0, rest: 0 };
		let at = 0;
		for (;;) {
			const frame = frameAt(chunk, at);
			if (frame === null) break;
			at = frame.end;
			if (frame.opcode === 9) heard.pings += 1;
			else if (frame.opcode === 8) heard.closed = true;
			else if (frame.opcode === 1) {
				heard.texts += 1;
				const text = chunk.toString("latin1", frame.begin, frame.end);
				if (this.#engine && text === "2") heard.enginePings += 1;
				if (this.#engine && text.startsWith("40")) heard.opened = true;
				const mark = MARK.exec(text);
				if (mark !== null) marks.push({ number: Number(mark[1]), sentUs: Number(mark[2]) });
				if (this.#engine) continue;
				const position = POSITION.exec(text);
				if (position === null) continue;
				const [seq, prev] = [Number(position[1]), position[2] === undefined ? null : Number(position[2])];
				if (heard.seq === -1) heard.prev = prev ?? -1;
				else if (prev !== null && prev > heard.seq) heard.torn += 1;
				if (seq > heard.seq) heard.seq = seq;
			}
		}
		heard.rest = chunk.length - at;
		return heard;
	}
}

function frameAt(chunk: Buffer, at: number): { opcode: number; begin: number; end: number } | null {
	if (chunk.length - at < 2) return null;
	const short = (chunk[at + 1] as number) & 127;
	const head = short === 126 ? 4 : short === 127 ? 10 : 2;
	if (chunk.length - at < head) return null;
	const length = short === 126 ? chunk.readUInt16BE(at + 2) : short === 127 ? Number(chunk.readBigUInt64BE(at + 2)) : short;
	const begin = at + head;
	return chunk.length < begin + length ? null : { opcode: (chunk[at] as number) & 15, begin, end: begin + length };
}
