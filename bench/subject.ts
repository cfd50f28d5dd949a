/** What is measured: the whole topology, started and stopped by `flowctl` as everybody does it. The one file that knows how. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { ports, workerPorts } from "../app/contract.ts";
import { askControl } from "../local/control.ts";
import { type Layout, layout, nodeAddress, portsFrom } from "../local/place.ts";
import { stop } from "../local/processes.ts";
import { endLeftovers, readState } from "../local/state.ts";
import type { Shape } from "./context.ts";
import { familyOf, type Roles } from "./kit/proc.ts";

const root = path.dirname(import.meta.dirname);

/** Beside the default, so that a topology that is up meanwhile stays as it is. */
const PORT = 28_001;

/**
 * All clients are one or two principals, from a few addresses. Workers collect their garbage when they are told to.
 * `BENCH_NODE_OPTIONS` adds to the workers' own: `--cpu-prof --cpu-prof-dir=...` shows where their time goes.
 */
const ENVIRONMENT = [
	"PRINCIPAL_RATE=1000000",
	"ADDRESS_RATE=1000000",
	`NODE_OPTIONS=--import="${path.join(import.meta.dirname, "kit", "collect-on-signal.mjs")}" ${process.env.BENCH_NODE_OPTIONS ?? ""}`.trim(),
].join(",");

/** What a topology is asked to be. */
export interface SubjectSettings extends Shape {
	/** Where it sends its traces. */
	readonly traces: string;
}

export interface SubjectNode {
	readonly name: string;
	readonly address: string;
	readonly ports: readonly number[];
	/** PM2, which keeps the workers going. */
	readonly daemon: number;
	readonly workers: readonly number[];
}

export class Subject {
	readonly host = "127.0.0.1";
	readonly port = PORT;
	readonly settings: SubjectSettings;
	/** Seconds from the order to the end of the command: everything was ready then. */
	readonly upSeconds: number;
	readonly #folder: string;
	readonly #layout: Layout;

	private constructor(settings: SubjectSettings, folder: string, upSeconds: number) {
		this.settings = settings;
		this.upSeconds = upSeconds;
		this.#folder = folder;
		this.#layout = layoutIn(folder);
	}

	static async start(settings: SubjectSettings): Promise<Subject> {
		const folder = mkdtempSync(path.join(tmpdir(), "af-bench-"));
		// Root starts PostgreSQL as somebody else, who has to pass through.
		chmodSync(folder, 0o711);
		const { nodes, workers, sockets, traces } = settings;
		const options = { port: PORT, nodes, workers, sockets, traces, env: ENVIRONMENT };
		const started = performance.now();
		try {
			await flowctl(folder, ["up", "--stack", "dev", ...Object.entries(options).map(([name, value]) => `--${name}=${value}`)]);
		} catch (error) {
			await new Subject(settings, folder, Number.NaN).stop();
			throw error;
		}
		return new Subject(settings, folder, (performance.now() - started) / 1_000);
	}

	/** What a request has as its Host. */
	get authority(): string {
		return `${this.host}:${this.port}`;
	}

	/** A new token. @param workspace whose it is */
	async token(subject: string, workspace = "bench"): Promise<string> {
		const words = ["issue", "--subject", subject, "--workspace", workspace, "--role", "member,operator", "--days", "1"];
		const { output } = await askControl(this.#layout.control, "token", { words });
		return (JSON.parse(output) as { token: string }).token;
	}

	/** Its processes now. */
	async nodes(): Promise<SubjectNode[]> {
		const { services } = await askControl(this.#layout.control, "status", {});
		const entries = services.filter(({ role, pid }) => role === "node" && pid !== null);
		return entries.map(({ name, pid }, index) => {
			const below = familyOf([pid as number]).filter((each) => each !== pid);
			const daemon = below.find((each) => commandOf(each).includes("pm2-runtime")) ?? 0;
			const workers = below.filter((each) => each !== daemon && commandOf(each).includes("main.ts"));
			return {
				name,
				address: nodeAddress(PORT, index + 1),
				ports: workerPorts(this.settings.workers),
				daemon,
				workers,
			};
		});
	}

	/** By what they are for: the workers, the load balancer, the stores. */
	async roles(): Promise<Roles> {
		const { services } = await askControl(this.#layout.control, "status", {});
		const of = (...names: string[]) =>
			familyOf(services.filter(({ role }) => names.includes(role)).flatMap(({ pid }) => (pid === null ? [] : [pid])));
		return {
			app: (await this.nodes()).flatMap(({ workers }) => workers),
			haproxy: of("haproxy"),
			redis: of("redis", "sentinel"),
			postgres: of("postgres"),
		};
	}

	/** The terminal hosts' own processes, without the shells below them. */
	async terminalHosts(): Promise<number[]> {
		const { services } = await askControl(this.#layout.control, "status", {});
		return services.flatMap(({ role, pid }) => (role === "terminal-host" && pid !== null ? [pid] : []));
	}

	/** What the load balancer's cache was asked for so far, and what it had. */
	async cacheCounts(): Promise<{ readonly lookups: number; readonly hits: number }> {
		const { services } = await askControl(this.#layout.control, "status", {});
		const balancers = services.filter(({ role }) => role === "haproxy").length;
		const counts = { lookups: 0, hits: 0 };
		for (let index = 0; index < balancers; index++) {
			const metrics = await (await fetch(`http://127.0.0.1:${portsFrom(PORT).haproxyAdmin(index)}/metrics`)).text();
			const count = (name: string) =>
				Number(new RegExp(`^haproxy_frontend_http_cache_${name}_total\\{proxy="traffic"\\} (\\d+)`, "m").exec(metrics)?.[1] ?? 0);
			counts.lookups += count("lookups");
			counts.hits += count("hits");
		}
		return counts;
	}

	/** Replaces every worker. */
	async reload(): Promise<void> {
		await askControl(this.#layout.control, "reload", {});
	}

	/** Where everything of it begins. */
	get roots(): number[] {
		const state = readState(this.#layout);
		return state === null ? [] : [state.supervisor.pid, ...state.processes.map(({ pid }) => pid)];
	}

	async stop(): Promise<void> {
		const state = readState(this.#layout);
		await flowctl(this.#folder, ["down", "--volumes", `--port=${PORT}`]).catch(async (error: Error) => {
			console.error(`${error.message}\nending it without flowctl`);
			if (state !== null) await stop(state.supervisor, { signal: "SIGTERM", graceMs: 40_000 });
			await endLeftovers(this.#layout, () => {});
		});
		rmSync(this.#folder, { recursive: true, force: true });
	}
}

/** The port at which a worker is reached directly is the same on every node. */
export const firstWorkerPort = ports.firstWorker;

function layoutIn(folder: string): Layout {
	return layout(path.join(folder, String(PORT)));
}

async function flowctl(folder: string, args: readonly string[]): Promise<void> {
	const child = spawn(process.execPath, [path.join(root, "cli", "flowctl.ts"), ...args], {
		cwd: root,
		env: { ...process.env, FLOWCTL_STATE: folder },
		stdio: ["ignore", "pipe", "pipe"],
	});
	let output = "";
	for (const stream of [child.stdout, child.stderr]) stream.on("data", (data) => (output += data));
	const [code] = await once(child, "close");
	if (code !== 0) throw new Error(`flowctl ${args[0]} ended with ${code}:\n${output.trim().split("\n").slice(-12).join("\n")}`);
}

function commandOf(pid: number): string {
	try {
		return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
	} catch {
		return "";
	}
}
