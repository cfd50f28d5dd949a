/** A generator of WebSockets, a process of its own: it opens thousands, answers their pings, and counts what they are told. */
import { randomBytes } from "node:crypto";
import { answerParent } from "../kit/child.ts";
import { quantile } from "../kit/stats.ts";
import { FrameReader, type Heard } from "./frames.ts";
import { ClientSocket, type Ears } from "./socket.ts";
import type { FleetOrder, OpenOutcome, SocketsCommand, SocketsReport } from "./sockets-client.ts";

const PATIENCE_MS = 30_000;

/** Latencies are counted in steps of this, milliseconds, up to so many of them. */
const STEP_MS = 0.5;
const STEPS = 40_000;

class Fleet implements Ears {
	readonly #sockets: ClientSocket[] = [];
	readonly #steps = new Uint32Array(STEPS + 1);
	#lost = 0;
	#torn = 0;
	#messages = 0;
	#marks = 0;

	heard(socket: ClientSocket, { marks, prev, seq, texts, torn }: Heard): void {
		this.#messages += texts;
		this.#torn += torn;
		if (seq !== -1) {
			// The state of a client that begins comes as it is; everything after it follows on what was told before.
			if (prev !== -1 && socket.position !== -1 && prev > socket.position) this.#torn += 1;
			if (seq > socket.position) socket.position = seq;
		}
		if (marks.length === 0) return;
		socket.messages += marks.length;
		this.#marks += marks.length;
		const now = nowUs();
		for (const { sentUs } of marks) {
			const step = Math.min(STEPS, Math.max(0, Math.round((now - sentUs) / 1_000 / STEP_MS)));
			this.#steps[step] = (this.#steps[step] as number) + 1;
		}
	}

	lost(): void {
		this.#lost += 1;
	}

	/** At an even pace, so that nobody is stormed. */
	async open({ engine, host, port, path, authority, tokens, count, perSecond, firstSource, sources }: FleetOrder): Promise<OpenOutcome> {
		const reader = new FrameReader(engine);
		const failed: Record<string, number> = {};
		const took: number[] = [];
		const began = performance.now();
		const opening: Promise<void>[] = [];
		for (let index = 0; index < count; index++) {
			const due = began + (index * 1_000) / perSecond;
			const wait = due - performance.now();
			if (wait > 1) await new Promise((resolve) => setTimeout(resolve, wait));
			const socket = new ClientSocket(reader, engine, this);
			const from = performance.now();
			const localAddress = `127.0.0.${firstSource + (index % sources)}`;
			const token = tokens[index % Math.max(1, tokens.length)];
			opening.push(
				socket.open({ host, port, localAddress }, handshake(path, authority, token), PATIENCE_MS).then(
					() => {
						this.#sockets.push(socket);
						took.push(performance.now() - from);
					},
					(error: Error) => {
						failed[error.message] = (failed[error.message] ?? 0) + 1;
					},
				),
			);
		}
		await Promise.all(opening);
		const sorted = took.toSorted((a, b) => a - b);
		return {
			opened: took.length,
			failed,
			seconds: (performance.now() - began) / 1_000,
			p50Ms: quantile(sorted, 0.5),
			p99Ms: quantile(sorted, 0.99),
		};
	}

	/** Counts from nothing again. */
	reset(): void {
		this.#steps.fill(0);
		this.#torn = 0;
		this.#messages = 0;
		this.#marks = 0;
		for (const socket of this.#sockets) {
			socket.messages = 0;
			socket.pings = 0;
		}
	}

	/** When every socket has been told of so many marks, or the time is over. */
	async until(marks: number, timeoutMs: number): Promise<void> {
		const wanted = marks * this.#sockets.length;
		for (const end = performance.now() + timeoutMs; this.#marks < wanted && performance.now() < end; ) {
			await new Promise((resolve) => setTimeout(resolve, 5));
		}
	}

	report(): SocketsReport {
		const open = this.#sockets.filter(({ isOpen }) => isOpen);
		const pings = this.#sockets.map((socket) => socket.pings);
		return {
			sockets: this.#sockets.length,
			open: open.length,
			lost: this.#lost,
			torn: this.#torn,
			messages: this.#messages,
			marks: this.#marks,
			leastMarks: Math.min(...this.#sockets.map(({ messages }) => messages)),
			mostMarks: Math.max(...this.#sockets.map(({ messages }) => messages)),
			leastPings: Math.min(...pings),
			pings: pings.reduce((sum, count) => sum + count, 0),
			steps: [...this.#steps.entries()].filter(([, count]) => count > 0).map(([step, count]) => [step * STEP_MS, count]),
		};
	}

	close(): void {
		for (const socket of this.#sockets) socket.close();
		this.#sockets.length = 0;
	}
}

function handshake(path: string, authority: string, token: string | undefined): string {
	const headers = [
		`Host: ${authority}`,
		"Connection: Upgrade",
		"Upgrade: websocket",
		"Sec-WebSocket-Version: 13",
		`Sec-WebSocket-Key: ${randomBytes(16).toString("base64")}`,
		...(token === undefined ? [] : [`Authorization: Bearer ${token}`]),
	];
	return `GET ${path} HTTP/1.1\r\n${headers.join("\r\n")}\r\n\r\n`;
}

/** Of the one clock that all processes have. */
function nowUs(): number {
	return Number(process.hrtime.bigint() / 1_000n);
}

const fleets = new Map<string, Fleet>();

function fleetOf(name: string): Fleet {
	const fleet = fleets.get(name) ?? new Fleet();
	fleets.set(name, fleet);
	return fleet;
}

answerParent(async (command: SocketsCommand) => {
	const fleet = fleetOf(command.fleet);
	switch (command.do) {
		case "open":
			return await fleet.open(command.order);
		case "reset":
			return fleet.reset();
		case "until":
			return await fleet.until(command.marks, command.timeoutMs);
		case "report":
			return fleet.report();
		case "close":
			return fleet.close();
	}
});
