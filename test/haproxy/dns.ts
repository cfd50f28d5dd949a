import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";

const TYPE = { A: 1, SRV: 33, OPT: 41 } as const;
const NAME_ERROR = 3;
const TRUNCATED = 0x0200;
const ANSWER = 0x8400;
const TTL_SECONDS = 5;

export interface Pod {
	readonly address: string;
	/** Port by port name. */
	readonly ports: Readonly<Record<string, number>>;
}

/**
 * Answers as a cluster's DNS does for a headless Service: SRV records for each named port, with the pods' addresses
 * beside them. An answer longer than what the question allows (512 bytes without EDNS) is cut down to nothing.
 */
export class DnsResponder {
	/** Pods in the answers of now. */
	pods: readonly Pod[] = [];
	/** While true, questions get no answer at all. */
	silent = false;
	/** Bytes of the longest answer so far. */
	longest = 0;
	readonly #zone: string;
	readonly #socket: Socket;

	private constructor(zone: string) {
		this.#zone = zone;
		this.#socket = createSocket("udp4");
		this.#socket.on("message", (question, { port, address }) => {
			if (!this.silent) this.#socket.send(this.#answer(question), port, address);
		});
	}

	/** @param zone `<service>.<namespace>.svc.cluster.local` */
	static async listen(zone: string): Promise<DnsResponder> {
		const responder = new DnsResponder(zone);
		responder.#socket.bind(0, "127.0.0.1");
		await once(responder.#socket, "listening");
		return responder;
	}

	get port(): number {
		return this.#socket.address().port;
	}

	async close(): Promise<void> {
		this.#socket.close();
		await once(this.#socket, "close");
	}

	#answer(question: Buffer): Buffer {
		const { name, end } = readName(question, 12);
		const type = question.readUInt16BE(end);
		const asked = question.subarray(12, end + 4);
		const records = this.#records(name, type);
		const body = records.map(({ bytes }) => bytes);
		const header = Buffer.alloc(12);
		question.copy(header, 0, 0, 2);
		header.writeUInt16BE(ANSWER | (records.length === 0 ? NAME_ERROR : 0), 2);
		header.writeUInt16BE(1, 4);
		header.writeUInt16BE(records.filter(({ additional }) => !additional).length, 6);
		header.writeUInt16BE(records.filter(({ additional }) => additional).length, 10);
		const whole = Buffer.concat([header, asked, ...body]);
		this.longest = Math.max(this.longest, whole.length);
		if (whole.length <= payloadSize(question, end + 4)) return whole;
		header.writeUInt16BE(ANSWER | TRUNCATED, 2);
		header.writeUInt16BE(0, 6);
		header.writeUInt16BE(0, 10);
		return Buffer.concat([header, asked]);
	}

	#records(name: string, type: number): { bytes: Buffer; additional: boolean }[] {
		const portName = name.endsWith(`._tcp.${this.#zone}`) ? name.slice(1, name.indexOf(".")) : null;
		if (type === TYPE.SRV && portName) {
			const having = this.pods.filter(({ ports }) => ports[portName] !== undefined);
			return [
				...having.map((pod) => ({
					bytes: record(name, TYPE.SRV, srv(pod.ports[portName] as number, this.#hostOf(pod))),
					additional: false,
				})),
				...having.map((pod) => ({ bytes: record(this.#hostOf(pod), TYPE.A, octets(pod.address)), additional: true })),
			];
		}
		const pod = this.pods.find((candidate) => this.#hostOf(candidate) === name);
		return type === TYPE.A && pod ? [{ bytes: record(name, TYPE.A, octets(pod.address)), additional: false }] : [];
	}

	#hostOf({ address }: Pod): string {
		return `${address.replaceAll(".", "-")}.${this.#zone}`;
	}
}

/** Names are written out in full: the longest an answer can be. */
function record(name: string, type: number, data: Buffer): Buffer {
	const fixed = Buffer.alloc(10);
	fixed.writeUInt16BE(type, 0);
	fixed.writeUInt16BE(1, 2);
	fixed.writeUInt32BE(TTL_SECONDS, 4);
	fixed.writeUInt16BE(data.length, 8);
	return Buffer.concat([encodeName(name), fixed, data]);
}

function srv(port: number, target: string): Buffer {
	const fixed = Buffer.alloc(6);
	fixed.writeUInt16BE(10, 2);
	fixed.writeUInt16BE(port, 4);
	return Buffer.concat([fixed, encodeName(target)]);
}

function octets(address: string): Buffer {
	return Buffer.from(address.split(".").map(Number));
}

function encodeName(name: string): Buffer {
	return Buffer.concat([
		...name.split(".").map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label)])),
		Buffer.from([0]),
	]);
}

function readName(packet: Buffer, start: number): { name: string; end: number } {
	const labels: string[] = [];
	let at = start;
	for (let length = packet.readUInt8(at); length !== 0; length = packet.readUInt8(at)) {
		labels.push(packet.toString("latin1", at + 1, at + 1 + length));
		at += 1 + length;
	}
	return { name: labels.join("."), end: at + 1 };
}

/** What the question's OPT record allows. */
function payloadSize(question: Buffer, at: number): number {
	const hasOpt = question.readUInt16BE(10) > 0 && question.readUInt16BE(at + 1) === TYPE.OPT;
	return hasOpt ? question.readUInt16BE(at + 3) : 512;
}
