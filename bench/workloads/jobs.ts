/** From the call of a tool to its result. */
import { type Context, fewSockets, type Workload } from "../context.ts";
import { inPairs } from "../kit/pairs.ts";
import { startCounting } from "../kit/proc.ts";
import { atMost, type Findings } from "../kit/result.ts";
import { type Latency, spreadOf } from "../kit/stats.ts";
import { postRequest } from "../load/http-client.ts";
import { peerFile } from "../peers.ts";
import { startRedisPeer } from "../socket-peers.ts";
import { closedLoop, post, type Target, warmUp } from "./http-parts.ts";

/** Calls under way at once: one, for how long it takes; many, for how many there can be. */
const FEW = 1;
const MANY = 64;

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
	what: "POST /api/mcp/execute of a tool that reads one entry of the memory, through the load balancer: the job is committed in PostgreSQL with a synchronous standby before anything else, run by a job worker, and its result committed. Beside it BullMQ alone, which adds a job to Redis and waits for it: nothing is read, and nothing survives the loss of Redis. Both Redis servers write an append-only file, once a second.",
	sockets: fewSockets,
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
		const durable = async (inFlight: number): Promise<Run> => {
			const run = await generator.run({ ...closedLoop(context, target), connections: inFlight, sources: 1, timed: true }, roles);
			const bad = run.answered - run.good;
			return { ...run, latency: run.latency as Latency, invalid: run.invalid ?? (bad > 0 ? `${bad} calls were not answered well` : null) };
		};
		const bare = await startBare(context);
		await warmUp(context, [target]);
		await bare(MANY, context.mode.heatMs);

		const few = await inPairs(
			"one at a time",
			context.mode.pairs,
			() => durable(FEW),
			() => bare(FEW),
		);
		const many = await inPairs(
			"many at a time",
			context.mode.pairs,
			() => durable(MANY),
			() => bare(MANY),
		);
		const of = (value: (pair: { subject: Run; peer: Run }) => number, { kept } = few) => spreadOf(kept.map(value));
		return {
			figures: [
				{ name: "durable, one at a time: p50", value: of(({ subject: { latency } }) => latency.p50), unit: "ms" },
				{ name: "durable, one at a time: p99", value: of(({ subject: { latency } }) => latency.p99), unit: "ms" },
				{ name: "BullMQ alone, one at a time: p50", value: of(({ peer: { latency } }) => latency.p50), unit: "ms" },
				{ name: "BullMQ alone, one at a time: p99", value: of(({ peer: { latency } }) => latency.p99), unit: "ms" },
				{
					name: "p50, one at a time, ratio to BullMQ alone",
					value: of(({ subject: durably, peer }) => durably.latency.p50 / peer.latency.p50),
					unit: "x",
					goal: atMost(5),
				},
				{ name: `durable, ${MANY} at a time`, value: of(({ subject: { perSecond } }) => perSecond, many), unit: "1/s" },
				{ name: `durable, ${MANY} at a time: p50`, value: of(({ subject: { latency } }) => latency.p50, many), unit: "ms" },
				{ name: `BullMQ alone, ${MANY} at a time`, value: of(({ peer: { perSecond } }) => perSecond, many), unit: "1/s" },
				{ name: `BullMQ alone, ${MANY} at a time: p50`, value: of(({ peer: { latency } }) => latency.p50, many), unit: "ms" },
				{
					name: `${MANY} at a time, ratio to BullMQ alone`,
					value: of(({ subject: durably, peer }) => durably.perSecond / peer.perSecond, many),
					unit: "x",
				},
			],
			charts: [],
			remarks: [...few.remarks, ...many.remarks],
			raw: { few: few.kept, many: many.kept },
		} satisfies Findings;
	},
};

/** A producer and a worker of BullMQ, and a Redis of their own. */
async function startBare(context: Context): Promise<(inFlight: number, ms?: number) => Promise<Run>> {
	const redis = context.opened(await startRedisPeer({ durable: true }));
	const worker = await context.child(peerFile("bullmq"), ["worker", redis.port]);
	const producer = await context.child(peerFile("bullmq"), ["producer", redis.port]);
	return async (inFlight, ms = context.mode.runMs) => {
		let cost = { foreign: 0 };
		let count: (() => typeof cost) | undefined;
		const outcome = await producer.ask<{ perSecond: number; latency: Latency }>({ inFlight, warmMs: context.mode.warmMs, ms }, (event) => {
			if (event === "counting") count = startCounting({ worker: [worker.pid], redis: [redis.pid] }, () => [...context.ours()]);
			if (event === "counted" && count !== undefined) cost = count();
		});
		return { ...outcome, foreign: cost.foreign, invalid: null };
	};
}
