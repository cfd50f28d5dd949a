/** The benchmark's side of the HTTP generator: what it is told, what it says, and what that cost everybody. */
import path from "node:path";
import { type Child, startChild } from "../kit/child.ts";
import { type Cost, type Roles, startCounting } from "../kit/proc.ts";
import type { Latency } from "../kit/stats.ts";

export interface HttpOrder {
	readonly host: string;
	readonly port: number;
	/** Whole requests, as they go over the wire. */
	readonly requests: readonly string[];
	/** How unequally often they are sent: see zipf.ts. */
	readonly skew: number;
	readonly connections: number;
	/** Addresses they come from: 127.0.0.1 and the next ones. */
	readonly sources: number;
	/** Requests a second; null for a closed loop. */
	readonly rate: number | null;
	/** Whether the generator stays on the last processor, while everything else goes where the kernel puts it. */
	readonly pinned: boolean;
	/** Whether a closed loop times its answers too. */
	readonly timed: boolean;
	readonly warmMs: number;
	readonly ms: number;
	/** Answers that take longer are noted one by one, and so are those that are no good, milliseconds; null for none. */
	readonly slowMs: number | null;
}

export interface HttpOutcome {
	readonly seconds: number;
	readonly answered: number;
	/** Answered with 2xx or 304. */
	readonly good: number;
	/** Answered well between the beginning and the end, whenever that was due. */
	readonly goodInTime: number;
	readonly statuses: Readonly<Record<string, number>>;
	/** Sent, and not answered. */
	readonly unanswered: number;
	/** Due, and not sent even long after the end, as every connection waited for its answer. */
	readonly unsent: number;
	/** Share of an open loop's requests that the generator itself sent too late; the latest of them, milliseconds. */
	readonly lateShare: number;
	readonly latestMs: number;
	readonly latency: Latency | null;
	/** When each was due and when it ended, milliseconds from the beginning of the count. */
	readonly slow: readonly { readonly dueMs: number; readonly endMs: number; readonly status: number }[];
}

export interface Measured extends HttpOutcome {
	readonly perSecond: number;
	/** CPU a good answer, microseconds, by role; `generator` among them. */
	readonly cpuUs: Readonly<Record<string, number>>;
	readonly foreign: number;
	/** Why it does not count, or null. */
	readonly invalid: string | null;
}

/** More than this of an open loop's requests sent late, and the figures are the generator's own. */
const MOST_LATE = 0.01;

export class HttpGenerator {
	readonly #child: Child;
	readonly #ours: () => readonly number[];

	private constructor(child: Child, ours: () => readonly number[]) {
		this.#child = child;
		this.#ours = ours;
	}

	static async start(ours: () => readonly number[]): Promise<HttpGenerator> {
		return new HttpGenerator(await startChild(path.join(import.meta.dirname, "http.ts"), [], { urgent: true }), ours);
	}

	/** @param begun is called when the count begins */
	async run(order: HttpOrder, roles: Roles, begun: () => void = () => {}): Promise<Measured> {
		let count: (() => Cost) | undefined;
		let cost: Cost | undefined;
		const outcome = await this.#child.ask<HttpOutcome>(order, (event) => {
			if (event === "counting") {
				count = startCounting({ ...roles, generator: [this.#child.pid] }, this.#ours);
				begun();
			}
			if (event === "counted") cost = count?.();
		});
		if (cost === undefined) throw new Error("the generator did not say when it began");
		const { foreign, cpuUs } = cost;
		return {
			...outcome,
			perSecond: outcome.goodInTime / outcome.seconds,
			cpuUs: Object.fromEntries(Object.entries(cpuUs).map(([role, us]) => [role, us / Math.max(1, outcome.good)])),
			foreign,
			invalid: outcome.lateShare > MOST_LATE ? `the generator sent ${(outcome.lateShare * 100).toFixed(1)} % late` : null,
		};
	}

	/** Ends the run that is under way before its time. */
	hasten(): void {
		this.#child.hasten();
	}

	stop(): Promise<void> {
		return this.#child.stop();
	}
}

/** A POST of JSON as it goes over the wire. */
export function postRequest(target: string, host: string, body: string, headers: Readonly<Record<string, string>> = {}): string {
	const all = { host, accept: "application/json", ...headers, "content-length": Buffer.byteLength(body) };
	const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
	return `POST ${target} HTTP/1.1\r\n${lines.join("")}\r\n${body}`;
}

/** A GET as it goes over the wire. */
export function getRequest(target: string, host: string, headers: Readonly<Record<string, string>> = {}): string {
	const lines = Object.entries({ host, accept: "application/json", ...headers }).map(([name, value]) => `${name}: ${value}\r\n`);
	return `GET ${target} HTTP/1.1\r\n${lines.join("")}\r\n`;
}
