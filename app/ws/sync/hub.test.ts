import type { Duplex } from "node:stream";
import { describe, expect, it } from "vitest";
import type { SyncEvent } from "../../model.ts";
import type { Update } from "../conflate.ts";
import type { Feed } from "../feed.ts";
import type { SocketObserver } from "../settings.ts";
import { SyncSocket } from "./group.ts";
import { Hub, type Start } from "./hub.ts";
import type { States } from "./state.ts";

/** What a write takes here, as where the kernel has much to do: milliseconds of the processor. */
const WRITE_MS = 0.1;

/** A hub whose sockets note what is written to them, and for whom catching up begins. */
async function hubOf(count: number) {
	const caughtUp: { socket: SyncSocket; start: Start }[] = [];
	const feed = { position: 0, listeners: new Set() } as unknown as Feed;
	const observe = { delivered: () => {} } as unknown as SocketObserver;
	const hub = new Hub(
		"default",
		Promise.resolve(feed),
		{} as States,
		{ bufferedBytes: 1_000 },
		(socket, start) => caughtUp.push({ socket, start }),
		observe,
	);
	await hub.ready;
	const written = new Map<SyncSocket, string[]>();
	const sockets = Array.from({ length: count }, () => {
		const socket = new SyncSocket(null as never, undefined, {} as never);
		Object.defineProperty(socket, "readyState", { value: SyncSocket.OPEN });
		const frames: string[] = [];
		written.set(socket, frames);
		socket.raw = { writableLength: 0, write: (data: Buffer) => slowly(() => frames.push(textOf(data))) } as unknown as Duplex;
		hub.assign(socket, "");
		hub.join(socket);
		return socket;
	});
	const tick = (seq: number) => {
		const event: SyncEvent = { seq, entityType: "agent", entityId: "a", action: "updated", data: { seq }, timestamp: 1 };
		const updates: Update[] = [{ event, action: "updated", count: 1 }];
		(feed as { position: number }).position = seq;
		return hub.onTick([event], updates, seq - 1, seq);
	};
	const seqsOf = (socket: SyncSocket) =>
		(written.get(socket) as string[]).flatMap((text) => [...text.matchAll(/"seq":(\d+),"count"/g)].map(([, seq]) => Number(seq)));
	return { hub, sockets, written, tick, seqsOf, caughtUp };
}

function slowly(work: () => void): void {
	for (const until = performance.now() + WRITE_MS; performance.now() < until; );
	work();
}

function textOf(frames: Buffer): string {
	return frames.toString("latin1");
}

describe("a tick to many sockets", () => {
	it("lets others have their turn in between, and writes to every one of them", async () => {
		const { sockets, tick, seqsOf } = await hubOf(400);
		let turns = 0;
		let on = true;
		const turn = () => {
			turns += 1;
			if (on) setImmediate(turn);
		};
		setImmediate(turn);
		await new Promise((resolve) => setImmediate(resolve));
		await tick(1);
		on = false;
		expect(sockets.map(seqsOf)).toEqual(sockets.map(() => [1]));
		// 400 writes take 40 ms at least.
		expect(turns).toBeGreaterThan(5);
	});

	it("is over at once where there is little to write", async () => {
		const { sockets, tick, seqsOf } = await hubOf(10);
		expect(tick(1)).toBeUndefined();
		expect(sockets.map(seqsOf)).toEqual(sockets.map(() => [1]));
	});

	it("comes before whatever else is written to a socket meanwhile, and before it leaves", async () => {
		const { hub, sockets, written, tick } = await hubOf(400);
		const done = tick(1);
		const [asking, leaving] = sockets.slice(-2) as [SyncSocket, SyncSocket];
		asking.tell({ type: "pong", seq: hub.position });
		hub.pause(leaving);
		expect(leaving.told).toBe(1);
		expect(written.get(asking)?.map((text) => /"type":"([^"]+)"/.exec(text)?.[1])).toEqual(["agent-update", "pong"]);
		expect(written.get(leaving)).toHaveLength(1);
		await done;
		expect(written.get(asking)).toHaveLength(2);
		expect(written.get(leaving)).toHaveLength(1);
	});

	it("is finished by the next one", async () => {
		const { sockets, tick, seqsOf } = await hubOf(400);
		const first = tick(1);
		const second = tick(2);
		await Promise.all([first, second]);
		expect(sockets.map(seqsOf)).toEqual(sockets.map(() => [1, 2]));
	});

	it("passes over who does not read, and has them caught up from before it", async () => {
		const { sockets, tick, seqsOf, caughtUp } = await hubOf(400);
		const slow = sockets[300] as SyncSocket;
		(slow.raw as unknown as { writableLength: number }).writableLength = 2_000;
		await tick(1);
		expect(caughtUp).toEqual([{ socket: slow, start: { kind: "state", atLeast: 0, missedFrom: 1 } }]);
		expect([seqsOf(slow), slow.live]).toEqual([[], false]);
		await tick(2);
		expect(seqsOf(sockets[299] as SyncSocket)).toEqual([1, 2]);
		expect(seqsOf(slow)).toEqual([]);
	});
});
