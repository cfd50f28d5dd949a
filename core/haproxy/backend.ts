import type { HaproxyClient, HaproxySettings, HaproxyWorkers } from "./settings.ts";
import { section, word } from "./text.ts";

/** Repeating these changes nothing, so another worker may be asked when one dies over them. */
const REPEATABLE = "{ method GET HEAD OPTIONS }";

/** What clients send to claim what only a proxy may say, or to confuse a server behind one (httpoxy). */
const UNTRUSTED_HEADERS = ["Forwarded", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Real-IP", "Proxy"];

const RESOLVERS = "cluster";

/**
 * Each try may meet a worker that is dead and not known to be: where a node of two is lost, every other one is. So many tries
 * in a row meet none alive once in two thousand times; three did once in sixteen. Of tunnels, which prefer the worker with fewer,
 * one in a hundred meets none.
 */
const RETRIES = 10;

/**
 * Plain requests. A worker gets a few at a time and the rest waits here, where a free worker takes the next one;
 * a request that waits for the worker of its cookie goes elsewhere when that worker dies or its queue is long.
 */
export function httpBackend(settings: HaproxySettings): string {
	const { http, timeouts } = settings;
	return section("backend http", [
		"balance roundrobin",
		"option abortonclose",
		"option http-buffer-request",
		`timeout server ${timeouts.serverMs}ms`,
		...introduction(settings.client),
		...failover([`http-request disable-l7-retry unless ${REPEATABLE}`]),
		...stickiness(settings),
		...checkedServers(settings, `maxconn ${http.maxPerWorker} maxqueue ${http.maxQueuePerWorker}`),
	]);
}

/**
 * What strangers share and the cache does not have. A few workers at a time get all of it, the next one where those before have
 * their fill: a worker that is asked often has it in its memory, and answers in half the time of one that is asked now and then.
 */
export function sharedBackend(settings: HaproxySettings): string[] {
	const { cache, timeouts } = settings;
	if (cache.paths.length === 0) return [];
	return [
		section("backend shared", [
			"balance first",
			"option abortonclose",
			`timeout server ${timeouts.serverMs}ms`,
			...introduction(settings.client),
			...failover([]),
			...servers(settings, `maxconn ${cache.maxPerWorker}`),
		]),
	];
}

/** Long-lived connections: WebSockets, and polling that may wait for a ping interval. Their places are counted apart from {@link httpBackend}'s. */
export function tunnelBackend(settings: HaproxySettings): string {
	const { tunnels, timeouts } = settings;
	return section("backend tunnels", [
		// Of two, the one with fewer connections. The one with the fewest of all may be dead and not known to be: every try would meet it.
		"balance random(2)",
		`timeout server ${timeouts.pollMs}ms`,
		`timeout tunnel ${timeouts.tunnelMs}ms`,
		...introduction(settings.client),
		...engineSession(settings),
		// A session lives on one worker: asking another for it cannot help.
		...failover([`http-request disable-l7-retry if in_session or !${REPEATABLE}`]),
		...stickiness(settings),
		...servers(settings, `maxconn ${tunnels.maxPerWorker}`),
	]);
}

/** How the names of workers are kept up to date, where they have any. */
export function resolvers({ workers }: HaproxySettings): string[] {
	if (workers.kind === "addresses") return [];
	return [
		section(`resolvers ${RESOLVERS}`, [
			...(workers.nameservers === "resolvConf"
				? ["parse-resolv-conf"]
				: workers.nameservers.map(({ host, port }, index) => `nameserver ns${index + 1} ${word(host)}:${port}`)),
			// The default of 512 bytes drops the whole answer as soon as there are some 20 pods in it.
			"accepted_payload_size 8192",
			`resolve_retries ${workers.retries}`,
			`timeout resolve ${workers.resolveIntervalMs}ms`,
			`timeout retry ${workers.retryMs}ms`,
			...Object.entries(workers.holdMs).map(([status, period]) => `hold ${status} ${period}ms`),
		]),
	];
}

/** What a worker is told of the client, and what a client is not told of it. Here, as what comes from the cache needs none of it. */
function introduction({ kind }: HaproxyClient): string[] {
	const https = kind === "lastForwardedHop" ? "{ req.hdr(X-Forwarded-Proto,-1) -i https }" : "{ ssl_fc }";
	return [
		...UNTRUSTED_HEADERS.map((header) => `http-request del-header ${header}`),
		"http-request set-header X-Forwarded-For %[src]",
		`http-request set-header X-Forwarded-Proto https if ${https}`,
		`http-request set-header X-Forwarded-Proto http unless ${https}`,
		"http-request set-header X-Request-Id %[unique-id]",
		"http-response del-header Server",
		"http-response del-header X-Powered-By",
		// For how long a worker keeps a connection of ours is not for how long we keep a client's.
		"http-response del-header Keep-Alive",
	];
}

/** Connection failures are always tried again, elsewhere; an answer that never came only where `exceptions` allow it. */
function failover(exceptions: readonly string[]): string[] {
	return [`retries ${RETRIES}`, "option redispatch 1", "retry-on conn-failure empty-response", "http-reuse safe", ...exceptions];
}

function stickiness({ sticky }: HaproxySettings): string[] {
	const secure = sticky.secure ? " secure" : "";
	return [`cookie ${word(sticky.cookie)} insert indirect nocache httponly${secure} dynamic`, `dynamic-cookie-key ${word(sticky.key)}`];
}

/**
 * Cookies are looked at after these rules, from the first to the last, and the first that names a living worker wins.
 * So the worker of the session is put before whatever the client sent. `indirect` takes ours out again.
 */
function engineSession({ engine, sticky }: HaproxySettings): string[] {
	const sid = `url_param(${word(engine.sessionParam)})`;
	const separator = word(engine.separator);
	const cookie = `${word(sticky.cookie)}=%[${sid},field(1,${separator})]`;
	return [
		`acl in_session ${sid} -m reg ^[0-9a-f]{16}[${separator}]`,
		`acl other_cookies req.fhdr(Cookie) -m found`,
		`http-request set-header Cookie "${cookie}; %[req.fhdr(Cookie)]" if in_session other_cookies`,
		`http-request set-header Cookie "${cookie}" if in_session !other_cookies`,
	];
}

/**
 * A worker that comes up gets its full share at once: `slowstart` would also leave it one place in its first second, and whoever
 * has to wait for that worker is not looked at again until a connection of it ends, as those of tunnels hardly ever do.
 *
 * Nothing is done to the connections of a worker that is marked down: while it drains, its checks fail but its
 * sockets live on, and those of a dead one end by `timeout tunnel`, or by the client's own missing ping.
 */
function checkedServers({ check, workers }: HaproxySettings, limits: string): string[] {
	return [
		"option httpchk",
		`http-check send meth GET uri ${word(check.path)} ver HTTP/1.1 hdr Host health hdr Connection close`,
		"http-check expect status 200",
		`timeout check ${check.timeoutMs}ms`,
		`default-server check inter ${check.intervalMs}ms fastinter ${check.fastIntervalMs}ms downinter ${check.downIntervalMs}ms rise ${check.rise} fall ${check.fall} ${limits}`,
		...serverLines(workers, () => ""),
	];
}

/** The same workers in another backend. Their checks in {@link httpBackend} count here as well, where each can be named. */
function servers(settings: HaproxySettings, limits: string): string[] {
	const { workers } = settings;
	if (workers.kind === "dns") return checkedServers(settings, limits);
	return [`default-server ${limits}`, ...serverLines(workers, (name) => ` track http/${name}`)];
}

function serverLines(workers: HaproxyWorkers, options: (name: string) => string): string[] {
	if (workers.kind === "addresses") {
		return workers.servers.map(({ name, host, port }) => `server ${word(name)} ${word(host)}:${port}${options(name)}`);
	}
	return [
		`default-server resolvers ${RESOLVERS} resolve-prefer ipv4 resolve-opts allow-dup-ip,ignore-weight init-addr none`,
		...workers.portNames.map(
			(port) => `server-template ${word(port)}- 1-${workers.slots} _${word(port)}._tcp.${word(workers.service)}.${word(workers.domain)}`,
		),
	];
}
