/** Keeps services running: starts them in order, restarts what ends by itself, stops them in the reverse order. */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, statSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { lastLines, makeData, trimLog, writeFiles } from "./files.ts";
import type { Layout } from "./place.ts";
import { type Identity, identityOf, isAlive, launch, signal, stop } from "./processes.ts";
import type { Facts, Service } from "./services/service.ts";

export type State = "waiting" | "starting" | "ready" | "done" | "restarting" | "stopping" | "stopped" | "failed";

/** What happened to a service. */
export interface Told {
	readonly service: string;
	readonly state: State;
	/** Since it began to start, milliseconds; null where that means nothing. */
	readonly ms: number | null;
	readonly why?: string;
}

export interface ServiceStatus {
	readonly name: string;
	readonly role: Service["role"];
	readonly state: State;
	readonly pid: number | null;
	/** Seconds since its process began. */
	readonly seconds: number | null;
	readonly restarts: number;
	readonly facts: Facts;
}

/** A running process, as it is written down for whoever has to end it when the supervisor is gone. */
export interface Running extends Identity {
	readonly name: string;
	readonly after: readonly string[];
	readonly stop: Service["stop"];
}

interface Managed {
	service: Service;
	state: State;
	child: ChildProcess | null;
	identity: Identity | null;
	startedAt: number;
	readyAt: number;
	restarts: number;
	/** Restarts in a row without having been ready for long. */
	failures: number;
	/** Ends the wait before a restart. */
	cancel: AbortController;
	/** The present start or stop. */
	busy: Promise<void>;
}

/** Milliseconds before a restart: doubled with each one in a row, until it has been ready for long enough. */
const backOff = { first: 100, longest: 10_000, forgetAfter: 30_000 };

const POLL_MS = 100;
const TRIM_MS = 10_000;

/** Ends each after all of those that need it have ended, and otherwise at the same time. */
export async function inReverse<T extends { readonly name: string; readonly after: readonly string[] }>(
	all: readonly T[],
	end: (each: T) => Promise<void>,
): Promise<void> {
	const ends = new Map<T, Promise<void>>();
	const endOf = (each: T): Promise<void> => {
		const known = ends.get(each);
		if (known) return known;
		const dependents = all.filter(({ after }) => after.includes(each.name));
		const ending = Promise.all(dependents.map(endOf)).then(() => end(each));
		ends.set(each, ending);
		return ending;
	};
	await Promise.all(all.map(endOf));
}

export class Supervisor {
	readonly #layout: Layout;
	readonly #saved: (running: readonly Running[]) => void;
	readonly #log: (line: string) => void;
	readonly #services = new Map<string, Managed>();
	readonly #trimming: NodeJS.Timeout;
	#stopping = false;

