import { execFile } from "node:child_process";
import path from "node:path";
import { promisify } from "node:util";
import type { Browser, Locator } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { freePort } from "../app/daemon.ts";
import { missing, type PostgresCluster, type StandaloneRedis, startPostgres, startRedis } from "../app/daemons.ts";
import { ServerProcess, type Setting, settingOf, until } from "../app/server-process.ts";
import { browserMissing, openBrowser, type Visit, visit } from "./browser.ts";

const main = path.join(import.meta.dirname, "..", "..", "app", "main.ts");

/** A folder for pictures of the page, for whoever wants to see what the tests see. */
const pictures = process.env.PAGE_PICTURES;

const reason = browserMissing ?? missing;

describe.skipIf(reason)(`the page${reason ? `: ${reason}` : ""}`, () => {
	let postgres: PostgresCluster;
	let redis: StandaloneRedis;
	let setting: Setting;
	let browser: Browser;
	let port: number;
	let origin: string;
	let worker: ServerProcess;
	/** Of the same server, out of the browser's sight. */
	let other: { readonly port: number; readonly worker: ServerProcess };
	let token: { readonly token: string; readonly credentialId: string };
	let visited: Visit;

	beforeAll(async () => {
		[postgres, redis, browser] = await Promise.all([startPostgres(), startRedis(), openBrowser()]);
		setting = settingOf(postgres, `${redis.host}:${redis.port}`, redis);
		expect(await new ServerProcess("migrate", setting.environment).exited).toBe(0);
		port = await freePort();
		origin = `http://127.0.0.1:${port}`;
		const otherPort = await freePort();
		[worker, other] = await Promise.all([start(port), start(otherPort).then((started) => ({ port: otherPort, worker: started }))]);
	});

	afterAll(async () => {
		await browser?.close();
		await Promise.all([worker?.kill(), other?.worker.kill()]);
		setting?.remove();
		await Promise.all([postgres?.stop(), redis?.stop()]);
	});

	beforeEach(async () => {
		// Each test has a workspace of its own.
		const workspace = `w${Math.random().toString(36).slice(2)}`;
		token = await command("issue", "--subject", "ada", "--role", "member,operator", "--workspace", workspace);
		visited = await visit(browser);
	});

	afterEach(() => visited?.close());

	function start(at: number): Promise<ServerProcess> {
		const hosts = `127.0.0.1:${at}`;
		const own = {
			PORT: String(at),
			PUBLIC_ORIGIN: `http://${hosts}`,
			ALLOWED_HOSTS: `agentic.test,${hosts}`,
			ALLOWED_ORIGINS: `http://${hosts}`,
			LEGACY_OPEN: "false",
		};
		return new ServerProcess("worker", { ...setting.environment, ...own }).ready(at);
	}

	/** What the command `token` answers. */
	async function command<Answer>(...words: string[]): Promise<Answer> {
		const env = { PATH: process.env.PATH ?? "", ...setting.environment };
		const { stdout } = await promisify(execFile)(process.execPath, [main, "token", ...words], { env });
		return JSON.parse(stdout);
	}

	async function link(): Promise<string> {
		const { code } = await command<{ code: string }>("login", "--token-id", token.credentialId);
		return `${origin}/#login=${code}`;
	}

	/** A call of somebody else, through another worker. */
	async function api(method: string, target: string, body: object = {}): Promise<{ id: string }> {
		const headers = { authorization: `Bearer ${token.token}`, "content-type": "application/json" };
		const answer = await fetch(`http://127.0.0.1:${other.port}${target}`, { method, headers, body: JSON.stringify(body) });
		expect(answer.status, target).toBe(200);
		return (await answer.json()) as { id: string };
	}

	const connection = () => visited.page.locator("#connection");
	const task = (description: string) =>
		visited.page.getByRole("list", { name: "Tasks" }).getByRole("listitem").filter({ hasText: description });
	const agent = (name: string) => visited.page.getByRole("list", { name: "Agents" }).getByRole("listitem").filter({ hasText: name });
	const has = (locator: Locator, text: string | RegExp) => locator.filter({ hasText: text }).waitFor();

	async function logIn(): Promise<void> {
		await visited.page.goto(await link());
		await has(connection(), "Live");
	}

	async function picture(name: string): Promise<void> {
		if (pictures !== undefined) await visited.page.screenshot({ path: path.join(pictures, `${name}.png`), fullPage: true });
	}

	it("tells who is logged out how to get a login link", async () => {
		const { page, faults } = visited;
		await page.goto(origin);
		await page.getByRole("heading", { name: "Log in" }).waitFor();
		await has(page.getByRole("main"), /npm run up.*flowctl token login/s);
		expect(await page.getByRole("button", { name: "Log out" }).isVisible()).toBe(false);
		// What a browser says of any 401.
		expect(faults).toEqual([expect.stringMatching(/401.*\/api\/session$/)]);
		await picture("logged-out");
	});

	it("logs in by a link, once, and keeps its code out of the address", async () => {
		const { page, faults } = visited;
		const address = await link();
		await page.goto(address);
		await has(connection(), "Live");
		await has(page.getByRole("banner"), /ada \(operator\), workspace w/);
		expect(page.url()).toBe(`${origin}/`);
		expect(await page.evaluate("document.cookie")).not.toContain("af_session");
		await page.reload();
		await has(connection(), "Live");
		expect(faults).toEqual([]);

		const second = await visit(browser);
		await second.page.goto(address);
		await has(second.page.getByRole("alert"), "This login link is no good");
		await second.page.getByLabel("Or paste the link or its code").fill(await link());
		await second.page.keyboard.press("Enter");
		await has(second.page.locator("#connection"), "Live");
		await second.close();

		await page.getByRole("button", { name: "Log out" }).click();
		await has(page.getByRole("alert"), "You have logged out.");
	});

	it("creates agents and tasks, shows what becomes of them as it happens, and cancels", async () => {
		const { page, faults } = visited;
		await logIn();
		await page.getByLabel("Name").fill("scout");
		await page.getByLabel("Type").selectOption("researcher");
		await page.getByRole("button", { name: "Create agent" }).click();
		await has(agent("scout"), "researcher");
		await page.getByLabel("What is to be done").fill("Compare the plans");
		await page.getByLabel("Priority").selectOption("high");
		await page.getByLabel("What is to be done").press("Enter");
		await has(task("Compare the plans"), /pending.*high priority/s);

		const [agents, tasks] = await Promise.all([read("/api/hive/agents"), read("/api/hive/tasks")]);
		const [{ id: agentId }] = agents as [{ id: string }];
		const { id } = (tasks as unknown as { tasks: [{ id: string }] }).tasks[0];
		await api("POST", `/api/hive/tasks/${id}/claim`, { agentId });
		await api("POST", `/api/hive/tasks/${id}/progress`, { progress: 40 });
		await has(task("Compare the plans"), /in progress, 40 %.*by scout/s);
		await has(agent("scout"), /busy.*at “Compare the plans”/s);
		expect(await page.getByRole("progressbar").evaluate((element) => (element as unknown as { value: number }).value)).toBe(40);
		await api("POST", `/api/hive/tasks/${id}/complete`, { result: "done" });
		await has(task("Compare the plans"), "completed");
		await has(agent("scout"), /idle.*1 completed/s);

		await api("POST", "/api/hive/tasks", { description: "Not needed" });
		await page.getByRole("button", { name: "Cancel task: Not needed" }).click();
		await has(task("Not needed"), "cancelled");
		expect(await page.getByRole("button", { name: /^Cancel task/ }).count()).toBe(0);
		await has(page.getByRole("list", { name: "What happened" }), "Agent scout (researcher) joined");
		await page.getByRole("button", { name: "Remove agent scout" }).click();
		await has(page.locator("#agents-rest"), "No agent yet");
		expect(faults).toEqual([]);
	});

	async function read(target: string): Promise<unknown[]> {
		const answer = await fetch(`http://127.0.0.1:${other.port}${target}`, { headers: { authorization: `Bearer ${token.token}` } });
		return (await answer.json()) as unknown[];
	}

	it("shows as text whatever others have written", async () => {
		const { page, faults } = visited;
		await logIn();
		const evil = `<img src=x onerror="document.title='taken'"><script>document.title='taken'</script>`;
		await Promise.all([
			api("POST", "/api/hive/tasks", { description: evil }),
			api("POST", "/api/hive/agents", { name: evil, type: evil.slice(0, 90) }),
		]);
		await task(evil).waitFor();
		await agent(evil).waitFor();
		expect(await page.title()).toBe("Agentic Flow");
		expect(await page.locator("main img, main script").count()).toBe(0);
		expect(faults).toEqual([]);
	});

	it("says in the server's words why something cannot be done", async () => {
		const { page } = visited;
		await api("POST", "/api/hive/init", { maxAgents: 1 });
		await api("POST", "/api/hive/agents", {});
		await logIn();
		await page.getByLabel("Name").fill("one too many");
		await page.getByRole("button", { name: "Create agent" }).click();
		await has(page.getByRole("alert"), "the swarm has its 1 agents");
		expect(await page.getByLabel("Name").inputValue()).toBe("one too many");
	});

	it("measures round trips, and shows the figures of the worker that it is connected to", async () => {
		const { page, faults } = visited;
		await logIn();
		for (const name of ["HTTP request", "WebSocket ping"]) await has(page.getByRole("row", { name }), /\d\.\d.*\d\.\d.*\d\.\d.*0/s);
		await page.getByRole("img", { name: /HTTP request: median \d.*WebSocket ping: median \d/ }).waitFor();
		await until(async () => ((await page.locator("path.ping").getAttribute("d")) ?? "").includes("L"), "a line");
		await has(page.locator("#worker-memory"), /\d+ MiB/);
		await has(page.locator("#loop-delay"), /\d ms/);
		await has(page.locator("#host-memory"), /of \d+\.\d GiB/);
		for (const dependency of ["postgres", "redis-state", "redis-cache"]) await has(page.locator("#dependencies"), `${dependency} up`);
		expect(faults).toEqual([]);
	});

	it("comes back by itself when its worker was away, and has missed nothing", async () => {
		const { page, faults } = visited;
		await logIn();
		await api("POST", "/api/hive/tasks", { description: "Before" });
		await task("Before").waitFor();
		await worker.kill();
		await has(connection(), "Connection lost");
		for (const description of ["During 1", "During 2"]) await api("POST", "/api/hive/tasks", { description });
		worker = await start(port);
		await has(connection(), /Live again, \d+ events caught up/);
		for (const description of ["Before", "During 1", "During 2"]) await task(description).waitFor();
		const alien = faults.filter((fault) => !/ERR_(CONNECTION_REFUSED|CONNECTION_RESET|EMPTY_RESPONSE)|WebSocket connection/.test(fault));
		expect(alien).toEqual([]);
		faults.length = 0;
		await api("POST", "/api/hive/tasks", { description: "After" });
		await task("After").waitFor();
		expect(faults).toEqual([]);
		await picture("after-outage");
		expect(await page.getByRole("list", { name: "Tasks" }).getByRole("listitem").count()).toBe(4);
	});

	it("comes back when its worker has drained", async () => {
		await logIn();
		worker.signal("SIGTERM");
		await has(connection(), /Connection lost|Connecting/);
		expect(await worker.exited).toBe(0);
		worker = await start(port);
		await has(connection(), "Live");
	});

	it("is left when the token is revoked", async () => {
		const { page } = visited;
		await logIn();
		await command("revoke", token.credentialId);
		await has(page.getByRole("alert"), "The session is over.");
		await page.getByRole("heading", { name: "Log in" }).waitFor();
		expect(await page.getByRole("list", { name: "Tasks" }).isVisible()).toBe(false);
	});

	it.each([
		[1280, "light"],
		[1280, "dark"],
		[400, "light"],
		[400, "dark"],
	] as const)("fits a window %d wide, %s", async (width, colorScheme) => {
		await visited.close();
		visited = await visit(browser, { viewport: { width, height: 900 }, colorScheme });
		const { page, faults } = visited;
		await logIn();
		await api("POST", "/api/hive/init", { name: "Harvest", topology: "mesh", maxAgents: 12 });
		const { id: agentId } = await api("POST", "/api/hive/agents", { name: "scout", type: "researcher" });
		await api("POST", "/api/hive/agents", { name: `a-name-without-a-single-space-${"x".repeat(60)}`, type: "coder" });
		const made = [];
		for (const description of ["Read the logs of the last release", "Draft the answer", "Long ".repeat(40), "Measure again", "Tidy up"])
			made.push(await api("POST", "/api/hive/tasks", { description, priority: "high" }));
		const [first, second, third] = made as [{ id: string }, { id: string }, { id: string }];
		for (const { id } of [first, second]) await api("POST", `/api/hive/tasks/${id}/claim`, { agentId });
		await api("POST", `/api/hive/tasks/${first.id}/progress`, { progress: 65 });
		await api("POST", `/api/hive/tasks/${second.id}/fail`, { error: "No source could be found" });
		await api("DELETE", `/api/hive/tasks/${third.id}`);
		await api("POST", `/api/hive/agents/${agentId}/report`, { cpu: 12.5, memory: "48MB" });
		await has(page.locator("#swarm-name"), "Harvest");
		await has(task("Draft the answer"), "No source could be found");
		if (pictures !== undefined) await page.waitForTimeout(12_000);
		expect(await page.evaluate("document.documentElement.scrollWidth")).toBeLessThanOrEqual(width);
		await picture(`${width}-${colorScheme}`);
		expect(faults).toEqual([]);
	});
});
