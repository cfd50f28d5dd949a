/** The benchmark's side of the WebSocket generators: several processes, as each may open only so many files. */
import path from "node:path";
import { type Child, startChild } from "../kit/child.ts";

export interface FleetOrder {
	/** Whether it is Engine.IO that is spoken on the sockets. */
	readonly engine: boolean;
	readonly host: string;
	readonly port: number;
	readonly path: string;
	readonly authority: string;
	/** In turns; none for clients without one. */
	readonly tokens: readonly string[];
	readonly count: number;
	readonly perSecond: number;
	/** 127.0.0.x: the first one they come from, and how many. */
	readonly firstSource: number;
	readonly sources: number;
}

export interface OpenOutcome {
	readonly opened: number;
	/** By status, or by what became of the connection. */
	readonly failed: Readonly<Record<string, number>>;
	readonly seconds: number;
	readonly p50Ms: number;
	readonly p99Ms: number;
}

export interface SocketsReport {
	readonly sockets: number;
	readonly open: number;
	/** Ended though nobody here ended them. */
	readonly lost: number;
	/** Updates that did not follow on those before. */
	readonly torn: number;
	readonly messages: number;
	/** The publisher's messages: all together, and the least and most of a socket. */
	readonly marks: number;
	readonly leastMarks: number;
	readonly mostMarks: number;
	readonly leastPings: number;
	readonly pings: number;
	/** Milliseconds, and how many of the publisher's messages took them. */
	readonly steps: readonly (readonly [number, number])[];
}

export type SocketsCommand = { readonly fleet: string } & (
	| { readonly do: "open"; readonly order: FleetOrder }
	| { readonly do: "until"; readonly marks: number; readonly timeoutMs: number }
	| { readonly do: "reset" | "report" | "close" }
);

/** Sockets of one process: it may open 20,000 files on many machines. */
const MOST_SOCKETS = 12_500;

export class SocketGenerators {
	readonly #children: Child[];

	private constructor(children: Child[]) {
		this.#children = children;
	}

	/** As many processes as so many sockets need. */
	static async start(sockets: number): Promise<SocketGenerators> {
		const count = Math.ceil(sockets / MOST_SOCKETS);
		const file = path.join(import.meta.dirname, "sockets.ts");
		return new SocketGenerators(await Promise.all(Array.from({ length: count }, () => startChild(file, [], { urgent: true }))));
	}

	get pids(): number[] {
		return this.#children.map(({ pid }) => pid);
	}

	/** Opens them all; each process takes its share, from addresses of its own. */
	async open(fleet: string, order: Omit<FleetOrder, "firstSource" | "sources">): Promise<OpenOutcome> {
		const { length } = this.#children;
		const shares = this.#children.map((_, index) => Math.floor(order.count / length) + (index < order.count % length ? 1 : 0));
		const outcomes = await Promise.all(
			this.#children.map((child, index) => {
				const own = {
					count: shares[index] as number,
					perSecond: order.perSecond / length,
					firstSource: 2 + index * SOURCES,
					sources: SOURCES,
				};
				return child.ask<OpenOutcome>({ do: "open", fleet, order: { ...order, ...own } } satisfies SocketsCommand);
			}),
		);
		const failed: Record<string, number> = {};
		for (const outcome of outcomes) {
			for (const [why, count] of Object.entries(outcome.failed)) failed[why] = (failed[why] ?? 0) + count;
		}
		return {
			opened: outcomes.reduce((sum, { opened }) => sum + opened, 0),
			failed,
			seconds: Math.max(...outcomes.map(({ seconds }) => seconds)),
			p50Ms: Math.max(...outcomes.map(({ p50Ms }) => p50Ms)),
			p99Ms: Math.max(...outcomes.map(({ p99Ms }) => p99Ms)),
		};
	}

	async reset(fleet: string): Promise<void> {
		await this.#all({ do: "reset", fleet });
	}

	/** Waits until every socket has heard so many of the publisher's messages. */
	async until(fleet: string, marks: number, timeoutMs: number): Promise<void> {
		await this.#all({ do: "until", fleet, marks, timeoutMs });
	}

	async report(fleet: string): Promise<SocketsReport> {
		const reports = await this.#all<SocketsReport>({ do: "report", fleet });
		const sum = (of: (report: SocketsReport) => number) => reports.reduce((all, report) => all + of(report), 0);
		const steps = new Map<number, number>();
		for (const report of reports) for (const [step, count] of report.steps) steps.set(step, (steps.get(step) ?? 0) + count);
		return {
			sockets: sum(({ sockets }) => sockets),
			open: sum(({ open }) => open),
			lost: sum(({ lost }) => lost),
			torn: sum(({ torn }) => torn),
			messages: sum(({ messages }) => messages),
			marks: sum(({ marks }) => marks),
			leastMarks: Math.min(...reports.map(({ leastMarks }) => leastMarks)),
			mostMarks: Math.max(...reports.map(({ mostMarks }) => mostMarks)),
			leastPings: Math.min(...reports.map(({ leastPings }) => leastPings)),
			pings: sum(({ pings }) => pings),
			steps: [...steps].sort(([a], [b]) => a - b),
		};
	}

	async close(fleet: string): Promise<void> {
		await this.#all({ do: "close", fleet });
	}

	async stop(): Promise<void> {
		await Promise.all(this.#children.map((child) => child.stop()));
	}

	#all<Answer>(command: SocketsCommand): Promise<Answer[]> {
		return Promise.all(this.#children.map((child) => child.ask<Answer>(command)));
	}
}

/** Addresses of one process: the kernel has 28,000 ports for each. */
const SOURCES = 4;

/** The latency below which this share of the messages was. */
export function latencyBelow({ steps }: SocketsReport, share: number): number {
	const all = steps.reduce((sum, [, count]) => sum + count, 0);
	let seen = 0;
	for (const [step, count] of steps) {
		seen += count;
		if (seen >= all * share) return step;
	}
	return Number.NaN;
}