	/**
	 * @param saved is told of all processes whenever one has begun or ended, before anything else happens
	 * @param log one line for each thing that happened by itself
	 */
	constructor(layout: Layout, saved: (running: readonly Running[]) => void, log: (line: string) => void) {
		this.#layout = layout;
		this.#saved = saved;
		this.#log = log;
		this.#trimming = setInterval(() => {
			for (const name of this.#services.keys()) trimLog(layout.log(name));
		}, TRIM_MS).unref();
	}

	/**
	 * Starts services, each as soon as those it needs are ready.
	 *
	 * @throws Error naming the first one that does not get there, and why
	 */
	async start(services: readonly Service[], tell: (told: Told) => void = () => {}): Promise<void> {
		const ready = new Map<string, Promise<void>>();
		for (const service of services) {
			const managed = this.#manage(service);
			const needed = service.after.map((name) => ready.get(name) ?? Promise.resolve());
			const begun = async () => {
				await Promise.all(needed);
				if (this.#stopping) throw new Error("told to stop");
				tell({ service: service.name, state: "starting", ms: null });
				const started = performance.now();
				await this.#begin(managed);
				tell({ service: service.name, state: managed.state, ms: performance.now() - started });
			};
			managed.busy = begun();
			// Whoever waits for it is told; it is no unhandled rejection meanwhile.
			managed.busy.catch(() => {});
			ready.set(service.name, managed.busy);
		}
		await Promise.all(ready.values());
	}

	/** Stops these, those that need others first; all where none are named. */
	async stop(names: readonly string[] = [...this.#services.keys()], tell: (told: Told) => void = () => {}): Promise<void> {
		const all = names.flatMap((name) => this.#services.get(name) ?? []);
		await inReverse(
			all.map(({ service }) => service),
			async ({ name }) => {
				const started = performance.now();
				const { identity } = this.#managed(name);
				const ran = identity !== null && isAlive(identity);
				await this.#end(this.#managed(name));
				if (ran) tell({ service: name, state: "stopped", ms: performance.now() - started });
			},
		);
		for (const name of names) this.#services.delete(name);
	}

	/** Stops all that runs, and starts nothing any more. */
	async close(tell: (told: Told) => void = () => {}): Promise<void> {
		this.#stopping = true;
		clearInterval(this.#trimming);
		await this.stop(undefined, tell);
	}

	/** Gives a running service other files, and tells it so with a signal where it wants one. */
	update(service: Service, how: NodeJS.Signals | null): void {
		const managed = this.#managed(service.name);
		managed.service = service;
		writeFiles(service);
		if (how !== null && managed.identity !== null) signal(managed.identity, how);
	}

	/** Kills a service and does not restart it. */
	async kill(name: string): Promise<void> {
		const managed = this.#managed(name);
		managed.state = "stopping";
		managed.cancel.abort();
		if (managed.identity !== null) await stop(managed.identity, { signal: "SIGKILL", graceMs: 5_000 });
		managed.state = "stopped";
		this.#save();
	}

	identity(name: string): Identity | null {
		return this.#managed(name).identity;
	}

	service(name: string): Service {
		return this.#managed(name).service;
	}

	get names(): string[] {
		return [...this.#services.keys()];
	}

	/** How everything is, asked now. */
	async status(): Promise<ServiceStatus[]> {
		return Promise.all(
			[...this.#services.values()].map(async (managed) => {
				const { service, state, identity, startedAt, restarts } = managed;
				const alive = identity !== null && isAlive(identity);
				const facts = alive && state === "ready" ? await service.inspect().catch(() => ({ answers: false })) : {};
				return {
					name: service.name,
					role: service.role,
					state: managed.state === state ? state : managed.state,
					pid: alive ? identity.pid : null,
					seconds: alive ? Math.round((performance.now() - startedAt) / 1_000) : null,
					restarts,
					facts,
				};
			}),
		);
	}

	#managed(name: string): Managed {
		const managed = this.#services.get(name);
		if (managed === undefined) throw new Error(`there is no service ${name}`);
		return managed;
	}

	#manage(service: Service): Managed {
		const managed: Managed = {
			service,
			state: "waiting",
			child: null,
			identity: null,
			startedAt: 0,
			readyAt: 0,
			restarts: 0,
			failures: 0,
			cancel: new AbortController(),
			busy: Promise.resolve(),
		};
		this.#services.set(service.name, managed);
		return managed;
	}

	/** Starts one for the first time. A copy of data that is no good is made once more. */
	async #begin(managed: Managed): Promise<void> {
		const { service } = managed;
		try {
			writeFiles(service);
			if (service.data && (service.data.renew || !existsSync(service.data.folder))) await makeData(service.data);
			await this.#run(managed).catch(async (error: unknown) => {
				if (!service.data?.copy || this.#stopping) throw error;
				if (managed.identity !== null) await stop(managed.identity, service.stop);
				await makeData(service.data);
				await this.#run(managed);
			});
		} catch (error) {
			managed.state = "failed";
			throw new Error(`${service.name} does not start: ${(error as Error).message}`, { cause: error });
		}
	}

	/** One process, until it is ready; from then on it is brought back when it ends. */
	async #run(managed: Managed): Promise<void> {
		const { service } = managed;
		const log = this.#layout.log(service.name);
		const logged = existsSync(log) ? statSync(log).size : 0;
		managed.state = managed.restarts > 0 ? "restarting" : "starting";
		managed.startedAt = performance.now();
		managed.cancel = new AbortController();
		const child = launch(service.command, log, this.#layout.folder);
		managed.child = child;
		const exited = once(child, "exit").then(
			([code, signal]) => ({ how: (signal ?? `code ${code}`) as string }),
			(error: Error) => ({ how: error.message }),
		);
		managed.identity = child.pid === undefined ? null : identityOf(child.pid);
		this.#save();
		const isReady = await this.#untilReady(managed, exited);
		if (service.once) {
			const { how } = await exited;
			this.#save();
			if (how !== "code 0") throw new Error(`it ended with ${how}${lastLines(log, logged)}`);
			managed.state = "done";
			return;
		}
		if (isReady !== true) {
			throw new Error(
				isReady === false
					? `it is not ready after ${service.startMs / 1_000} s${lastLines(log, logged)}`
					: `it ended with ${isReady}${lastLines(log, logged)}`,
			);
		}
		managed.state = "ready";
		managed.readyAt = performance.now();
		void exited.then(({ how }) => this.#ended(managed, child, how));
	}

	/** @returns true, false after its time, or how it ended */
	async #untilReady({ service }: Managed, exited: Promise<{ how: string }>): Promise<boolean | string> {
		if (service.once) return true;
		let end: string | null = null;
		void exited.then(({ how }) => {
			end = how;
		});
		const deadline = performance.now() + service.startMs;
		while (performance.now() < deadline) {
			if (await service.ready().catch(() => false)) return end ?? true;
			if (end !== null) return end;
			await sleep(POLL_MS);
		}
		return end ?? false;
	}

	#ended(managed: Managed, child: ChildProcess, how: string): void {
		this.#save();
		if (managed.child !== child || managed.state !== "ready" || this.#stopping) return;
		this.#log(`${managed.service.name} ended with ${how}: it is started again`);
		if (performance.now() - managed.readyAt > backOff.forgetAfter) managed.failures = 0;
		managed.busy = this.#restart(managed);
	}

	/** Until it is ready again, or is to stop. */
	async #restart(managed: Managed): Promise<void> {
		for (;;) {
			managed.state = "restarting";
			managed.restarts += 1;
			const wait = Math.min(backOff.longest, backOff.first * 2 ** managed.failures);
			managed.failures += 1;
			await sleep(wait, undefined, { signal: managed.cancel.signal }).catch(() => {});
			if (managed.state !== "restarting" || this.#stopping) return;
			try {
				writeFiles(managed.service);
				await this.#run(managed);
				this.#log(`${managed.service.name} is ready again`);
				return;
			} catch (error) {
				if (managed.state !== "restarting" || this.#stopping) return;
				this.#log(`${managed.service.name}: ${(error as Error).message}`);
				if (managed.identity !== null) await stop(managed.identity, managed.service.stop);
			}
		}
	}

	async #end(managed: Managed): Promise<void> {
		managed.state = "stopping";
		managed.cancel.abort();
		if (managed.identity !== null) await stop(managed.identity, managed.service.stop);
		// A start that is under way finds its process gone.
		await managed.busy.catch(() => {});
		if (managed.identity !== null) await stop(managed.identity, managed.service.stop);
		managed.state = "stopped";
		this.#save();
	}

	#save(): void {
		this.#saved(
			[...this.#services.values()].flatMap(({ service, identity }) =>
				identity !== null && isAlive(identity) ? [{ ...identity, name: service.name, after: service.after, stop: service.stop }] : [],
			),
		);
	}
}
