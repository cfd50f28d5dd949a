/** Whole WebSocket frames as a server writes them: final, unmasked, uncompressed. https://www.rfc-editor.org/rfc/rfc6455#section-5.2 */

/** An empty ping. */
export const PING = Buffer.from([0x89, 0x00]);

export function textFrame(text: string): Buffer {
	const length = Buffer.byteLength(text);
	const frame = Buffer.allocUnsafe(headerLength(length) + length);
	frame.write(text, writeTextHeader(frame, 0, length));
	return frame;
}

/** Bytes of a frame before its payload. */
export function headerLength(payload: number): number {
	if (payload < 126) return 2;
	return payload < 65_536 ? 4 : 10;
}

/** @returns where the payload begins */
export function writeTextHeader(target: Buffer, at: number, payload: number): number {
	target[at] = 0x81;
	if (payload < 126) {
		target[at + 1] = payload;
		return at + 2;
	}
	if (payload < 65_536) {
		target[at + 1] = 126;
		return target.writeUInt16BE(payload, at + 2);
	}
	target[at + 1] = 127;
	return target.writeBigUInt64BE(BigInt(payload), at + 2);
}
