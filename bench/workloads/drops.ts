/** What arrives at clients whose connection is cut again and again. */
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Context, fourNodes, type Workload } from "../context.ts";
import { atLeast, atMost, type Findings } from "../kit/result.ts";
import type { CutOrder, CutOutcome } from "../load/cut-client.ts";
import { type Publisher, startPublisher } from "../load/publisher.ts";
import { startRedisPeer, startSocketPeers } from "../socket-peers.ts";

const AWAY_MS = 2_000;
const BETWEEN_MS = 1_000;
const SETTLE_MS = 3_000;

/** Between two messages, milliseconds. */
const PAUSE_MS = 50;

interface Delivery {
	readonly percent: number;
	readonly disordered: number;
	readonly repeated: number;
	readonly gaps: number;
	readonly sent: number;
	readonly outcome: CutOutcome;
	readonly failedPosts: readonly string[];
}

export const drops: Workload = {
	name: "drops",
	groups: ["sync"],
	title: "Delivery under repeated drops",
	what: `Clients whose connection is reset again and again, each time for ${AWAY_MS / 1_000} s, with ${BETWEEN_MS / 1_000} s between: a client of \`/sync\` comes back with the last position it was told, one of Socket.IO as its library does it. Messages come all the time, ${1_000 / PAUSE_MS} a second. Delivered is the share of all messages, from the first connection on, that a client got in the end. Four nodes of one worker each.`,
	shape: fourNodes,
	async run(context) {
		const subject = await context.subject();
		const token = await subject.token("cut", "drops");
		const authorization = { authorization: `Bearer ${token}` };
		context.say("/sync");
		const here = await deliver(
			context,
			{ kind: "sync", url: `ws://${subject.authority}/sync`, headers: authorization },
			startPublisher([{ host: subject.host, port: subject.port, path: "/api/hive/tasks" }], {
				host: subject.authority,
				...authorization,
			}),
		);
		context.say("Socket.IO");
		const redis = context.opened(await startRedisPeer());
		const peers = await startSocketPeers(context, "socket-io", 2, redis.port);
		const there = await deliver(
			context,
			{ kind: "socket.io", url: `http://127.0.0.1:${peers.ports[0]}`, headers: {} },
			startPublisher(peers.ports.map((port) => ({ host: "127.0.0.1", port, path: "/" }))),
		);
		return {
			figures: [
				{ name: "delivered on /sync", value: here.percent, unit: "%", goal: atLeast(100) },
				{ name: "out of order", value: here.disordered, unit: "", goal: atMost(0) },
				{ name: "twice", value: here.repeated, unit: "", goal: atMost(0) },
				{ name: "gaps that were told, with the state after them", value: here.gaps, unit: "" },
				{ name: "messages", value: here.sent, unit: "" },
				{ name: "delivered by Socket.IO as it comes", value: there.percent, unit: "%" },
			],
			charts: [
				{
					name: "drops",
					title: "Delivered to clients that are cut off for 2 s again and again",
					unit: "%",
					bars: [
						{ label: "this, /sync", value: here.percent, ours: true },
						{ label: "Socket.IO", value: there.percent, ours: false },
					],
				},
			],
			remarks: [here, there].flatMap(({ outcome, failedPosts }, index) => {
				const name = index === 0 ? "/sync" : "Socket.IO";
				return [
					...(outcome.failed.length > 0
						? [`${name}: ${outcome.failed.length} attempts to come back failed: ${[...new Set(outcome.failed)].join(", ")}`]
						: []),
					...(failedPosts.length > 0 ? [`${name}: ${failedPosts.length} posts failed: ${[...new Set(failedPosts)].join(", ")}`] : []),
				];
			}),
			raw: { here: { ...here, outcome: undefined }, there: { ...there, outcome: undefined } },
		} satisfies Findings;
	},
};

async function deliver(context: Context, where: Pick<CutOrder, "kind" | "url" | "headers">, publisher: Publisher): Promise<Delivery> {
	const { cutClients, cuts } = context.mode;
	const child = await context.child(path.join(import.meta.dirname, "..", "load", "cut-clients.ts"));
	let publishing = Promise.resolve();
	let on = true;
	const outcome = await child.ask<CutOutcome>(
		{ ...where, clients: cutClients, cuts, awayMs: AWAY_MS, betweenMs: BETWEEN_MS, settleMs: SETTLE_MS } satisfies CutOrder,
		(event) => {
			if (event === "cut") on = false;
			if (event !== "connected") return;
			publishing = (async () => {
				for (; on; await sleep(PAUSE_MS)) await publisher.burst(1);
			})();
		},
	);
	await publishing;
	publisher.close();
	const sent = publisher.sent;
	const got = outcome.numbers.reduce((sum, numbers) => sum + new Set(numbers).size, 0);
	const total = outcome.numbers.reduce((sum, numbers) => sum + numbers.length, 0);
	return {
		percent: (100 * got) / (sent * cutClients),
		disordered: outcome.numbers.reduce(
			(sum, numbers) => sum + numbers.filter((number, at) => at > 0 && number < (numbers[at - 1] as number)).length,
			0,
		),
		repeated: total - got,
		gaps: outcome.gaps,
		sent,
		outcome,
		failedPosts: publisher.failed,
	};
}
