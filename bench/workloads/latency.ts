/** How long answers take when there is room, and what is left of the throughput when there is none. */
import { type Workload, workerPerProcessor } from "../context.ts";
import { atLeast, atMost, type Findings } from "../kit/result.ts";
import { spreadOf } from "../kit/stats.ts";
import type { Measured } from "../load/http-client.ts";
import { closedLoop, openLoop, seedAgents, strayAnswers, subjectTarget, warmUp } from "./http-parts.ts";

/** Of the capacity that was just measured. */
const UNLOADED = 0.05;
const LOADED = 0.6;
const OVERLOAD = 3;

/** An overload needs somewhere to wait: with too few connections it would wait in the generator. */
const OVERLOAD_CONNECTIONS = 1_000;

export const latency: Workload = {
	name: "latency",
	groups: ["http"],
	title: "Latency and overload",
	what: "The same request, open loop: each has a time at which it is to be sent, whatever became of those before, and its latency counts from then. The capacity is measured just before in a closed loop; unloaded is 5 % of it, loaded 60 %, overload 300 %.",
	shape: workerPerProcessor,
	async run(context) {
		const subject = await context.subject();
		const generator = await context.generator();
		const target = subjectTarget(subject, "/api/hive/agents", await seedAgents(subject, "latency"));
		const roles = await subject.roles();
		await warmUp(context, [target]);
		const rounds: { capacity: Measured; unloaded: Measured; loaded: Measured; overload: Measured }[] = [];
		for (let round = 0; round < Math.ceil(context.mode.pairs / 2); round++) {
			context.say(`round ${round + 1}`);
			const capacity = await generator.run(closedLoop(context, target), roles);
			const at = (share: number, connections?: number) =>
				generator.run(openLoop(context, target, Math.max(1, Math.round(capacity.perSecond * share)), connections), roles);
			rounds.push({ capacity, unloaded: await at(UNLOADED), loaded: await at(LOADED), overload: await at(OVERLOAD, OVERLOAD_CONNECTIONS) });
		}
		const of = (value: (round: (typeof rounds)[number]) => number) => spreadOf(rounds.map(value));
		const p = (name: "unloaded" | "loaded", which: "p50" | "p95" | "p99") => of((round) => round[name].latency?.[which] ?? Number.NaN);
		return {
			figures: [
				{ name: "capacity, closed loop", value: of(({ capacity }) => capacity.perSecond), unit: "1/s" },
				{ name: "unloaded p50", value: p("unloaded", "p50"), unit: "ms" },
				{ name: "unloaded p95", value: p("unloaded", "p95"), unit: "ms" },
				{ name: "unloaded p99", value: p("unloaded", "p99"), unit: "ms" },
				{ name: "at 60 % p50", value: p("loaded", "p50"), unit: "ms" },
				{ name: "at 60 % p95", value: p("loaded", "p95"), unit: "ms", goal: atMost(100) },
				{ name: "at 60 % p99", value: p("loaded", "p99"), unit: "ms" },
				{
					name: "p95 at 60 %, ratio to unloaded",
					value: of(({ loaded, unloaded }) => (loaded.latency?.p95 ?? Number.NaN) / (unloaded.latency?.p95 ?? Number.NaN)),
					unit: "x",
					goal: atMost(3),
				},
				{
					name: "good answers at three times the capacity, ratio to the capacity",
					value: of(({ overload, capacity }) => overload.perSecond / capacity.perSecond),
					unit: "x",
					goal: atLeast(0.9),
				},
				{
					name: "sent late by the generator itself",
					value: of(({ loaded, unloaded }) => 100 * Math.max(loaded.lateShare, unloaded.lateShare)),
					unit: "%",
				},
			],
			charts: [
				{
					name: "latency",
					title: "Latency of an authenticated GET, open loop",
					unit: "ms",
					bars: (["p50", "p95", "p99"] as const).flatMap((which) => [
						{ label: `unloaded ${which}`, value: p("unloaded", which), ours: false },
						{ label: `60 % ${which}`, value: p("loaded", which), ours: true },
					]),
				},
			],
			remarks: [
				...rounds.flatMap(({ unloaded, loaded }) =>
					[unloaded, loaded].flatMap(({ invalid }) => (invalid === null ? [] : [`a run does not count: ${invalid}`])),
				),
				...rounds.flatMap(({ loaded: { foreign } }) =>
					foreign > 0.1 ? [`${(foreign * 100).toFixed(0)} % of the processors went to others during a run`] : [],
				),
				...strayAnswers(
					"unloaded and loaded",
					rounds.flatMap(({ unloaded, loaded }) => [unloaded, loaded]),
				),
				...strayAnswers(
					"overload",
					rounds.map(({ overload }) => overload),
				),
			],
			raw: rounds,
		} satisfies Findings;
	},
};
