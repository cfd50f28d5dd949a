/** What happens to one workspace is told to everybody who watches it, on all nodes. */
import { setTimeout as sleep } from "node:timers/promises";
import { type Context, fourNodes, type Workload } from "../context.ts";
import { atPaceOfTelling } from "../kit/pace.ts";
import { inPairs, peerOf, type Run, ratioOf, subjectOf } from "../kit/pairs.ts";
import { type Roles, startCounting } from "../kit/proc.ts";
import { atLeast, atMost, type Findings } from "../kit/result.ts";
import { spreadOf } from "../kit/stats.ts";
import { type Publisher, startPublisher } from "../load/publisher.ts";
import { type FleetOrder, latencyBelow, SocketGenerators, type SocketsReport } from "../load/sockets-client.ts";
import { startRedisPeer, startSocketPeers } from "../socket-peers.ts";

/** Posted at the same moment, again and again. */
const BURST = 100;
/** That a task is to whoever watches: see peers/event.ts. */
const MESSAGES = 2;
const TICK_MS = 20;
const TIMEOUT_MS = 20_000;

interface FanOutRun extends Run {
	readonly report: SocketsReport;
	readonly expected: number;
	readonly cpuUs: Readonly<Record<string, number>>;
	readonly posted: number;
	/** CPU of those that deliver, Redis among them, microseconds; and deliveries in a second of it. */
	readonly us: number;
	readonly perCpuSecond: number;
	readonly failedPosts: readonly string[];
}

/** Clients of one kind, and who tells them something. */
interface Party {
	readonly fleet: string;
	readonly publisher: Publisher;
	readonly roles: Roles;
}

