import { Worker } from "node:worker_threads";

/** What one look takes on a machine that does nothing else, milliseconds. */
const WORK_MS = 5;
const EVERY_MS = 50;

const script = `
	const { parentPort } = require("node:worker_threads");
	setInterval(() => {
		const from = performance.now();
		const start = process.threadCpuUsage().user;
		while (process.threadCpuUsage().user - start < ${WORK_MS * 1_000});
		parentPort.postMessage({ at: performance.timeOrigin + performance.now(), tookMs: performance.now() - from });
	}, ${EVERY_MS});
`;

/** How fast this machine is at the moment: what others do on it must not be held against the server. */
export class Pace {
	readonly #looks: { readonly at: number; readonly tookMs: number }[] = [];
	readonly #worker = new Worker(script, { eval: true });

	constructor() {
		this.#worker.on("message", (look) => this.#looks.push(look));
	}

	/** How many times as long as on a quiet machine work took between two moments, as `Date.now()`; 1 at least. */
	slowdown(from: number, to: number): number {
		const looks = this.#looks.filter(({ at }) => at >= from && at <= to + EVERY_MS);
		if (looks.length === 0) return 1;
		return Math.max(1, looks.reduce((sum, { tookMs }) => sum + tookMs, 0) / looks.length / WORK_MS);
	}

	async stop(): Promise<void> {
		await this.#worker.terminate();
	}
}
