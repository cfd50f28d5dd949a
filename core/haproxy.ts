import { httpBackend, resolvers, sharedBackend, tunnelBackend } from "./haproxy/backend.ts";
import { ADMIN_CONNECTIONS, adminFrontend, trafficFrontend } from "./haproxy/frontend.ts";
import type { HaproxySettings } from "./haproxy/settings.ts";
import { section } from "./haproxy/text.ts";

/**
 * The configuration of a HAProxy in front of the workers, valid for 2.6 and later. Equal settings give equal text.
 *
 * Its stop signal is SIGUSR1, which starts the drain; SIGTERM cuts every connection at once. Requests that cannot even
 * be parsed are answered with HAProxy's own page, all others that it refuses with the JSON of the server's errors.
 *
 * @throws TypeError when a value would need quoting
 */
export function renderHaproxy(settings: HaproxySettings): string {
	return `${[
		globalSection(settings),
		defaults(settings),
		...cache(settings),
		...resolvers(settings),
		trafficFrontend(settings),
		adminFrontend(settings),
		httpBackend(settings),
		...sharedBackend(settings),
		tunnelBackend(settings),
	].join("\n\n")}\n`;
}

/**
 * Bytes for a client that does not read them: what comes then waits at the worker, which has bounds of its own. The kernel
 * alone would take megabytes for each. It is enough for 1 MB/s at a round trip of 100 ms.
 */
const UNREAD_BYTES = 131_072;

/**
 * Connections that are looked at in one round. What a round needs of buffers stays in the processor's cache and in HAProxy's pools,
 * which keep little: of the 200 that are its default each takes its own from the C library, and gives it back.
 */
const EVENTS_AT_ONCE = 16;

function globalSection({ process, binds }: HaproxySettings): string {
	return section("global", [
		"log stdout format raw local0 info",
		`maxconn ${process.maxConnections + ADMIN_CONNECTIONS}`,
		`nbthread ${process.threads}`,
		...(process.drainMs > 0 ? [`grace ${process.drainMs}ms`] : []),
		`hard-stop-after ${process.hardStopMs}ms`,
		`tune.sndbuf.client ${UNREAD_BYTES}`,
		`tune.maxpollevents ${EVENTS_AT_ONCE}`,
		// To look a match up takes longer than these few short patterns do.
		"tune.pattern.cache-size 0",
		...(binds.some(({ tls }) => tls)
			? ["ssl-default-bind-options ssl-min-ver TLSv1.2", "ssl-default-bind-ciphers ECDHE+AESGCM:ECDHE+CHACHA20"]
			: []),
	]);
}

function defaults({ timeouts }: HaproxySettings): string {
	return section("defaults", [
		"mode http",
		"log global",
		"option dontlognull",
		"option http-ignore-probes",
		// Closed at once when it stops, an idle connection may just have been given a request, which would go unanswered.
		"option idle-close-on-response",
		`timeout connect ${timeouts.connectMs}ms`,
		`timeout client ${timeouts.clientMs}ms`,
		`timeout server ${timeouts.serverMs}ms`,
		`timeout http-request ${timeouts.requestMs}ms`,
		`timeout http-keep-alive ${timeouts.keepAliveMs}ms`,
		`timeout queue ${timeouts.queueMs}ms`,
		`timeout client-fin ${timeouts.clientFinMs}ms`,
		...ERRORS.map(errorPage),
	]);
}

function cache({ cache }: HaproxySettings): string[] {
	if (cache.paths.length === 0) return [];
	const lines = [`total-max-size ${cache.totalMib}`, `max-object-size ${cache.maxObjectBytes}`, "max-age 1", "process-vary on"];
	return [section("cache public", lines)];
}

interface ErrorPage {
	readonly status: number;
	readonly error: string;
	readonly message: string;
	/** Seconds after which to try again, where trying again helps. */
	readonly retryAfter: number | null;
}

const ERRORS: readonly ErrorPage[] = [
	{ status: 400, error: "Bad Request", message: "The request is malformed", retryAfter: null },
	{ status: 404, error: "Not Found", message: "There is nothing here", retryAfter: null },
	{ status: 405, error: "Method Not Allowed", message: "This method is not supported", retryAfter: null },
	{ status: 408, error: "Request Timeout", message: "The request did not arrive in time", retryAfter: null },
	{ status: 413, error: "Payload Too Large", message: "The request body is too large", retryAfter: null },
	{ status: 500, error: "Internal Server Error", message: "The request could not be handled", retryAfter: null },
	{ status: 502, error: "Bad Gateway", message: "The connection to the server was lost", retryAfter: 1 },
	{ status: 503, error: "Service Unavailable", message: "No server is free to answer", retryAfter: 2 },
	{ status: 504, error: "Gateway Timeout", message: "The server did not answer in time", retryAfter: 2 },
];

function errorPage({ status, error, message, retryAfter }: ErrorPage): string {
	const body = JSON.stringify({ error, message, success: false, timestamp: "%[date,utime(%Y-%m-%dT%H:%M:%S.000Z)]" });
	const retry = retryAfter === null ? "" : ` hdr Retry-After ${retryAfter}`;
	return `http-error status ${status} content-type application/json lf-string '${body}'${retry}`;
}
