/** Clients that stay: they come back by themselves, note for how long they were away, and check what they are told. */
import { setTimeout as sleep } from "node:timers/promises";
import { io, type Socket } from "socket.io-client";
import { ENGINE_SESSION_SEPARATOR } from "../../app/contract.ts";
import { SyncClient } from "../../app/ws/testing-client.ts";
import { ask, until } from "./server-process.ts";

/** From the loss of a connection until there is another, as `Date.now()`. */
export interface Absence {
	readonly from: number;
	readonly to: number;
	/** As the client knows it. */
	readonly why: string;
}

export interface Follower {
	readonly absences: readonly Absence[];
	/** Breaches of what it was promised. */
	readonly faults: readonly string[];
	/** Settles when it is connected, and has been told all it needs to go on. */
	ready(): Promise<void>;
	close(): void;
}

/** A client of /sync: comes again when it is told to, or after a moment, and goes on from where it was. */
export class SyncFollower implements Follower {
	readonly absences: Absence[] = [];
	readonly #host: string;
	readonly #ended: string[] = [];
	#client: SyncClient;
	#closed = false;

	constructor(host: string) {
		this.#host = host;
		this.#client = new SyncClient(host);
		this.#stay(this.#client);
	}

	get client(): SyncClient {
		return this.#client;
	}

	get faults(): string[] {
		return [...this.#ended, ...this.#client.breaches];
	}

	async ready(): Promise<void> {
		await this.#client.next(isBegin, 20_000);
	}

	close(): void {
		this.#closed = true;
		this.#client.close();
	}

	#stay(client: SyncClient): void {
		void client.closed.then(({ code, reason }) => {
			if (!this.#closed) void this.#comeBack(client, `${code} ${reason}`);
		});
	}

	async #comeBack(lost: SyncClient, why: string): Promise<void> {
		const from = Date.now();
		this.#ended.push(...lost.breaches);
		const { afterMs } = lost.messages.findLast(({ type }) => type === "reconnect") ?? { afterMs: Math.random() * 1_000 };
		let waitMs = Number(afterMs);
		for (let known = lost; !this.#closed; waitMs = 500) {
			await sleep(waitMs);
			const next = new SyncClient(this.#host, { previous: known });
			this.#client = next;
			const failed = Promise.race([next.closed, next.refused]).then(() => false);
			const begun = next.next(isBegin, 30_000).then(
				() => true,
				() => false,
			);
			if (await Promise.race([begun, failed])) {
				this.absences.push({ from, to: Date.now(), why });
				this.#stay(next);
				return;
			}
			known = next;
		}
	}
}

/** It knows where it stands: with all that it missed, or with the state and a word that there was a gap. */
function isBegin({ type }: { readonly type: string }): boolean {
	return type === "resumed" || type === "initial-state";
}

export type Transport = "polling" | "websocket" | "upgrading";

/**
 * A Socket.IO client as it is by default. It takes the ticks for what they are: one after the other, and where some are
 * missing a snapshot comes that has them all.
 */
export class SocketFollower implements Follower {
	readonly absences: Absence[] = [];
	readonly faults: string[] = [];
	readonly socket: Socket;
	/** Tick it has heard of last. */
	last = 0;
	/** Highest tick that a snapshot had. */
	#told = 0;
	/** Highest tick that it has missed and been told nothing of. */
	#missed = 0;
	#left: { readonly from: number; readonly why: string } | null = null;

	/**
	 * @param ticks what it follows
	 * @param jar whether it keeps cookies
	 */
	constructor(host: string, ticks: Ticks, transport: Transport, jar: boolean) {
		this.socket = io(`http://${host}`, {
			forceNew: true,
			withCredentials: jar,
			transports: transport === "upgrading" ? ["polling", "websocket"] : [transport],
		});
		this.socket.on("connect", () => {
			if (this.#left !== null) this.absences.push({ ...this.#left, to: Date.now() });
			this.#left = null;
		});
		this.socket.on("disconnect", (reason) => {
			this.#left = { from: Date.now(), why: reason };
			if (reason === "io server disconnect") this.faults.push("was sent away for good");
		});
		this.socket.on("system:snapshot", (snapshot: { memory: { namespace: string; entries: number }[] }) => {
			this.#told = snapshot.memory.find(({ namespace }) => namespace === ticks.namespace)?.entries ?? 0;
		});
		this.socket.on("memory:stored", ({ namespace, key }: { namespace: string; key: string }) => {
			if (namespace === ticks.namespace) this.#hear(Number(key));
		});
	}

	get transport(): string | undefined {
		return this.socket.io.engine?.transport.name;
	}

	/** The name of its worker, as the balancers know it. */
	get worker(): string | undefined {
		return this.socket.io.engine?.id.split(ENGINE_SESSION_SEPARATOR)[0];
	}

	async ready(): Promise<void> {
		await until(() => this.socket.connected, "a Socket.IO client to connect", 30_000);
	}

	close(): void {
		if (this.#missed > this.#told) this.faults.push(`never heard of tick ${this.#missed}; the last snapshot had ${this.#told}`);
		this.socket.off().disconnect();
	}

	#hear(tick: number): void {
		// The same one again: whoever stored it was not told so the first time.
		if (tick < this.last) this.faults.push(`tick ${tick} came after ${this.last}`);
		if (this.last > 0 && tick > this.last + 1) this.#missed = tick - 1;
		this.last = tick;
	}
}

export interface Ticks {
	/** Where they are stored. */
	readonly namespace: string;
	/** How many there have been. */
	readonly count: number;
	stop(): Promise<void>;
}

let ticking = 0;

/** Stores 1, 2, 3, ..., each once the one before is known to be stored. */
export function startTicks(port: number, everyMs: number): Ticks {
	ticking += 1;
	const namespace = `ticks-${ticking}`;
	let count = 0;
	let on = true;
	const run = async () => {
		while (on) {
			const body = { namespace, key: String(count + 1), value: count + 1 };
			const stored = await ask(port, "/api/memory/store", { method: "POST", body }).then(
				({ status }) => status === 200,
				() => false,
			);
			// What may have been stored is stored again: the same entry, and for its followers the same tick.
			if (stored) count += 1;
			await sleep(everyMs);
		}
	};
	const running = run();
	return {
		namespace,
		get count() {
			return count;
		},
		async stop() {
			on = false;
			await running;
		},
	};
}
