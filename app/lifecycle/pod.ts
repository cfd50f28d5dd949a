/** The first process of a pod: starts PM2 and its workers, answers for all of them, and lets them stop together. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { createServer, type Server } from "node:http";
import path from "node:path";
import { createInterface } from "node:readline";
import { type PodConfig, readPodConfig } from "../config.ts";
import { paths } from "../contract.ts";
import { createLog, type Log } from "../observe/log.ts";
import { askReady } from "./probes.ts";

const POLL_MS = 500;
/** No worker has answered anything for so long: nothing in here mends that any more. */
const DEAD_MS = 60_000;
/** After the drain: PM2's own end. */
const PM2_MARGIN_MS = 6_000;
/** The same signal again, later than this, does not wait any longer. */
const FORCE_AFTER_MS = 1_000;

/**
 * Runs until PM2 has ended: after a signal with code 0, by itself with code 1.
 *
 * @throws ConfigError with every fault
 */
export async function runPod(environment: NodeJS.ProcessEnv): Promise<number> {
	const config = readPodConfig(environment);
	const { log, flush } = createLog(config.log, "pod", config.version);
	const workers = new Workers(config);
	const health = serveHealth(config, workers);
	const pm2 = startPm2(config, environment);
	pass(pm2, log);
	log.info({ "process.args": config.workerPorts.map(String) }, "the workers are starting");

	const code = await new Promise<number>((resolve) => {
		const forced = stopOnSignals(pm2, workers, config, log);
		pm2.once("exit", (code, signal) => {
			const wanted = workers.stopping && !forced();
			if (!wanted) log.fatal({ code, signal }, "PM2 has ended");
			resolve(wanted ? 0 : 1);
		});
	});
	workers.stop();
	health.close();
	health.closeAllConnections();
	flush();
	return code;
}

/** What the workers last said of themselves. */
class Workers {
	stopping = false;
	#ready = 0;
	#answeredAt = Date.now();
	readonly #timer: NodeJS.Timeout;

	constructor({ address, workerPorts }: PodConfig) {
		this.#timer = setInterval(async () => {
			const statuses = await Promise.all(workerPorts.map((port) => askReady(address, port)));
			this.#ready = statuses.filter((status) => status === 200).length;
			if (statuses.some((status) => status !== null)) this.#answeredAt = Date.now();
		}, POLL_MS);
	}

	get ready(): boolean {
		return !this.stopping && this.#ready > 0;
	}

	get alive(): boolean {
		return Date.now() - this.#answeredAt < DEAD_MS;
	}

	get counts(): object {
		return { ready: this.#ready, stopping: this.stopping };
	}

	stop(): void {
		clearInterval(this.#timer);
	}
}

function serveHealth({ address, port }: PodConfig, workers: Workers): Server {
	const states: Record<string, () => boolean> = { [paths.live]: () => workers.alive, [paths.ready]: () => workers.ready };
	const server = createServer((request, response) => {
		const good = states[request.url ?? ""]?.();
		response.writeHead(good === undefined ? 404 : good ? 200 : 503, { "Content-Type": "application/json", "Cache-Control": "no-store" });
		response.end(
			JSON.stringify(good === undefined ? { error: "Not Found" } : { status: good ? "ok" : "unavailable", workers: workers.counts }),
		);
	});
	return server.listen(port, address);
}

function startPm2(config: PodConfig, environment: NodeJS.ProcessEnv): ChildProcess {
	mkdirSync(config.pm2Home, { recursive: true });
	const folder = path.dirname(import.meta.dirname);
	const program = path.join(import.meta.dirname, "pm2-runtime.cjs");
	return spawn(process.execPath, [program, "start", path.join(folder, "ecosystem.config.cjs"), "--no-auto-exit"], {
		cwd: folder,
		env: {
			...environment,
			// PM2 asks the first `node` of the PATH what it can do, whichever it runs under.
			PATH: [path.dirname(process.execPath), environment.PATH].join(path.delimiter),
			PM2_HOME: config.pm2Home,
			PM2_DISABLE_VERSION_CHECK: "true",
			// One worker a port: nothing to share out, so workers accept for themselves and not through PM2.
			NODE_CLUSTER_SCHED_POLICY: "none",
		},
		stdio: ["ignore", "pipe", "pipe", "ipc"],
		// A Ctrl-C in a terminal is for this process, which passes it on.
		detached: true,
	});
}

const PREFIX = /^[\d-]+T[\d:]+: PM2 (log|error): /;
/** Ten times a second for as long as a worker drains. */
const CHATTER = /msg=failed to kill - retrying/;

/** The workers' lines as they are, PM2's own as lines of the log. */
function pass(pm2: ChildProcess, log: Log): void {
	for (const stream of [pm2.stdout, pm2.stderr]) {
		if (stream === null) continue;
		createInterface({ input: stream }).on("line", (line) => {
			if (line.startsWith("{")) process.stdout.write(`${line}\n`);
			else if (line.trim() !== "") log[CHATTER.test(line) ? "debug" : "info"]({ "event.provider": "pm2" }, line.replace(PREFIX, ""));
		});
	}
}

/** @returns whether the end was forced */
function stopOnSignals(pm2: ChildProcess, workers: Workers, config: PodConfig, log: Log): () => boolean {
	const first = new Map<string, number>();
	let forced = false;
	const force = (why: string) => {
		forced = true;
		log.error(`${why}: killing what is left`);
		pm2.kill("SIGKILL");
	};
	const stop = (signal: NodeJS.Signals) => {
		const before = first.get(signal);
		if (before !== undefined) {
			if (Date.now() - before > FORCE_AFTER_MS) force(`${signal} again`);
			return;
		}
		first.set(signal, Date.now());
		if (workers.stopping) return;
		workers.stopping = true;
		log.info(`${signal}: all workers drain`);
		// It sends every worker its signal at once, and ends when the last is gone.
		pm2.kill("SIGTERM");
		setTimeout(() => force("not done in time"), config.drainMs + PM2_MARGIN_MS).unref();
	};
	process.on("SIGTERM", stop);
	process.on("SIGINT", stop);
	return () => forced;
}
