/** From the call of a tool to its result. */
import { type Context, type Workload, workerPerProcessor } from "../context.ts";
import type { Child } from "../kit/child.ts";
import { inPairs, subjectOf } from "../kit/pairs.ts";
import { startCounting } from "../kit/proc.ts";
import { atMost, type Findings } from "../kit/result.ts";
import { type Latency, latencyOf, spreadOf } from "../kit/stats.ts";
import { postRequest } from "../load/http-client.ts";
import type { Produced, ProducerOrder } from "../peers/bullmq.ts";
import { peerFile } from "../peers.ts";
import { startRedisPeer } from "../socket-peers.ts";
import { closedLoop, openLoop, post, type Target, warmUp } from "./http-parts.ts";

/** Calls under way at once: one, for what it takes when nothing else is to be done; many, for how many there can be. */
const FEW = 1;
const MANY = 64;

/** Of the capacity that was just found: at this pace both are asked for the latency that counts. */
const PACE = 0.3;

/** What is asked of both. */
type Demand = Pick<ProducerOrder, "inFlight" | "rate">;

interface Run {
	readonly perSecond: number;
	readonly latency: Latency;
	readonly foreign: number;
	readonly invalid: string | null;
}

export const jobs: Workload = {
	name: "jobs",
	groups: [],
	title: "From a tool's call to its result",
	what: "POST /api/mcp/execute of a tool that reads one entry of the memory, through the load balancer: the job is committed in PostgreSQL with a synchronous standby, run by a job worker, and its result committed likewise before it is told. Beside it BullMQ alone, which adds a job to Redis and waits for it: nothing is read, and nothing survives the loss of Redis. As many processes add jobs there as there are API workers here, and one runs them, as here. Both Redis servers write an append-only file, once a second. Latency is measured at the same pace for both, a share of what this can do, each call at its time whatever became of those before: a closed loop asks the faster one more often, and what runs often runs faster.",
	shape: workerPerProcessor,
	async run(context) {
		const subject = await context.subject();
		const token = await subject.token("bench-jobs", "jobs");
		const arguments_ = { namespace: "bench", key: "bench" };
		await post(subject, token, "/api/memory/store", { ...arguments_, value: "1" });
		const body = JSON.stringify({ toolName: "memory_usage", parameters: { action: "retrieve", ...arguments_ } });
		const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
		const target: Target = {
			host: subject.host,
			port: subject.port,
			requests: [postRequest("/api/mcp/execute", subject.authority, body, headers)],
		};
		const roles = await subject.roles();
		const generator = await context.generator();
		const durable = async (how: Demand): Promise<Run> => {
			const order =
				how.rate === null ? { ...closedLoop(context, target), connections: how.inFlight } : openLoop(context, target, how.rate, MANY);
			const run = await generator.run({ ...order, sources: 1, timed: true }, roles);
			const bad = run.answered - run.good;
			return { ...run, latency: run.latency as Latency, invalid: run.invalid ?? (bad > 0 ? `${bad} calls were not answered well` : null) };
		};
		const bare = await startBare(context);
		await warmUp(context, [target]);
		await bare({ inFlight: MANY, rate: null }, context.mode.heatMs);

		const pairsOf = (name: string, how: Demand) =>
			inPairs(
				name,
				context.mode.pairs,
				() => durable(how),
				() => bare(how),
			);
		const many = await pairsOf("many at a time", { inFlight: MANY, rate: null });
		const rate = Math.max(1, Math.round(PACE * subjectOf(many, ({ perSecond }) => perSecond).median));
		const paced = await pairsOf("at a pace", { inFlight: MANY, rate });
		const few = await pairsOf("one at a time", { inFlight: FEW, rate: null });
		const of = (value: (pair: JobPair) => number, { kept } = few) => spreadOf(kept.map(value));
		return {
			figures: [
				{ name: "pace", value: rate, unit: "1/s" },
				...latenciesOf("durable, at that pace", ({ subject: { latency } }) => latency, paced),
				...latenciesOf("BullMQ alone, at that pace", ({ peer: { latency } }) => latency, paced),
				{
					name: "p50 at that pace, ratio to BullMQ alone",
					value: of(({ subject: durably, peer }) => durably.latency.p50 / peer.latency.p50, paced),
					unit: "x",
					goal: atMost(5),
				},
				...latenciesOf("durable, one at a time", ({ subject: { latency } }) => latency, few),
				...latenciesOf("BullMQ alone, one at a time", ({ peer: { latency } }) => latency, few),
				{
					name: "p50, one at a time, ratio to BullMQ alone",
					value: of(({ subject: durably, peer }) => durably.latency.p50 / peer.latency.p50),
					unit: "x",
					goal: atMost(5),
				},
				...latenciesOf(`durable, ${MANY} at a time`, ({ subject: { latency } }) => latency, many),
				...latenciesOf(`BullMQ alone, ${MANY} at a time`, ({ peer: { latency } }) => latency, many),
				{ name: `durable, ${MANY} at a time`, value: of(({ subject: { perSecond } }) => perSecond, many), unit: "1/s" },
				{ name: `BullMQ alone, ${MANY} at a time`, value: of(({ peer: { perSecond } }) => perSecond, many), unit: "1/s" },
				{
					name: `${MANY} at a time, ratio to BullMQ alone`,
					value: of(({ subject: durably, peer }) => durably.perSecond / peer.perSecond, many),
					unit: "x",
				},
			],
			charts: [],
			remarks: [...many.remarks, ...paced.remarks, ...few.remarks],
			raw: { many: many.kept, paced: paced.kept, few: few.kept },
		} satisfies Findings;
	},
};

type JobPair = { readonly subject: Run; readonly peer: Run };

function latenciesOf(name: string, latency: (pair: JobPair) => Latency, { kept }: { readonly kept: readonly JobPair[] }) {
	return (["p50", "p99"] as const).map((which) => ({
		name: `${name}: ${which}`,
		value: spreadOf(kept.map((pair) => latency(pair)[which])),
		unit: "ms",
	}));
}

/** Producers and a worker of BullMQ, and a Redis of their own. */
async function startBare(context: Context): Promise<(how: Demand, ms?: number) => Promise<Run>> {
	const redis = context.opened(await startRedisPeer({ durable: true }));
	const worker = await context.child(peerFile("bullmq"), ["worker", redis.port]);
	const producers: Child[] = [];
	for (let started = 0; started < context.workers; started++)
		producers.push(await context.child(peerFile("bullmq"), ["producer", redis.port]));
	return async ({ inFlight, rate }, ms = context.mode.runMs) => {
		// One at a time is one producer's.
		const asked = producers.slice(0, Math.min(context.workers, inFlight));
		const order: ProducerOrder = {
			inFlight: Math.ceil(inFlight / asked.length),
			rate: rate === null ? null : rate / asked.length,
			warmMs: context.mode.warmMs,
			ms,
		};
		let cost = { foreign: 0 };
		let count: (() => typeof cost) | undefined;
		let done = 0;
		const outcomes = await Promise.all(
			asked.map((producer) =>
				producer.ask<Produced>(order, (event) => {
					if (event === "counting") count ??= startCounting({ worker: [worker.pid], redis: [redis.pid] }, () => [...context.ours()]);
					if (event === "counted" && ++done === asked.length && count !== undefined) cost = count();
				}),
			),
		);
		return {
			perSecond: outcomes.reduce((sum, { perSecond }) => sum + perSecond, 0),
			latency: latencyOf(outcomes.flatMap(({ latencies }) => latencies)),
			foreign: cost.foreign,
			invalid: null,
		};
	};
}
