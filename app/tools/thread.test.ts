import { describe, expect, it } from "vitest";
import { inThread } from "./thread.ts";

const fixture = new URL("./thread.fixture.ts", import.meta.url);

const call = (name: string, argument: unknown = null, timeLimitMs = 30_000, signal = new AbortController().signal) =>
	inThread(fixture, name, argument, { signal, timeLimitMs });

/** Whether this thread goes on with other things meanwhile. */
async function turnsOf(work: Promise<unknown>): Promise<number> {
	let turns = 0;
	const timer = setInterval(() => {
		turns += 1;
	}, 10);
	await work.catch(() => {});
	clearInterval(timer);
	return turns;
}

describe("a thread", () => {
	it("answers what the function does, again and again", async () => {
		expect(await Promise.all([1, 2, 3, 4, 5].map((number) => call("double", number)))).toEqual([2, 4, 6, 8, 10]);
	});

	it("throws what the function throws", async () => {
		await expect(call("fail")).rejects.toThrow("out of range");
		await expect(call("nothing")).rejects.toThrow("exports no nothing");
	});

	it.each(["spin", "backtrack"])("is over when its time is, whatever it does: %s", async (name) => {
		const work = call(name, null, 500);
		const turns = await turnsOf(work);
		await expect(work).rejects.toMatchObject({
			code: "TIMEOUT",
			message: "not done within 0.5 seconds; ask for less, or for something simpler",
		});
		expect(turns).toBeGreaterThan(5);
		// The next one has its place.
		expect(await call("double", 4)).toBe(8);
	});

	it("is over when its job lets go, with the reason", async () => {
		const abort = new AbortController();
		const work = call("spin", null, 30_000, abort.signal);
		setTimeout(() => abort.abort("cancelled"), 200);
		await expect(work).rejects.toBe("cancelled");
		await expect(call("double", 1, 30_000, abort.signal)).rejects.toBe("cancelled");
	});

	it("takes no more memory than it is given, and this process goes on", async () => {
		await expect(call("fill")).rejects.toMatchObject({ code: "TOOL_FAILED" });
		expect(await call("double", 4)).toBe(8);
	});

	it("finds nothing in its environment", async () => {
		process.env.SECRET_OF_A_TEST = "secret";
		expect(await call("environment")).toEqual({});
	});
});