export const fanOut: Workload = {
	name: "fanout",
	groups: ["sync"],
	title: "Fan-out over four nodes",
	what: `Four nodes of one worker each. Clients spread over four processes listen, without a load balancer; ${BURST} tasks come in as HTTP posts at the same moment, again as soon as every client has heard of every one of them. A task is two messages of some 470 bytes, itself and a line of the log; a delivery is one message at one client. CPU is that of the processes that hold the clients and of Redis; here each task is also a request with a credential and a transaction in PostgreSQL, whose own CPU is given beside it. Delivering alone is the same without what as many posts cost afterwards, when the clients are gone, so that it is told how much of the difference is the telling and how much the asking. Against Socket.IO with its Redis adapter, and against the package ws with Redis, one write for all messages of 20 ms. From the post to the client it is measured with single tasks at an even pace: one that takes 60 % of the processors, 20 a second at most.`,
	shape: fourNodes,
	async run(context) {
		const generators = context.opened(await SocketGenerators.start(context.mode.listeners * 3));
		const subject = await openSubject(context, generators);
		const redis = context.opened(await startRedisPeer());
		const socketIo = await openPeer(context, generators, "socket-io", redis);
		const coalescing = await openPeer(context, generators, "raw-ws", redis);

		const { fanOutMs, heatMs } = context.mode;
		const run = (party: Party) => () => bursts(context, generators, party, fanOutMs);
		context.say("warming up");
		for (const party of [subject, socketIo, coalescing]) await bursts(context, generators, party, heatMs);
		context.say("against Socket.IO with the Redis adapter");
		const againstSocketIo = await inPairs("against Socket.IO", context.mode.pairs, run(subject), run(socketIo));
		context.say("against ws, coalescing");
		const againstRaw = await inPairs("against coalescing ws", context.mode.pairs, run(subject), run(coalescing));
		context.say("latency at an even pace");
		const paced = await atPaceOfTelling((tried) => pace(context, generators, subject, tried));
		context.say("posts that nobody hears of");
		const postUs = await postAlone(context, generators, subject);
		const rawPostUs = await postAlone(context, generators, coalescing);

		const perCpu = (each: FanOutRun) => each.perCpuSecond;
		const usOf = (each: FanOutRun) => 1_000_000 / each.perCpuSecond;
		const delivering = (each: FanOutRun, alone: number) => (each.us - each.posted * alone) / each.report.marks;
		const deliveringUs = spreadOf(againstRaw.kept.map((pair) => delivering(pair.subject, postUs)));
		const rawDeliveringUs = spreadOf(againstRaw.kept.map(({ peer }) => delivering(peer, rawPostUs)));
		const ours = [...againstSocketIo.kept, ...againstRaw.kept].map((pair) => pair.subject);
		const missing = [...ours, paced].reduce((sum, { report, expected }) => sum + Math.max(0, expected - report.marks), 0);
		const torn = [...ours, paced].reduce((sum, { report }) => sum + report.torn, 0);
		return {
			figures: [
				// What is shown beside the others was measured in turns with the nearest of them.
				{ name: "deliveries a second of CPU", value: subjectOf(againstRaw, perCpu), unit: "1/s" },
				{ name: "ratio to Socket.IO with the Redis adapter", value: ratioOf(againstSocketIo, perCpu, perCpu), unit: "x", goal: atLeast(5) },
				{ name: "ratio to coalescing ws", value: ratioOf(againstRaw, perCpu, perCpu), unit: "x", goal: atLeast(0.8) },
				{ name: "CPU a delivery", value: subjectOf(againstRaw, usOf), unit: "us" },
				{ name: "CPU a delivery, Socket.IO", value: peerOf(againstSocketIo, usOf), unit: "us" },
				{ name: "CPU a delivery, coalescing ws", value: peerOf(againstRaw, usOf), unit: "us" },
				{ name: "delivering alone, CPU a delivery", value: deliveringUs, unit: "us" },
				{ name: "delivering alone, CPU a delivery, coalescing ws", value: rawDeliveringUs, unit: "us" },
				{ name: "delivering alone, ratio to coalescing ws", value: rawDeliveringUs.median / deliveringUs.median, unit: "x" },
				{ name: "CPU a post that nobody hears of", value: postUs, unit: "us" },
				{ name: "CPU a post that nobody hears of, coalescing ws", value: rawPostUs, unit: "us" },
				{
					name: "PostgreSQL's CPU a task",
					value: subjectOf(
						againstRaw,
						({ cpuUs, expected, report }) => ((cpuUs.postgres ?? 0) * MESSAGES * report.sockets) / Math.max(1, expected),
					),
					unit: "us",
				},
				{ name: "from the post to the client at an even pace, p50", value: latencyBelow(paced.report, 0.5), unit: "ms" },
				{
					name: "from the post to the client at an even pace, p99",
					value: latencyBelow(paced.report, 0.99),
					unit: "ms",
					goal: atMost(TICK_MS + 50),
				},
				{ name: "tasks then", value: paced.pace, unit: "1/s" },
				{ name: "processors used then", value: 100 * paced.used, unit: "%" },
				{ name: "lost", value: missing, unit: "", goal: atMost(0) },
				{ name: "out of order", value: torn, unit: "", goal: atMost(0) },
			],
			charts: [
				{
					name: "fan-out",
					title: "Deliveries in a second of CPU",
					unit: "1/s",
					bars: [
						{ label: "this, /sync", value: subjectOf(againstRaw, perCpu), ours: true },
						{ label: "ws, coalescing", value: peerOf(againstRaw, perCpu), ours: false },
						{ label: "Socket.IO, Redis adapter", value: peerOf(againstSocketIo, perCpu), ours: false },
					],
				},
			],
			remarks: [
				...againstSocketIo.remarks,
				...againstRaw.remarks,
				...againstSocketIo.kept.flatMap(({ peer }) => lostOf("Socket.IO", peer)),
				...againstRaw.kept.flatMap(({ peer }) => lostOf("coalescing ws", peer)),
				...[...ours, paced].flatMap(({ failedPosts }) =>
					failedPosts.length > 0 ? [`${failedPosts.length} posts failed: ${[...new Set(failedPosts)].join(", ")}`] : [],
				),
			],
			raw: { againstSocketIo, againstRaw, paced },
		} satisfies Findings;
	},
};

function lostOf(name: string, { report, expected }: FanOutRun): string[] {
	return report.marks < expected ? [`${name}: ${expected - report.marks} of ${expected} deliveries were missing`] : [];
}

async function openSubject(context: Context, generators: SocketGenerators): Promise<Party> {
	const subject = await context.subject();
	const token = await subject.token("watcher", "fan-out");
	const servers = (await subject.nodes()).flatMap(({ address, ports }) => ports.map((port) => ({ host: address, port })));
	await openShares(context, generators, "subject", servers, { engine: false, path: "/sync", tokens: [token] }, subject.authority);
	const publisher = startPublisher(
		servers.map((server) => ({ ...server, path: "/api/hive/tasks" })),
		{ host: subject.authority, authorization: `Bearer ${token}` },
	);
	return { fleet: "subject", publisher, roles: await subject.roles() };
}

