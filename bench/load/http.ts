/**
 * A generator of HTTP requests, a process of its own: bytes are made before, connections are kept, answers are looked at
 * no more than to count them. Closed loop: every connection sends as soon as it has its answer. Open loop: requests have
 * times at which they are to be sent, whatever becomes of those before, and their latency counts from those times.
 */
import { spawnSync } from "node:child_process";
import { connect, type Socket } from "node:net";
import os from "node:os";
import { answerParent, tellParent as tell } from "../kit/child.ts";
import { latencyOf } from "../kit/stats.ts";
import { AnswerReader } from "./answers.ts";
import type { HttpOrder, HttpOutcome } from "./http-client.ts";
import { zipf } from "./zipf.ts";

/** An open-loop request is late when it is sent so long after its time though a connection was free, milliseconds. */
const LATE_MS = 5;

/** After its end a run waits so long for what is still under way, milliseconds. */
const PATIENCE_MS = 5_000;

/** Before a connection that was refused is tried again, milliseconds. */
const REOPEN_MS = 50;

/** So many slow answers are noted. */
const MOST_SLOW = 20_000;

/** For all that is read: an answer is looked at and forgotten. A buffer for each connection would push all others out of the processor's cache. */
const READ = Buffer.allocUnsafe(65_536);

class Line {
	readonly #order: HttpOrder;
	readonly #index: number;
	readonly #done: (line: Line, status: number) => void;
	readonly #reader = new AnswerReader();
	#socket: Socket | null = null;
	#closed = false;
	busy = false;
	/** When what is under way should have been sent, `performance.now()`. */
	due = 0;

	constructor(order: HttpOrder, index: number, done: (line: Line, status: number) => void) {
		this.#order = order;
		this.#index = index;
		this.#done = done;
	}

