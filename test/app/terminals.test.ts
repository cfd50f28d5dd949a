import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { principalOf } from "../../app/ws/testing.ts";
import { redisMissing } from "./daemons.ts";
import { ask, until } from "./server-process.ts";
import { type HostProcess, plain, TerminalClient, TerminalRig, type TerminalWorker } from "./terminal-rig.ts";

const people = ["ada", "bob", "eve", "fay"].map((subject) => principalOf(subject));

describe.skipIf(redisMissing)(`terminals${redisMissing ? `: ${redisMissing}` : ""}`, () => {
	let rig: TerminalRig;
	let host: HostProcess;
	let first: TerminalWorker;
	let second: TerminalWorker;
	const clients: TerminalClient[] = [];

	beforeAll(async () => {
		rig = await TerminalRig.start(people);
		[host, first, second] = await Promise.all([rig.host(), rig.worker(), rig.worker()]);
	});

	afterAll(async () => {
		for (const client of clients) client.close();
		await rig?.stop();
	});

	async function client(worker: TerminalWorker, subject: string | null = "ada", transports?: string[]): Promise<TerminalClient> {
		const opened = new TerminalClient(worker, subject, transports);
		clients.push(opened);
		await opened.next("connected");
		return opened;
	}

	/** Of the host's log: what it says of one terminal. */
	const audit = (sessionId: string) => host.process.log.filter((line) => line["terminal.id"] === sessionId);

	async function ends(of: TerminalClient, sessionId: string): Promise<void> {
		of.send("terminal:close", { sessionId });
		await of.next("terminal:exit", (payload) => payload.sessionId === sessionId);
	}

	it("opens a shell, passes on what is typed and what it prints, and tells how it ended", async () => {
		const ada = await client(first);
		ada.send("terminal:create", {});
		const created = await ada.next("terminal:created");
		expect(created).toEqual({
			sessionId: expect.stringMatching(/^terminal_\d{13}_[\w-]{20}$/),
			cwd: expect.stringContaining(created.sessionId),
			shell: "/bin/bash",
			cols: 80,
			rows: 24,
			offset: 0,
		});
		const { sessionId } = created;
		expect(await ada.run(sessionId, "stty size; pwd")).toBe(`24 80\n${created.cwd}\n`);
		ada.send("terminal:resize", { sessionId, cols: 132, rows: 50 });
		expect(await ada.run(sessionId, "stty size")).toBe("50 132\n");
		ada.send("terminal-resize", { cols: 100, rows: 30 });
		expect(await ada.run(sessionId, "stty size")).toBe("30 100\n");
		ada.send("terminal:command", { sessionId, command: "echo 4$((1+1))" });
		await ada.next("terminal:output", ({ type, data }) => type === "command" && data === "echo 4$((1+1))");
		await ada.shows(sessionId, "\n42");
		ada.send("terminal:input", { sessionId, input: "sleep 600\r" });
		await ada.shows(sessionId, "sleep 600");
		ada.send("terminal:input", { sessionId, input: "\u0003" });
		await ada.shows(sessionId, "^C");
		ada.send("terminal:input", { sessionId, input: "exit 3\r" });
		expect(await ada.next("terminal:exit")).toEqual({ sessionId, exitCode: 3, signal: 0, reason: "exited" });
		expect(audit(sessionId)).toMatchObject([
			{ "event.action": "terminal-started", "user.name": "token:ada of default by credential-ada", "process.executable": "/bin/bash" },
			{ "event.action": "terminal-ended", "event.reason": "exited", "process.exit_code": 3 },
		]);
		expect(host.process.output).not.toContain("sleep 600");
	});

	it("says in the terminal that a folder is not there, and ends it with 1", async () => {
		const ada = await client(first);
		const sessionId = await ada.open({ cwd: "/no/such folder; id" });
		await ada.shows(sessionId, /can't cd to \/no\/such folder; id/);
		expect(await ada.next("terminal:exit")).toMatchObject({ sessionId, exitCode: 1 });
	});

	it("goes on where it was, through another worker, with nothing lost and nothing twice", async () => {
		const ada = await client(first);
		const sessionId = await ada.open();
		await ada.run(sessionId, "x=before");
		// A third while she reads, a third most likely while nobody does, and the last when she is back.
		const lines = (from: number, to: number) => `for i in $(seq ${from} ${to}); do echo line $i; done`;
		const input = `${lines(1, 1_000)}; sleep 1; ${lines(1_001, 2_000)}; read go; ${lines(2_001, 3_000)}; echo do''ne\r`;
		ada.send("terminal:input", { sessionId, input });
		await ada.shows(sessionId, "line 500\n");
		ada.close();
		const seen = ada.output(sessionId);
		const again = await client(second);
		again.send("terminal:list");
		expect((await again.next("terminal:list")).sessions).toEqual([expect.objectContaining({ sessionId, cols: 80, rows: 24 })]);
		again.send("terminal:attach", { sessionId, offset: seen.length });
		expect(await again.next("terminal:attached")).toMatchObject({ sessionId, offset: seen.length, shell: "/bin/bash" });
		again.send("terminal:input", { sessionId, input: "\r" });
		await again.shows(sessionId, "done\n");
		const shown = plain(seen + again.output(sessionId))
			.split("\n")
			.filter((line) => line.startsWith("line "));
		expect(shown).toEqual(Array.from({ length: 3_000 }, (_, index) => `line ${index + 1}`));
		expect(await again.run(sessionId, "echo $x")).toBe("before\n");
		await ends(again, sessionId);
	});

	it("is its owner's alone: nobody else can type into it, read it, end it or learn of it", async () => {
		const [ada, bob] = [await client(first), await client(first, "bob")];
		const sessionId = await ada.open();
		await ada.run(sessionId, "x=untouched");
		for (const name of ["terminal:input", "terminal:command", "terminal:resize", "terminal:close", "terminal:detach"]) {
			bob.send(name, { sessionId, input: "x=touched\r", command: "x=touched", cols: 10, rows: 10 });
		}
		bob.send("terminal:attach", { sessionId });
		bob.send("terminal:attach", { sessionId: "terminal_1_none" });
		bob.send("terminal:list");
		expect((await bob.next("terminal:list")).sessions).toEqual([]);
		await until(() => bob.heard.filter(([name]) => name === "terminal:error").length === 2, "two refusals");
		const errors = bob.heard.filter(([name]) => name === "terminal:error").map(([, payload]) => payload);
		expect(errors).toEqual([
			{ sessionId, error: "There is no such terminal." },
			{ sessionId: "terminal_1_none", error: "There is no such terminal." },
		]);
		expect(await ada.run(sessionId, "echo $x; stty size")).toBe("untouched\n24 80\n");
		expect(bob.output(sessionId)).toBe("");
		await ends(ada, sessionId);
	});

	it("makes a shell wait whose reader does not read, and then shows every line of it", async () => {
		const ada = await client(first);
		const sessionId = await ada.open();
		await ada.run(sessionId, "true");
		const raw = (ada.socket.io.engine.transport as unknown as { ws: { _socket: { pause(): void; resume(): void } } }).ws._socket;
		raw.pause();
		const before = await output();
		ada.send("terminal:input", { sessionId, input: "seq 1000000; echo do''ne\r" });
		// It is stopped by whoever does not read, and not by what the kernel would take: that is megabytes.
		await until(stands, "output that stands still", 60_000);
		expect((await output()) - before).toBeLessThan(250_000);
		raw.resume();
		await ada.shows(sessionId, "done\n");
		const numbers = plain(ada.output(sessionId))
			.split("\n")
			.filter((line) => /^\d+$/.test(line));
		expect(numbers.length).toBe(1_000_000);
		expect(numbers.every((line, index) => Number(line) === index + 1)).toBe(true);
		await ends(ada, sessionId);

		async function output(): Promise<number> {
			return Number(/^terminal_output_characters_total (\d+)/m.exec((await ask(host.port + 1_000, "/metrics")).text)?.[1]);
		}

		/** Whether shells have written something, and then nothing for a second. */
		async function stands(): Promise<boolean> {
			const now = await output();
			await new Promise((resolve) => setTimeout(resolve, 1_000));
			return now > before + 100_000 && (await output()) === now;
		}
	});

	it.each([[["polling"]], [["polling", "websocket"]]])("shows every line of a lot by %s", async (transports) => {
		const ada = await client(first, "ada", transports);
		const sessionId = await ada.open();
		ada.send("terminal:input", { sessionId, input: "seq 100000; echo do''ne\r" });
		await ada.shows(sessionId, "done\n");
		expect(ada.socket.io.engine.transport.name).toBe(transports.at(-1));
		const numbers = plain(ada.output(sessionId))
			.split("\n")
			.filter((line) => /^\d+$/.test(line));
		expect(numbers).toHaveLength(100_000);
		await ends(ada, sessionId);
	});

	it("keeps the end of what a shell writes that nobody reads, and says what is missing", async () => {
		const ada = await client(first);
		const sessionId = await ada.open();
		await ada.run(sessionId, "true");
		const offset = ada.output(sessionId).length;
		ada.send("terminal:input", { sessionId, input: "sleep 1; seq 400000; echo do''ne\r" });
		ada.send("terminal:detach", { sessionId });
		const marker = await client(second);
		await until(
			async () => {
				marker.heard.length = 0;
				marker.send("terminal:attach", { sessionId });
				await marker.next("terminal:attached");
				await marker.shows(sessionId, "done\n");
				return true;
			},
			"its end",
			60_000,
		);
		const again = await client(second);
		again.send("terminal:attach", { sessionId, offset });
		await again.shows(sessionId, "done\n");
		const gap = await again.next("terminal:output", ({ type }) => type === "info");
		expect(gap.data).toMatch(/^\r\n\[\d+ characters of output were not kept\]\r\n$/);
		expect(gap.skipped.from).toBe(offset);
		const next = again.heard.find(([name, payload]) => name === "terminal:output" && payload.type === "stdout");
		expect(next?.[1].offset).toBe(gap.skipped.to);
		expect(again.output(sessionId).length).toBeGreaterThanOrEqual(262_144);
		expect(again.output(sessionId).length).toBeLessThan(400_000);
		await ends(again, sessionId);
	});

	it("refuses more terminals than a principal may have, and gives the place back", async () => {
		const bob = await client(first, "bob");
		const ids: string[] = [];
		for (let count = 0; count < 8; count += 1) ids.push(await bob.open());
		await expect(bob.open()).rejects.toThrow("There are 8 terminals of yours already. Close one, then try again.");
		const ada = await client(second);
		await ends(ada, await ada.open());
		await ends(bob, ids[0] as string);
		await until(async () => {
			ids.push(await bob.open());
			return true;
		}, "a place");
		for (const each of ids.slice(1)) await ends(bob, each);
	});

	it("gives no shell to a client without a token unless that is wanted, and none at all where they are off", async () => {
		const anybody = principalOf("anybody", "default", { id: "legacy:local" });
		const [strict, open, off] = await Promise.all([
			rig.worker({ perPrincipal: 8, anonymous: false }, anybody),
			rig.worker({ perPrincipal: 8, anonymous: true }, anybody),
			rig.worker(null),
		]);
		const refused = await client(strict, null);
		await expect(refused.open()).rejects.toThrow("A terminal needs a token");
		const welcome = await client(open, null);
		const sessionId = await welcome.open();
		refused.send("terminal:attach", { sessionId });
		expect(await refused.next("terminal:error", (payload) => payload.sessionId === sessionId)).toMatchObject({
			error: expect.stringContaining("needs a token"),
		});
		await ends(welcome, sessionId);
		await expect((await client(off)).open()).rejects.toThrow(/Terminals are off here.*TERMINALS=true/);
	});

	it("answers what makes no sense, and goes on", async () => {
		const ada = await client(first);
		const sessionId = await ada.open();
		const nonsense: [string, unknown][] = [
			["terminal:create", { cols: 0 }],
			["terminal:create", { cols: 1e9, rows: 1 }],
			["terminal:create", { cwd: "a\0b" }],
			["terminal:create", "text"],
			["terminal:resize", { sessionId, cols: -1, rows: 2 }],
			["terminal:input", { sessionId, input: 5 }],
			["terminal:input", { sessionId, input: "x".repeat(65_537) }],
			["terminal:attach", { sessionId: "x".repeat(300) }],
			["terminal:attach", { sessionId, offset: -1 }],
		];
		for (const [name, payload] of nonsense) ada.socket.emit(name, payload);
		await until(() => ada.heard.filter(([name]) => name === "terminal:error").length === nonsense.length, "a refusal each");
		expect(await ada.run(sessionId, "echo all well")).toBe("all well\n");
		await ends(ada, sessionId);
	});
});