async function openPeer(
	context: Context,
	generators: SocketGenerators,
	kind: "socket-io" | "raw-ws",
	redis: { readonly port: number; readonly pid: number },
): Promise<Party> {
	const peers = await startSocketPeers(context, kind, context.workers, redis.port);
	const servers = peers.ports.map((port) => ({ host: "127.0.0.1", port }));
	const path = kind === "socket-io" ? "/socket.io/?EIO=4&transport=websocket" : "/";
	await openShares(context, generators, kind, servers, { engine: kind === "socket-io", path, tokens: [] });
	const publisher = startPublisher(peers.ports.map((port) => ({ host: "127.0.0.1", port, path: "/" })));
	return { fleet: kind, publisher, roles: { app: peers.pids, redis: [redis.pid] } };
}

/** What a post costs when its clients are gone: CPU, microseconds, in bursts as before. */
async function postAlone(context: Context, generators: SocketGenerators, { fleet, publisher, roles }: Party): Promise<number> {
	await generators.close(fleet);
	const post = async (ms: number) => {
		const before = publisher.sent;
		for (const end = performance.now() + ms; performance.now() < end; ) await publisher.burst(BURST);
		return publisher.sent - before;
	};
	await post(context.mode.warmMs);
	const count = startCounting(roles, context.ours);
	const posts = await post(context.mode.fanOutMs);
	return costOf(count().cpuUs) / posts;
}

/** Of those that deliver, Redis among them. */
function costOf({ app = 0, redis = 0 }: Readonly<Record<string, number>>): number {
	return app + redis;
}

/** The same number of clients at each server. @param authority what they call it; its address else */
async function openShares(
	{ mode: { listeners } }: Context,
	generators: SocketGenerators,
	fleet: string,
	servers: readonly { readonly host: string; readonly port: number }[],
	what: Pick<FleetOrder, "engine" | "path" | "tokens">,
	authority?: string,
): Promise<void> {
	for (const [index, server] of servers.entries()) {
		const count = Math.floor(listeners / servers.length) + (index < listeners % servers.length ? 1 : 0);
		const order = { ...what, ...server, authority: authority ?? `${server.host}:${server.port}`, count, perSecond: 600 };
		const { opened, failed } = await generators.open(fleet, order);
		if (opened !== count) throw new Error(`${fleet}: ${opened} of ${count} sockets were opened: ${JSON.stringify(failed)}`);
	}
}

/** Bursts one after another, each when the one before has arrived everywhere. */
async function bursts(context: Context, generators: SocketGenerators, { fleet, publisher, roles }: Party, ms: number): Promise<FanOutRun> {
	await generators.reset(fleet);
	const counted = publisher.failed.length;
	const count = startCounting(roles, context.ours);
	let posted = 0;
	for (const end = performance.now() + ms; performance.now() < end; ) {
		await publisher.burst(BURST);
		posted += BURST;
		await generators.until(fleet, posted * MESSAGES, TIMEOUT_MS);
	}
	const { cpuUs, foreign } = count();
	const report = await generators.report(fleet);
	const us = costOf(cpuUs);
	return {
		report,
		expected: posted * MESSAGES * report.sockets,
		cpuUs,
		foreign,
		invalid: null,
		perCpuSecond: report.marks / (us / 1_000_000),
		us,
		posted,
		failedPosts: publisher.failed.slice(counted),
	};
}

/** Single tasks: how long each takes from the post to every client. */
async function pace(
	context: Context,
	generators: SocketGenerators,
	{ fleet, publisher, roles }: Party,
	perSecond: number,
): Promise<FanOutRun & { readonly used: number }> {
	await generators.reset(fleet);
	const counted = publisher.failed.length;
	const count = startCounting(roles, context.ours);
	const posts: Promise<void>[] = [];
	const began = performance.now();
	for (let due = 0; due < context.mode.fanOutMs; due += 1_000 / perSecond) {
		await sleep(Math.max(0, began + due - performance.now()));
		posts.push(publisher.burst(1));
	}
	await Promise.all(posts);
	await generators.until(fleet, posts.length * MESSAGES, TIMEOUT_MS);
	const { cpuUs, foreign, used } = count();
	const report = await generators.report(fleet);
	return {
		report,
		expected: posts.length * MESSAGES * report.sockets,
		cpuUs,
		foreign,
		invalid: null,
		used,
		perCpuSecond: Number.NaN,
		us: costOf(cpuUs),
		posted: posts.length,
		failedPosts: publisher.failed.slice(counted),
	};
}
