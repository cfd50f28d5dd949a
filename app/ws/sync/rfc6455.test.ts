import { once } from "node:events";
import { connect } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { memoryServices, principalOf } from "../testing.ts";
import { SyncClient } from "../testing-client.ts";
import { frame, handshake, RawClient } from "../testing-raw.ts";
import { startWorker, type TestWorker } from "../testing-worker.ts";

const services = memoryServices([principalOf("ada"), principalOf("bystander")]);
let worker: TestWorker;
let bystander: SyncClient;

beforeAll(async () => {
	worker = await startWorker(services);
	bystander = new SyncClient(worker.host, { token: "token-bystander" });
	await bystander.next("initial-state");
});

afterAll(async () => {
	bystander.close();
	await worker.stop();
});

async function open(): Promise<RawClient> {
	return RawClient.open(worker.host, "/sync", { Authorization: "Bearer token-ada" });
}

const text = 0x1;
const binary = 0x2;
const more = 0x0;
const close = 0x8;
const ping = 0x9;
const pong = 0xa;

const closing = (code: number, reason: string | Buffer = "") => {
	const body = Buffer.from([code >> 8, code & 0xff]);
	return frame({ opcode: close, payload: Buffer.concat([body, Buffer.from(reason)]) });
};
const deep = (depth: number) => `${"[".repeat(depth)}${"]".repeat(depth)}`;
const invalidUtf8 = Buffer.from([0x22, 0xc3, 0x28, 0x22]);

describe("a socket that breaks the protocol is closed with the code for it", () => {
	it.each<[string, number, readonly Buffer[]]>([
		["an unmasked frame", 1002, [frame({ payload: "{}", masked: false })]],
		["an unmasked ping", 1002, [frame({ opcode: ping, masked: false })]],
		["an unmasked close", 1002, [frame({ opcode: close, masked: false })]],
		["the first reserved bit, with no extension", 1002, [frame({ payload: "{}", reserved: 0x40 })]],
		["the second reserved bit", 1002, [frame({ payload: "{}", reserved: 0x20 })]],
		["the third reserved bit", 1002, [frame({ payload: "{}", reserved: 0x10 })]],
		["all reserved bits on a ping", 1002, [frame({ opcode: ping, reserved: 0x70 })]],
		[
			"a reserved bit on a continuation",
			1002,
			[frame({ payload: "{", fin: false }), frame({ opcode: more, payload: "}", reserved: 0x40 })],
		],
		...[3, 4, 5, 6, 7].map((opcode): [string, number, Buffer[]] => [`the data opcode ${opcode}`, 1002, [frame({ opcode, payload: "{}" })]]),
		...[0xb, 0xc, 0xd, 0xe, 0xf].map((opcode): [string, number, Buffer[]] => [`the control opcode ${opcode}`, 1002, [frame({ opcode })]]),
		["a continuation of nothing", 1002, [frame({ opcode: more, payload: "{}" })]],
		["a message within a message", 1002, [frame({ payload: "{", fin: false }), frame({ payload: "{}" })]],
		["a binary message within a message", 1002, [frame({ payload: "{", fin: false }), frame({ opcode: binary, payload: "x" })]],
		["a ping in fragments", 1002, [frame({ opcode: ping, fin: false })]],
		["a pong in fragments", 1002, [frame({ opcode: pong, fin: false })]],
		["a close in fragments", 1002, [frame({ opcode: close, fin: false })]],
		["a ping of 126 bytes", 1002, [frame({ opcode: ping, payload: "x".repeat(126) })]],
		["a pong of 65,536 bytes", 1002, [frame({ opcode: pong, payload: "x".repeat(65_536) })]],
		["a close of 126 bytes", 1002, [frame({ opcode: close, payload: "x".repeat(126) })]],
		["a close of one byte", 1002, [frame({ opcode: close, payload: "x" })]],
		...[0, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000].map((code): [string, number, Buffer[]] => [
			`the close code ${code}`,
			1002,
			[closing(code)],
		]),
		["a close reason that is no UTF-8", 1007, [closing(1000, invalidUtf8)]],
		["text that is no UTF-8", 1007, [frame({ payload: invalidUtf8 })]],
		["text that ends in the middle of a character", 1007, [frame({ payload: Buffer.from([0x22, 0xe2, 0x82]) })]],
		["an overlong encoding", 1007, [frame({ payload: Buffer.from([0x22, 0xc0, 0xaf, 0x22]) })]],
		["half of a surrogate pair", 1007, [frame({ payload: Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22]) })]],
		[
			"a character cut in two that does not go on",
			1007,
			[frame({ payload: Buffer.from([0x22, 0xc3]), fin: false }), frame({ opcode: more, payload: '("' })],
		],
		["text that is no JSON", 1007, [frame({ payload: "hello" })]],
		["no text at all", 1007, [frame({})]],
		["a message of binary data", 1003, [frame({ opcode: binary, payload: "{}" })]],
		["binary data in fragments", 1003, [frame({ opcode: binary, payload: "{", fin: false }), frame({ opcode: more, payload: "}" })]],
		["a message one byte too long", 1009, [frame({ payload: `"${"x".repeat(65_535)}"` })]],
		["a message that claims 1 GiB", 1009, [frame({ payload: "{", claim: 1n << 30n })]],
		["a message that claims 2^53 bytes", 1009, [frame({ payload: "{", claim: 1n << 53n })]],
		["a message that claims 2^63 bytes", 1009, [frame({ payload: "{", claim: 1n << 63n })]],
		[
			"fragments that are too long together",
			1009,
			[frame({ payload: "x".repeat(40_000), fin: false }), frame({ opcode: more, payload: "x".repeat(40_000) })],
		],
		[
			"fragments without end",
			1008,
			Array.from({ length: 16_400 }, (_, index) => frame({ opcode: index === 0 ? text : more, payload: "", fin: false })),
		],
		["pings without end", 1008, Array.from({ length: 500 }, () => frame({ opcode: ping }))],
		["pongs without end", 1008, Array.from({ length: 500 }, () => frame({ opcode: pong }))],
	])("%s: %i", async (_what, code, frames) => {
		const client = await open();
		const before = worker.observed.length;
		client.socket.write(Buffer.concat(frames));
		expect(await client.closeCode()).toBe(code);
		await expect.poll(() => worker.observed.slice(before)).toEqual([`closed sync ${code}`]);
	});

	it.each([
		["with 1000", closing(1000, "bye"), 1000],
		["with a code of its own", closing(4_321), 4_321],
		["without a code", frame({ opcode: close }), 1005],
	])("a close %s is answered in kind", async (_what, bytes, code) => {
		const client = await open();
		client.socket.write(bytes);
		expect(await client.closeCode()).toBe(code);
	});
});

