/** Terminal hosts as processes, workers with their sockets, and a Redis between them: what a terminal needs. */
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { io, type Socket } from "socket.io-client";
import { env } from "../../app/contract.ts";
import type { Principal } from "../../app/model.ts";
import { type TerminalSettings, terminalService } from "../../app/services/terminals.ts";
import { connectRedis, type RedisSettings } from "../../app/stores/redis.ts";
import { memoryServices } from "../../app/ws/testing.ts";
import { startWorker, type TestWorker } from "../../app/ws/testing-worker.ts";
import { freePort } from "./daemon.ts";
import { type RedisServer, type SentinelRedis, type StandaloneRedis, startRedis } from "./daemons.ts";
import { ServerProcess, until } from "./server-process.ts";

/** What ElastiCache gives the hosts' user: see core/redis-rules.ts. */
const RULES = [
	"reset",
	"on",
	">host secret",
	"resetkeys",
	"~af:term:*",
	"resetchannels",
	"&af:term:*",
	"+@all",
	"-@admin",
	"-@dangerous",
	"+info",
	"+client|list",
];

const isRoot = process.getuid?.() === 0;

/** With those of root's rights that a pod of the cluster has. */
const asInPod = ["setpriv", "--no-new-privs", "--bounding-set=-all,+chown,+kill,+setgid,+setuid", "--"];

/** User ids of hosts in tests, a thousand each; far from anybody's. */
let firstUid = 300_000;

export interface TerminalWorker {
	readonly worker: TestWorker;
	/** What the service told its observer. */
	readonly problems: string[];
	stop(): Promise<void>;
}

export interface HostProcess {
	readonly process: ServerProcess;
	readonly port: number;
	readonly homes: string;
}

/** The state Redis of a rig. */
export interface RigRedis {
	readonly servers: readonly RedisServer[];
	/** REDIS_STATE's value. */
	readonly url: string;
	readonly settings: RedisSettings;
	stop(): Promise<void>;
}

function standalone({ host, port, server, stop }: StandaloneRedis): RigRedis {
	const settings = { kind: "endpoint", host, port, tls: false, credentials: async () => null } as const;
	return { servers: [server], url: `${host}:${port}`, settings, stop };
}

export function behindSentinels({ name, sentinels, servers, url, stop }: SentinelRedis): RigRedis {
	return { servers, url, settings: { kind: "sentinels", name, sentinels, credentials: async () => null }, stop };
}

export class TerminalRig {
	readonly redis: RigRedis;
	readonly #folder = mkdtempSync(path.join(tmpdir(), "af-terminals-"));
	readonly #people: readonly Principal[];
	readonly #cleanup: (() => Promise<unknown> | unknown)[] = [];

	private constructor(redis: RigRedis, people: readonly Principal[]) {
		this.redis = redis;
		this.#people = people;
		chmodSync(this.#folder, 0o755);
	}

	static async start(people: readonly Principal[]): Promise<TerminalRig> {
		return TerminalRig.on(standalone(await startRedis()), people);
	}

	static async on(redis: RigRedis, people: readonly Principal[]): Promise<TerminalRig> {
		for (const server of redis.servers) await server.command("ACL", "SETUSER", "terminals", ...RULES);
		return new TerminalRig(redis, people);
	}

	/** Secret files, for nobody but their owner. */
	secrets(owner = process.getuid?.() as number): string {
		const folder = path.join(this.#folder, `secrets-${owner}`);
		const files = { username: "terminals", password: "host secret" };
		mkdirSync(path.join(folder, "redis-terminals"), { recursive: true, mode: 0o700 });
		for (const [name, text] of Object.entries(files)) writeFileSync(path.join(folder, "redis-terminals", name), text, { mode: 0o600 });
		for (const name of ["", "redis-terminals", ...Object.keys(files).map((file) => `redis-terminals/${file}`)]) {
			chownSync(path.join(folder, name), owner, owner);
		}
		return folder;
	}

	/** @param user who runs it; whoever runs the test else */
	async host(settings: Readonly<Record<string, string>> = {}, user?: number): Promise<HostProcess> {
		const port = await freePort();
		firstUid += 1_000;
		const homes = settings[env.terminalHomes] ?? path.join(tmpdir(), `af-homes-${process.pid}-${firstUid}`);
		this.#cleanup.unshift(() => rmSync(homes, { recursive: true, force: true }));
		const environment = {
			[env.podIp]: "127.0.0.1",
			[env.port]: String(port),
			[env.secretsDir]: this.secrets(user),
			[env.redisState]: this.redis.url,
			[env.redisTls]: "false",
			[env.drainSeconds]: "5",
			[env.terminalHomes]: homes,
			[env.terminalFirstUid]: String(firstUid),
			CANARY: "of the host's environment",
			...settings,
		};
		const process_ = new ServerProcess("terminal-host", environment, user, undefined, isRoot && user === undefined ? asInPod : []);
		await process_.ready(port);
		this.#cleanup.unshift(async () => {
			process_.signal("SIGTERM");
			await process_.exited;
		});
		return { process: process_, port, homes };
	}

