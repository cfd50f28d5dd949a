/** A terminal host: users' shells, reached through the state Redis alone. */
import path from "node:path";
import { readTerminalHostConfig } from "../config.ts";
import { ports, secretFiles } from "../contract.ts";
import { createLog, type Log } from "../observe/log.ts";
import { problemsOf } from "../observe/observers.ts";
import { mailboxOptions } from "../stores/mailbox.ts";
import { connectRedis, type RedisSettings } from "../stores/redis.ts";
import { readCredentials } from "../stores/secrets.ts";
import { TerminalHost, type TerminalHostObserver } from "../terminals/host.ts";
import { missingPrograms } from "../terminals/launch.ts";
import { type TerminalMetrics, terminalMetrics } from "../terminals/metrics.ts";
import { canBecome, Quarters } from "../terminals/quarters.ts";
import { serveMetrics } from "./metrics-server.ts";
import { serveProbes } from "./probes.ts";
import { stopOnOrder } from "./stop.ts";

const RETRY_MS = 500;

/** What is left of a drain when terminals are ended, milliseconds: for their shells, and whatever they have started. */
const CLOSING_MS = 5_000;

/**
 * Starts, and returns when terminals can be opened; it then lives until it is told to stop. Redis may be away at the start.
 *
 * @returns 2 where this machine cannot run shells as it should
 * @throws ConfigError with every fault
 */
export async function runTerminalHost(environment: NodeJS.ProcessEnv): Promise<number | undefined> {
	const config = readTerminalHostConfig(environment);
	const { log, flush } = createLog(config.log, "terminal-host", config.version);
	const missing = missingPrograms(config.host.shell);
	if (missing.length > 0) {
		console.error(
			`cannot start: ${missing.join(", ")} cannot be run\n    why: shells are started by them\n    fix: install util-linux and bash, or set TERMINAL_SHELL to a shell that is there`,
		);
		return 2;
	}
	const firstUid = await userIds(config.firstUid, log);
	const quarters = new Quarters(config.host.homes, firstUid);
	await quarters.clear();

	const folder = path.join(config.secretsDir, secretFiles.redisTerminals);
	const settings: RedisSettings = { ...config.redis.state, credentials: () => readCredentials(folder) };
	const redis = connectRedis(settings, "terminal-host");
	const metrics = terminalMetrics(() => host.sessions);
	const host = new TerminalHost({ ...config.host, firstUid }, quarters, redis, observer(log, metrics));
	const releaseMetrics = serveMetrics(metrics, config.address, config.port + ports.metricsOffset, log);
	const releaseProbes = await serveProbes(config.address, config.port, () => (host.open ? "ready" : "draining"));
	stopOnOrder(process, {
		drainMs: config.drainMs,
		log,
		last: flush,
		async drain() {
			releaseMetrics();
			await host.close(Math.max(0, config.drainMs - CLOSING_MS));
			releaseProbes();
			redis.disconnect();
		},
	});
	await open(host, () => connectRedis(settings, "terminal-host-mailbox", mailboxOptions), log);
	log.info({ "server.address": config.address, "server.port": config.port, "host.name": host.id }, "ready");
	return undefined;
}

/** Where this is root, every shell gets a user of its own. @returns the first of their ids; null for this process's own user */
async function userIds(first: number, log: Log): Promise<number | null> {
	if (await canBecome(first)) return first;
	log.warn(
		"shells run as this process's own user: whoever has a terminal can read what this user can, other terminals and the host's credential among it; run the host as root, and each shell gets a user of its own",
	);
	return null;
}

async function open(host: TerminalHost, connect: () => ReturnType<typeof connectRedis>, log: Log): Promise<void> {
	for (let tries = 0; ; tries += 1) {
		try {
			return await host.start(connect());
		} catch (error) {
			if (tries === 0) log.warn({ err: error }, "Redis does not answer; trying again");
			await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
		}
	}
}

/** The audit says who had a shell, where and when, and why it ended: nothing of what was typed. */
function observer(log: Log, metrics: TerminalMetrics): TerminalHostObserver {
	return {
		started({ sessionId, who, shell, pid, uid }) {
			metrics.started.inc();
			log.info(
				{
					"event.action": "terminal-started",
					"event.category": "session",
					"terminal.id": sessionId,
					"user.name": who,
					"user.id": uid === null ? undefined : String(uid),
					"process.executable": shell,
					"process.pid": pid,
				},
				"a terminal has begun",
			);
		},
		ended({ sessionId, who, shell }, { exitCode, signal, reason }) {
			metrics.ended.inc({ reason });
			log.info(
				{
					"event.action": "terminal-ended",
					"event.category": "session",
					"event.reason": reason,
					"terminal.id": sessionId,
					"user.name": who,
					"process.executable": shell,
					"process.exit_code": exitCode,
					"process.signal": signal,
				},
				"a terminal is over",
			);
		},
		wrote: (units) => metrics.output.inc(units),
		problem: problemsOf("terminals", { log, metrics }),
	};
}
