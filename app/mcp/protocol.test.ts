import { describe, expect, it } from "vitest";
import { ServiceError } from "../ports.ts";
import { errorOf, RpcError, readMessage, rpcErrorOf } from "./protocol.ts";

const read = (message: unknown) => readMessage(Buffer.from(typeof message === "string" ? message : JSON.stringify(message)));

function refusal(message: unknown): Pick<RpcError, "code" | "id"> & { readonly data: unknown } {
	try {
		read(message);
	} catch (error) {
		if (error instanceof RpcError) return { code: error.code, id: error.id, data: error.data };
		throw error;
	}
	throw new Error("it was read");
}

describe("a message of JSON-RPC", () => {
	it.each([
		["with a number", { jsonrpc: "2.0", id: 7, method: "ping" }, 7],
		["with text", { jsonrpc: "2.0", id: "a", method: "ping" }, "a"],
		["with null, which is 0 here", { jsonrpc: "2.0", id: null, method: "ping" }, 0],
		["with none, which is 0 here", { jsonrpc: "2.0", method: "tools/list" }, 0],
	])("is a request %s", (_, message, id) => {
		expect(read(message)).toEqual({ kind: "request", id, method: message.method, params: undefined });
	});

	it.each([undefined, null, 5])("is a notification by its method, whatever its id (%j)", (id) => {
		const params = { requestId: 1 };
		expect(read({ jsonrpc: "2.0", id, method: "notifications/cancelled", params })).toEqual({
			kind: "notification",
			method: "notifications/cancelled",
			params,
		});
	});

	it("is an answer where it has a result or an error, and no method", () => {
		expect(read({ jsonrpc: "2.0", id: 1, result: {} })).toEqual({ kind: "response" });
		expect(read({ jsonrpc: "2.0", id: 1, error: { code: 1, message: "" } })).toEqual({ kind: "response" });
	});

	it.each<[string, unknown, number, string | number]>([
		["text that is no JSON", "{", -32_700, 0],
		["nothing", "", -32_700, 0],
		["JSON that is too deep", `${"[".repeat(100_000)}${"]".repeat(100_000)}`, -32_700, 0],
		["a forbidden key", '{"jsonrpc":"2.0","id":1,"method":"ping","params":{"__proto__":{}}}', -32_700, 0],
		["a batch", [{ jsonrpc: "2.0", id: 1, method: "ping" }], -32_600, 0],
		["a number", "1", -32_600, 0],
		["null", "null", -32_600, 0],
		["another version", { jsonrpc: "1.0", id: 3, method: "ping" }, -32_600, 3],
		["no method", { jsonrpc: "2.0", id: 3 }, -32_600, 3],
		["a method that is no text", { jsonrpc: "2.0", id: 3, method: {} }, -32_600, 3],
		["an id that is an object", { jsonrpc: "2.0", id: {}, method: "ping" }, -32_600, 0],
		["an id that is endless", { jsonrpc: "2.0", id: "x".repeat(257), method: "ping" }, -32_600, 0],
		["parameters in a list", { jsonrpc: "2.0", id: 3, method: "ping", params: [] }, -32_602, 3],
	])("is refused where it is %s", (_, message, code, id) => {
		expect(refusal(message)).toMatchObject({ code, id });
	});

	it("says why it is refused", () => {
		expect(refusal("{")).toEqual({ code: -32_700, id: 0, data: "The message is not valid JSON" });
	});
});

describe("an error of JSON-RPC", () => {
	it("has no data where there is nothing to say", () => {
		expect(errorOf(1, new RpcError(-32_601, "Method not found: x"))).toEqual({
			jsonrpc: "2.0",
			id: 1,
			error: { code: -32_601, message: "Method not found: x" },
		});
	});

	it.each<[ServiceError, number, unknown]>([
		[new ServiceError("INVALID", "why"), -32_602, undefined],
		[new ServiceError("RATE_LIMITED", "why", 5), -32_000, { code: "RATE_LIMITED", retryAfterSeconds: 5 }],
		[new ServiceError("UNAVAILABLE", "why"), -32_000, { code: "UNAVAILABLE" }],
	])("says what a service says", (error, code, data) => {
		expect(rpcErrorOf(error)).toMatchObject({ code, message: "why", data });
	});

	it("says nothing of a fault of the server's", () => {
		expect(rpcErrorOf(new TypeError("secret"))).toBeUndefined();
	});
});
