/** What a workspace has published, asked for by everybody. */
import { setTimeout as sleep } from "node:timers/promises";
import { type Workload, workerPerProcessor } from "../context.ts";
import { inPairs, peerOf, ratioOf, subjectOf } from "../kit/pairs.ts";
import { atLeast, type Findings } from "../kit/result.ts";
import { spreadOf } from "../kit/stats.ts";
import { getRequest, type Measured } from "../load/http-client.ts";
import { peerPorts } from "../peers.ts";
import type { Subject } from "../subject.ts";
import { atCapacity, cpuOf, perSecond, post, rawTarget, startRaw, strayAnswers, type Target, warmUp } from "./http-parts.ts";

const KEYS = 1_000;
const SKEW = 1;
const WORKSPACE = "published";

/** Entries that are changed meanwhile, a second. */
const WRITES = 20;

/** Bytes: with the rest of the answer about 1 KB. */
const VALUE = "v".repeat(900);

/** How many requests came to a worker at all: the others were the load balancer's own answers. */
interface Shares extends Measured {
	readonly hitRatio: number;
}

export const publicGet: Workload = {
	name: "public",
	groups: ["http"],
	title: "Public cached GET through the load balancer",
	what: `\`GET /api/public/:workspace/:key\`, about 1 KB, ${KEYS} keys whose shares follow Zipf's law (exponent ${SKEW}), while ${WRITES} of them are written every second. HAProxy keeps an answer for a second, a worker for a minute, or until it is changed. The hit ratio is the share that HAProxy answered by itself. Closed loop, 64 connections, against one process of plain node:http without anything in front.`,
	shape: workerPerProcessor,
	async run(context) {
		const subject = await context.subject();
		const token = await subject.token("publisher", WORKSPACE);
		context.say(`publishing ${KEYS} entries`);
		for (let from = 0; from < KEYS; from += BATCH) {
			await Promise.all(Array.from({ length: BATCH }, (_, index) => publish(subject, token, from + index)));
		}
		const roles = await subject.roles();
		const generator = await context.generator();
		const target: Target = {
			host: subject.host,
			port: subject.port,
			requests: Array.from({ length: KEYS }, (_, key) => getRequest(`/api/public/${WORKSPACE}/key-${key}`, subject.authority)),
			skew: SKEW,
		};
		const raw = await startRaw(context);
		await warmUp(context, [target, rawTarget(peerPorts.raw)]);
		context.say("against node:http");
		const writes = writing(subject, token);
		const failedWrites = () => writes.failed;
		const pairs = await inPairs(
			"against node:http",
			context.mode.pairs,
			async (): Promise<Shares> => {
				const before = await subject.cacheCounts();
				const run = await generator.run(atCapacity(context, target), roles);
				const after = await subject.cacheCounts();
				return { ...run, hitRatio: (after.hits - before.hits) / Math.max(1, after.lookups - before.lookups) };
			},
			() => generator.run(atCapacity(context, rawTarget(peerPorts.raw)), { app: [raw.pid] }),
		).finally(() => writes.stop());
		const hits = spreadOf(pairs.kept.map(({ subject: { hitRatio } }) => 100 * hitRatio));
		const cpu = cpuOf("app", "haproxy", "redis", "postgres");
		return {
			figures: [
				{ name: "answers", value: subjectOf(pairs, perSecond), unit: "1/s", goal: atLeast(10_000) },
				{ name: "answers, node:http", value: peerOf(pairs, perSecond), unit: "1/s" },
				{ name: "ratio to node:http", value: ratioOf(pairs, perSecond, perSecond), unit: "x", goal: atLeast(1.5) },
				{ name: "answered by HAProxy itself", value: hits, unit: "%" },
				{ name: "CPU an answer, everything", value: subjectOf(pairs, cpu), unit: "us" },
				{ name: "CPU an answer, node:http", value: peerOf(pairs, cpuOf("app")), unit: "us" },
				{ name: "CPU an answer, generator", value: subjectOf(pairs, cpuOf("generator")), unit: "us" },
				{ name: "CPU ratio to node:http", value: ratioOf(pairs, cpu, cpuOf("app")), unit: "x" },
			],
			charts: [
				{
					name: "public",
					title: "Public GET of about 1 KB, answers a second",
					unit: "1/s",
					bars: [
						{ label: "this, through HAProxy", value: subjectOf(pairs, perSecond), ours: true },
						{ label: "node:http, direct", value: peerOf(pairs, perSecond), ours: false },
					],
				},
			],
			remarks: [
				...pairs.remarks,
				...strayAnswers(
					"this",
					pairs.kept.map((pair) => pair.subject),
				),
				...strayAnswers(
					"node:http",
					pairs.kept.map(({ peer }) => peer),
				),
				...(failedWrites() > 0 ? [`${failedWrites()} writes failed`] : []),
			],
			raw: pairs,
		} satisfies Findings;
	},
};

const BATCH = 50;

async function publish(subject: Subject, token: string, key: number): Promise<void> {
	await post(subject, token, "/api/memory/store", { namespace: "published", key: `key-${key}`, value: `${Date.now()} ${VALUE}` });
}

/** Changes one entry after another until it is stopped. */
function writing(subject: Subject, token: string): { readonly failed: number; stop(): Promise<void> } {
	let on = true;
	let failed = 0;
	const loop = (async () => {
		for (let turn = 0; on; turn++) {
			await publish(subject, token, (turn * 7) % KEYS).catch(() => (failed += 1));
			await sleep(1_000 / WRITES);
		}
	})();
	return {
		get failed() {
			return failed;
		},
		async stop() {
			on = false;
			await loop;
		},
	};
}
