/** Pieces shorter than this are put together. */
const SHORT = 4_096;

/** The end of a text that grows: its last `capacity` units, about, by their positions in the whole. */
export class Ring {
	readonly #capacity: number;
	readonly #pieces: string[] = [];
	/** Position of the first unit that is kept, and the one after the last. */
	#start = 0;
	#end = 0;

	/** @param capacity units kept at least, once there are so many; up to a piece more */
	constructor(capacity: number) {
		this.#capacity = capacity;
	}

	get start(): number {
		return this.#start;
	}

	get end(): number {
		return this.#end;
	}

	append(text: string): void {
		if (text === "") return;
		const last = this.#pieces.at(-1);
		if (last !== undefined && last.length + text.length <= SHORT) this.#pieces[this.#pieces.length - 1] = last + text;
		else this.#pieces.push(text);
		this.#end += text.length;
		for (
			let first = this.#pieces[0];
			first !== undefined && this.#end - this.#start - first.length >= this.#capacity;
			first = this.#pieces[0]
		) {
			this.#pieces.shift();
			this.#start += first.length;
		}
	}

	/** From a position that is kept on, at most `most` units; empty at the end. */
	read(from: number, most: number): string {
		let at = this.#start;
		let text = "";
		for (const piece of this.#pieces) {
			const skip = Math.max(0, from - at);
			if (skip < piece.length) text += piece.slice(skip, skip + most - text.length);
			if (text.length >= most) break;
			at += piece.length;
		}
		return text;
	}
}
