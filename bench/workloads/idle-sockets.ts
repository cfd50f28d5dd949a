/** What a connection costs in memory when nothing happens on it. */
import { setTimeout as sleep } from "node:timers/promises";
import { type Context, type Workload, workerPerProcessor } from "../context.ts";
import { anonymousKibOf } from "../kit/proc.ts";
import { atMost, type Findings } from "../kit/result.ts";
import { type FleetOrder, SocketGenerators } from "../load/sockets-client.ts";
import { startSocketPeers } from "../socket-peers.ts";
import { firstWorkerPort, type Subject } from "../subject.ts";

/** Connections that come and go first, so that what is made once is there. */
const WARMING = 400;
const SETTLE_MS = 800;
const PER_SECOND = 600;

/** A principal may have so many connections at one worker, and a little is left. */
const PER_TOKEN = 1_500;

const SOCKET_IO = "/socket.io/?EIO=4&transport=websocket";

type Where = Omit<FleetOrder, "count" | "perSecond" | "firstSource" | "sources">;

export const idleSockets: Workload = {
	name: "idle",
	groups: ["sync"],
	title: "Memory of an idle connection",
	what: "Resident memory, without pages of files, that a process which has just begun gains, after its garbage was collected twice, divided by the connections that were opened: at one worker directly, at HAProxy through the load balancer, and at peers of one process each. The kernel's memory for sockets is not in it.",
	// A number of its own, and so a topology of its own: a process keeps the memory that earlier loads have made it take.
	shape(mode) {
		const shape = workerPerProcessor(mode);
		return { ...shape, sockets: shape.sockets + 1 };
	},
	async run(context) {
		const generators = context.opened(await SocketGenerators.start(context.mode.idleSockets));
		const subject = await context.subject();
		const tokens = await Promise.all(
			Array.from({ length: Math.ceil(context.mode.idleSockets / PER_TOKEN) }, (_, index) => subject.token(`idle-${index}`, "idle")),
		);
		const [forSync, forSocketIo] = await firstWorkers(subject);
		const rawPeer = await startSocketPeers(context, "raw-ws", 1, 0);
		const socketIoPeer = await startSocketPeers(context, "socket-io", 1, 0);
		const direct = (worker: FirstWorker, path: string): Where => ({
			engine: path === SOCKET_IO,
			host: worker.address,
			port: firstWorkerPort,
			path,
			authority: subject.authority,
			tokens,
		});
		const peer = (port: number, path: string): Where => ({
			engine: path === SOCKET_IO,
			host: "127.0.0.1",
			port,
			path,
			authority: `127.0.0.1:${port}`,
			tokens: [],
		});
		const haproxy = (await subject.roles()).haproxy ?? [];
		const weigh = async (name: string, where: Where, pids: readonly number[], collects: boolean) => {
			context.say(name);
			return await kibPerSocket(context, generators, where, pids, collects);
		};
		const sync = await weigh("/sync", direct(forSync, "/sync"), [forSync.pid], true);
		const raw = await weigh("ws", peer(rawPeer.ports[0] as number, "/"), rawPeer.pids, true);
		const socketIo = await weigh("Socket.IO here", direct(forSocketIo, SOCKET_IO), [forSocketIo.pid], true);
		const bareSocketIo = await weigh("Socket.IO alone", peer(socketIoPeer.ports[0] as number, SOCKET_IO), socketIoPeer.pids, true);
		const through = await weigh("HAProxy", { ...direct(forSync, "/sync"), host: subject.host, port: subject.port }, haproxy, false);
		return {
			figures: [
				{ name: "/sync, worker", value: sync, unit: "KiB", goal: atMost(12) },
				{ name: "/sync, worker and HAProxy", value: sync + through, unit: "KiB", goal: atMost(17) },
				{ name: "HAProxy", value: through, unit: "KiB" },
				{ name: "ws alone", value: raw, unit: "KiB" },
				{ name: "/sync, ratio to ws alone", value: sync / raw, unit: "x" },
				{ name: "Socket.IO, worker", value: socketIo, unit: "KiB" },
				{ name: "Socket.IO alone", value: bareSocketIo, unit: "KiB" },
				{ name: "Socket.IO, ratio to Socket.IO alone", value: socketIo / bareSocketIo, unit: "x", goal: atMost(1.1) },
			],
			charts: [
				{
					name: "idle",
					title: "Memory of an idle connection",
					unit: "KiB",
					bars: [
						{ label: "this, /sync", value: sync, ours: true },
						{ label: "ws alone", value: raw, ours: false },
						{ label: "this, Socket.IO", value: socketIo, ours: true },
						{ label: "Socket.IO alone", value: bareSocketIo, ours: false },
					],
				},
			],
			remarks: [],
			raw: { sync, raw, socketIo, bareSocketIo, through, sockets: context.mode.idleSockets },
		} satisfies Findings;
	},
};

interface FirstWorker {
	readonly address: string;
	readonly pid: number;
}

/** Of the first two nodes: each is weighed once, because what it has taken it does not give back. */
async function firstWorkers(subject: Subject): Promise<[FirstWorker, FirstWorker]> {
	const [one, other] = (await subject.nodes()).map(({ address, workers: [pid] }) => (pid === undefined ? undefined : { address, pid }));
	if (one === undefined || other === undefined) throw new Error("no two workers were found");
	return [one, other];
}

async function kibPerSocket(
	context: Context,
	generators: SocketGenerators,
	where: Where,
	pids: readonly number[],
	collects: boolean,
): Promise<number> {
	const { idleSockets: count } = context.mode;
	await opened(generators, { ...where, count: Math.min(WARMING, count), perSecond: PER_SECOND });
	await generators.close("idle");
	const before = await weight(pids, collects);
	await opened(generators, { ...where, count, perSecond: PER_SECOND });
	const after = await weight(pids, collects);
	const { open } = await generators.report("idle");
	await generators.close("idle");
	await sleep(SETTLE_MS);
	if (open !== count) throw new Error(`${count - open} of ${count} connections were lost while they were weighed`);
	return (after - before) / count;
}

async function opened(generators: SocketGenerators, order: Where & { readonly count: number; readonly perSecond: number }): Promise<void> {
	const { opened, failed } = await generators.open("idle", order);
	if (opened !== order.count)
		throw new Error(`${order.count - opened} of ${order.count} connections were refused: ${JSON.stringify(failed)}`);
}

async function weight(pids: readonly number[], collects: boolean): Promise<number> {
	await sleep(SETTLE_MS);
	for (let time = 0; collects && time < 2; time++) {
		for (const pid of pids) process.kill(pid, "SIGPWR");
		await sleep(SETTLE_MS);
	}
	return anonymousKibOf(pids);
}
