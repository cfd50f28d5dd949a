/** The worker's figures, as Prometheus reads them. */
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import { processMetrics } from "./process-metrics.ts";

/** Seconds: fine around a tenth of a second, which is what most requests must stay below. */
const REQUEST_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.125, 0.15, 0.25, 0.5, 1, 2.5, 5, 10];
const WAIT_BUCKETS = [0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 60, 300];
const STATEMENT_BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5];

export type Metrics = ReturnType<typeof createMetrics>;

/** What is looked up at each scrape. */
export interface Sources {
	load(): { readonly delaySeconds: number; readonly utilization: number; readonly level: number };
	sockets(): { readonly sync: number; readonly socketIo: number; readonly mcp: number };
	/** Of PostgreSQL, by server. */
	pools(): readonly { readonly server: string; readonly total: number; readonly idle: number; readonly waiting: number }[];
	dependencies(): { readonly [name: string]: { readonly status: "up" | "down" } };
	/** Of all workspaces; null where nobody can say. */
	business(): Promise<Business | null>;
}

/** How much there is of what the server is about. The same from every worker: take the maximum, not the sum. */
export interface Business {
	readonly agents: number;
	readonly tasks: { readonly [status: string]: number };
	readonly memoryEntries: { readonly [system: string]: number };
}

/** Labels hold route templates, codes and names of ours: never what a client sent. */
export function createMetrics() {
	const registry = new Registry();
	processMetrics(registry);
	const registers = [registry];
	const counter = <L extends string>(name: string, help: string, labelNames: readonly L[] = []) =>
		new Counter({ name, help, labelNames, registers });

	return {
		contentType: registry.contentType,
		text: () => registry.metrics(),
		/** From now on each scrape asks them. */
		watch: (sources: Sources) => watch(registers, sources),
		http: {
			duration: new Histogram({
				name: "http_request_duration_seconds",
				help: "From a request's arrival to the end of its answer",
				labelNames: ["route", "method", "status"],
				buckets: REQUEST_BUCKETS,
				registers,
			}),
			waits: new Histogram({
				name: "http_wait_duration_seconds",
				help: "The same, where the answer waited for what job workers did",
				labelNames: ["route", "method", "status"],
				buckets: WAIT_BUCKETS,
				registers,
			}),
			refused: counter("http_requests_refused_total", "Requests refused before anything was done for them", ["reason"]),
			faults: counter("http_faults_total", "Requests that failed by a fault of the server's", ["route"]),
		},
		postgres: {
			duration: new Histogram({
				name: "postgres_statement_duration_seconds",
				help: "Statements, from the question to the answer",
				labelNames: ["server"],
				buckets: STATEMENT_BUCKETS,
				registers,
			}),
			errors: counter("postgres_statement_errors_total", "Statements that failed", ["server"]),
			fallbacks: counter("postgres_replica_fallbacks_total", "Reads that went to the primary though there are replicas", ["reason"]),
			unkept: counter("postgres_unkept_positions_total", "Writes that other workers may not see for a moment"),
		},
		cache: counter("cache_answers_total", "Answers that could be kept, by where they came from", ["source"]),
		events: counter("events_total", "Events that did not come the straight way", ["fate"]),
		sockets: {
			opened: counter("sockets_opened_total", "Sockets let in", ["protocol"]),
			refused: counter("sockets_refused_total", "Connections that never became a socket", ["reason"]),
			closed: counter("sockets_closed_total", "Sockets that have closed, by close code; 0 for none", ["protocol", "code"]),
			writes: counter("sync_writes_total", "Writes to sockets of /sync"),
			updates: counter("sync_updates_total", "Updates in those writes, each counted once for every socket"),
			resumed: counter("sync_resumed_events_total", "Events that clients were sent after they had come back"),
			gaps: counter("sync_gaps_total", "Clients that were told to begin anew"),
		},
		jobs: jobMetrics(registers),
		/** From now on each scrape asks how the jobs are. */
		watchJobs: (sources: JobSources) => watchJobs(registers, sources),
		claimsExpired: counter("task_claims_expired_total", "Claims taken back because nothing was heard of the agent"),
		problems: counter("problems_total", "Trouble that no caller sees, in the log", ["part"]),
	};
}

/** Seconds: tools of ours take milliseconds, commands up to minutes. */
const JOB_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300];

/** What is looked up at each scrape of a job worker. */
export interface JobSources {
	running(): number;
	figures(): Promise<{ readonly queued: number; readonly active: number; readonly dead: number; readonly oldestSeconds: number }>;
}

