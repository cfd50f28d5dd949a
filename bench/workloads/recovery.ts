/** How long the clients notice that something was killed, or replaced. */
import { setTimeout as sleep } from "node:timers/promises";
import { type Context, fourNodes, type Workload } from "../context.ts";
import { atMost, type Findings } from "../kit/result.ts";
import { spreadOf } from "../kit/stats.ts";
import type { Measured } from "../load/http-client.ts";
import type { Subject, SubjectNode } from "../subject.ts";
import { openLoop, seedAgents, strayAnswers, subjectTarget } from "./http-parts.ts";

/** Requests a second: well below the capacity of what is left. */
const RATE = 300;
const BEFORE_MS = 2_000;
const AFTER_MS = 3_000;
const SLOW_MS = 500;
/** At most, for a reload of four nodes one after another. */
const RELOAD_MS = 120_000;
/** Until what was killed is there again, at most. */
const MEND_MS = 60_000;

interface Blow {
	/** From the blow to the end of the last request that suffered from it. */
	readonly seconds: number;
	/** From the blow until all that was killed is there again; of a reload, until it is over. */
	readonly mended: number;
	readonly run: Measured;
}

export const recovery: Workload = {
	name: "recovery",
	groups: [],
	title: "Start, kill and reload",
	what: `An authenticated GET ${RATE} times a second, open loop, through the load balancer. Then a node's workers, or its PM2 daemon, are killed with SIGKILL, or all workers are replaced. The time to full goodput is from the kill to the end of the last request that failed or took more than half a second. Four nodes of one worker each.`,
	shape: fourNodes,
	async run(context) {
		const full = context.mode.name === "full";
		const upSeconds = [(full ? await context.freshSubject() : await context.subject()).upSeconds];
		if (full) upSeconds.push((await context.freshSubject()).upSeconds);
		const workers = await blows(context, "workers", ({ workers: pids }) => pids);
		const daemons = await blows(context, "PM2 daemon", ({ daemon }) => [daemon]);
		context.say("reload");
		const reload = await underLoad(context, RELOAD_MS, async () => (await context.subject()).reload());
		const secondsOf = (all: readonly Blow[]) => spreadOf(all.map(({ seconds }) => seconds));
		const mendedOf = (all: readonly Blow[]) => spreadOf(all.map(({ mended }) => mended));
		const failedOf = (all: readonly Blow[]) => spreadOf(all.map(({ run }) => badOf(run)));
		return {
			figures: [
				{ name: "flowctl up, until everything is ready", value: spreadOf(upSeconds), unit: "s", goal: atMost(20) },
				{ name: "a node's workers killed: full goodput after", value: secondsOf(workers), unit: "s", goal: atMost(1.5) },
				{ name: "a node's workers killed: requests that failed", value: failedOf(workers), unit: "" },
				{ name: "a node's workers killed: there again after", value: mendedOf(workers), unit: "s" },
				{ name: "a node's PM2 daemon killed: full goodput after", value: secondsOf(daemons), unit: "s", goal: atMost(1.5) },
				{ name: "a node's PM2 daemon killed: requests that failed", value: failedOf(daemons), unit: "" },
				{ name: "a node's PM2 daemon killed: there again after", value: mendedOf(daemons), unit: "s" },
				{ name: "reload of all workers: took", value: reload.mended, unit: "s" },
				{ name: "reload of all workers: requests", value: reload.run.answered, unit: "" },
				{ name: "reload of all workers: requests that failed", value: badOf(reload.run), unit: "", goal: atMost(0) },
				{ name: "reload of all workers: p99", value: reload.run.latency?.p99 ?? Number.NaN, unit: "ms" },
			],
			charts: [],
			remarks: [
				...strayAnswers(
					"workers killed",
					workers.map(({ run }) => run),
				),
				...strayAnswers(
					"PM2 daemon killed",
					daemons.map(({ run }) => run),
				),
				...strayAnswers("reload", [reload.run]),
				...[...workers, ...daemons, reload].flatMap(({ run: { invalid, foreign } }) => [
					...(invalid === null ? [] : [invalid]),
					...(foreign > 0.1 ? [`${(foreign * 100).toFixed(0)} % of the processors went to others`] : []),
				]),
			],
			raw: { upSeconds, workers, daemons, reload },
		} satisfies Findings;
	},
};

async function blows(context: Context, what: string, victims: (node: SubjectNode) => readonly number[]): Promise<Blow[]> {
	const all: Blow[] = [];
	for (let time = 0; time < context.mode.kills; time++) {
		context.say(`killing a node's ${what}`);
		const subject = await context.subject();
		const nodes = await subject.nodes();
		const node = nodes[time % nodes.length] as SubjectNode;
		const killed = victims(node);
		const strike = async () => {
			for (const pid of killed) process.kill(pid, "SIGKILL");
			await untilMended(subject, node.name, killed, victims);
		};
		all.push(await underLoad(context, BEFORE_MS + MEND_MS, strike));
	}
	return all;
}

/** When there are as many as were killed, and none of them is one of those. */
async function untilMended(
	subject: Subject,
	name: string,
	killed: readonly number[],
	victims: (node: SubjectNode) => readonly number[],
): Promise<void> {
	for (const end = performance.now() + MEND_MS; performance.now() < end; await sleep(100)) {
		const node = (await subject.nodes()).find((each) => each.name === name);
		const now = node === undefined ? [] : victims(node);
		if (node !== undefined && now.length === killed.length && !now.some((pid) => killed.includes(pid)) && node.workers.length > 0) return;
	}
	throw new Error(`${name} is not mended after ${MEND_MS / 1_000} s`);
}

/** Does something to the topology while it is asked, and a little longer. */
async function underLoad(context: Context, mostMs: number, strike: () => Promise<void>): Promise<Blow> {
	const subject = await context.subject();
	const generator = await context.generator();
	const target = subjectTarget(subject, "/api/hive/status", await seedAgents(subject, "recovery"));
	let mended = 0;
	let striking = Promise.resolve();
	const order = { ...openLoop(context, target, RATE), ms: mostMs + AFTER_MS, slowMs: SLOW_MS };
	const running = generator.run(order, await subject.roles(), () => {
		striking = (async () => {
			await sleep(BEFORE_MS);
			const from = performance.now();
			await strike();
			mended = (performance.now() - from) / 1_000;
			await sleep(AFTER_MS);
		})().finally(() => generator.hasten());
		striking.catch(() => {});
	});
	const run = await running;
	await striking;
	const ends = run.slow.filter(({ endMs }) => endMs >= BEFORE_MS).map(({ endMs }) => endMs);
	return { seconds: Math.max(0, ...ends.map((end) => end - BEFORE_MS)) / 1_000, mended, run };
}

function badOf({ answered, good, unanswered, unsent }: Measured): number {
	return answered - good + unanswered + unsent;
}
