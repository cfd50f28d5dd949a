import { describe, expect, it } from "vitest";
import type { HaproxySettings } from "./haproxy/settings.ts";
import { renderHaproxy } from "./haproxy.ts";

const SETTINGS: HaproxySettings = {
	process: { threads: 2, maxConnections: 25_000, drainMs: 20_000, hardStopMs: 30_000, log: "problems" },
	binds: [{ address: "*", port: 8080, tls: null, mount: null }],
	admin: { address: "*", port: 8404, readyPath: "/ready", metricsPath: "/metrics" },
	monitorPath: "/monitor",
	client: { kind: "lastForwardedHop" },
	maxBodyBytes: 1_000,
	sticky: { cookie: "worker", key: "key", secure: true },
	engine: { path: "/socket.io/", sessionParam: "sid", separator: "." },
	tunnelPaths: ["/sync"],
	cache: { paths: ["/openapi.json", "/public/", "/"], totalMib: 16, maxObjectBytes: 1_000, maxPerWorker: 9 },
	http: { maxPerWorker: 10, maxQueuePerWorker: 20 },
	tunnels: { maxPerWorker: 3_000 },
	check: { path: "/ready", intervalMs: 1, fastIntervalMs: 2, downIntervalMs: 3, timeoutMs: 4, rise: 5, fall: 6 },
	timeouts: {
		connectMs: 11,
		clientMs: 12,
		serverMs: 13,
		pollMs: 14,
		tunnelMs: 15,
		requestMs: 16,
		keepAliveMs: 17,
		queueMs: 18,
		clientFinMs: 19,
	},
	workers: {
		kind: "dns",
		service: "workers",
		domain: "app.svc.cluster.local",
		portNames: ["w1", "w2"],
		slots: 20,
		nameservers: "resolvConf",
		resolveIntervalMs: 1_000,
		retryMs: 500,
		retries: 3,
		holdMs: { obsolete: 1, nx: 2, refused: 3, timeout: 4, other: 5 },
	},
};

/** The lines of a section, by its title. */
function sectionOf(configuration: string, title: string): string[] {
	const found = configuration.split("\n\n").find((text) => text.startsWith(`${title}\n`));
	return (found ?? "")
		.trimEnd()
		.split("\n")
		.slice(1)
		.map((line) => line.trim());
}

describe("renderHaproxy", () => {
	it("asks for more connections than clients get, so that the admin port always answers", () => {
		const configuration = renderHaproxy(SETTINGS);
		expect(sectionOf(configuration, "global")).toContain("maxconn 25032");
		expect(sectionOf(configuration, "frontend traffic")).toContain("maxconn 25000");
		expect(sectionOf(configuration, "frontend admin")).toContain("maxconn 32");
	});

	it("has one server template a port name in each backend, with room for every pod", () => {
		const configuration = renderHaproxy(SETTINGS);
		for (const backend of ["backend http", "backend shared", "backend tunnels"]) {
			expect(sectionOf(configuration, backend).filter((line) => line.startsWith("server-template"))).toEqual([
				"server-template w1- 1-20 _w1._tcp.workers.app.svc.cluster.local",
				"server-template w2- 1-20 _w2._tcp.workers.app.svc.cluster.local",
			]);
		}
	});

	it("takes large answers of DNS and says how long each kind is held", () => {
		expect(sectionOf(renderHaproxy(SETTINGS), "resolvers cluster")).toEqual([
			"parse-resolv-conf",
			"accepted_payload_size 8192",
			"resolve_retries 3",
			"timeout resolve 1000ms",
			"timeout retry 500ms",
			"hold obsolete 1ms",
			"hold nx 2ms",
			"hold refused 3ms",
			"hold timeout 4ms",
			"hold other 5ms",
		]);
	});

	it("asks no DNS for workers at known addresses", () => {
		const servers = [{ name: "n1w1", host: "127.0.0.1", port: 4101 }];
		const configuration = renderHaproxy({ ...SETTINGS, workers: { kind: "addresses", servers } });
		expect(configuration).not.toContain("resolvers");
		expect(sectionOf(configuration, "backend http")).toContain("server n1w1 127.0.0.1:4101");
		// One check of a worker is enough.
		for (const backend of ["backend shared", "backend tunnels"]) {
			expect(sectionOf(configuration, backend)).toContain("server n1w1 127.0.0.1:4101 track http/n1w1");
			expect(sectionOf(configuration, backend).join("\n")).not.toContain("check inter");
		}
	});

	it("has no delay before it closes its ports where a successor waits for them", () => {
		expect(sectionOf(renderHaproxy(SETTINGS), "global")).toContain("grace 20000ms");
		const configuration = renderHaproxy({ ...SETTINGS, process: { ...SETTINGS.process, drainMs: 0 } });
		expect(configuration).not.toContain("grace");
	});

	it("lets the sticky cookie through plain connections only where it is told to", () => {
		const cookie = "cookie worker insert indirect nocache httponly";
		expect(sectionOf(renderHaproxy(SETTINGS), "backend http")).toContain(`${cookie} secure dynamic`);
		const plain = renderHaproxy({ ...SETTINGS, sticky: { ...SETTINGS.sticky, secure: false } });
		expect(sectionOf(plain, "backend tunnels")).toContain(`${cookie} dynamic`);
	});

	it("takes every setting to where it belongs", () => {
		const configuration = renderHaproxy(SETTINGS);
		expect(sectionOf(configuration, "defaults")).toEqual(
			expect.arrayContaining([
				"timeout connect 11ms",
				"timeout client 12ms",
				"timeout server 13ms",
				"timeout http-request 16ms",
				"timeout http-keep-alive 17ms",
				"timeout queue 18ms",
				"timeout client-fin 19ms",
			]),
		);
		expect(sectionOf(configuration, "backend tunnels")).toEqual(
			expect.arrayContaining([
				"timeout server 14ms",
				"timeout tunnel 15ms",
				"default-server check inter 1ms fastinter 2ms downinter 3ms rise 5 fall 6 maxconn 3000",
			]),
		);
		expect(sectionOf(configuration, "backend http").join("\n")).toContain("maxconn 10 maxqueue 20");
		expect(sectionOf(configuration, "backend shared")).toContain(
			"default-server check inter 1ms fastinter 2ms downinter 3ms rise 5 fall 6 maxconn 9",
		);
		expect(sectionOf(configuration, "frontend traffic")).toEqual(
			expect.arrayContaining([
				"acl public_path path /openapi.json",
				"acl public_path path_beg /public/",
				"acl public_path path /",
				"option dontlog-normal",
			]),
		);
	});

	it.each(["two words", 'quo"te', "new\nline", ""])("refuses %j where quoting would be needed", (cookie) => {
		expect(() => renderHaproxy({ ...SETTINGS, sticky: { ...SETTINGS.sticky, cookie } })).toThrow(
			`not usable in a HAProxy configuration: ${JSON.stringify(cookie)}`,
		);
	});
});