	async open(): Promise<void> {
		const { host, port, sources } = this.#order;
		const onread = { buffer: READ, callback: (bytes: number) => this.#read(bytes) };
		const socket = connect({ host, port, localAddress: `127.0.0.${1 + (this.#index % sources)}`, noDelay: true, onread });
		await new Promise<void>((resolve, reject) => {
			socket.once("connect", resolve);
			socket.once("error", reject);
		});
		this.#socket = socket;
		socket.on("error", () => {});
		socket.on("close", () => this.#lost(socket));
	}

	/** Whether it may be given a request: one that was closed while nothing was on its way is opened again first. */
	get isFree(): boolean {
		return this.#socket !== null && !this.busy;
	}

	send(request: Buffer, due: number): void {
		this.busy = true;
		this.due = due;
		this.#socket?.write(request);
	}

	close(): void {
		this.#closed = true;
		const socket = this.#socket;
		this.#socket = null;
		socket?.destroy();
	}

	#read(bytes: number): boolean {
		const status = this.#reader.read(READ, bytes);
		if (status !== 0 && this.busy) {
			this.busy = false;
			this.#done(this, status);
		}
		return true;
	}

	/** A connection that ends in the middle of something is an answer that never came. */
	#lost(socket: Socket): void {
		if (this.#closed || (this.#socket !== null && this.#socket !== socket)) return;
		this.#socket = null;
		this.#reader.reset();
		const wasBusy = this.busy;
		this.busy = true;
		const over = (status: number) => {
			this.busy = false;
			if (wasBusy) this.#done(this, status);
		};
		this.open().then(
			() => over(-1),
			() => {
				over(-2);
				setTimeout(() => this.#socket === null && this.#lost(socket), REOPEN_MS);
			},
		);
	}
}

async function run(order: HttpOrder): Promise<HttpOutcome> {
	const requests = order.requests.map((text) => Buffer.from(text, "latin1"));
	const pick = zipf(requests.length, order.skew);
	const statuses = new Map<number, number>();
	const latencies: number[] = [];
	const slow: { dueMs: number; endMs: number; status: number }[] = [];
	const { rate, slowMs } = order;
	const period = rate === null ? 0 : 1_000 / rate;
	let sent = 0;
	let late = 0;
	let goodInTime = 0;
	let latest = 0;
	let on = true;
	/** When the first request that has not been sent is due: those after it wait for a connection too, or for their time. */
	let dueAt = 0;
	/** When there was a free connection again after there had been none. */
	let freeSince = 0;
	let end = Number.POSITIVE_INFINITY;
	let counting = false;
	let since = 0;
	const free: Line[] = [];
	const next = () => requests[pick()] as Buffer;

	/** In turns, so that none is idle for so long that it is closed. */
	function takeFree(): Line | undefined {
		for (let left = free.length; left > 0; left--) {
			const line = free.shift() as Line;
			if (line.isFree) return line;
			free.push(line);
		}
		return undefined;
	}

	function dispatch(now: number): void {
		while (dueAt <= now && dueAt < end) {
			const line = takeFree();
			if (line === undefined) {
				freeSince = Number.POSITIVE_INFINITY;
				return;
			}
			if (counting && dueAt >= since) {
				sent += 1;
				const by = now - Math.max(dueAt, freeSince);
				if (by > LATE_MS) late += 1;
				if (by > latest) latest = by;
			}
			line.send(next(), dueAt);
			dueAt += period;
		}
	}

	function done(line: Line, status: number): void {
		const now = performance.now();
		// Whenever it was due: what an overload has piled up before is answered in this time, and what it piles up now afterwards.
		if (counting && now <= end && isGood(status)) goodInTime += 1;
		if (counting && line.due >= since) {
			statuses.set(status, (statuses.get(status) ?? 0) + 1);
			if (rate !== null || order.timed) latencies.push(now - line.due);
			const isSlow = slowMs !== null && (now - line.due > slowMs || !isGood(status));
			if (isSlow && slow.length < MOST_SLOW) slow.push({ dueMs: line.due - since, endMs: now - since, status });
		}
		if (rate === null) {
			if (on) {
				if (counting) sent += 1;
				line.send(next(), now);
			}
			return;
		}
		free.push(line);
		freeSince = Math.min(freeSince, now);
		dispatch(now);
	}

	pin(order.pinned);
	const lines = Array.from({ length: order.connections }, (_, index) => new Line(order, index, done));
	await Promise.all(lines.map((line) => line.open()));
	const started = performance.now();
	dueAt = started;
	let timer: NodeJS.Timeout | undefined;
	if (rate === null) for (const line of lines) line.send(next(), started);
	else {
		free.push(...lines);
		timer = setInterval(() => dispatch(performance.now()), 1);
	}
	await sleep(order.warmMs);
	since = performance.now();
	counting = true;
	tell("counting");
	await Promise.race([sleep(order.ms), hastened()]);
	end = performance.now();
	on = false;
	if (rate === null) counting = false;
	tell("counted");
	clearInterval(timer);
	const seconds = (end - since) / 1_000;
	for (const until = end + PATIENCE_MS; lines.some(({ busy }) => busy) && performance.now() < until; ) await sleep(5);
	counting = false;
	for (const line of lines) line.close();
	const answered = [...statuses.values()].reduce((sum, count) => sum + count, 0);
	return {
		seconds,
		answered,
		good: [...statuses].reduce((sum, [status, count]) => sum + (isGood(status) ? count : 0), 0),
		goodInTime,
		statuses: Object.fromEntries([...statuses].map(([status, count]) => [named(status), count])),
		unanswered: rate === null ? lines.filter(({ busy }) => busy).length : Math.max(0, sent - answered),
		unsent: rate === null ? 0 : Math.max(0, Math.floor((end - Math.max(dueAt, since)) / period)),
		lateShare: sent === 0 || rate === null ? 0 : late / sent,
		latestMs: latest,
		latency: latencies.length === 0 ? null : latencyOf(latencies),
		slow,
	};
}

/** Node has nothing for it. Where there is no `taskset` either, the generator goes where the kernel puts it. */
function pin(pinned: boolean): void {
	const last = os.cpus().length - 1;
	spawnSync("taskset", ["--all-tasks", "--cpu-list", "--pid", pinned ? String(last) : `0-${last}`, String(process.pid)]);
}

function isGood(status: number): boolean {
	return (status >= 200 && status < 300) || status === 304;
}

function named(status: number): string {
	return ({ [-1]: "connection lost", [-2]: "connection refused" } as Record<number, string>)[status] ?? String(status);
}

function sleep(milliseconds: number): Promise<void> {
	return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** When the run is told to end before its time. */
function hastened(): Promise<void> {
	return new Promise((resolve) => {
		hasten = resolve;
	});
}

let hasten: () => void = () => {};

answerParent(run, () => hasten());