	/** @param legacy who comes in without a credential */
	async worker(
		settings: TerminalSettings | null = { perPrincipal: 8, anonymous: false },
		legacy: Principal | null = null,
	): Promise<TerminalWorker> {
		const problems: string[] = [];
		const terminals = terminalService(
			{
				connect: (purpose, overrides) => connectRedis(this.redis.settings, purpose, overrides),
				problem: (what, error) => problems.push(`${what}: ${error}`),
			},
			settings,
		);
		const worker = await startWorker({ ...memoryServices(this.#people), terminals }, { legacy });
		const stop = async () => {
			await worker.stop();
			terminals.close();
		};
		this.#cleanup.unshift(stop);
		return { worker, problems, stop };
	}

	async stop(): Promise<void> {
		for (const undo of this.#cleanup.splice(0)) await undo();
		await this.redis.stop();
		rmSync(this.#folder, { recursive: true, force: true });
	}
}

/** Characters of a terminal's output, from its end, that a text is looked for in. */
const LOOKED_THROUGH = 100_000;

/** Without what readline says of pasting, and with plain ends of lines. */
export function plain(output: string): string {
	return ["\u001b[?2004h", "\u001b[?2004l", "\r"].reduce((text, noise) => text.replaceAll(noise, ""), output);
}

// biome-ignore lint/suspicious/noExplicitAny: a test looks into whatever came
export type Heard = readonly [name: string, payload: any];

/** A client that keeps all that it hears of terminals. */
export class TerminalClient {
	readonly socket: Socket;
	readonly heard: Heard[] = [];
	readonly #output = new Map<string, string>();

	/** @param subject null for nobody in particular */
	constructor({ worker }: TerminalWorker, subject: string | null, transports = ["websocket"]) {
		this.socket = io(`http://${worker.host}`, {
			transports,
			auth: subject === null ? {} : { token: `token-${subject}` },
			reconnection: false,
			forceNew: true,
		});
		this.socket.onAny((name, payload) => {
			this.heard.push([name, payload]);
			if (name === "terminal:output" && payload.type === "stdout") {
				this.#output.set(payload.sessionId, (this.#output.get(payload.sessionId) ?? "") + payload.data);
			}
		});
	}

	send(name: string, payload: object = {}): void {
		this.socket.emit(name, payload);
	}

	// biome-ignore lint/suspicious/noExplicitAny: a test looks into whatever came
	async next(name: string, test: (payload: any) => boolean = () => true): Promise<any> {
		const find = () => this.heard.find(([heard, payload]) => heard === name && test(payload));
		await until(
			() => find() !== undefined,
			() => `${name}; it heard ${JSON.stringify(this.heard).slice(-2_000)}`,
			30_000,
		);
		return find()?.[1];
	}

	/** Opens a terminal, and waits for it. @returns its id */
	async open(settings: object = {}): Promise<string> {
		const before = this.heard.length;
		this.send("terminal:create", settings);
		await until(
			() => this.heard.slice(before).some(([name]) => name === "terminal:created" || name === "terminal:error"),
			() => `a terminal; it heard ${JSON.stringify(this.heard).slice(-2_000)}`,
			30_000,
		);
		const [name, payload] = this.heard.slice(before).find(([name]) => name === "terminal:created" || name === "terminal:error") as Heard;
		if (name === "terminal:error") throw new Error(payload.error);
		return payload.sessionId;
	}

	/** All that a terminal has written, as it came. */
	output(sessionId: string): string {
		return this.#output.get(sessionId) ?? "";
	}

	async shows(sessionId: string, text: string | RegExp): Promise<void> {
		const has = () => {
			const output = plain(this.output(sessionId).slice(-LOOKED_THROUGH));
			return typeof text === "string" ? output.includes(text) : text.test(output);
		};
		await until(has, () => `${text} in ${JSON.stringify(this.output(sessionId).slice(-3_000))}`, 30_000);
	}

	/** Runs a command line, and waits for what it prints. */
	async run(sessionId: string, line: string): Promise<string> {
		const mark = Math.random().toString(36).slice(2);
		const from = this.output(sessionId).length;
		// Typed in two halves, so that the echo is not taken for the answer.
		this.send("terminal:input", { sessionId, input: `${line}; echo "${mark.slice(0, 3)}""${mark.slice(3)}:$?"\r` });
		await this.shows(sessionId, `${mark}:`);
		const lines = plain(this.output(sessionId).slice(from)).split("\n");
		// A shell that did not wait for it yet has it echoed twice: by the terminal, and by itself. Either may have broken the line.
		const typed = lines.findLastIndex((line) => line.replaceAll(" ", "").includes(`""${mark.slice(3)}:$?"`));
		const text = lines.slice(typed + 1).join("\n");
		return text.slice(0, text.indexOf(`${mark}:`));
	}

	close(): void {
		this.socket.disconnect();
	}
}
