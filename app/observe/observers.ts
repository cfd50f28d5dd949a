/** What the parts of the worker tell, as metrics, spans and lines of the log. */
import type { HttpObserver } from "../http/settings.ts";
import type { RunnerObserver } from "../jobs/runner.ts";
import type { ServiceObserver } from "../services/compose.ts";
import type { DatabaseObserver } from "../stores/postgres.ts";
import type { SocketObserver } from "../ws/settings.ts";
import type { Log } from "./log.ts";
import type { Metrics } from "./metrics.ts";
import type { Tracing } from "./tracing.ts";

export interface Observing {
	readonly log: Log;
	readonly metrics: Metrics;
	/** Null where nobody collects traces. */
	readonly tracing: Tracing | null;
}

/** A request that took longer is logged, whatever became of it. Seconds. */
const SLOW_SECONDS = 1;

/** One of so many requests is logged, though nothing is the matter with it. */
const SAMPLED = 10_000;

/** Between two lines of one kind of trouble, milliseconds: a dead server must not fill the log. */
const QUIET_MS = 5_000;

const METHODS = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]);

export function httpObserver({ log, metrics, tracing }: Observing): HttpObserver {
	let answers = 0;
	return {
		begin: tracing === null ? null : (request, route, next) => tracing.begin(request, route, next),
		isTraced: tracing?.isTraced ?? null,
		answered(request, route, status, seconds, waited) {
			const method = METHODS.has(request.method ?? "") ? (request.method as string) : "other";
			metrics.http[waited ? "waits" : "duration"].observe({ route, method, status }, seconds);
			answers += 1;
			const matters = waited ? null : status >= 500 && status !== 503 ? "error" : seconds > SLOW_SECONDS ? "warn" : null;
			const level = matters ?? (answers % SAMPLED === 0 ? "info" : "debug");
			if (log.isLevelEnabled(level)) {
				log[level](
					{
						"http.request.method": method,
						"http.response.status_code": status,
						"url.path": route,
						"event.duration": Math.round(seconds * 1e9),
					},
					"answered",
				);
			}
			tracing?.answered(request, status);
		},
		refused: (_route, reason) => metrics.http.refused.inc({ reason }),
		fault(error, { method, route, requestId }) {
			metrics.http.faults.inc({ route });
			log.error(
				{ err: error, "http.request.method": method, "url.path": route, "http.request.id": requestId ?? undefined },
				"a request failed",
			);
		},
	};
}

export function databaseObserver(observing: Observing): DatabaseObserver {
	const { metrics, tracing } = observing;
	return {
		fallback: (reason) => metrics.postgres.fallbacks.inc({ reason }),
		unkept: () => metrics.postgres.unkept.inc(),
		statement(server, name) {
			const start = performance.now();
			const ended = tracing?.statement(server, name);
			return (error) => {
				metrics.postgres.duration.observe({ server }, (performance.now() - start) / 1_000);
				if (error !== null) metrics.postgres.errors.inc({ server });
				ended?.(error);
			};
		},
		problem: problemsOf("postgres", observing),
	};
}

export function serviceObserver(observing: Observing): ServiceObserver {
	const { log, metrics } = observing;
	return {
		cacheAnswered: (source) => metrics.cache.inc({ source }),
		eventsMended: (events) => metrics.events.inc({ fate: "mended" }, events),
		eventsRefilled: (events) => metrics.events.inc({ fate: "refilled" }, events),
		eventsLost: (events) => metrics.events.inc({ fate: "lost" }, events),
		limitsShared: (together) =>
			log.warn(together ? "rate limits are shared again" : "rate limits are each worker's own while Redis is away"),
		problem: problemsOf("services", observing),
	};
}

export function socketObserver(observing: Observing): SocketObserver {
	const { sockets } = observing.metrics;
	const problem = problemsOf("sockets", observing);
	return {
		opened: (protocol) => sockets.opened.inc({ protocol }),
		closed: (protocol, code) => sockets.closed.inc({ protocol, code }),
		refused: (reason) => sockets.refused.inc({ reason }),
		delivered(receivers, updates) {
			sockets.writes.inc(receivers);
			sockets.updates.inc(receivers * updates);
		},
		resumed: (events) => sockets.resumed.inc(events),
		gap: () => sockets.gaps.inc(),
		fault: (where, error) => problem(where, error),
	};
}

export function jobObserver(observing: Observing): RunnerObserver {
	const { jobs } = observing.metrics;
	return {
		begun(_tool, waitedSeconds) {
			if (waitedSeconds !== null) jobs.waited.observe(Math.max(0, waitedSeconds));
		},
		ended(tool, state, seconds) {
			jobs.ended.inc({ tool, state });
			jobs.duration.observe({ tool }, seconds);
		},
		problem: problemsOf("jobs", observing),
	};
}

/** Counts everything, and logs the first of a kind in a while. */
export function problemsOf(
	part: string,
	{ log, metrics }: { readonly log: Log; readonly metrics: Pick<Metrics, "problems"> },
): (what: string, error: unknown) => void {
	const quietUntil = new Map<string, number>();
	return (what, error) => {
		metrics.problems.inc({ part });
		const now = performance.now();
		if (now < (quietUntil.get(what) ?? 0)) return;
		quietUntil.set(what, now + QUIET_MS);
		log.warn({ err: error, "event.module": part }, what);
	};
}
