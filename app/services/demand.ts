import { ServiceError } from "../ports.ts";

/** @throws ServiceError INVALID where the text has more characters, or none that PostgreSQL can hold */
export function demandLength(what: string, text: string, characters: number): void {
	if (text.length > characters) throw new ServiceError("INVALID", `${what} has more than ${characters} characters`);
	demandText(what, text);
}

/** @throws ServiceError INVALID where the text in UTF-8 is longer, or none that PostgreSQL can hold */
export function demandBytes(what: string, text: string, bytes: number): void {
	if (Buffer.byteLength(text) > bytes) throw new ServiceError("INVALID", `${what} has more than ${bytes} bytes`);
	demandText(what, text);
}

function demandText(what: string, text: string): void {
	if (text.includes("\0")) throw new ServiceError("INVALID", `${what} has a NUL character`);
	// It would be stored as another character.
	if (!text.isWellFormed()) throw new ServiceError("INVALID", `${what} has half of a surrogate pair`);
}
