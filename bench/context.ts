/** What a workload is given: the subject, started when it is first asked for, peers, generators, and how much time there is. */
import os from "node:os";
import { isDeepStrictEqual } from "node:util";
import { type Child, startChild } from "./kit/child.ts";
import { familyOf } from "./kit/proc.ts";
import type { Findings } from "./kit/result.ts";
import { HttpGenerator } from "./load/http-client.ts";
import { peerPorts, startCollector } from "./peers.ts";
import { Subject } from "./subject.ts";

export interface Mode {
	readonly name: "quick" | "full";
	/** Pairs of a comparison. */
	readonly pairs: number;
	/** Before the first run of each, before each run, and each run, milliseconds. */
	readonly heatMs: number;
	readonly warmMs: number;
	readonly runMs: number;
	/** Idle sockets whose memory is weighed. */
	readonly idleSockets: number;
	/** Sockets through the load balancer, and for how long they stay, milliseconds. */
	readonly manySockets: number;
	readonly manyMs: number;
	/** Clients of the fan-out, and for how long they listen, milliseconds. */
	readonly listeners: number;
	readonly fanOutMs: number;
	/** Clients that are cut off again and again, how often. */
	readonly cutClients: number;
	readonly cuts: number;
	/** How often a node is killed in each way. */
	readonly kills: number;
}

export const modes: Readonly<Record<Mode["name"], Mode>> = {
	quick: {
		name: "quick",
		pairs: 2,
		heatMs: 2_000,
		warmMs: 300,
		runMs: 1_500,
		idleSockets: 1_200,
		manySockets: 10_000,
		manyMs: 10_000,
		listeners: 1_000,
		fanOutMs: 2_000,
		cutClients: 40,
		cuts: 2,
		kills: 1,
	},
	full: {
		name: "full",
		pairs: 5,
		heatMs: 10_000,
		warmMs: 1_500,
		runMs: 3_500,
		idleSockets: 6_000,
		manySockets: 50_000,
		manyMs: 300_000,
		listeners: 2_000,
		fanOutMs: 6_000,
		cutClients: 100,
		cuts: 10,
		kills: 3,
	},
};

export interface Workload {
	readonly name: string;
	/** Words of `--only` that mean it, beside its name. */
	readonly groups: readonly string[];
	readonly title: string;
	/** One paragraph for the reader of the figures. */
	readonly what: string;
	/** The topology that it is measured with. */
	readonly shape: (mode: Mode) => Shape;
	run(context: Context): Promise<Findings>;
}

/** A size of the topology. */
export interface Shape {
	readonly nodes: number;
	/** Of each node. */
	readonly workers: number;
	/** WebSockets to make room for. */
	readonly sockets: number;
}

/** As many workers as processors, as the stacks have it: 4 on a node of 4, 8 on one of 8. On two nodes, so that there is a choice. */
export function workerPerProcessor(mode: Mode): Shape {
	return { nodes: 2, workers: Math.max(1, Math.floor(os.availableParallelism() / 2)), sockets: fewSockets(mode) };
}

/** For what has to do with how many nodes there are. */
export function fourNodes(mode: Mode): Shape {
	return { nodes: 4, workers: 1, sockets: fewSockets(mode) };
}

/** Small enough for one process of HAProxy; where there is little time one topology has to do for all numbers of sockets. */
function fewSockets({ name, manySockets }: Mode): number {
	return name === "quick" ? manySockets : 8_000;
}

export class Context {
	readonly mode: Mode;
	/** Tells whoever watches what is being done. */
	readonly say: (what: string) => void;
	#shape: Shape | null = null;
	#subject: Subject | null = null;
	#collector: Child | null = null;
	#generator: HttpGenerator | null = null;
	#opened: { stop(): Promise<void> }[] = [];

	constructor(mode: Mode, say: (what: string) => void) {
		this.mode = mode;
		this.say = say;
	}

	/** Pids of everything that is ours. */
	readonly ours = (): readonly number[] => familyOf([process.pid, ...(this.#subject?.roots ?? [])]);

	/** The topology as the next workload wants it; started anew only where it is another one. */
	async prepare(shape: Shape): Promise<void> {
		if (!isDeepStrictEqual(shape, this.#shape)) await this.#stopSubject();
		this.#shape = shape;
	}

	/** All workers of the topology: peers have as many processes. */
	get workers(): number {
		const { nodes, workers } = this.#wanted;
		return nodes * workers;
	}

	async subject(): Promise<Subject> {
		if (this.#subject !== null) return this.#subject;
		this.say("starting the topology");
		this.#collector ??= await startCollector();
		this.#subject = await Subject.start({
			...this.#wanted,
			traces: `http://127.0.0.1:${peerPorts.collector}`,
		});
		return this.#subject;
	}

	/** Another one, whatever runs. */
	async freshSubject(): Promise<Subject> {
		await this.#stopSubject();
		return await this.subject();
	}

	async generator(): Promise<HttpGenerator> {
		this.#generator ??= await HttpGenerator.start(this.ours);
		return this.#generator;
	}

	/** Starts a program of the benchmark's; it is stopped at the end of the workload. */
	async child(...order: Parameters<typeof startChild>): Promise<Child> {
		return this.opened(await startChild(...order));
	}

	/** Something to be stopped at the end of the workload. */
	opened<T extends { stop(): Promise<void> }>(part: T): T {
		this.#opened.push(part);
		return part;
	}

	/** At the end of a workload, however it ended. */
	async closeParts(): Promise<void> {
		for (const part of this.#opened.splice(0).toReversed()) await part.stop();
	}

	async close(): Promise<void> {
		await this.closeParts();
		await this.#generator?.stop();
		await this.#stopSubject();
		await this.#collector?.stop();
	}

	get #wanted(): Shape {
		if (this.#shape === null) throw new Error("no topology was asked for");
		return this.#shape;
	}

	async #stopSubject(): Promise<void> {
		const subject = this.#subject;
		this.#subject = null;
		if (subject !== null) this.say("stopping the topology");
		await subject?.stop();
	}
}
