import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { layout } from "./place.ts";
import { familyOf, type Identity, identityOf, isAlive, stop } from "./processes.ts";
import { plainService, type Service } from "./services/service.ts";
import { endLeftovers, readState, writeState } from "./state.ts";
import { type Running, Supervisor, type Told } from "./supervisor.ts";

let folder: string;
let supervisor: Supervisor;
let saved: readonly Running[];
let log: string[];

beforeEach(() => {
	folder = mkdtempSync(path.join(tmpdir(), "af-supervisor-"));
	log = [];
	saved = [];
	// The one of the test before may still be told of an end.
	const mine: Supervisor = new Supervisor(
		layout(folder),
		(running) => {
			if (supervisor === mine) saved = running;
		},
		(line) => log.push(line),
	);
	supervisor = mine;
});

afterEach(async () => {
	await supervisor.close();
	rmSync(folder, { recursive: true, force: true });
});

/** A service that is a shell script; ready when its file is there. */
function service(name: string, script: string, more: Partial<Service> = {}): Service {
	const file = path.join(folder, `${name}.ready`);
	return {
		...plainService,
		name,
		role: "node",
		after: [],
		startMs: 5_000,
		command: { program: "/bin/sh", args: ["-c", script.replaceAll("$READY", file)] },
		ready: async () => existsSync(file),
		inspect: async () => ({}),
		...more,
	};
}

const forever = "touch $READY; exec sleep 1000";
const identity = (name: string) => supervisor.identity(name) as Identity;

async function until(condition: () => boolean): Promise<void> {
	for (const deadline = Date.now() + 10_000; !condition(); await sleep(10)) if (Date.now() > deadline) throw new Error("in vain");
}

describe("starting", () => {
	it("goes on to a service when those it needs are ready, and not before", async () => {
		const told: Told[] = [];
		await supervisor.start(
			[
				service("slow", "sleep 0.3; touch $READY; exec sleep 1000"),
				service("quick", forever),
				service("needs-both", forever, { after: ["slow", "quick"] }),
			],
			(each) => told.push(each),
		);
		expect(told.map(({ service, state }) => `${service} ${state}`)).toEqual([
			"slow starting",
			"quick starting",
			"quick ready",
			"slow ready",
			"needs-both starting",
			"needs-both ready",
		]);
	});

	it("waits for the end of what runs once, and goes on only after code 0", async () => {
		const file = path.join(folder, "made");
		await supervisor.start([
			service("once", `sleep 0.2; touch ${file}`, { once: true }),
			service("after", `test -e ${file} && ${forever}`, { after: ["once"] }),
		]);
		expect((await supervisor.status()).map(({ state }) => state)).toEqual(["done", "ready"]);
	});

	it.each([
		["ends", "echo out of luck >&2; exit 3", /^x does not start: it ended with code 3\nout of luck\n\(more: .*x\.log\)$/],
		["is not there", null, /^x does not start: it ended with spawn .* ENOENT/],
		["does not get ready", "exec sleep 1000", /^x does not start: it is not ready after 0.3 s$/],
	])("fails with what the service said where it %s", async (_, script, message) => {
		const broken = service("x", script ?? "", { startMs: 300, ...(script === null && { command: { program: "/none/such", args: [] } }) });
		await expect(supervisor.start([broken])).rejects.toThrow(message);
	});

	it("fails with the first that fails, and starts nothing that needs it", async () => {
		const all = [service("bad", "exit 1"), service("needs-bad", `touch ${folder}/began`, { after: ["bad"] })];
		await expect(supervisor.start(all)).rejects.toThrow("bad does not start");
		expect(existsSync(path.join(folder, "began"))).toBe(false);
	});

	it("makes data whole or not at all, and a copy that is no good once more", async () => {
		const data = path.join(folder, "data");
		const commands = (partial: string) => [
			{ program: "/bin/sh", args: ["-c", `echo made >> ${folder}/count; echo good > ${partial}/file`] },
		];
		execFileSync("mkdir", ["-p", data]);
		writeFileSync(path.join(data, "file"), "bad");
		const script = `grep -q good ${data}/file && ${forever}`;
		await supervisor.start([service("copy", script, { data: { folder: data, copy: true, commands } })]);
		expect(readFileSync(path.join(folder, "count"), "utf8")).toBe("made\n");
	});

	it("gives a process nothing of the supervisor's environment but what programs are found by", async () => {
		process.env.SOME_SECRET = "x";
		await supervisor.start([service("x", `env > ${folder}/env; ${forever}`)]);
		delete process.env.SOME_SECRET;
		const names = readFileSync(path.join(folder, "env"), "utf8").match(/^\w+(?==)/gm) ?? [];
		expect(names).toContain("PATH");
		expect(names).not.toContain("SOME_SECRET");
	});
});

