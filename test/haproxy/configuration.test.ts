import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { HaproxySettings } from "../../core/haproxy/settings.ts";
import { renderHaproxy } from "../../core/haproxy.ts";
import { certificateIn } from "./certificate.ts";
import { check, missing } from "./daemon.ts";
import { namesIn, settingsFor } from "./settings.ts";

const ONE_WORKER = { kind: "addresses", servers: [{ name: "w1", host: "127.0.0.1", port: 3101 }] } as const;

describe.skipIf(missing)("HAProxy's own check of a configuration", () => {
	let folder: string;
	let certificate: string;

	beforeAll(() => {
		folder = mkdtempSync(join(tmpdir(), "haproxy-certificate-"));
		certificate = certificateIn(folder);
	});
	afterAll(() => rmSync(folder, { recursive: true, force: true }));

	const variants: readonly [string, (settings: HaproxySettings) => Promise<HaproxySettings>][] = [
		["workers by address", async (settings) => settings],
		["workers by DNS", async (settings) => ({ ...settings, workers: namesIn("agentic-flow", 53, 40) })],
		[
			"the system's resolvers",
			async (settings) => ({ ...settings, workers: { ...namesIn("agentic-flow", 53, 1), nameservers: "resolvConf" } }),
		],
		["clients without a proxy", async (settings) => ({ ...settings, client: { kind: "connection" } })],
		[
			"TLS and native ports",
			async (settings) => ({
				...settings,
				client: { kind: "connection" },
				sticky: { ...settings.sticky, secure: true },
				binds: [
					{ address: "127.0.0.1", port: 3001, tls: null, mount: null },
					{ address: "127.0.0.1", port: 3007, tls: null, mount: "/sync" },
					{ address: "*", port: 8443, tls: { certificate }, mount: null },
				],
			}),
		],
		["nothing to cache", async (settings) => ({ ...settings, cache: { ...settings.cache, paths: [] } })],
		["prefixes to cache", async (settings) => ({ ...settings, cache: { ...settings.cache, paths: ["/public/"] } })],
		["no drain and a short log", async (settings) => ({ ...settings, process: { ...settings.process, drainMs: 0, log: "problems" } })],
	];

	it.each(variants)("finds no fault with %s", async (_name, change) => {
		const settings = await change(await settingsFor(ONE_WORKER));
		const { code, output } = check(renderHaproxy(settings));
		expect(output.replace("Configuration file is valid", "").trim()).toBe("");
		expect(code).toBe(0);
	});

	it("would tell of a fault", () => {
		const { code, output } = check("global\n\tmaxcon 10\n");
		expect(output).toContain("maxcon");
		expect(code).toBe(1);
	});
});
