/** How long the clients notice that something was killed, or replaced. */
import { type Context, FEW_SOCKETS, type Workload } from "../context.ts";
import { atMost, type Findings } from "../kit/result.ts";
import { spreadOf } from "../kit/stats.ts";
import type { Measured } from "../load/http-client.ts";
import type { SubjectNode } from "../subject.ts";
import { openLoop, seedAgents, strayAnswers, subjectTarget } from "./http-parts.ts";

/** Requests a second: well below the capacity of what is left. */
const RATE = 300;
const BEFORE_MS = 2_000;
const AFTER_MS = 6_000;
/** A reload of four nodes, one after another. */
const RELOAD_MS = 45_000;
/** Until everything that was killed is back. */
const MEND_MS = 12_000;

interface Blow {
	readonly seconds: number;
	readonly run: Measured;
}

export const recovery: Workload = {
	name: "recovery",
	groups: [],
	title: "Start, kill and reload",
	what: `An authenticated GET ${RATE} times a second, open loop, through the load balancer. Then a node's workers, or its PM2 daemon, are killed with SIGKILL, or all workers are replaced. The time to full goodput is from the kill to the end of the last request that failed or took more than half a second.`,
	sockets: () => FEW_SOCKETS,
	async run(context) {
		const first = await context.freshSubject();
		const upSeconds = [first.upSeconds];
		if (context.mode.name === "full") upSeconds.push((await context.freshSubject()).upSeconds);
		const workers = await blows(context, "workers", ({ workers: pids }) => pids);
		const daemons = await blows(context, "PM2 daemon", ({ daemon }) => [daemon]);
		context.say("reload");
		const reload = await underLoad(context, RELOAD_MS, async () => (await context.subject()).reload());
		const secondsOf = (all: readonly Blow[]) => spreadOf(all.map(({ seconds }) => seconds));
		const failedOf = (all: readonly Blow[]) => spreadOf(all.map(({ run }) => badOf(run)));
		return {
			figures: [
				{ name: "flowctl up, until everything is ready", value: spreadOf(upSeconds), unit: "s", goal: atMost(20) },
				{ name: "a node's workers killed: full goodput after", value: secondsOf(workers), unit: "s", goal: atMost(1.5) },
				{ name: "a node's workers killed: requests that failed", value: failedOf(workers), unit: "" },
				{ name: "a node's PM2 daemon killed: full goodput after", value: secondsOf(daemons), unit: "s", goal: atMost(1.5) },
				{ name: "a node's PM2 daemon killed: requests that failed", value: failedOf(daemons), unit: "" },
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
		const nodes = await (await context.subject()).nodes();
		const node = nodes[time % nodes.length] as SubjectNode;
		all.push(
			await underLoad(context, BEFORE_MS + AFTER_MS, async () => {
				for (const pid of victims(node)) process.kill(pid, "SIGKILL");
			}),
		);
		await new Promise((resolve) => setTimeout(resolve, MEND_MS));
	}
	return all;
}

/** Does something to the topology while it is asked, and waits until both are over. */
async function underLoad(context: Context, ms: number, strike: () => Promise<void>): Promise<Blow> {
	const subject = await context.subject();
	const generator = await context.generator();
	const target = subjectTarget(subject, "/api/hive/status", await seedAgents(subject, "recovery"));
	let struckAt = 0;
	let striking = Promise.resolve();
	const order = { ...openLoop(context, target, RATE), ms, slowMs: 500 };
	const running = generator.run(order, await subject.roles(), () => {
		striking = (async () => {
			await new Promise((resolve) => setTimeout(resolve, BEFORE_MS));
			struckAt = BEFORE_MS;
			await strike();
		})();
		striking.catch(() => {});
	});
	const run = await running;
	await striking;
	const ends = run.slow.filter(({ endMs }) => endMs >= struckAt).map(({ endMs }) => endMs);
	return { seconds: Math.max(0, ...ends.map((end) => end - struckAt)) / 1_000, run };
}

function badOf({ answered, good, unanswered }: Measured): number {
	return answered - good + unanswered;
}