describe("what is odd but right is taken", () => {
	const command = '{"type":"ping"}';

	it.each<[string, readonly Buffer[]]>([
		["in one byte at a time", [...frame({ payload: command })].map((byte) => Buffer.from([byte]))],
		[
			"in fragments, with a ping between them",
			[frame({ payload: command.slice(0, 4), fin: false }), frame({ opcode: ping }), frame({ opcode: more, payload: command.slice(4) })],
		],
		["in empty fragments", [frame({ fin: false }), frame({ opcode: more, fin: false }), frame({ opcode: more, payload: command })]],
		[
			"with a length in more bytes than it needs",
			[Buffer.concat([Buffer.from([0x81, 0xff, 0, 0, 0, 0, 0, 0, 0, command.length, 0, 0, 0, 0]), Buffer.from(command)])],
		],
		["after a pong nobody asked for", [frame({ opcode: pong, payload: "x" }), frame({ payload: command })]],
		["after JSON 30,000 levels deep", [frame({ payload: deep(30_000) }), frame({ payload: command })]],
		[
			"after JSON with a prototype in it",
			[frame({ payload: '{"__proto__":{"type":"ping"},"constructor":1}' }), frame({ payload: command })],
		],
	])("a message %s", async (_what, frames) => {
		const client = await open();
		for (const bytes of frames) {
			client.socket.write(bytes);
			await new Promise((resolve) => setImmediate(resolve));
		}
		await expect.poll(() => client.frames.filter(({ payload }) => payload.includes('"pong"')).length).toBe(1);
		client.socket.destroy();
	});

	it("a ping is answered with its own payload", async () => {
		const client = await open();
		client.socket.write(frame({ opcode: ping, payload: "are you there" }));
		await expect.poll(() => client.frames.find(({ opcode }) => opcode === pong)?.payload.toString()).toBe("are you there");
		client.socket.destroy();
	});
});

describe("a handshake that is none", () => {
	it.each<[string, string, number]>([
		["no key", handshake("HOST", "/sync", { "Sec-WebSocket-Key": "" }), 400],
		["a short key", handshake("HOST", "/sync", { "Sec-WebSocket-Key": "abc" }), 400],
		["an old version", handshake("HOST", "/sync", { "Sec-WebSocket-Version": "7" }), 400],
		["another protocol", handshake("HOST", "/sync", { Upgrade: "h2c" }), 400],
		["another method", handshake("HOST", "/sync").replace("GET", "POST"), 400],
		["another host", handshake("other:80", "/sync"), 403],
		["no path", handshake("HOST", "sync"), 400],
	])("%s is refused", async (_what, request, status) => {
		const socket = connect(worker.port, "127.0.0.1");
		socket.on("error", () => {});
		socket.write(request.replace("Host: HOST", `Host: ${worker.host}`).replace("\r\n\r\n", "\r\nAuthorization: Bearer token-ada\r\n\r\n"));
		const [answer] = await once(socket, "data");
		expect(answer.toString().split(" ")[1]).toBe(String(status));
		socket.destroy();
	});
});

describe("after all of that", () => {
	it("nobody else has noticed, and no place is taken", async () => {
		services.publish("default", { entityType: "agent", entityId: "a", data: {} });
		await bystander.reached(1);
		expect(bystander.breaches).toEqual([]);
		expect(bystander.socket.readyState).toBe(bystander.socket.OPEN);
		await expect.poll(() => worker.sockets.counts().sync).toBe(1);
		expect(worker.observed.filter((line) => line.startsWith("fault"))).toEqual([]);
	});
});
