import { describe, expect, it } from "vitest";
import { ServiceError } from "../ports.ts";
import { markDatabaseError, outward, troubleOf } from "./errors.ts";

const failed = (code?: string, message = "it failed") => Object.assign(new Error(message), code === undefined ? {} : { code });

describe("what went wrong with the database", () => {
	it.each([
		["EPIPE", "down"],
		["ECONNREFUSED", "down"],
		["ECONNRESET", "down"],
		[undefined, "down"],
		["08006", "down"],
		["57P01", "down"],
		["53300", "down"],
		["28P01", "refused"],
		["25006", "readonly"],
		["40P01", "conflict"],
		["57014", "slow"],
		["23505", "statement"],
		["42703", "statement"],
	] as const)("is told by the code %s: %s", (code, trouble) => {
		expect(troubleOf(failed(code))).toBe(trouble);
	});

	it("is the client's to try again where a connection broke while it was written to", () => {
		const error = failed("EPIPE", "write EPIPE");
		markDatabaseError(error);
		expect(outward(error)).toMatchObject({ code: "UNAVAILABLE", message: "the database cannot be reached", cause: error });
		expect(outward(error)).toBeInstanceOf(ServiceError);
	});
});
