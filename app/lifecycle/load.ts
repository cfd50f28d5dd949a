import { performance } from "node:perf_hooks";

/** How busy the worker is: at 1 what is cheapest to refuse is refused, at 3 nearly everything. */
export type LoadLevel = 0 | 1 | 2 | 3;

export interface LoadMonitor {
	level(): LoadLevel;
	/** How much later than wanted the event loop comes round, milliseconds: the worst of each tenth of a second, smoothed. */
	readonly delayP99Ms: number;
	/** Share of the time that the event loop does something, 0 to 1, smoothed. */
	readonly utilization: number;
	/** The event loop has lately stood still for so long that nobody should be sent here. */
	readonly stalled: boolean;
	stop(): void;
}

/** How often the loop is asked to come round, and how often that makes a sample, milliseconds. */
const TICK_MS = 20;
const SAMPLE_MS = 100;
/** Below this share a loop is asked to come round once a sample: to wake up for nothing is most of what an idle worker does. */
const CALM = 0.3;
/** Weight of the newest sample: one slow tenth of a second, a garbage collection say, is not a load. */
const WEIGHT = 0.3;
/** From which delay each level holds, in terms of the first's. */
const LEVELS = [1, 2, 4] as const;
/** A level is left when the delay is below this share of what it takes to enter, so that it does not flutter. */
const LEAVE = 0.7;
/** A loop that is late without being busy waits for the processor: refusing requests here does not help it. */
const BUSY = 0.8;
const STALL_MS = 2_000;

/**
 * Watches this process's event loop. By a timer of its own: `monitorEventLoopDelay` forgets the delay that it is in the
 * middle of whenever it is reset, and that is the one that matters.
 *
 * @param fromMs delay from which the first level holds
 */
export function monitorLoad(fromMs: number): LoadMonitor {
	const load = new Load(fromMs);
	let worstMs = 0;
	let sampledAt = performance.now();
	let before = performance.eventLoopUtilization();
	let dueAt = 0;
	let timer: NodeJS.Timeout;
	const askIn = (ms: number) => {
		dueAt = performance.now() + ms;
		timer = setTimeout(comeRound, ms).unref();
	};
	let tickMs = TICK_MS;
	const comeRound = () => {
		const now = performance.now();
		worstMs = Math.max(worstMs, now - dueAt);
		if (now - sampledAt >= SAMPLE_MS - 1) {
			const after = performance.eventLoopUtilization();
			const { utilization } = performance.eventLoopUtilization(after, before);
			load.sample(worstMs, utilization);
			tickMs = utilization < CALM ? SAMPLE_MS : TICK_MS;
			before = after;
			sampledAt = now;
			worstMs = 0;
		}
		askIn(tickMs);
	};
	askIn(tickMs);
	const stop = () => clearTimeout(timer);
	return {
		level: () => load.level,
		get delayP99Ms() {
			return load.delayMs;
		},
		get utilization() {
			return load.utilization;
		},
		get stalled() {
			return load.stalled;
		},
		stop,
	};
}

/** What the samples add up to. */
export class Load {
	level: LoadLevel = 0;
	delayMs = 0;
	utilization = 0;
	stalled = false;
	readonly #levelsMs: readonly number[];

	/** @param fromMs as of {@link monitorLoad} */
	constructor(fromMs: number) {
		this.#levelsMs = LEVELS.map((times) => times * fromMs);
	}

	/** @param delayMs the worst of this sample; @param utilization of this sample */
	sample(delayMs: number, utilization: number): void {
		this.delayMs += WEIGHT * (delayMs - this.delayMs);
		this.utilization += WEIGHT * (utilization - this.utilization);
		this.stalled = this.delayMs > STALL_MS * WEIGHT;
		const entered = this.utilization < BUSY ? 0 : this.#levelsMs.filter((from) => this.delayMs >= from).length;
		const kept = this.utilization < BUSY * LEAVE ? 0 : this.#levelsMs.filter((from) => this.delayMs >= from * LEAVE).length;
		this.level = Math.max(entered, Math.min(this.level, kept)) as LoadLevel;
	}
}
