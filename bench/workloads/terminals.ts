/** How soon a key is seen: alone, while many are told of much, and beside terminals that nobody reads. */
import { setTimeout as sleep } from "node:timers/promises";
import { type Context, type Workload, workerPerProcessor } from "../context.ts";
import { urgently } from "../kit/child.ts";
import { atPaceOfTelling } from "../kit/pace.ts";
import { inPairs, peerOf, type Run, ratioOf, subjectOf } from "../kit/pairs.ts";
import { anonymousKibOf, startCounting } from "../kit/proc.ts";
import { atMost, type Findings } from "../kit/result.ts";
import { type Latency, latencyOf } from "../kit/stats.ts";
import { startPublisher } from "../load/publisher.ts";
import { SocketGenerators } from "../load/sockets-client.ts";
import { rawTerminalAt, type Typist, terminalAt, unreadTerminalAt } from "../load/terminal.ts";
import { peerFile, peerPorts, startBalanced } from "../peers.ts";
import { startRedisPeer } from "../socket-peers.ts";
import type { Subject } from "../subject.ts";

/** Terminals that write without end and are not read, and how many of them one principal may have. */
const UNREAD = 100;
const PER_PRINCIPAL = 8;

const SETTLE_MS = 800;

/** Until what is in the sockets' and the terminals' buffers is all that will ever be. */
const FILL_MS = 5_000;

interface Echo extends Run, Latency {}

export const terminals: Workload = {
	name: "terminals",
	groups: [],
	title: "Echo of a terminal",
	what: "From a key to its echo, one key every 25 ms, by the kernel's own echo of a PTY with `cat` in it: through HAProxy, a worker, Redis and a terminal host and back, beside one process with the packages ws and node-pty, and beside the same way with nothing in it: HAProxy, a process with ws, streams of a Redis with an append-only file, and a process with node-pty. Then while the sockets of a workspace are told of tasks at a pace that takes 60 % of the processors, 20 a second at most, and while 100 more terminals run `yes` and their clients read nothing.",
	shape: workerPerProcessor,
	async run(context) {
		const subject = await context.subject();
		const url = `http://${subject.authority}`;
		const keys = Math.round(context.mode.runMs / 10);
		await context.child(peerFile("raw-pty"), [peerPorts.sockets + 90]);
		const ours = await terminalAt(url, await subject.token("typist", "terminals"));
		const raw = await rawTerminalAt(`ws://127.0.0.1:${peerPorts.sockets + 90}`);
		context.opened({
			async stop() {
				ours.close();
				raw.close();
			},
		});
		const echo = (typist: Typist) => () => measured(context, typist, keys);
		await echo(ours)();
		await echo(raw)();

		context.say("idle");
		const idle = await inPairs("idle", context.mode.pairs, echo(ours), echo(raw));
		context.say("beside the same way with nothing in it");
		const relayed = await besideRelayed(context, echo(ours), echo);
		context.say("beside a fan-out");
		const { echo: busy, pace, used } = await besideFanOut(context, subject, echo(ours));
		context.say(`beside ${UNREAD} terminals that nobody reads`);
		const before = await echo(ours)();
		const unread = await besideUnread(context, subject, url, echo(ours));
		const at = (which: keyof Latency) => (each: Echo) => each[which];
		return {
			figures: [
				{ name: "idle p50", value: subjectOf(idle, at("p50")), unit: "ms" },
				{ name: "idle p99", value: subjectOf(idle, at("p99")), unit: "ms" },
				{ name: "ws and node-pty alone, p50", value: peerOf(idle, at("p50")), unit: "ms" },
				{ name: "ws and node-pty alone, p99", value: peerOf(idle, at("p99")), unit: "ms" },
				{ name: "idle p99, ratio to ws and node-pty alone", value: ratioOf(idle, at("p99"), at("p99")), unit: "x", goal: atMost(2) },
				{ name: "the same way with nothing in it, p50", value: peerOf(relayed, at("p50")), unit: "ms" },
				{ name: "the same way with nothing in it, p99", value: peerOf(relayed, at("p99")), unit: "ms" },
				{ name: "idle p50, ratio to the same way with nothing in it", value: ratioOf(relayed, at("p50"), at("p50")), unit: "x" },
				{ name: "idle p99, ratio to the same way with nothing in it", value: ratioOf(relayed, at("p99"), at("p99")), unit: "x" },
				{ name: "beside a fan-out p50", value: busy.p50, unit: "ms" },
				{ name: "beside a fan-out p99", value: busy.p99, unit: "ms", goal: atMost(20) },
				{ name: "tasks then", value: pace, unit: "1/s" },
				{ name: "processors used then", value: 100 * used, unit: "%" },
				{ name: `beside ${UNREAD} unread terminals p99`, value: unread.echo.p99, unit: "ms" },
				{ name: "the same, ratio to without them", value: unread.echo.p99 / before.p99, unit: "x", goal: atMost(2) },
				{
					name: "memory that an unread terminal takes of workers, hosts and Redis",
					value: unread.kib / UNREAD,
					unit: "KiB",
					goal: atMost(1_024),
				},
				{ name: "memory that they gain in the 5 s after that", value: unread.gainedKib / UNREAD, unit: "KiB", note: "of each" },
			],
			charts: [
				{
					name: "terminals",
					title: "From a key to its echo, p99",
					unit: "ms",
					bars: [
						{ label: "this, idle", value: subjectOf(idle, at("p99")), ours: true },
						{ label: "ws and node-pty, idle", value: peerOf(idle, at("p99")), ours: false },
						{ label: "the way alone, idle", value: peerOf(relayed, at("p99")), ours: false },
						{ label: "this, fan-out", value: busy.p99, ours: true },
						{ label: `this, ${UNREAD} unread`, value: unread.echo.p99, ours: true },
					],
				},
			],
			remarks: [...idle.remarks, ...relayed.remarks],
			raw: { idle, relayed, busy, before, unread },
		} satisfies Findings;
	},
};

