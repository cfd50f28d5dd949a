import { expect, it } from "vitest";
import { progressOn } from "./import-report.ts";

function screenOf(isTTY: boolean) {
	let now = 0;
	let written = "";
	const screen = { isTTY, columns: 200, write: (text: string) => (written += text) };
	const progress = progressOn(screen, () => now);
	return {
		progress,
		at(ms: number, read: number): string {
			now = ms;
			written = "";
			progress.rows("memory.db", "memory_entries", read, 1_000);
			return written;
		},
		cleared(): string {
			written = "";
			progress.clear();
			return written;
		},
	};
}

it("progress is a bar where somebody watches, drawn over itself and wiped away", () => {
	const { at, cleared } = screenOf(true);
	expect(at(0, 0)).toBe("");
	expect(at(1_000, 250)).toBe("\r\u001b[2K[######..................] 25 %  250 of 1000 rows, 250/s  memory.db memory_entries");
	expect(at(1_050, 300)).toBe("");
	expect(at(2_000, 1_000)).toBe("\r\u001b[2K[########################] 100 %  1000 of 1000 rows, 500/s, storing  memory.db memory_entries");
	expect(cleared()).toBe("\r\u001b[2K");
	expect(cleared()).toBe("");
});

it("progress is a line now and then where nobody watches, and nothing for what is soon done", () => {
	const { at, cleared } = screenOf(false);
	expect([at(0, 0), at(5_000, 100)]).toEqual(["", ""]);
	expect(at(10_000, 500)).toBe("50 %  500 of 1000 rows, 50/s  memory.db memory_entries\n");
	expect(cleared()).toBe("");
});
