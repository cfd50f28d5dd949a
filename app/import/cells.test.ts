import { deflateSync, gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { anyTimeOf, type Cell, countOf, decoded, jsonOf, LARGEST_VALUE, storedOf, Text, timeOf, wordOf } from "./cells.ts";

const NOW = Date.UTC(2026, 0, 1);
const text = (words: string | Uint8Array) => new Text(typeof words === "string" ? Buffer.from(words) : words);

/** The same cells with text as a string, as it is read where nothing is in doubt. */
const read = (cell: Cell) => (cell instanceof Text ? decoded(cell.bytes) : cell);

describe("a time", () => {
	it.each([
		["seconds", 1_752_724_743n, "2025-07-17T03:59:03.000Z"],
		["milliseconds", 1_752_724_743_925n, "2025-07-17T03:59:03.925Z"],
		["microseconds", 1_752_724_743_925_123n, "2025-07-17T03:59:03.925Z"],
		["a real", 1_752_724_743.5, "2025-07-17T03:59:03.500Z"],
		["digits as text", text("1752724743"), "2025-07-17T03:59:03.000Z"],
		["UTC as SQL writes it", text("2025-07-06 14:05:35"), "2025-07-06T14:05:35.000Z"],
		["the same with a fraction", text("2025-07-06 14:05:35.125"), "2025-07-06T14:05:35.125Z"],
		["a day", text("2025-07-06"), "2025-07-06T00:00:00.000Z"],
		["ISO 8601", text("2025-07-06T14:05:35.125Z"), "2025-07-06T14:05:35.125Z"],
		["another zone", text("2025-07-06T14:05:35+02:00"), "2025-07-06T12:05:35.000Z"],
		["a zone without a colon", text("2025-07-06 14:05:35 -0130"), "2025-07-06T15:35:35.000Z"],
	])("is understood as %s", (_, cell: Cell, iso) => {
		for (const each of [cell, read(cell)]) expect(new Date(timeOf(each, NOW) as number).toISOString()).toBe(iso);
	});

	it.each([null, text(""), text("  ")])("that is not there is none: %j", (cell) => {
		expect(timeOf(cell, NOW)).toBeNull();
	});

	it.each([
		0n,
		-5n,
		9_223_372_036_854_775_807n,
		Number.NaN,
		Number.POSITIVE_INFINITY,
		text("yesterday"),
		text("2025-13-01"),
		text("292277-01-01"),
		text("-1"),
	])("that makes no sense is not made one: %s", (cell: Cell) => {
		expect(timeOf(cell, NOW)).toBeUndefined();
		expect(anyTimeOf(cell)).toBeUndefined();
	});

	it("of the past cannot be ahead by more than clocks differ, and an end can", () => {
		const soon = BigInt(NOW / 1_000) + 3_600n;
		expect(timeOf(soon, NOW)).toBe(Number(soon) * 1_000);
		const later = soon + 86_400n;
		expect([timeOf(later, NOW), anyTimeOf(later)]).toEqual([undefined, Number(later) * 1_000]);
	});
});

describe("a value", () => {
	const stored = (cell: Cell, compressed = false) => {
		const { value, mark } = storedOf(cell, compressed);
		return [typeof value === "string" ? value : decoded(value), mark];
	};

	it.each([
		["text", text('{"a":1}'), '{"a":1}', null],
		["text that is no JSON", text("{ ü"), "{ ü", null],
		["an integer beyond 2^53", 9_007_199_254_740_993n, "9007199254740993", null],
		["a real", 1.5, "1.5", null],
		["nothing", null, "null", null],
		["text with a NUL", text("a\0b"), '"a\\u0000b"', { encoding: "json" }],
		["text that is no UTF-8", text(Buffer.from("ff41", "hex")), "/0E=", { encoding: "base64" }],
		["bytes", Buffer.from("00ff10", "hex"), "AP8Q", { encoding: "base64" }],
		["bytes that are control characters", Buffer.from("010203", "hex"), "AQID", { encoding: "base64" }],
		["bytes that are text", Buffer.from('{"ü":1}'), '{"ü":1}', { from: "blob" }],
	])("that is %s is kept", (_, cell: Cell, value, mark) => {
		expect(stored(cell)).toEqual([value, mark]);
	});

	it.each(['{"a":1}', "{ ü", "a\0b", ""])("is the same whether it was read as text or as its bytes: %j", (words) => {
		expect(stored(words)).toEqual(stored(text(words)));
		expect([wordOf(words), jsonOf(words)].map(String)).toEqual([wordOf(text(words)) && words, jsonOf(text(words))].map(String));
	});

	it.each([
		["zlib", deflateSync("packed"), "packed", { compressed: "unpacked" }],
		["gzip", gzipSync("packed"), "packed", { compressed: "unpacked" }],
		["zlib in base64", text(deflateSync("packed").toString("base64")), "packed", { compressed: "unpacked" }],
		["zlib of bytes", deflateSync(Buffer.from("00ff", "hex")), "AP8=", { encoding: "base64", compressed: "unpacked" }],
		["neither", text("plain"), "plain", { compressed: "still" }],
	])("that is flagged as compressed is unpacked: %s", (_, cell: Cell, value, mark) => {
		for (const each of [cell, read(cell)]) expect(stored(each, true)).toEqual([value, mark]);
	});

	it("that unpacks to more than anybody can use stays packed", () => {
		const bomb = deflateSync(Buffer.alloc(LARGEST_VALUE + 1));
		expect(stored(bomb, true)).toEqual([bomb.toString("base64"), { encoding: "base64", compressed: "still" }]);
	});
});

it("a name is text or a number, and nothing that PostgreSQL cannot hold", () => {
	expect([text("k"), 7n, Buffer.from("k")].map((cell) => String(wordOf(cell) && Buffer.from(wordOf(cell) as string)))).toEqual([
		"k",
		"7",
		"k",
	]);
	expect([null, text("a\0"), text(Buffer.from("ff", "hex"))].map(wordOf)).toEqual([null, null, null]);
});

it("JSON loses nothing of what it cannot hold", () => {
	expect([7n, 9_007_199_254_740_993n, 0.5, Number.POSITIVE_INFINITY, null, text("a"), text("a\0"), Buffer.from("a")].map(jsonOf)).toEqual([
		7,
		"9007199254740993",
		0.5,
		"Infinity",
		null,
		"a",
		{ base64: "YQA=" },
		{ base64: "YQ==" },
	]);
});

it("a count is never below 0, nor so large that nothing can be added", () => {
	expect([3n, -3n, 2n ** 63n - 1n, 2.5, null, text("3")].map(countOf)).toEqual([3n, 0n, 10n ** 15n, 0n, 0n, 0n]);
});
