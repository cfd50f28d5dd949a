/** As many WebSockets as were asked for, through the load balancer, for a while. */
import { setTimeout as sleep } from "node:timers/promises";
import { fourNodes, type Workload } from "../context.ts";
import { anonymousKibOf, type Roles, startCounting } from "../kit/proc.ts";
import { atLeast, atMost, type Findings } from "../kit/result.ts";
import { SocketGenerators } from "../load/sockets-client.ts";

/** All workers together let in a thousand a second each; the machine is shared. */
const PER_SECOND = 1_100;

/** A principal may have 2,000 connections at one worker, and they are not spread exactly. */
const PER_TOKEN_AND_WORKER = 1_300;

/** The server pings each connection every 25 s. */
const PING_MS = 25_000;

export const manySockets: Workload = {
	name: "connections",
	groups: ["sync"],
	title: "Many WebSockets through the load balancer",
	what: "Connections to `/sync` through HAProxy, opened at an even pace from several addresses, each authenticated and brought up to date; then they stay, and every ping of the server's is answered. Lost is a connection that ended, or that was not pinged as often as it should have been. Four nodes of one worker each.",
	shape: (mode) => ({ ...fourNodes(mode), sockets: mode.manySockets }),
	async run(context) {
		const { manySockets: wanted, manyMs } = context.mode;
		const subject = await context.subject();
		const generators = context.opened(await SocketGenerators.start(wanted));
		const tokens = await Promise.all(
			Array.from({ length: Math.ceil(wanted / (PER_TOKEN_AND_WORKER * context.workers)) }, (_, index) =>
				subject.token(`many-${index}`, "many"),
			),
		);
		const roles: Roles = { ...(await subject.roles()), generator: generators.pids };
		context.say(`opening ${wanted}`);
		const { host, port, authority } = subject;
		const before = { app: anonymousKibOf(roles.app ?? []), haproxy: anonymousKibOf(roles.haproxy ?? []) };
		const countOpening = startCounting(roles, context.ours);
		const outcome = await generators.open("many", {
			engine: false,
			host,
			port,
			path: "/sync",
			authority,
			tokens,
			count: wanted,
			perSecond: PER_SECOND,
		});
		const opening = countOpening();
		const after = { app: anonymousKibOf(roles.app ?? []), haproxy: anonymousKibOf(roles.haproxy ?? []) };
		await generators.reset("many");
		context.say(`holding ${outcome.opened} for ${manyMs / 1_000} s`);
		const countHolding = startCounting(roles, context.ours);
		await sleep(manyMs);
		const holding = countHolding();
		const report = await generators.report("many");
		await generators.close("many");
		const duePings = Math.max(0, Math.floor(manyMs / PING_MS) - 1);
		const failures = Object.entries(outcome.failed).map(([why, count]) => `${count} connections failed: ${why}`);
		return {
			figures: [
				{ name: "connections", value: outcome.opened, unit: "" },
				{ name: "failed", value: wanted - outcome.opened, unit: "", goal: atMost(0) },
				{
					name: "time to connect them all",
					value: outcome.seconds,
					unit: "s",
					...(context.mode.name === "full" ? { goal: atMost(60) } : {}),
				},
				{ name: "handshake p50", value: outcome.p50Ms, unit: "ms" },
				{ name: "handshake p99", value: outcome.p99Ms, unit: "ms" },
				{ name: "CPU a connection, worker", value: (opening.cpuUs.app ?? 0) / outcome.opened, unit: "us" },
				{ name: "CPU a connection, HAProxy", value: (opening.cpuUs.haproxy ?? 0) / outcome.opened, unit: "us" },
				{ name: "held for", value: manyMs / 1_000, unit: "s" },
				{ name: "pings answered", value: report.pings, unit: "" },
				{ name: "lost", value: report.sockets - report.open, unit: "", goal: atMost(0) },
				{ name: "fewest pings of a connection", value: report.leastPings, unit: "", ...(duePings > 0 ? { goal: atLeast(duePings) } : {}) },
				{ name: "processors used while idle, workers", value: (holding.cpuUs.app ?? 0) / 1_000_000 / holding.seconds, unit: "" },
				{ name: "processors used while idle, HAProxy", value: (holding.cpuUs.haproxy ?? 0) / 1_000_000 / holding.seconds, unit: "" },
				{ name: "memory gained a connection, workers (not collected)", value: (after.app - before.app) / outcome.opened, unit: "KiB" },
				{ name: "memory gained a connection, HAProxy", value: (after.haproxy - before.haproxy) / outcome.opened, unit: "KiB" },
			],
			charts: [],
			remarks: failures,
			raw: { outcome, report, opening, holding, before, after },
		} satisfies Findings;
	},
};
