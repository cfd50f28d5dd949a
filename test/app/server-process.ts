/** The server's processes as they are deployed: `node main.ts <role>`, with secret files and an environment. */
import { type ChildProcess, spawn } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { env } from "../../app/contract.ts";
import type { Address, PostgresCluster } from "./daemons.ts";

const main = path.join(import.meta.dirname, "..", "..", "app", "main.ts");

/** What the server is told in every test: its stores, and that clients without a credential may come in. */
export interface Setting {
	readonly environment: Readonly<Record<string, string>>;
	/** Deletes the secret files. */
	remove(): void;
}

/** @param redisState as REDIS_STATE has it */
export function settingOf(postgres: PostgresCluster, redisState: string, redisCache: Address): Setting {
	const folder = mkdtempSync(path.join(tmpdir(), "af-server-"));
	// For a server that runs as somebody else.
	chmodSync(folder, 0o755);
	const files = {
		"postgres/username": "server_a",
		"postgres/password": "secret a",
		"postgres-admin/username": "postgres",
		"postgres-admin/password": "unused",
		"postgres-admin/current-username": "server_a",
		"postgres-admin/current-password": "secret a",
		"postgres-admin/previous-username": "server_b",
		"postgres-admin/previous-password": "secret b",
		"session/current": "a key that signs sessions, 40 characters",
	};
	for (const [name, text] of Object.entries(files)) {
		mkdirSync(path.dirname(path.join(folder, name)), { recursive: true });
		writeFileSync(path.join(folder, name), text);
	}
	return {
		environment: {
			[env.podIp]: "127.0.0.1",
			[env.stickyKey]: "key",
			[env.publicOrigin]: "http://agentic.test",
			[env.allowedHosts]: "agentic.test",
			[env.allowedOrigins]: "http://agentic.test",
			LEGACY_OPEN: "1",
			[env.secretsDir]: folder,
			[env.redisState]: redisState,
			[env.redisCache]: `${redisCache.host}:${redisCache.port}`,
			[env.redisTls]: "false",
			[env.postgresPrimary]: `${postgres.host}:${postgres.port}`,
			[env.postgresReplicas]: postgres.replicas.map(({ host, port }) => `${host}:${port}`).join(","),
			[env.postgresDatabase]: postgres.database,
			[env.postgresTls]: "false",
			[env.drainSeconds]: "10",
		},
		remove: () => rmSync(folder, { recursive: true, force: true }),
	};
}

const alive = new Set<ChildProcess>();
process.once("exit", () => {
	for (const child of alive) child.kill("SIGKILL");
});

/** A process of the server's, with what it wrote. It does not outlive the test. */
export class ServerProcess {
	readonly child: ChildProcess;
	/** Code, or the signal that killed it. */
	readonly exited: Promise<number | string>;
	#output = "";

	/**
	 * @param user who runs it; whoever runs the test else
	 * @param entry of another program that takes a role
	 * @param before a program, with its arguments, that runs it
	 */
	constructor(role: string, environment: Readonly<Record<string, string>>, user?: number, entry = main, before: readonly string[] = []) {
		// Nothing of this process's own environment but what programs are found by.
		const [program = "", ...args] = [...before, process.execPath, entry, role];
		this.child = spawn(program, args, {
			env: { PATH: process.env.PATH ?? "", HOME: tmpdir(), ...environment },
			stdio: ["ignore", "pipe", "pipe"],
			...(user === undefined ? {} : { uid: user, gid: user }),
		});
		for (const stream of [this.child.stdout, this.child.stderr]) stream?.on("data", (data) => (this.#output += data));
		this.exited = new Promise((resolve) => this.child.once("exit", (code, signal) => resolve(code ?? (signal as string))));
		alive.add(this.child);
		this.child.once("exit", () => alive.delete(this.child));
	}

	get output(): string {
		return this.#output;
	}

	/** Lines of its log. */
	get log(): Record<string, unknown>[] {
		return this.#output
			.split("\n")
			.filter((line) => line.startsWith("{") && line.endsWith("}"))
			.map((line) => JSON.parse(line));
	}

	get pid(): number {
		return this.child.pid as number;
	}

	/** Waits, a minute at most, until it is ready on a port. */
	async ready(port: number): Promise<this> {
		await until(
			async () => (await ask(port, "/health/ready")).status === 200,
			() => `readiness on ${port}; it said:\n${this.#output}`,
			60_000,
		);
		return this;
	}

	signal(name: NodeJS.Signals): void {
		this.child.kill(name);
	}

	async kill(): Promise<void> {
		this.child.kill("SIGKILL");
		await this.exited;
	}
}

export interface Answer {
	readonly status: number;
	readonly text: string;
	/** As JSON. */
	readonly body: Record<string, unknown>;
	readonly headers: NodeJS.Dict<string | string[]>;
}

/** One request, over a connection of its own. */
export function ask(port: number, target: string, options: { readonly method?: string; readonly body?: object } = {}): Promise<Answer> {
	const { method = "GET", body } = options;
	const headers = { host: "agentic.test", ...(body === undefined ? {} : { "content-type": "application/json" }) };
	return new Promise((resolve, reject) => {
		const sent = request({ host: "127.0.0.1", port, path: target, method, headers, agent: false, timeout: 15_000 }, async (response) => {
			let text = "";
			for await (const chunk of response) text += chunk;
			const parse = () => JSON.parse(text);
			resolve({
				status: response.statusCode ?? 0,
				text,
				headers: response.headers,
				get body() {
					return parse();
				},
			});
		});
		sent.once("error", reject);
		sent.once("timeout", () => sent.destroy(new Error("no answer in 15 s")));
		sent.end(body === undefined ? undefined : JSON.stringify(body));
	});
}

export async function until(
	condition: () => Promise<boolean> | boolean,
	what: string | (() => string),
	milliseconds = 20_000,
): Promise<void> {
	const deadline = Date.now() + milliseconds;
	while (!(await Promise.resolve(condition()).catch(() => false))) {
		if (Date.now() > deadline) throw new Error(`waited ${milliseconds / 1000} s in vain for ${typeof what === "string" ? what : what()}`);
		await sleep(50);
	}
}
