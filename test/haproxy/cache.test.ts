import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { stickyCookie } from "../../app/sticky-cookie.ts";
import { get } from "./client.ts";
import { Daemon, missing } from "./daemon.ts";
import { addressesOf, settingsFor } from "./settings.ts";
import { type Seen, Worker } from "./workers.ts";

describe.skipIf(missing)("a request for something public", () => {
	let workers: Worker[];
	let daemon: Daemon;

	beforeAll(async () => {
		workers = [await Worker.listen("127.0.0.1", 0), await Worker.listen("127.0.0.1", 0)];
		daemon = await Daemon.start(await settingsFor(addressesOf(workers)), 2);
	});
	afterAll(async () => {
		await Promise.all([daemon?.stop(), ...(workers ?? []).map((worker) => worker.close())]);
	});

	/** HAProxy counts the clock's whole seconds, so a second may be short: every test begins early in one. */
	beforeEach(async () => {
		const into = Date.now() % 1_000;
		if (into < 50 || into > 400) await sleep((1_050 - into) % 1_000);
	});

	const total = () => workers.reduce((sum, { count }) => sum + count, 0);
	const cookieOf = ({ host, port }: Worker) => `agentic_worker=${stickyCookie("a-key-of-these-tests", host, port)}`;

	const PUBLIC = { "Cache-Control": "public, max-age=60" };

	/** How many of three requests in a row reached a worker. */
	async function reached(path: string, headers: Record<string, string> = {}): Promise<number> {
		const before = total();
		for (let index = 0; index < 3; index += 1) expect((await get(daemon.url(path), { headers })).status).toBe(200);
		return total() - before;
	}
	const answering = (headers: Record<string, string | string[]>) => {
		for (const worker of workers) worker.answerHeaders = headers;
	};

	it("is answered once by a worker and then from the cache, for a second", async () => {
		answering(PUBLIC);
		const before = total();
		const first = await get(daemon.url("/openapi.json?a"));
		expect([first.cookie, first.headers["cache-control"]]).toEqual([null, "public, max-age=60"]);
		expect(await reached("/openapi.json?a")).toBe(0);
		expect(total() - before).toBe(1);
		const cached = await get(daemon.url("/openapi.json?a"));
		expect(cached.cookie, "a shared answer names no worker").toBeNull();
		expect(
			[first, cached].map(({ headers }) => "x-request-id" in headers),
			"nobody was asked for it",
		).toEqual([true, false]);
		await sleep(2_000);
		expect(await reached("/openapi.json?a")).toBe(1);
	});

	it("is one worker's, where that has its fill the next one's, and where it dies another's", async () => {
		answering(PUBLIC);
		let number = 0;
		const ask = () => get(daemon.url(`/openapi.json?of=${number++}`));
		/** How many of these each worker was asked, the one that was asked most first. */
		const shares = async (asking: () => Promise<unknown>) => {
			const before = workers.map(({ count }) => count);
			await asking();
			return workers.map(({ count }, index) => count - (before[index] as number)).sort((a, b) => b - a);
		};
		const inTurn = async () => {
			for (let time = 0; time < 6; time += 1) expect((await ask()).status).toBe(200);
		};
		expect(await shares(inTurn)).toEqual([6, 0]);
		for (const worker of workers) worker.takes = 300;
		expect(await shares(() => Promise.all(Array.from({ length: 4 }, ask)))).toEqual([2, 2]);
		for (const worker of workers) worker.takes = 0;
		const [first] = workers as [Worker];
		first.dieAt = "/openapi.json";
		const before = first.count;
		expect((await ask()).status).toBe(200);
		expect(first.count).toBe(before + 1);
		first.dieAt = null;
	});

	it("shares its answer with browsers that have only our own cookie", async () => {
		answering(PUBLIC);
		expect(await reached("/openapi.json?b", { Cookie: cookieOf(workers[0] as Worker) })).toBe(1);
		expect(await reached("/openapi.json?b")).toBe(0);
	});

	it.each([
		["Authorization", { Authorization: "Bearer x" }],
		["a cookie", { Cookie: "session=x" }],
		["a cookie beside ours", { Cookie: `agentic_worker=0123456789abcdef; session=x` }],
		["a cookie that looks like ours", { Cookie: "agentic_worker=me@example" }],
	])("is neither answered from the cache nor kept when it carries %s", async (_what, headers) => {
		answering(PUBLIC);
		const path = `/openapi.json?${encodeURIComponent(JSON.stringify(headers))}`;
		expect(await reached(path, headers as Record<string, string>)).toBe(3);
		expect(await reached(path), "nothing of it was kept").toBe(1);
		expect(await reached(path, headers as Record<string, string>), "nor is it answered with what was kept").toBe(3);
	});

	it.each([
		["does not say it is public", { "Cache-Control": "max-age=60" }],
		["is private", { "Cache-Control": "private, max-age=60" }],
		["is not to be stored", { "Cache-Control": "public, no-store" }],
		["sets a cookie", { ...PUBLIC, "Set-Cookie": ["session=secret"] }],
		["varies with something else", { ...PUBLIC, Vary: "User-Agent" }],
	])("is asked for every time when the answer %s", async (what, headers) => {
		answering(headers);
		expect(await reached(`/openapi.json?${encodeURIComponent(what)}`)).toBe(3);
	});

	it("never has the answer to one origin given to another", async () => {
		answering({ ...PUBLIC, Vary: "Origin" });
		for (const origin of ["https://a.example", "https://b.example", "https://a.example"]) {
			const answer = await get(daemon.url("/openapi.json?origin"), { headers: { Origin: origin } });
			expect((JSON.parse(answer.body) as Seen).headers.origin).toBe(origin);
		}
	});

	it("is asked for every time on a path that is not on the list", async () => {
		answering(PUBLIC);
		expect(await reached("/api/hive/status")).toBe(3);
		expect(await reached("/openapi.json/x")).toBe(3);
	});
});
