/** Clients that call without end, and remember what they were answered. */
import { Agent, request } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";

/** A call that was not answered with 200. */
export interface FailedCall {
	/** As `Date.now()`, when it was made and when it had failed. */
	readonly from: number;
	readonly to: number;
	readonly what: string;
}

export interface HttpLoad {
	readonly failed: readonly FailedCall[];
	/** Keys of the entries that were said to be stored. */
	readonly acknowledged: readonly string[];
	readonly reads: number;
	stop(): Promise<void>;
}

/** Where {@link startLoad} stores. */
export const LOAD_NAMESPACE = "load";

/** So long each client waits between two calls, milliseconds. */
const PAUSE_MS = 40;
/** A client gives up then; later than anything in front of the server does. */
const PATIENCE_MS = 20_000;

const READS = ["/api/hive/status", "/api/hive/agents", "/api/memory/search?namespace=load&limit=1", "/api/swarm/status"];

let loads = 0;

/** Readers and writers, half of them on connections that are kept and half on a fresh one for each call. */
export function startLoad(port: number, { readers, writers }: { readonly readers: number; readonly writers: number }): HttpLoad {
	loads += 1;
	const run = loads;
	const kept = new Agent({ keepAlive: true });
	const failed: FailedCall[] = [];
	const acknowledged: string[] = [];
	let reads = 0;
	let on = true;

	async function made(agent: Agent | false, method: string, target: string, body?: object): Promise<boolean> {
		const from = Date.now();
		const what = await outcome(port, agent, method, target, body);
		const to = Date.now();
		if (what !== null) failed.push({ from, to, what: `${method} ${target.split("?")[0]}: ${what}` });
		return what === null;
	}
	async function read(agent: Agent | false): Promise<void> {
		for (let turn = 0; on; turn++) {
			if (await made(agent, "GET", READS[turn % READS.length] as string)) reads += 1;
			await sleep(PAUSE_MS);
		}
	}
	async function write(agent: Agent | false, name: string): Promise<void> {
		for (let turn = 0; on; turn++) {
			const key = `${name}-${turn}`;
			if (await made(agent, "POST", "/api/memory/store", { namespace: LOAD_NAMESPACE, key, value: turn })) acknowledged.push(key);
			await sleep(PAUSE_MS);
		}
	}
	const agentOf = (index: number) => (index % 2 === 0 ? kept : false);
	const clients = [
		...Array.from({ length: readers }, (_, index) => read(agentOf(index))),
		...Array.from({ length: writers }, (_, index) => write(agentOf(index), `${run}-${index}`)),
	];
	return {
		failed,
		acknowledged,
		get reads() {
			return reads;
		},
		async stop() {
			on = false;
			await Promise.all(clients);
			kept.destroy();
		},
	};
}

/** Keys of the entries that were said to be stored, and are not there. */
export async function lostOf({ acknowledged }: HttpLoad, port: number): Promise<string[]> {
	const agent = new Agent({ keepAlive: true, maxSockets: 8 });
	const lost: string[] = [];
	const keys = acknowledged.values();
	const look = async () => {
		for (const key of keys) {
			if ((await outcome(port, agent, "GET", `/api/memory/${LOAD_NAMESPACE}/${key}`)) !== null) lost.push(key);
		}
	};
	await Promise.all(Array.from({ length: 8 }, look));
	agent.destroy();
	return lost;
}

/** What went wrong, or null. */
function outcome(port: number, agent: Agent | false, method: string, path: string, body?: object): Promise<string | null> {
	const headers = { host: `127.0.0.1:${port}`, ...(body === undefined ? {} : { "content-type": "application/json" }) };
	return new Promise((resolve) => {
		const sent = request({ host: "127.0.0.1", port, path, method, headers, agent, timeout: PATIENCE_MS }, (response) => {
			let text = "";
			response.on("data", (chunk) => (text += chunk));
			response.once("end", () => resolve(response.statusCode === 200 ? null : `${response.statusCode} ${text.slice(0, 200)}`));
			response.once("error", (error) => resolve(error.message));
		});
		sent.once("error", (error) => resolve(error.message));
		sent.once("timeout", () => sent.destroy(new Error(`no answer in ${PATIENCE_MS / 1000} s`)));
		sent.end(body === undefined ? undefined : JSON.stringify(body));
	});
}
