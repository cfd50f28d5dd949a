/** What only bytes on a connection show. */
import { type AddressInfo, connect, type Socket } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { testApp } from "./testing.ts";

const HEAD = "Host: localhost:3001\r\n";

const open: (() => unknown)[] = [];
afterEach(async () => {
	for (const close of open.splice(0).reverse()) await close();
});

async function listening(settings: Parameters<typeof testApp>[0] = {}) {
	const test = testApp({ legacyOpen: true, ...settings });
	await test.app.listen({ host: "127.0.0.1", port: 0 });
	open.push(() => test.app.close());
	const { port } = test.app.server.address() as AddressInfo;
	return { ...test, port };
}

interface Talk {
	readonly socket: Socket;
	/** All that has come. */
	heard(): string;
	/** Milliseconds until the server closed the connection. */
	readonly closed: Promise<number>;
}

function talk(port: number, ...said: (string | Buffer)[]): Talk {
	const socket = connect({ host: "127.0.0.1", port });
	const chunks: Buffer[] = [];
	const started = performance.now();
	socket.on("error", () => {});
	socket.on("data", (chunk) => chunks.push(chunk));
	const closed = new Promise<number>((resolve) => socket.on("close", () => resolve(performance.now() - started)));
	for (const part of said) socket.write(part);
	open.push(() => socket.destroy());
	return { socket, heard: () => Buffer.concat(chunks).toString(), closed };
}

/** The one answer of a connection that is closed after it. */
async function answerTo(
	port: number,
	...said: (string | Buffer)[]
): Promise<{ status: number; body: { error?: string; success?: boolean }; head: string }> {
	const { heard, closed } = talk(port, ...said);
	await closed;
	const [head = "", body = ""] = heard().split("\r\n\r\n");
	return { status: Number(head.split(" ")[1]), body: body === "" ? {} : JSON.parse(body), head: head.toLowerCase() };
}

async function isWell(port: number): Promise<boolean> {
	const { status } = await answerTo(port, `GET /health HTTP/1.1\r\n${HEAD}Connection: close\r\n\r\n`);
	return status === 200;
}

