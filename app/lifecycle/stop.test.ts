import { EventEmitter } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { createLog } from "../observe/log.ts";
import { type Stoppable, stopOnOrder } from "./stop.ts";

/** A process that can be told things, and that says how it ended. */
class FakeProcess extends EventEmitter implements Stoppable {
	readonly codes: number[] = [];
	exit(code: number): void {
		this.codes.push(code);
	}
}

function stopping(drain: () => Promise<void>, drainMs = 5_000) {
	const lines: string[] = [];
	const process = new FakeProcess();
	const { log } = createLog({ level: "info" }, "test", "1", { write: (line) => void lines.push(JSON.parse(line).message) });
	stopOnOrder(process, { drain, drainMs, log, last: () => lines.push("last") });
	return { process, lines };
}

describe("an order to stop", () => {
	it.each([["SIGTERM"], ["SIGINT"], ["message", "shutdown"], ["disconnect"]])("drains and exits 0: %s", async (event, value?: string) => {
		const { process, lines } = stopping(async () => void (await sleep(10)));
		process.emit(event, value);
		await sleep(40);
		expect(process.codes).toEqual([0]);
		expect(lines).toEqual(["draining", "drained", "last"]);
	});

	it("drains once, however many come", async () => {
		let drains = 0;
		const { process } = stopping(async () => {
			drains += 1;
			await sleep(20);
		});
		for (const signal of ["SIGTERM", "SIGINT", "SIGTERM", "SIGINT"]) process.emit(signal);
		process.emit("message", "something else");
		await sleep(60);
		expect(drains).toBe(1);
		expect(process.codes).toEqual([0]);
	});

	it("stops at once when the same signal comes again after a second", async () => {
		const { process } = stopping(() => new Promise(() => {}));
		process.emit("SIGTERM");
		await sleep(1_050);
		process.emit("SIGINT");
		expect(process.codes).toEqual([]);
		process.emit("SIGTERM");
		expect(process.codes).toEqual([1]);
	});

	it("is over at its time, whatever is left", async () => {
		const { process } = stopping(() => new Promise(() => {}), 50);
		process.emit("SIGTERM");
		await sleep(100);
		expect(process.codes).toEqual([0]);
	});

	it.each(["uncaughtException", "unhandledRejection"])("comes from an error that nobody caught too, and then fails: %s", async (event) => {
		const { process, lines } = stopping(async () => {});
		process.emit(event, new Error("bug"));
		await sleep(20);
		expect(process.codes).toEqual([1]);
		expect(lines[0]).toBe("an error that nobody caught");
	});

	it("fails when the drain does", async () => {
		const { process } = stopping(async () => Promise.reject(new Error("stuck")));
		process.emit("SIGTERM");
		await sleep(20);
		expect(process.codes).toEqual([1]);
	});
});