function jobMetrics(registers: Registry[]) {
	const ended = new Counter({ name: "jobs_ended_total", help: "Attempts that ended", labelNames: ["tool", "state"], registers });
	const reconciled = new Counter({
		name: "jobs_reconciled_total",
		help: "Jobs found in no worker's hands: lost with their worker, given up for it, or missing in the queue",
		labelNames: ["fate"],
		registers,
	});
	return {
		ended,
		duration: new Histogram({
			name: "job_duration_seconds",
			help: "Attempts, from their beginning to their end",
			labelNames: ["tool"],
			buckets: JOB_BUCKETS,
			registers,
		}),
		waited: new Histogram({
			name: "job_wait_seconds",
			help: "Jobs, from being asked for to their first attempt",
			buckets: JOB_BUCKETS,
			registers,
		}),
		reconciled(found: { readonly lost: number; readonly dead: number; readonly missing: number }): void {
			for (const [fate, count] of Object.entries(found)) reconciled.inc({ fate }, count);
		},
	};
}

function watchJobs(registers: Registry[], { running, figures }: JobSources): void {
	new Gauge({
		name: "jobs_running",
		help: "Jobs that this worker runs",
		registers,
		collect() {
			this.set(running());
		},
	});
	// The same from every job worker: take the maximum, not the sum.
	new Gauge({
		name: "jobs",
		help: "Jobs of all workspaces, by state; the dead are those of the last day",
		labelNames: ["state"],
		registers,
		async collect() {
			this.reset();
			const now = await figures().catch(() => null);
			if (now === null) return;
			for (const state of ["queued", "active", "dead"] as const) this.set({ state }, now[state]);
		},
	});
	new Gauge({
		name: "jobs_oldest_queued_seconds",
		help: "How long the oldest job that is queued has waited",
		registers,
		async collect() {
			const now = await figures().catch(() => null);
			if (now === null) this.remove();
			else this.set(now.oldestSeconds);
		},
	});
}

function watch(registers: Registry[], sources: Sources): void {
	const gauge = <L extends string>(
		name: string,
		help: string,
		labelNames: readonly L[],
		collect: (gauge: Gauge<L>) => void | Promise<void>,
	) =>
		new Gauge({
			name,
			help,
			labelNames,
			registers,
			collect() {
				return collect(this);
			},
		});

	gauge("event_loop_delay_seconds", "How late the event loop comes round, at its worst, smoothed", [], (it) =>
		it.set(sources.load().delaySeconds),
	);
	gauge("event_loop_utilization", "Share of the time in which the event loop does something", [], (it) =>
		it.set(sources.load().utilization),
	);
	gauge("load_level", "What is refused for want of time: 0 nothing, 3 nearly everything", [], (it) => it.set(sources.load().level));
	gauge("sockets_open", "Sockets that are open", ["protocol"], (it) => {
		const { sync, socketIo, mcp } = sources.sockets();
		it.set({ protocol: "sync" }, sync);
		it.set({ protocol: "socket-io" }, socketIo);
		it.set({ protocol: "mcp" }, mcp);
	});
	gauge("postgres_pool_connections", "Connections to PostgreSQL", ["server", "state"], (it) => {
		for (const { server, total, idle } of sources.pools()) {
			it.set({ server, state: "idle" }, idle);
			it.set({ server, state: "busy" }, total - idle);
		}
	});
	gauge("postgres_pool_waiting", "Callers that wait for a connection", ["server"], (it) => {
		for (const { server, waiting } of sources.pools()) it.set({ server }, waiting);
	});
	gauge("dependency_up", "1 where what the server depends on can be reached", ["dependency"], (it) => {
		for (const [dependency, { status }] of Object.entries(sources.dependencies())) it.set({ dependency }, status === "up" ? 1 : 0);
	});

	const business = <L extends string>(
		name: string,
		help: string,
		labels: readonly L[],
		set: (gauge: Gauge<L>, business: Business) => void,
	) =>
		gauge(name, help, labels, async (it) => {
			const now = await sources.business();
			it.reset();
			if (now === null && labels.length === 0) it.remove();
			if (now !== null) set(it, now);
		});
	business("agents", "Agents", [], (it, { agents }) => it.set(agents));
	business("tasks", "Tasks, by status", ["status"], (it, { tasks }) => {
		for (const [status, count] of Object.entries(tasks)) it.set({ status }, count);
	});
	business("memory_entries", "Entries in the memory, by system", ["system"], (it, { memoryEntries }) => {
		for (const [system, count] of Object.entries(memoryEntries)) it.set({ system }, count);
	});
}
