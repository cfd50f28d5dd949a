/**
 * Clients that are cut off again and again: the connection is reset, for a while there is none, then they come back as the
 * protocol lets them. A process of its own. Each notes the numbers of the publisher's messages in the order in which they came.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { io, type Socket } from "socket.io-client";
import { WebSocket } from "ws";
import { answerParent } from "../kit/child.ts";
import type { CutOrder, CutOutcome } from "./cut-client.ts";

interface Client {
	readonly numbers: number[];
	/** The server said which updates are not to be had. */
	gaps: number;
	connect(): Promise<void>;
	cut(): void;
}

const MARK = /@(\d+)@\d+@/;

function syncClient({ url, headers }: CutOrder): Client {
	let socket: WebSocket | null = null;
	let position: number | null = null;
	const client: Client = {
		numbers: [],
		gaps: 0,
		connect() {
			const since = position === null ? "" : `?since=${position}`;
			const opened = new WebSocket(`${url}${since}`, { headers: { ...headers }, perMessageDeflate: false });
			socket = opened;
			opened.on("message", (data) => {
				const message = JSON.parse(String(data)) as { type: string; seq?: number };
				if (message.type === "gap") client.gaps += 1;
				else if (typeof message.seq === "number" && message.type !== "pong") position = Math.max(position ?? 0, message.seq);
				if (message.type !== "task-update") return;
				const number = MARK.exec(String(data))?.[1];
				if (number !== undefined) client.numbers.push(Number(number));
			});
			return new Promise((resolve, reject) => {
				// Until the first word: a client that knows no position has nothing to come back with.
				opened.once("message", () => resolve());
				opened.on("error", reject);
			});
		},
		cut() {
			socket?.removeAllListeners();
			socket?.on("error", () => {});
			socket?.terminate();
		},
	};
	return client;
}

function socketIoClient({ url }: CutOrder): Client {
	let socket: Socket | null = null;
	const numbers: number[] = [];
	return {
		numbers,
		gaps: 0,
		connect() {
			if (socket !== null) socket.connect();
			else {
				socket = io(url, { transports: ["websocket"], reconnection: false, forceNew: true });
				socket.on("task-update", ({ data }: { data: { description: string } }) => numbers.push(Number(MARK.exec(data.description)?.[1])));
			}
			return new Promise((resolve, reject) => {
				socket?.once("connect", () => resolve());
				socket?.once("connect_error", reject);
			});
		},
		cut() {
			socket?.disconnect();
		},
	};
}

answerParent(async (order: CutOrder): Promise<CutOutcome> => {
	const { kind, clients: count, cuts, awayMs, betweenMs, settleMs } = order;
	const clients = Array.from({ length: count }, () => (kind === "sync" ? syncClient(order) : socketIoClient(order)));
	await Promise.all(clients.map((client) => client.connect()));
	process.send?.({ event: "connected" });
	const failed: string[] = [];
	await Promise.all(
		clients.map(async (client, index) => {
			// Not all at the same moment.
			await sleep((betweenMs * index) / count);
			for (let time = 0; time < cuts; time++) {
				await sleep(betweenMs);
				client.cut();
				await sleep(awayMs);
				await client.connect().catch((error: Error) => failed.push(error.message));
			}
		}),
	);
	process.send?.({ event: "cut" });
	await sleep(settleMs);
	const outcome = { numbers: clients.map(({ numbers }) => numbers), gaps: clients.reduce((sum, { gaps }) => sum + gaps, 0), failed };
	for (const client of clients) client.cut();
	return outcome;
});
