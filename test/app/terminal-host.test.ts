import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { Redis } from "ioredis";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { env } from "../../app/contract.ts";
import { following } from "../../app/terminals/messages.ts";
import { principalOf } from "../../app/ws/testing.ts";
import { type RedisServer, redisMissing, startRedisWithSentinel } from "./daemons.ts";
import { ask, until } from "./server-process.ts";
import { behindSentinels, type HostProcess, plain, TerminalClient, TerminalRig, type TerminalWorker } from "./terminal-rig.ts";

const isRoot = process.getuid?.() === 0;
const people = [principalOf("ada"), principalOf("bob")];

/** Processes whose command line has a text in it. */
function running(text: string): number[] {
	return readdirSync("/proc").flatMap((name) => {
		if (!/^\d+$/.test(name) || Number(name) === process.pid) return [];
		try {
			return readFileSync(`/proc/${name}/cmdline`, "utf8").replaceAll("\0", " ").includes(text) ? [Number(name)] : [];
		} catch {
			return [];
		}
	});
}

/** Some seconds to sleep for that nothing else on this machine sleeps for. */
function unique(): string {
	return `9${Math.floor(Math.random() * 1e8)}`;
}

describe.skipIf(redisMissing)(`a terminal host${redisMissing ? `: ${redisMissing}` : ""}`, () => {
	let rig: TerminalRig;
	let worker: TerminalWorker;
	const clients: TerminalClient[] = [];
	const hosts: HostProcess[] = [];

	beforeAll(async () => {
		rig = await TerminalRig.start(people);
		worker = await rig.worker();
	});

	afterEach(async () => {
		for (const client of clients.splice(0)) client.close();
		for (const { process } of hosts.splice(0)) {
			process.signal("SIGTERM");
			await process.exited;
		}
	});

	afterAll(() => rig?.stop());

	async function host(settings: Readonly<Record<string, string>> = {}, user?: number): Promise<HostProcess> {
		const started = await rig.host(settings, user);
		hosts.push(started);
		return started;
	}

	async function client(subject = "ada", of = worker): Promise<TerminalClient> {
		const opened = new TerminalClient(of, subject);
		clients.push(opened);
		await opened.next("connected");
		return opened;
	}

	/** Leaves three children behind: one that ignores the hang-up, one of a session of its own, one that has thrown its environment away. */
	async function leaveChildren(of: TerminalClient, sessionId: string): Promise<string[]> {
		const names = [unique(), unique(), unique()] as const;
		await of.run(
			sessionId,
			`nohup sleep ${names[0]} >/dev/null 2>&1 & setsid sleep ${names[1]} & setsid env -i /usr/bin/sleep ${names[2]} &`.replace(
				/&$/,
				"& true",
			),
		);
		await until(() => names.every((name) => running(`sleep ${name}`).length > 0), "three children");
		return names.map((name) => `sleep ${name}`);
	}

	const gone = (commands: readonly string[]) =>
		until(
			() => commands.every((command) => running(command).length === 0),
			() => `the end of ${commands.filter((command) => running(command).length > 0).join(", ")}`,
		);

	it("gives a shell what processors the server leaves", async () => {
		await host();
		const ada = await client();
		const sessionId = await ada.open();
		expect(await ada.run(sessionId, "nice")).toBe("10\n");
	});

	// Where the kernel groups processes by session. It lets one of them be set in 100 ms.
	it.skipIf(!existsSync("/proc/self/autogroup"))("gives each of many shells opened at once a niceness of its session", async () => {
		await host();
		const clients = await Promise.all(Array.from({ length: 5 }, () => client()));
		const opened = await Promise.all(clients.map(async (ada) => ({ ada, sessionId: await ada.open() })));
		for (const { ada, sessionId } of opened) {
			const waited =
				"for try in $(seq 100); do grep -q 'nice 10$' /proc/self/autogroup && break; sleep 0.1; done; cat /proc/self/autogroup";
			expect(await ada.run(sessionId, waited)).toMatch(/nice 10\n$/);
		}
	});

	it.skipIf(!isRoot)("gives a shell nothing of what the host and others have [needs root]", async () => {
		const started = await host();
		const [ada, bob] = [await client("ada"), await client("bob")];
		const [hers, his] = [await ada.open(), await bob.open()];
		const folder = (await bob.run(his, "pwd")).trim();
		await bob.run(his, "echo his > secret; echo his > tmp/secret");
		const bobs = (await bob.run(his, "echo $$")).trim();
		const pid = started.process.pid;
		// Of the rights of root it has CHOWN, KILL, SETGID and SETUID, and needs no more for all that follows.
		expect(readFileSync(`/proc/${pid}/status`, "utf8")).toMatch(/^CapEff:\t0+e1$/m);
		expect(JSON.parse(await ada.run(hers, `id -u | tr -d '\\n'`))).toBeGreaterThan(300_000);
		expect((await ada.run(hers, "env | cut -d= -f1 | sort | tr '\\n' ' '")).trim()).toBe(
			"AGENTIC_TERMINAL COLORTERM HOME LANG LOGNAME OLDPWD PATH PWD SHELL SHLVL TERM TMPDIR USER _",
		);
		expect(await ada.run(hers, "grep -E '^(CapPrm|CapEff|CapAmb|NoNewPrivs|Groups)' /proc/self/status | tr -d '\\t'")).toMatch(
			/^Groups:\s*\n(Cap\w+:0+\n)*NoNewPrivs:1\n(Cap\w+:0+\n)*$/,
		);
		const forbidden = [
			...["username", "password"].map((name) => `${rig.secrets()}/redis-terminals/${name}`),
			"/run/secrets/agentic-flow/redis-terminals/password",
			...[pid, bobs, 1].flatMap((of) => [
				`/proc/${of}/environ`,
				`/proc/${of}/mem`,
				`/proc/${of}/cwd/`,
				`/proc/${of}/fd/`,
				`/proc/${of}/root/`,
			]),
			`${folder}/secret`,
			`${folder}/tmp/secret`,
			started.homes,
			"/etc/shadow",
			"/root",
		];
		for (const file of forbidden) {
			const answer = await ada.run(hers, `cat ${file} 2>&1 || ls ${file} 2>&1`);
			expect(answer, file).toMatch(/Permission denied|No such file|Input\/output error/);
			expect(answer, file).not.toMatch(/host secret|CANARY|his\n/);
		}
		expect(await ada.run(hers, `kill -9 ${pid} ${bobs} 2>&1 | grep -c 'not permitted'`)).toBe("2\n");
		expect(await ada.run(hers, `cat /proc/*/environ 2>/dev/null | tr '\\0' '\\n' | grep -c -e CANARY -e secret`)).toBe("0\n");
		expect(await ada.run(hers, "find / -xdev -type s -writable 2>/dev/null | grep -i -e pm2 -e control.sock | wc -l")).toBe("0\n");
		expect(await bob.run(his, "cat secret")).toBe("his\n");
	});

	it("lets the host's user of Redis do nothing but terminals", async () => {
		const redis = new Redis((rig.redis.servers[0] as RedisServer).port, { username: "terminals", password: "host secret" });
		await redis.set("af:term:mine", "1");
		const refused = [
			["get", "af:session:1"],
			["set", "af:anything", "1"],
			["publish", "af:channel", "1"],
			["config", "get", "*"],
			["flushall"],
			["keys", "*"],
			["eval", "return redis.call('get', 'af:session:1')", "0"],
		] as const;
		for (const [command, ...args] of refused) await expect(redis.call(command, ...args), command).rejects.toThrow(/NOPERM|can't access/);
		await redis.del("af:term:mine");
		redis.disconnect();
	});

	it.skipIf(!isRoot)("holds a fork bomb and a hungry process within their limits, and others do not notice [needs root]", async () => {
		await host({ TERMINAL_PROCESSES: "24", TERMINAL_MEMORY_MIB: "64" });
		const [ada, bob] = [await client("ada"), await client("bob")];
		const [hers, his] = [await ada.open(), await bob.open()];
		const uid = Number((await ada.run(hers, "id -u")).trim());
		expect(await ada.run(hers, `head -c 200000000 /dev/zero | tail 2>&1 | tr -cd 'a-z '`)).toMatch(
			/memory exhausted|cannot allocate memory/i,
		);
		ada.send("terminal:input", { sessionId: hers, input: "bomb() { bomb | bomb & }; bomb 2>/dev/null\r" });
		await sleep(500);
		for (let look = 0; look < 10; look += 1) {
			expect(processesOf(uid)).toBeLessThanOrEqual(24);
			expect(await bob.run(his, "echo well")).toBe("well\n");
		}
		ada.send("terminal:close", { sessionId: hers });
		expect(await ada.next("terminal:exit")).toMatchObject({ reason: "closed" });
		await until(() => processesOf(uid) === 0, "the end of the bomb");
	});

	it.skipIf(!isRoot)("leaves no process and no file of a shell that has ended [needs root]", async () => {
		const { homes } = await host();
		const ada = await client();
		const sessionId = await ada.open();
		const children = await leaveChildren(ada, sessionId);
		await ada.run(sessionId, "mkdir -p a/.b; touch a/.b/c .d; chmod 0 a");
		ada.send("terminal:input", { sessionId, input: "exit\r" });
		await ada.next("terminal:exit");
		await gone(children);
		await until(() => readdirSync(homes).length === 0, "the end of its home");
	});

	it("ends what nobody is connected to, what is idle and what is too old, and says why", async () => {
		const { port } = await host({ TERMINAL_DETACHED_SECONDS: "1" });
		const ada = await client();
		const sessionId = await ada.open();
		ada.close();
		const again = await client();
		await until(async () => (await metric(port, 'terminal_sessions_ended_total{reason="detached"}')) === 1, "the end of a detached one");
		again.send("terminal:attach", { sessionId });
		// Its end is kept for who comes back, and then there is none.
		await until(() => again.heard.some(([name]) => name === "terminal:exit" || name === "terminal:error"), "the news");
		expect(again.heard.find(([name]) => name === "terminal:exit")?.[1]).toMatchObject({ sessionId, reason: "detached" });
		await stopHosts();

		await host({ TERMINAL_IDLE_SECONDS: "2" });
		const idle = await client();
		const silent = await idle.open();
		expect(await idle.next("terminal:timeout")).toEqual({ sessionId: silent });
		expect(await idle.next("terminal:exit")).toMatchObject({ sessionId: silent, reason: "idle" });
		await stopHosts();

		await host({ TERMINAL_LIFETIME_SECONDS: "2" });
		const old = await client();
		const busy = await old.open();
		old.send("terminal:input", { sessionId: busy, input: "while true; do echo x; sleep 0.1; done\r" });
		expect(await old.next("terminal:exit")).toMatchObject({ sessionId: busy, reason: "lifetime" });
	});

	it("divides what it may write between those that write a lot, however little is left for each", async () => {
		const [perSecond, seconds] = [64 * 1_024, 4];
		const { port } = await host({ [env.terminalHostOutputKib]: "64" });
		for (let opened = 0; opened < 8; opened += 1) {
			const ada = await client();
			ada.send("terminal:input", { sessionId: await ada.open(), input: "yes\r" });
		}
		const written = () => metric(port, "terminal_output_characters_total");
		// The first of them were alone.
		await sleep(4_000);
		const before = await written();
		await sleep(seconds * 1_000);
		const rate = ((await written()) - before) / seconds;
		expect(rate).toBeGreaterThan(perSecond / 4);
		expect(rate).toBeLessThan(perSecond * 1.5);
	});

	it("ends its terminals with a reason when it is told to stop, and leaves nothing running", async () => {
		const started = await host({ [env.drainSeconds]: "8" });
		const ada = await client();
		const sessionId = await ada.open();
		const name = unique();
		await ada.run(sessionId, `nohup sleep ${name} >/dev/null 2>&1 & true`);
		started.process.signal("SIGTERM");
		// For a while it goes on, and takes nobody else.
		await until(() => ask(started.port, "/health/ready").then(({ status }) => status === 503), "that it does not take more");
		await expect(ada.open()).rejects.toThrow("no room for another terminal");
		expect(await ada.run(sessionId, "echo still here")).toBe("still here\n");
		expect(await ada.next("terminal:exit")).toMatchObject({ sessionId, reason: "host-stopped" });
		expect(await started.process.exited).toBe(0);
		await gone([`sleep ${name}`]);
		await expect(ada.open()).rejects.toThrow("no room for another terminal");
	});

	it("is missed when it is killed: its terminals are over, its shells die, and the next host ends what is left", async () => {
		const first = await host();
		const ada = await client();
		const sessionId = await ada.open();
		const shell = Number((await ada.run(sessionId, "echo $$")).trim());
		const children = isRoot ? await leaveChildren(ada, sessionId) : [];
		await first.process.kill();
		await until(() => !existsSync(`/proc/${shell}`), "the end of the shell");
		expect(await ada.next("terminal:exit")).toEqual({ sessionId, exitCode: null, signal: null, reason: "host-lost" });
		ada.send("terminal:attach", { sessionId });
		expect(await ada.next("terminal:error")).toBeDefined();
		const second = await host({ [env.terminalHomes]: first.homes });
		await gone(children);
		expect(readdirSync(second.homes)).toEqual([]);
		await ada.open();
	});

	it("does not notice that a worker goes", async () => {
		await host();
		const leaving = await rig.worker();
		const ada = await client("ada", leaving);
		const sessionId = await ada.open();
		await ada.run(sessionId, "x=kept");
		const offset = ada.output(sessionId).length;
		await leaving.stop();
		const again = await client();
		again.send("terminal:attach", { sessionId, offset });
		await again.next("terminal:attached");
		expect(await again.run(sessionId, "echo $x")).toBe("kept\n");
	});

	it("outlives a Redis that is away for a while", async () => {
		await host();
		const ada = await client();
		const sessionId = await ada.open();
		await ada.run(sessionId, "x=kept");
		const [redis] = rig.redis.servers as [RedisServer];
		redis.pause();
		await sleep(3_000);
		redis.resume();
		await until(
			async () => {
				ada.send("terminal:input", { sessionId, input: "echo $x\r" });
				await ada.shows(sessionId, "\nkept\n");
				return true;
			},
			"an answer",
			60_000,
		);
	});

	it("takes up readers again that it let go of because Redis was away for long", async () => {
		await host();
		const ada = await client();
		const sessionId = await ada.open();
		await ada.run(sessionId, "true");
		const [redis] = rig.redis.servers as [RedisServer];
		const away = following.silentMs + 2_000;
		// Nothing is typed, and so only signs of life tell the host that there is somebody.
		ada.send("terminal:input", { sessionId, input: `sleep ${away / 1_000 + 3}; echo do''ne\r` });
		await ada.shows(sessionId, "do''ne");
		redis.pause();
		await sleep(away);
		redis.resume();
		await ada.shows(sessionId, "\ndone\n");
	});

	it("has whoever follows a terminal know that it is over, also where the word of its end was lost", async () => {
		const { process } = await host();
		const ada = await client();
		const sessionId = await ada.open();
		await ada.run(sessionId, "true");
		const [redis] = rig.redis.servers as [RedisServer];
		await redis.command("ACL", "SETUSER", "terminals", "-xadd");
		try {
			ada.send("terminal:input", { sessionId, input: "exit\r" });
			await until(() => process.output.includes("terminal-ended"), "its end");
			await until(async () => ((await redis.command("KEYS", `*${sessionId}*`)) as string[]).length === 0, "nothing left of it");
		} finally {
			await redis.command("ACL", "SETUSER", "terminals", "+xadd");
		}
		expect(await ada.next("terminal:exit")).toEqual({ sessionId, exitCode: null, signal: null, reason: "host-lost" });
	});

	it("outlives the end of Redis' primary, and shows every line of what it writes meanwhile", async () => {
		const redis = await startRedisWithSentinel();
		const own = await TerminalRig.on(behindSentinels(redis), people);
		try {
			const through = await own.worker();
			await own.host();
			const ada = await client("ada", through);
			const sessionId = await ada.open();
			await ada.run(sessionId, "x=kept");
			ada.send("terminal:input", { sessionId, input: "for i in $(seq 400); do echo line $i; sleep 0.02; done; echo do''ne\r" });
			await ada.shows(sessionId, "line 50\n");
			await redis.killPrimary();
			await until(
				() => plain(ada.output(sessionId)).includes("done\n"),
				() => `the last line; it wrote ${ada.output(sessionId).slice(-200)}`,
				60_000,
			);
			const lines = plain(ada.output(sessionId))
				.split("\n")
				.filter((line) => line.startsWith("line "));
			expect(lines).toEqual(Array.from({ length: 400 }, (_, index) => `line ${index + 1}`));
			expect(await ada.run(sessionId, "echo $x")).toBe("kept\n");
			expect(ada.heard.filter(([name]) => name === "terminal:exit")).toEqual([]);
		} finally {
			await own.stop();
		}
	});

	it.skipIf(!isRoot)("says so where it cannot give shells users of their own [needs root]", async () => {
		const started = await host({}, 10_002);
		expect(started.process.output).toContain("shells run as this process's own user");
		const ada = await client();
		const sessionId = await ada.open();
		expect(await ada.run(sessionId, "id -u")).toBe("10002\n");
		const name = unique();
		await ada.run(sessionId, `setsid sleep ${name} & true`);
		ada.send("terminal:close", { sessionId });
		await ada.next("terminal:exit");
		await gone([`sleep ${name}`]);
	});

	it("says what is wrong and how to mend it where it cannot start", () => {
		const main = new URL("../../app/main.ts", import.meta.url).pathname;
		const run = (environment: Record<string, string>) => {
			try {
				execFileSync(process.execPath, [main, "terminal-host"], {
					env: { PATH: process.env.PATH ?? "", ...environment },
					encoding: "utf8",
					stdio: "pipe",
				});
				return "";
			} catch (error) {
				return (error as { stderr: string }).stderr;
			}
		};
		expect(run({ [env.redisState]: "nonsense", TERMINAL_SESSIONS: "0" })).toMatch(
			/^cannot start: 3 settings are wrong\n.*REDIS_STATE is "nonsense".*TERMINAL_SESSIONS is "0".*redis-terminals\/username is missing/s,
		);
		const settings = { [env.redisState]: "127.0.0.1:1", [env.redisTls]: "false", [env.secretsDir]: rig.secrets() };
		expect(run({ ...settings, TERMINAL_SHELL: "/no/shell" })).toMatch(/^cannot start: \/no\/shell cannot be run\n\s+why: .*\n\s+fix: /);
	});

	async function stopHosts(): Promise<void> {
		for (const { process, homes } of hosts.splice(0)) {
			process.signal("SIGTERM");
			await process.exited;
			rmSync(homes, { recursive: true, force: true });
		}
	}
});

function processesOf(uid: number): number {
	return readdirSync("/proc").filter((name) => {
		try {
			return /^\d+$/.test(name) && new RegExp(`^Uid:\t${uid}\\b`, "m").test(readFileSync(`/proc/${name}/status`, "utf8"));
		} catch {
			return false;
		}
	}).length;
}

async function metric(port: number, name: string): Promise<number> {
	const { text } = await ask(port + 1_000, "/metrics");
	const line = text.split("\n").find((each) => each.startsWith(`${name} `));
	return Number(line?.split(" ")[1] ?? 0);
}