describe("a service that ends by itself", () => {
	it("is started again at once, and counted", async () => {
		await supervisor.start([service("x", forever)]);
		const before = identity("x");
		process.kill(before.pid, "SIGKILL");
		await until(() => identity("x").pid !== before.pid);
		await until(() => log.length === 2);
		expect(log).toEqual(["x ended with SIGKILL: it is started again", "x is ready again"]);
		expect(await supervisor.status()).toMatchObject([{ state: "ready", restarts: 1 }]);
	});

	it("that keeps ending is started again ever more slowly", async () => {
		const count = path.join(folder, "count");
		await supervisor.start([service("x", `date +%s%N >> ${count}; touch $READY; sleep 0.15`)]);
		await until(() => readFileSync(count, "utf8").split("\n").length > 5);
		const times = readFileSync(count, "utf8")
			.trim()
			.split("\n")
			.map((nanoseconds) => Number(nanoseconds) / 1e6);
		const gaps = times.slice(1).map((time, index) => time - (times[index] as number));
		expect(gaps.at(-1)).toBeGreaterThan((gaps[0] as number) * 2);
	});

	it("is not started again when it was told to stop meanwhile", async () => {
		await supervisor.start([service("x", forever)]);
		const { pid } = identity("x");
		process.kill(pid, "SIGKILL");
		await supervisor.stop(["x"]);
		await sleep(300);
		expect(saved).toEqual([]);
	});
});

describe("stopping", () => {
	it("goes from those that need others to those that are needed", async () => {
		const told: string[] = [];
		await supervisor.start([service("a", forever), service("b", forever, { after: ["a"] }), service("c", forever, { after: ["b"] })]);
		const all = ["a", "b", "c"].map(identity);
		await supervisor.stop(undefined, ({ service }) => told.push(service));
		expect(told).toEqual(["c", "b", "a"]);
		expect(all.filter(isAlive)).toEqual([]);
	});

	it("kills what does not listen after its grace, with all that is below it", async () => {
		const script = "trap '' TERM; sleep 1000 & touch $READY; while :; do sleep 0.1; done";
		await supervisor.start([service("x", script, { stop: { signal: "SIGTERM", graceMs: 200 } })]);
		const family = familyOf([identity("x")]);
		expect(family.length).toBeGreaterThan(1);
		await supervisor.stop();
		expect(family.filter(isAlive)).toEqual([]);
	});

	it("ends a start that is under way", async () => {
		const starting = supervisor.start([service("x", "exec sleep 1000")]).catch((error: Error) => error.message);
		await until(() => saved.length === 1);
		const { pid } = saved[0] as Running;
		await supervisor.close();
		expect(identityOf(pid)).toBeNull();
		expect(await starting).toContain("x does not start");
	});

	it("wakes what is frozen, and ends it too", async () => {
		await supervisor.start([service("x", forever)]);
		const frozen = identity("x");
		process.kill(frozen.pid, "SIGSTOP");
		await supervisor.stop();
		expect(isAlive(frozen)).toBe(false);
	});
});

describe("what is written down", () => {
	it("ends everything though the supervisor is gone, and nobody who has one of its pids now", async () => {
		await supervisor.start([service("a", forever), service("b", forever, { after: ["a"] })]);
		const place = layout(folder);
		const stranger = { ...(saved[0] as Running), name: "stranger", pid: process.pid, startTime: "1" };
		writeState(place, { supervisor: { pid: 1, startTime: "0" }, stack: "dev", processes: [...saved, stranger] });
		expect(readState(place)?.processes.map(({ name }) => name)).toEqual(["a", "b", "stranger"]);
		const all = ["a", "b"].map(identity);
		const told: string[] = [];
		// As if it were not there to bring them back.
		await Promise.all([endLeftovers(place, (name) => told.push(name)), supervisor.close()]);
		expect(told).toEqual(["b", "a"]);
		expect(all.filter(isAlive)).toEqual([]);
		expect(existsSync(place.state)).toBe(false);
	});

	it("that cannot be read ends nobody", async () => {
		const place = layout(folder);
		writeFileSync(place.state, "{ broken");
		expect(await endLeftovers(place, () => {})).toBe(0);
	});
});

describe("a process", () => {
	it("that is a zombie is gone", async () => {
		const parent = service("parent", "touch $READY; sh -c 'exit 0' & exec sleep 1000");
		await supervisor.start([parent]);
		await sleep(100);
		const children = execFileSync("ps", ["-o", "pid=,stat=", "--ppid", String(identity("parent").pid)], { encoding: "utf8" }).trim();
		const [pid, state] = children.split(/\s+/);
		expect(state).toMatch(/^Z/);
		expect(identityOf(Number(pid))).toBeNull();
	});

	it("is not stopped for another that had its pid before", async () => {
		await supervisor.start([service("x", forever)]);
		const mine = identity("x");
		await stop({ pid: mine.pid, startTime: "1" }, { signal: "SIGKILL", graceMs: 100 });
		expect(isAlive(mine)).toBe(true);
	});
});
