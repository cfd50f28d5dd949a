/**
 * The supervisor's process.
 *
 *     node local/daemon.ts <folder of the topology>
 *
 * It lives until it is told `down`, or by a signal, and takes everything along that it has started. One at most lives for a
 * folder: the lock is a name of the kernel's, which is free again when its process is gone, however that was.
 */
import { createHash } from "node:crypto";
import { createServer } from "node:net";
import { LocalCluster } from "./cluster.ts";
import { type Handlers, serveControl } from "./control.ts";
import { layout as layoutOf } from "./place.ts";
import { type Identity, identityOf } from "./processes.ts";
import { endLeftovers, removeState } from "./state.ts";

const folder = process.argv[2];
if (folder === undefined) throw new Error("usage: node local/daemon.ts <folder>");
const layout = layoutOf(folder);
const self = identityOf(process.pid) as Identity;
const log = (line: string) => console.log(`${new Date().toISOString()} ${line}`);

await lock(folder);
let cluster: LocalCluster | null = null;

/** One change at a time, in the order they were asked for. */
let last: Promise<unknown> = Promise.resolve();
function inTurn<T>(work: () => Promise<T>): Promise<T> {
	const mine = last.then(work, work);
	last = mine.catch(() => {});
	return mine;
}

function running(): LocalCluster {
	if (cluster === null) throw new Error("nothing is up yet");
	return cluster;
}

const handlers: Handlers = {
	up: ({ order }, tell) =>
		inTurn(async () => {
			const already = cluster !== null;
			try {
				if (cluster === null) {
					await endLeftovers(layout, (name) =>
						tell({ service: name, state: "stopped", ms: null, why: "left behind by a supervisor that is gone" }),
					);
					cluster = await LocalCluster.prepare(layout, order, self, log);
					await cluster.up(tell);
				}
				const { settings, urls, topology } = cluster;
				return { already, settings, urls, absent: topology.absent, access: await cluster.access() };
			} catch (error) {
				log(`up failed: ${(error as Error).message}`);
				if (!already) void end(1);
				throw error;
			}
		}),
	status: async () => running().status(),
	reload: (_, tell) => inTurn(async () => void (await running().reload(tell))),
	scale: ({ nodes }, tell) => inTurn(async () => void (await running().scale(nodes, tell))),
	failover: ({ what }, tell) => inTurn(() => running().failover(what, tell)),
	access: async () => running().access(),
	token: async ({ words }) => ({ output: await running().token(words) }),
	command: async ({ role }) => running().command(role),
	// Not in turn: it ends what is under way.
	down: async ({ volumes }, tell) => {
		await cluster?.down(tell, { volumes });
		setImmediate(() => void end(0));
	},
};

const server = await serveControl(layout.control, handlers);
for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.on(signal, () => void end(0));

let ending = false;
async function end(code: number): Promise<void> {
	if (ending) return;
	ending = true;
	await cluster?.down(() => {}, { volumes: false });
	removeState(layout);
	server.close();
	// Whoever asked last still gets its answer.
	setTimeout(() => process.exit(code), 200);
}

/** @throws Error where another supervisor has it */
async function lock(of: string): Promise<void> {
	const name = `\0agentic-flow-${createHash("sha256").update(of).digest("hex").slice(0, 24)}`;
	await new Promise<void>((resolve, reject) => {
		createServer()
			.once("error", () => reject(new Error(`another supervisor runs this topology already: ${of}`)))
			.listen(name, resolve)
			.unref();
	});
}
