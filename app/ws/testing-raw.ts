/** WebSocket bytes by hand, for what no client library would send. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";

export interface RawFrame {
	readonly opcode: number;
	readonly payload: Buffer;
}

export class RawClient {
	readonly socket: Socket;
	/** What has come and is no whole frame yet. */
	#rest = Buffer.alloc(0);
	readonly frames: RawFrame[] = [];
	readonly ended: Promise<void>;

	private constructor(socket: Socket) {
		this.socket = socket;
		this.ended = new Promise((resolve) => socket.once("close", () => resolve()));
		socket.on("error", () => {});
	}

	/** A connection whose WebSocket handshake has succeeded. */
	static async open(host: string, path: string, headers: Readonly<Record<string, string>> = {}): Promise<RawClient> {
		const [address, port] = host.split(":") as [string, string];
		const client = new RawClient(connect(Number(port), address));
		client.socket.write(handshake(host, path, headers));
		let text = "";
		while (!text.includes("\r\n\r\n")) text += (await once(client.socket, "data"))[0].toString("latin1");
		if (!text.startsWith("HTTP/1.1 101")) throw new Error(text);
		client.#take(Buffer.from(text.slice(text.indexOf("\r\n\r\n") + 4), "latin1"));
		client.socket.on("data", (chunk) => client.#take(chunk));
		return client;
	}

	/** The code of the close frame the server sends; null where it ends without one. */
	async closeCode(): Promise<number | null> {
		await this.ended;
		const close = this.frames.find(({ opcode }) => opcode === 0x8);
		if (close === undefined) return null;
		return close.payload.length < 2 ? 1005 : close.payload.readUInt16BE(0);
	}

	#take(chunk: Buffer): void {
		this.#rest = Buffer.concat([this.#rest, chunk]);
		for (;;) {
			const short = (this.#rest[1] ?? 0) & 0x7f;
			const header = short === 126 ? 4 : short === 127 ? 10 : 2;
			if (this.#rest.length < header) return;
			const length = short === 126 ? this.#rest.readUInt16BE(2) : short === 127 ? Number(this.#rest.readBigUInt64BE(2)) : short;
			if (this.#rest.length < header + length) return;
			const opcode = (this.#rest[0] as number) & 0x0f;
			this.frames.push({ opcode, payload: this.#rest.subarray(header, header + length) });
			this.#rest = this.#rest.subarray(header + length);
			// As a client must.
			if (opcode === 0x8) this.socket.end(frame({ opcode: 0x8, payload: this.frames.at(-1)?.payload.subarray(0, 2) ?? "" }));
		}
	}
}

export function handshake(host: string, path: string, headers: Readonly<Record<string, string>> = {}): string {
	const all = {
		Host: host,
		Connection: "Upgrade",
		Upgrade: "websocket",
		"Sec-WebSocket-Version": "13",
		"Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg==",
		...headers,
	};
	return `GET ${path} HTTP/1.1\r\n${Object.entries(all)
		.map(([name, value]) => `${name}: ${value}\r\n`)
		.join("")}\r\n`;
}

/** A client's frame, right but for what is asked for. */
export function frame(settings: {
	readonly opcode?: number;
	readonly payload?: string | Buffer;
	readonly fin?: boolean;
	readonly masked?: boolean;
	/** Bits 0x40, 0x20 and 0x10 of the first byte. */
	readonly reserved?: number;
	/** The length it claims, where that is not its own. */
	readonly claim?: bigint;
}): Buffer {
	const { opcode = 0x1, payload = "", fin = true, masked = true, reserved = 0, claim } = settings;
	const body = Buffer.from(payload);
	const length = claim ?? BigInt(body.length);
	const first = (fin ? 0x80 : 0) | reserved | opcode;
	const mark = masked ? 0x80 : 0;
	let header: Buffer;
	if (length < 126n) header = Buffer.from([first, mark | Number(length)]);
	else if (length < 65_536n) {
		header = Buffer.from([first, mark | 126, 0, 0]);
		header.writeUInt16BE(Number(length), 2);
	} else {
		header = Buffer.from([first, mark | 127, 0, 0, 0, 0, 0, 0, 0, 0]);
		header.writeBigUInt64BE(length, 2);
	}
	if (!masked) return Buffer.concat([header, body]);
	const mask = [0x12, 0x34, 0x56, 0x78];
	return Buffer.concat([header, Buffer.from(mask), Buffer.from(body.map((byte, index) => byte ^ (mask[index % 4] as number)))]);
}
