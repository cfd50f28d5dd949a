/** A list that a worker has at hand, asked for with a token. */
import { type Workload, workerPerProcessor } from "../context.ts";
import { inPairs, peerOf, ratioOf, subjectOf } from "../kit/pairs.ts";
import { atLeast, atMost, type Findings } from "../kit/result.ts";
import { getRequest, type Measured } from "../load/http-client.ts";
import { peerFile, peerPorts } from "../peers.ts";
import { firstWorkerPort, type Subject } from "../subject.ts";
import {
	atCapacity,
	cpuOf,
	perSecond,
	post,
	rawTarget,
	seedAgents,
	startBalancedRaw,
	startRaw,
	strayAnswers,
	subjectTarget,
	type Target,
	warmUp,
} from "./http-parts.ts";

const LIST = "/api/hive/agents";
const STORED = "/api/memory/swarm";
const WORKSPACE = "authenticated";

/** About 1 KB for everybody. */
const ENTRY = "bare";

export const authenticatedGet: Workload = {
	name: "authenticated",
	groups: ["http"],
	title: "Authenticated GET from the worker's cache",
	what: `\`GET ${LIST}\` (about 1 KB) with a token, through the load balancer, with limits, metrics and tracing on; against HAProxy with the same configuration before as many processes of plain node:http, and against one process of Express with Socket.IO and SQLite, which opens its file for every request, as the original did. Closed loop, 64 connections. CPU is measured at one worker directly, without HAProxy; without a credential it is a published entry of about 1 KB.`,
	shape: workerPerProcessor,
	async run(context) {
		const subject = await context.subject();
		const token = await seedAgents(subject, WORKSPACE);
		await post(subject, token, "/api/memory/store", { namespace: "published", key: ENTRY, value: "v".repeat(900) });
		const generator = await context.generator();
		const roles = await subject.roles();
		const measure = (target: Target, of: Readonly<Record<string, readonly number[]>>) => () =>
			generator.run(atCapacity(context, target), of);
		const ours = measure(subjectTarget(subject, LIST, token), roles);

		context.say("against HAProxy before node:http");
		const balanced = await startBalancedRaw(context);
		await warmUp(context, [subjectTarget(subject, LIST, token), rawTarget(peerPorts.balanced)]);
		const throughBalancer = await inPairs(
			"against HAProxy before node:http",
			context.mode.pairs,
			ours,
			measure(rawTarget(peerPorts.balanced), { haproxy: balanced.haproxy, app: balanced.servers }),
		);

		context.say("against the single-process server");
		const classic = await context.child(peerFile("classic"), [peerPorts.classic]);
		const classicTarget = (path: string): Target => ({
			host: "127.0.0.1",
			port: peerPorts.classic,
			requests: [getRequest(path, `127.0.0.1:${peerPorts.classic}`)],
		});
		await warmUp(context, [classicTarget(LIST), classicTarget(STORED)]);
		const onClassic = (path: string) =>
			inPairs(
				`${path} against the single-process server`,
				context.mode.pairs,
				measure(subjectTarget(subject, path, token), roles),
				measure(classicTarget(path), { app: [classic.pid] }),
			);
		const list = await onClassic(LIST);
		const stored = await onClassic(STORED);

		context.say("CPU of one worker against node:http");
		const raw = await startRaw(context);
		const onWorker = await workerTargets(subject, token);
		const worker = { app: [onWorker.pid] };
		await warmUp(context, [rawTarget(peerPorts.raw), onWorker.bare, onWorker.guarded]);
		const rawRun = measure(rawTarget(peerPorts.raw), { app: [raw.pid] });
		const bare = await inPairs("a worker without credential", context.mode.pairs, measure(onWorker.bare, worker), rawRun);
		const guarded = await inPairs("a worker with everything on", context.mode.pairs, measure(onWorker.guarded, worker), rawRun);

		const app = cpuOf("app");
		const through = (run: Measured) => cpuOf("app", "haproxy")(run);
		const all = [throughBalancer, list, stored, bare, guarded];
		return {
			figures: [
				{ name: "answers, through the load balancer", value: subjectOf(throughBalancer, perSecond), unit: "1/s" },
				{ name: "answers, HAProxy before node:http", value: peerOf(throughBalancer, perSecond), unit: "1/s" },
				{ name: "ratio to HAProxy before node:http", value: ratioOf(throughBalancer, perSecond, perSecond), unit: "x", goal: atLeast(0.8) },
				{
					name: `ratio to the single-process server, ${STORED}`,
					value: ratioOf(stored, perSecond, perSecond),
					unit: "x",
					goal: atLeast(3),
				},
				{
					name: `ratio to the single-process server, ${LIST}`,
					value: ratioOf(list, perSecond, perSecond),
					unit: "x",
					note: "it answers that from its memory",
				},
				{ name: "CPU an answer, worker and HAProxy", value: subjectOf(throughBalancer, through), unit: "us" },
				{ name: "CPU an answer, node:http and HAProxy", value: peerOf(throughBalancer, through), unit: "us" },
				{
					name: "CPU of a worker without credential, ratio to node:http",
					value: ratioOf(bare, app, app),
					unit: "x",
					goal: atMost(1.6),
				},
				{ name: "CPU of a worker with everything on, ratio to node:http", value: ratioOf(guarded, app, app), unit: "x", goal: atMost(2.2) },
				{ name: "CPU an answer of a worker with everything on", value: subjectOf(guarded, app), unit: "us" },
				{ name: "CPU an answer of node:http", value: peerOf(guarded, app), unit: "us" },
			],
			charts: [
				{
					name: "authenticated",
					title: "GET of about 1 KB, answers a second",
					unit: "1/s",
					bars: [
						{ label: "this, with a token", value: subjectOf(throughBalancer, perSecond), ours: true },
						{ label: "HAProxy before node:http", value: peerOf(throughBalancer, perSecond), ours: false },
						{ label: "Express, one process", value: peerOf(list, perSecond), ours: false },
						{ label: "Express, from SQLite", value: peerOf(stored, perSecond), ours: false },
					],
				},
			],
			remarks: [
				...all.flatMap(({ remarks }) => remarks),
				...strayAnswers(
					"this",
					all.flatMap(({ kept }) => kept.map((pair) => pair.subject)),
				),
				...strayAnswers(
					"peers",
					all.flatMap(({ kept }) => kept.map((pair) => pair.peer)),
				),
			],
			raw: { throughBalancer, list, stored, bare, guarded },
		} satisfies Findings;
	},
};

/** One worker, past the load balancer: it answers to the same name. */
async function workerTargets(subject: Subject, token: string): Promise<{ pid: number; bare: Target; guarded: Target }> {
	const [node] = await subject.nodes();
	const pid = node?.workers[0];
	if (node === undefined || pid === undefined) throw new Error("no worker was found");
	const target = (path: string, headers: Readonly<Record<string, string>>): Target => ({
		host: node.address,
		port: firstWorkerPort,
		requests: [getRequest(path, subject.authority, headers)],
	});
	return { pid, bare: target(`/api/public/${WORKSPACE}/${ENTRY}`, {}), guarded: target(LIST, { authorization: `Bearer ${token}` }) };
}