async function until(condition: () => boolean): Promise<void> {
	while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

/** The connection is as good as before. */
async function followsUp(socket: Socket, heard: () => string): Promise<void> {
	socket.write(`GET /health/live HTTP/1.1\r\n${HEAD}Connection: close\r\n\r\n`);
	await until(() => heard().includes('"status":"live"'));
}

function post(body: string, headers = ""): string {
	return `POST /api/hive/tasks HTTP/1.1\r\n${HEAD}Content-Type: application/json\r\nConnection: close\r\nContent-Length: ${Buffer.byteLength(body)}\r\n${headers}\r\n${body}`;
}

describe("bytes that are no request", () => {
	it.each([
		["noise", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"],
		["an unknown method", `FETCH / HTTP/1.1\r\n${HEAD}\r\n`],
		["a header without a colon", `GET / HTTP/1.1\r\n${HEAD}broken\r\n\r\n`],
		["a header folded over two lines", `GET / HTTP/1.1\r\n${HEAD}A: b\r\n c\r\n\r\n`],
		["a space before the colon", `GET / HTTP/1.1\r\n${HEAD}Content-Length : 1\r\n\r\nx`],
		["two lengths", `POST / HTTP/1.1\r\n${HEAD}Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx`],
		["a length and chunks", `POST / HTTP/1.1\r\n${HEAD}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
		["a negative length", `POST / HTTP/1.1\r\n${HEAD}Content-Length: -1\r\n\r\n`],
		[
			"chunks of no length",
			`POST /api/session HTTP/1.1\r\n${HEAD}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n`,
		],
		["no host", "GET /health HTTP/1.1\r\nConnection: close\r\n\r\n"],
		["a NUL in a header", `GET / HTTP/1.1\r\n${HEAD}A: b\0c\r\n\r\n`],
	])("such as %s are answered 400 in the contract's shape, and the connection is closed", async (_, bytes) => {
		const { port } = await listening();
		const answer = await answerTo(port, bytes);
		expect(answer.status).toBe(400);
		if (!bytes.startsWith("GET /health"))
			expect(answer.body).toMatchObject({ success: false, error: expect.any(String), timestamp: expect.any(String) });
		expect(await isWell(port)).toBe(true);
	});

	it("such as endless headers are answered 431", async () => {
		const { port } = await listening({ maxHeaderBytes: 4_096 });
		const answer = await answerTo(port, `GET /health HTTP/1.1\r\n${HEAD}A: ${"x".repeat(5_000)}\r\n\r\n`);
		expect([answer.status, answer.body]).toMatchObject([431, { success: false, error: "The request's headers are too large" }]);
	});

	it("such as a request without a version and a host are refused, as any without a host", async () => {
		const { port } = await listening();
		expect((await answerTo(port, "GET /health\r\n\r\n")).status).toBe(403);
	});

	it("are not taken for the answer to the request before them", async () => {
		const { port } = await listening();
		const { heard, closed } = talk(port, `GET /health/live HTTP/1.1\r\n${HEAD}\r\nnonsense\r\n\r\n`);
		await closed;
		expect(heard().match(/HTTP\/1\.1 \d+/g)).toEqual(["HTTP/1.1 200"]);
		expect(heard()).toMatch(/"status":"live"/);
	});
});

describe("slow clients", () => {
	it("have so long for their headers, and others do not notice", async () => {
		const { port } = await listening({ headersTimeoutMs: 600, requestTimeoutMs: 600 });
		const slow = Array.from({ length: 50 }, () => talk(port, `GET /health HTTP/1.1\r\n${HEAD}A: `));
		const drip = setInterval(() => {
			for (const { socket } of slow) if (socket.writable) socket.write("x");
		}, 50);
		open.push(() => clearInterval(drip));
		expect(await isWell(port)).toBe(true);
		const times = await Promise.all(slow.map(({ closed }) => closed));
		expect(Math.max(...times)).toBeLessThan(3_000);
		expect(Math.min(...times)).toBeGreaterThan(500);
		for (const { heard } of slow) expect(heard()).toMatch(/^HTTP\/1\.1 408 /);
		expect(await isWell(port)).toBe(true);
	});

	it("have so long for their bodies", async () => {
		const { port, observed } = await listening({ headersTimeoutMs: 400, requestTimeoutMs: 800 });
		const { heard, closed } = talk(
			port,
			`POST /api/hive/tasks HTTP/1.1\r\n${HEAD}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"a`,
		);
		expect(await closed).toBeLessThan(3_500);
		expect(heard()).toMatch(/^HTTP\/1\.1 408 /);
		expect(observed.faults).toEqual([]);
		expect(await isWell(port)).toBe(true);
	});

	it("that leave in the middle of a body are no fault of the server's", async () => {
		const { port, observed } = await listening();
		const { socket, closed } = talk(
			port,
			`POST /api/hive/tasks HTTP/1.1\r\n${HEAD}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"a`,
		);
		setTimeout(() => socket.resetAndDestroy(), 50);
		await closed;
		await new Promise((resolve) => setTimeout(resolve, 50));
		expect(observed.faults).toEqual([]);
		expect(await isWell(port)).toBe(true);
	});

	it("that say nothing between requests are kept as long as is set", async () => {
		const { port } = await listening({ keepAliveTimeoutMs: 300 });
		const { heard, closed } = talk(port, `GET /health/live HTTP/1.1\r\n${HEAD}\r\n`);
		const time = await closed;
		expect(heard()).toMatch(/^HTTP\/1\.1 200 /);
		expect(time).toBeGreaterThan(250);
		// Node adds a second, so that a request that is on its way is not lost.
		expect(time).toBeLessThan(3_500);
	});
});

describe("bodies", () => {
	const LIMIT = 10 * 1_024 * 1_024;

	it("of ten megabytes are taken, and one byte more is 413", async () => {
		const { port } = await listening();
		const sized = (bytes: number) => `{"description":"","x":"${"a".repeat(bytes - 25)}"}`;
		expect(Buffer.byteLength(sized(LIMIT))).toBe(LIMIT);
		expect((await answerTo(port, post(sized(LIMIT)))).status).toBe(200);
		const { heard, socket } = talk(port, post(sized(LIMIT + 1)).replace("Connection: close\r\n", ""));
		await until(() => heard().includes("}"));
		expect(heard()).toMatch(/^HTTP\/1\.1 413 /);
		expect(heard()).toContain('"error":"The request body is too large"');
		await followsUp(socket, heard);
	});

	it("of a hundred megabytes without a length are answered while they come, and not kept in memory", async () => {
		const { port } = await listening();
		await isWell(port);
		const before = process.memoryUsage.rss();
		let most = 0;
		const watch = setInterval(() => {
			most = Math.max(most, process.memoryUsage.rss() - before);
		}, 5);
		open.push(() => clearInterval(watch));
		const { socket, heard } = talk(
			port,
			`POST /api/hive/tasks HTTP/1.1\r\n${HEAD}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n`,
		);
		const chunk = Buffer.from(`10000\r\n${"x".repeat(65_536)}\r\n`);
		for (let sent = 0; sent < 1_600; sent += 1) {
			if (!socket.write(chunk)) await new Promise((resolve) => socket.once("drain", resolve));
		}
		expect(heard()).toMatch(/^HTTP\/1\.1 413 /);
		socket.write("0\r\n\r\n");
		await followsUp(socket, heard);
		expect(most).toBeLessThan(64 * 1_048_576);
	});

	it("are not read where nobody may send them", async () => {
		const { port } = await listening({ legacyOpen: false });
		const { heard, closed, socket } = talk(
			port,
			`POST /api/hive/tasks HTTP/1.1\r\n${HEAD}Content-Type: application/json\r\nContent-Length: 10000000\r\n\r\n{`,
		);
		await until(() => heard().includes("\r\n\r\n"));
		expect(heard()).toMatch(/^HTTP\/1\.1 401 /);
		socket.destroy();
		await closed;
	});

	it.each([
		['{"a":', "The request body is not valid JSON"],
		["[".repeat(100_000), "The request body is nested more than 64 deep"],
		['{"__proto__":{"admin":true}}', "The request body has a forbidden key"],
		['["a"]', "Invalid input: expected object, received array"],
		['"a"', "Invalid input: expected object, received string"],
	])("such as %.20s are 400: %s", async (body, error) => {
		const { port } = await listening();
		const answer = await answerTo(port, post(body));
		expect([answer.status, answer.body]).toMatchObject([400, { success: false, error, message: `POST /api/hive/tasks: ${error}` }]);
	});

	it.each(["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonx", "nonsense"])(
		"of the type %s are 415: a page elsewhere could send them",
		async (type) => {
			const { port } = await listening();
			const bytes = `POST /api/hive/tasks HTTP/1.1\r\n${HEAD}Content-Type: ${type}\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}`;
			const answer = await answerTo(port, bytes);
			expect([answer.status, answer.body.error]).toEqual([415, "The request body must be application/json"]);
		},
	);

	it("that are compressed are 415, and never unpacked", async () => {
		const { port } = await listening();
		expect((await answerTo(port, post("{}", "Content-Encoding: gzip\r\n"))).status).toBe(415);
	});

	it("may say their character set", async () => {
		const { port } = await listening();
		const bytes = `POST /api/hive/tasks HTTP/1.1\r\n${HEAD}Content-Type: application/json;charset=UTF-8\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}`;
		expect((await answerTo(port, bytes)).status).toBe(200);
	});

	it("that are announced and empty are none", async () => {
		const { port } = await listening();
		expect((await answerTo(port, post(""))).status).toBe(200);
	});
});

describe("paths", () => {
	it.each([
		["/api/%zz", 400],
		["/api/hive/tasks/%ff", 400],
		[`/api/hive/tasks/${"x".repeat(201)}`, 400],
		[`/api/memory/n/${"x".repeat(5_000)}`, 400],
		[`/api/hive/tasks/${"x".repeat(5_000)}`, 414],
		["//evil.example.com/", 404],
		["/api/../etc/passwd", 404],
		["/api/hive/tasks/__proto__", 404],
		["/api/memory/search?limit=1&limit=2", 400],
		["/api/memory/search?__proto__=1", 200],
	])("%.40s are %i", async (path, status) => {
		const { port } = await listening();
		const answer = await answerTo(port, `GET ${path} HTTP/1.1\r\n${HEAD}Connection: close\r\n\r\n`);
		expect(answer.status).toBe(status);
		if (status >= 400) expect(answer.body).toMatchObject({ success: false, error: expect.any(String) });
	});
});

describe("closing", () => {
	it("finishes what is under way", async () => {
		let answer = () => {};
		const { services, ...test } = testApp({ legacyOpen: true });
		const held = new Promise<void>((resolve) => {
			answer = resolve;
		});
		const { list } = services.agents;
		Object.assign(services.agents, {
			list: async (...call: Parameters<typeof list>) => {
				await held;
				return await list(...call);
			},
		});
		await test.app.listen({ host: "127.0.0.1", port: 0 });
		const { port } = test.app.server.address() as AddressInfo;
		const { heard, closed } = talk(port, `GET /api/hive/agents HTTP/1.1\r\n${HEAD}Connection: close\r\n\r\n`);
		await new Promise((resolve) => setTimeout(resolve, 50));
		const closing = test.app.close();
		setTimeout(answer, 50);
		await Promise.all([closing, closed]);
		expect(heard()).toMatch(/^HTTP\/1\.1 200 /);
		expect(heard()).toContain("[]");
	});
});
