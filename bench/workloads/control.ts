/** The measure of the measure: a thing beside its equal. */
import { type Workload, workerPerProcessor } from "../context.ts";
import { inPairs, ratioOf } from "../kit/pairs.ts";
import type { Findings } from "../kit/result.ts";
import { peerFile, peerPorts } from "../peers.ts";
import { atCapacity, cpuOf, perSecond, rawTarget, startRaw, strayAnswers, warmUp } from "./http-parts.ts";

export const control: Workload = {
	name: "control",
	groups: ["http"],
	title: "Control",
	what: "Plain node:http beside plain node:http, in the same pairs as everything below. How far these ratios are from 1 is how much the others may be off.",
	shape: workerPerProcessor,
	async run(context) {
		const generator = await context.generator();
		const one = await startRaw(context);
		const port = peerPorts.raw + 1;
		const other = await context.child(peerFile("raw-http"), ["127.0.0.1", port]);
		await warmUp(context, [rawTarget(peerPorts.raw), rawTarget(port)]);
		const pairs = await inPairs(
			"control",
			context.mode.pairs,
			() => generator.run(atCapacity(context, rawTarget(peerPorts.raw)), { app: [one.pid] }),
			() => generator.run(atCapacity(context, rawTarget(port)), { app: [other.pid] }),
		);
		const app = cpuOf("app");
		return {
			figures: [
				{ name: "ratio of answers a second", value: ratioOf(pairs, perSecond, perSecond), unit: "x", note: "should be 1" },
				{ name: "ratio of CPU an answer", value: ratioOf(pairs, app, app), unit: "x", note: "should be 1" },
			],
			charts: [],
			remarks: [
				...pairs.remarks,
				...strayAnswers(
					"node:http",
					pairs.kept.flatMap((pair) => [pair.subject, pair.peer]),
				),
			],
			raw: pairs,
		} satisfies Findings;
	},
};
