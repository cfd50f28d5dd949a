/** What the HTTP workloads have in common. */
import type { Context } from "../context.ts";
import type { Child } from "../kit/child.ts";
import { getRequest, type HttpOrder, type Measured } from "../load/http-client.ts";
import { type Balanced, peerFile, peerPorts, startBalanced } from "../peers.ts";
import type { Subject } from "../subject.ts";

/** Connections that are kept by the generator, and the addresses they come from. */
const CONNECTIONS = 64;
const SOURCES = 4;

export interface Target {
	readonly host: string;
	readonly port: number;
	readonly requests: readonly string[];
	readonly skew?: number;
}

/** Every connection asks again as soon as it has been answered. */
export function closedLoop({ mode }: Context, target: Target): HttpOrder {
	return {
		skew: 0,
		...target,
		connections: CONNECTIONS,
		sources: SOURCES,
		rate: null,
		pinned: false,
		timed: false,
		slowMs: null,
		warmMs: mode.warmMs,
		ms: mode.runMs,
	};
}

/**
 * The same to find out how much there can be: who asks and who answers have more to do than there are processors, and a generator
 * that moves from one to the other pushes what it measures to and fro. In an open loop there is room, and it goes where that is.
 */
export function atCapacity(context: Context, target: Target): HttpOrder {
	return { ...closedLoop(context, target), pinned: true };
}

/** Asks each for a while before anything counts: code that has run often runs otherwise. */
export async function warmUp(context: Context, targets: readonly Target[]): Promise<void> {
	const generator = await context.generator();
	for (const target of targets) await generator.run({ ...closedLoop(context, target), warmMs: context.mode.heatMs, ms: 100 }, {});
}

/** So many requests a second, whatever becomes of them. */
export function openLoop(context: Context, target: Target, rate: number, connections = 4 * CONNECTIONS): HttpOrder {
	return { ...closedLoop(context, target), rate, connections };
}

export function rawTarget(port: number): Target {
	return { host: "127.0.0.1", port, requests: [getRequest("/", `127.0.0.1:${port}`)] };
}

export function subjectTarget(subject: Subject, path: string, token: string | null): Target {
	const headers: Record<string, string> = token === null ? {} : { authorization: `Bearer ${token}` };
	return { host: subject.host, port: subject.port, requests: [getRequest(path, subject.authority, headers)] };
}

/** node:http alone, one process. */
export function startRaw(context: Context): Promise<Child> {
	return context.child(peerFile("raw-http"), ["127.0.0.1", peerPorts.raw]);
}

/** HAProxy before as many processes of node:http as the topology has workers. */
export async function startBalancedRaw(context: Context): Promise<Balanced> {
	const start = (port: number) => context.child(peerFile("raw-http"), ["127.0.0.1", port]);
	return context.opened(await startBalanced(context.workers, start));
}

/** A principal with agents: the list of them is about 1 KB. */
export async function seedAgents(subject: Subject, workspace: string): Promise<string> {
	const token = await subject.token("bench", workspace);
	for (let index = 0; index < AGENTS; index++) {
		await post(subject, token, "/api/hive/agents", { type: "coder", name: `agent-${index}` });
	}
	return token;
}

const AGENTS = 3;

export async function post(subject: Subject, token: string, path: string, body: object): Promise<Response> {
	const response = await fetch(`http://${subject.authority}${path}`, {
		method: "POST",
		headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
		body: JSON.stringify(body),
	});
	if (!response.ok) throw new Error(`POST ${path}: ${response.status} ${(await response.text()).slice(0, 200)}`);
	return response;
}

export const perSecond = (run: Measured) => run.perSecond;
export const cpuOf =
	(...roles: string[]) =>
	(run: Measured) =>
		roles.reduce((sum, role) => sum + (run.cpuUs[role] ?? 0), 0);

/** Everything that was answered otherwise than it should be, or not at all, added up. */
export function strayAnswers(name: string, runs: readonly Measured[]): string[] {
	const counts = new Map<string, number>();
	let all = 0;
	for (const { statuses, unanswered, unsent, answered } of runs) {
		all += answered + unanswered + unsent;
		for (const [status, count] of Object.entries(statuses)) {
			if (!/^(2\d\d|304)$/.test(status)) counts.set(`were answered with ${status}`, (counts.get(status) ?? 0) + count);
		}
		if (unanswered > 0) counts.set("were not answered", (counts.get("were not answered") ?? 0) + unanswered);
		if (unsent > 0) counts.set("found every connection busy", (counts.get("found every connection busy") ?? 0) + unsent);
	}
	return [...counts].map(([what, count]) => `${name}: ${count} of ${all} requests ${what}`);
}
