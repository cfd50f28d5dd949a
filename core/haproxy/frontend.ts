import type { HaproxyBind, HaproxySettings } from "./settings.ts";
import { atOrBelow, section, word } from "./text.ts";

const METHODS = "GET HEAD POST PUT PATCH DELETE OPTIONS";

/** Where clients come in: refuses, answers from the cache, and chooses the kind of place a client gets. */
export function trafficFrontend(settings: HaproxySettings): string {
	return section("frontend traffic", [
		...settings.binds.map(bind),
		`maxconn ${settings.process.maxConnections}`,
		`monitor-uri ${word(settings.monitorPath)}`,
		"monitor fail if { stopping } or { nbsrv(http) lt 1 }",
		"option http-restrict-req-hdr-names delete",
		"unique-id-format %[uuid()]",
		`log-format '${LOG_FORMAT}'`,
		...(settings.process.log === "problems" ? ["option dontlog-normal"] : []),
		`http-request deny deny_status 405 unless { method ${METHODS} }`,
		`http-request deny deny_status 413 if { req.hdr_val(Content-Length) gt ${settings.maxBodyBytes} }`,
		...new Set(settings.binds.flatMap(mount)),
		"http-request set-var(txn.path) path",
		...(settings.client.kind === "lastForwardedHop" ? ["http-request set-src req.hdr_ip(X-Forwarded-For,-1)"] : []),
		...cacheRules(settings),
		// What comes from the cache was asked of nobody: there is nothing that such an id would lead to.
		"http-after-response set-header X-Request-Id %[unique-id] unless { res.cache_hit }",
		"acl long_lived req.hdr(Upgrade) -i websocket",
		...atOrBelow([settings.engine.path, ...settings.tunnelPaths]).map((match) => `acl long_lived ${match}`),
		...(settings.cache.paths.length > 0 ? [`use_backend shared if ${SHARED}`] : []),
		"use_backend tunnels if long_lived",
		"default_backend http",
	]);
}

/** Where the platform comes in: it has a few connections of its own, so that a full house can still be looked into. */
export function adminFrontend({ admin }: HaproxySettings): string {
	const metrics = `{ path ${word(admin.metricsPath)} }`;
	return section("frontend admin", [
		`bind ${word(admin.address)}:${admin.port}`,
		`maxconn ${ADMIN_CONNECTIONS}`,
		"no log",
		`http-request set-query no-maint if ${metrics} !{ query -m found }`,
		`http-request use-service prometheus-exporter if ${metrics}`,
		`http-request return status 200 if { path ${word(admin.readyPath)} }`,
		"http-request deny deny_status 404",
	]);
}

/** True of a request whose response may come from the cache and go into it. */
const SHARED = "{ var(txn.shared) -m bool }";

/** Connections kept for the admin port, on top of the clients'. */
export const ADMIN_CONNECTIONS = 32;

/** A line of JSON. The query is left out: it may hold what nobody should read in a log. */
const LOG_FORMAT = `{${[
	'"time":"%[date,utime(%Y-%m-%dT%H:%M:%SZ)]"',
	'"logger":"haproxy"',
	'"requestId":"%ID"',
	'"client":"%ci"',
	'"method":"%HM"',
	'"path":"%[var(txn.path),json(utf8s)]"',
	'"status":%ST',
	'"bytes":%B',
	'"backend":"%b"',
	'"server":"%s"',
	'"queueMs":%Tw',
	'"connectMs":%Tc',
	'"responseMs":%Tr',
	'"totalMs":%Ta',
	'"retries":"%rc"',
	'"ending":"%ts"',
].join(",")}}`;

function bind({ address, port, tls, mount: path }: HaproxyBind): string {
	const words = [`bind ${word(address)}:${port}`];
	if (path) words.push(`name ${listenerOf(path)}`);
	if (tls) words.push(`ssl crt ${word(tls.certificate)} alpn h2,http/1.1`);
	return words.join(" ");
}

function mount({ mount: path }: HaproxyBind): string[] {
	if (!path) return [];
	const here = `{ so_name ${listenerOf(path)} }`;
	return [
		`http-request set-path ${word(path)} if ${here} { path / }`,
		`http-request set-path ${word(path)}%[path] if ${here} !{ path ${path} } !{ path_beg ${path}/ }`,
	];
}

function listenerOf(path: string): string {
	return word(path.replaceAll("/", ""));
}

/**
 * A request may share its response with strangers when it names nobody: no Authorization, no cookie but our own.
 */
function cacheRules({ cache, sticky }: HaproxySettings): string[] {
	if (cache.paths.length === 0) return [];
	const shareable = "public_path { method GET } !{ req.hdr(Authorization) -m found }";
	const ownCookie = `{ req.fhdr_cnt(Cookie) eq 1 } { req.fhdr(Cookie) -m reg ^${word(sticky.cookie)}=[0-9a-f]*$ }`;
	return [
		...cache.paths.map((path) => `acl public_path ${path.length > 1 && path.endsWith("/") ? "path_beg" : "path"} ${word(path)}`),
		`http-request set-var(txn.shared) bool(true) if ${shareable} { req.fhdr_cnt(Cookie) eq 0 } or ${shareable} ${ownCookie}`,
		`http-request cache-use public if ${SHARED}`,
		`http-response cache-store public if ${SHARED} { res.hdr(Cache-Control) -i public } !{ res.hdr(Set-Cookie) -m found }`,
	];
}
