import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { env } from "../../app/contract.ts";
import { freePort } from "../app/daemon.ts";
import { missing, type PostgresCluster, type StandaloneRedis, startPostgres, startRedis } from "../app/daemons.ts";
import { ServerProcess, type Setting, settingOf } from "../app/server-process.ts";
import { browserMissing, openBrowser, visit } from "./browser.ts";

const main = path.join(import.meta.dirname, "..", "..", "app", "main.ts");
const pictures = process.env.PAGE_PICTURES;
const reason = browserMissing ?? missing;

describe.skipIf(reason)(`the page's terminal${reason ? `: ${reason}` : ""}`, () => {
	let postgres: PostgresCluster;
	let redis: StandaloneRedis;
	let setting: Setting;
	let browser: Browser;
	let worker: ServerProcess;
	let host: ServerProcess;
	let origin: string;
	let port: number;
	const homes = mkdtempSync(path.join(tmpdir(), "af-page-homes-"));

	beforeAll(async () => {
		[postgres, redis, browser, port] = await Promise.all([startPostgres(), startRedis(), openBrowser(), freePort()]);
		setting = settingOf(postgres, `${redis.host}:${redis.port}`, redis);
		const secrets = path.join(setting.environment[env.secretsDir] as string, "redis-terminals");
		mkdirSync(secrets);
		for (const [name, text] of [
			["username", "terminals"],
			["password", "secret"],
		] as const)
			writeFileSync(path.join(secrets, name), text);
		await redis.server.command("ACL", "SETUSER", "terminals", "on", ">secret", "~af:term:*", "&af:term:*", "+@all");
		expect(await new ServerProcess("migrate", setting.environment).exited).toBe(0);
		origin = `http://127.0.0.1:${port}`;
		worker = await startWorker();
		const hostPort = await freePort();
		const own = { [env.port]: String(hostPort), [env.terminalHomes]: homes, [env.terminalFirstUid]: "290000" };
		host = await new ServerProcess("terminal-host", { ...setting.environment, ...own }).ready(hostPort);
	});

	afterAll(async () => {
		await browser?.close();
		host?.signal("SIGTERM");
		await Promise.all([worker?.kill(), host?.exited]);
		setting?.remove();
		rmSync(homes, { recursive: true, force: true });
		await Promise.all([postgres?.stop(), redis?.stop()]);
	});

	function startWorker(): Promise<ServerProcess> {
		const hosts = `127.0.0.1:${port}`;
		const own = {
			[env.port]: String(port),
			[env.publicOrigin]: origin,
			[env.allowedHosts]: `agentic.test,${hosts}`,
			[env.allowedOrigins]: origin,
			[env.terminals]: "true",
			LEGACY_OPEN: "false",
		};
		return new ServerProcess("worker", { ...setting.environment, ...own }).ready(port);
	}

	async function command<Answer>(...words: string[]): Promise<Answer> {
		const environment = { PATH: process.env.PATH ?? "", ...setting.environment };
		return JSON.parse((await promisify(execFile)(process.execPath, [main, "token", ...words], { env: environment })).stdout);
	}

	it("runs what is typed, and is the same one after a lost worker and after a reload of the page", async () => {
		const token = await command<{ credentialId: string }>("issue", "--subject", "ada");
		const { code } = await command<{ code: string }>("login", "--token-id", token.credentialId);
		const { page, faults, close } = await visit(browser);
		await page.goto(`${origin}/#login=${code}`);
		const open = () => page.getByRole("button", { name: "Open a terminal" }).click();
		const status = (text: string) => page.locator("#terminal-status").filter({ hasText: text }).waitFor({ timeout: 60_000 });
		const screen = page.locator("#terminal .xterm-rows");
		const shows = (text: string | RegExp) => screen.filter({ hasText: text }).waitFor({ timeout: 30_000 });
		await open();
		await status("Connected");
		await page.keyboard.type("kept=$((6 * 7)); printf '\\033[1;32mgreen\\033[0m %s \\033[38;2;1;2;3mexact\\033[0m\\n' $kept\n");
		await shows("green 42");
		// Its colours come by a style sheet that the page's policy lets through.
		const colour = (text: string) =>
			page.evaluate(
				`getComputedStyle([...document.querySelectorAll('#terminal .xterm-rows span')].find((it) => it.textContent === '${text}')).color`,
			);
		expect(await colour("green")).toBe("rgb(138, 226, 52)");
		expect(await colour("exact")).toBe("rgb(1, 2, 3)");
		const columns = Number(await page.evaluate("Math.round(document.querySelector('#terminal .xterm-screen').offsetWidth)"));
		expect(columns).toBeGreaterThan(800);
		if (pictures !== undefined) {
			await page.locator("#terminal").scrollIntoViewIfNeeded();
			await page.screenshot({ path: path.join(pictures, "terminal.png"), fullPage: true });
		}

		await worker.kill();
		await status("Connecting again");
		worker = await startWorker();
		await status("Connected");
		await page.locator("#terminal textarea").focus();
		await page.keyboard.type("echo again $kept\n");
		await shows("again 42");

		await page.reload();
		await open();
		await status("Connected");
		await shows("green 42");
		await page.keyboard.type("echo still $kept; exit 3\n");
		await status("The shell has ended with code 3.");
		expect(await page.locator("#terminal").isVisible()).toBe(false);

		await open();
		await status("Connected");
		await page.getByRole("button", { name: "Close", exact: true }).click();
		await status("The terminal was closed.");
		await open();
		await status("Connected");
		host.signal("SIGTERM");
		await status("The terminal's host was stopped.");
		// While there was no worker; and no breach of the page's policy.
		expect(faults.filter((fault) => !/net::ERR_|WebSocket/.test(fault))).toEqual([]);
		await close();
	}, 180_000);
});