async function measured(context: Context, typist: Typist, keys: number): Promise<Echo> {
	const counted = startCounting({}, context.ours);
	const latency = latencyOf(await urgently(() => typist.type(keys)));
	return { ...latency, foreign: counted().foreign, invalid: null };
}

async function besideRelayed(context: Context, ours: () => Promise<Echo>, echo: (typist: Typist) => () => Promise<Echo>) {
	const redis = context.opened(await startRedisPeer({ durable: true }));
	await context.child(peerFile("relayed-pty"), ["host", redis.port]);
	context.opened(await startBalanced(1, (port) => context.child(peerFile("relayed-pty"), ["worker", port, redis.port])));
	const typist = await rawTerminalAt(`ws://127.0.0.1:${peerPorts.balanced}`);
	context.opened({ stop: async () => typist.close() });
	await echo(typist)();
	return await inPairs("beside the same way with nothing in it", context.mode.pairs, ours, echo(typist));
}

async function besideFanOut(
	context: Context,
	subject: Subject,
	echo: () => Promise<Echo>,
): Promise<{ readonly echo: Echo; readonly pace: number; readonly used: number }> {
	const { listeners } = context.mode;
	const generators = context.opened(await SocketGenerators.start(listeners));
	const token = await subject.token("watcher", "terminals-fan-out");
	const order = { engine: false, host: subject.host, port: subject.port, path: "/sync", authority: subject.authority, tokens: [token] };
	const { opened, failed } = await generators.open("told", { ...order, count: listeners, perSecond: 600 });
	if (opened !== listeners) throw new Error(`${listeners - opened} listeners were refused: ${JSON.stringify(failed)}`);
	const publisher = startPublisher([{ host: subject.host, port: subject.port, path: "/api/hive/tasks" }], {
		host: subject.authority,
		authorization: `Bearer ${token}`,
	});
	try {
		return await atPaceOfTelling(async (pace) => {
			const pacing = setInterval(() => void publisher.burst(1), 1_000 / pace);
			try {
				await sleep(context.mode.warmMs);
				const count = startCounting({}, context.ours);
				return { echo: await echo(), used: count().used };
			} finally {
				clearInterval(pacing);
				await sleep(SETTLE_MS);
			}
		});
	} finally {
		publisher.close();
		await generators.close("told");
	}
}

async function besideUnread(
	context: Context,
	subject: Subject,
	url: string,
	echo: () => Promise<Echo>,
): Promise<{ echo: Echo; kib: number; gainedKib: number }> {
	const tokens = await Promise.all(
		Array.from({ length: Math.ceil(UNREAD / PER_PRINCIPAL) }, (_, index) => subject.token(`unread-${index}`, "terminals")),
	);
	const weigh = async () => {
		const { app = [], redis = [] } = await subject.roles();
		const collecting = [...app, ...(await subject.terminalHosts())];
		// What is garbage waits for nobody: see kit/collect-on-signal.mjs.
		for (let time = 0; time < 2; time += 1) {
			for (const pid of collecting) process.kill(pid, "SIGPWR");
			await sleep(SETTLE_MS);
		}
		return anonymousKibOf([...collecting, ...redis]);
	};
	const before = await weigh();
	for (let index = 0; index < UNREAD; index += 1) {
		const unread = await unreadTerminalAt(url, tokens[Math.floor(index / PER_PRINCIPAL)] as string);
		context.opened({ stop: async () => unread.close() });
	}
	const measuredEcho = await echo();
	await sleep(FILL_MS);
	const filled = await weigh();
	await sleep(FILL_MS);
	return { echo: measuredEcho, kib: filled - before, gainedKib: (await weigh()) - filled };
}
