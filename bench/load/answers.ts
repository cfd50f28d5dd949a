/** Reads HTTP/1.1 answers with a Content-Length, one at a time: where each ends, and its status. */
export class AnswerReader {
	/** Bytes of the body that are still to come. */
	#left = 0;
	#status = 0;
	/** The beginning of a head that came in pieces. */
	#piece: Buffer | null = null;

	/** @returns the status of the answer that is complete with this, or 0 */
	read(buffer: Buffer, bytes: number): number {
		if (this.#left > 0) {
			this.#left -= bytes;
			return this.#left > 0 ? 0 : this.#status;
		}
		let head = buffer.subarray(0, bytes);
		if (this.#piece !== null) {
			head = Buffer.concat([this.#piece, head]);
			this.#piece = null;
		}
		const end = head.indexOf("\r\n\r\n");
		if (end < 0) {
			this.#piece = Buffer.from(head);
			return 0;
		}
		const status = (head[9] as number) * 100 + (head[10] as number) * 10 + (head[11] as number) - 48 * 111;
		this.#status = status;
		this.#left = end + 4 + lengthOf(head, end, status) - head.length;
		return this.#left > 0 ? 0 : status;
	}

	reset(): void {
		this.#left = 0;
		this.#piece = null;
	}
}

const LOWER = Buffer.from("\r\ncontent-length: ");
const UPPER = Buffer.from("\r\nContent-Length: ");

function lengthOf(head: Buffer, end: number, status: number): number {
	let at = head.indexOf(LOWER);
	if (at < 0) at = head.indexOf(UPPER);
	if (at < 0 || at > end) {
		if (status === 204 || status === 304) return 0;
		throw new Error("an answer without Content-Length: this generator does not read chunks");
	}
	if (status === 304) return 0;
	let length = 0;
	for (let index = at + LOWER.length; ; index++) {
		const digit = (head[index] as number) - 48;
		if (digit < 0 || digit > 9) return length;
		length = length * 10 + digit;
	}
}
