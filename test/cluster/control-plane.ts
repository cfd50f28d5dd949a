/**
 * A Kubernetes API of one's own for a test: etcd and kube-apiserver on loopback, from the folder KUBEBUILDER_ASSETS names
 * (setup-envtest's convention). Authorization is RBAC and the admission plugins are the API server's defaults, so Pod
 * Security, quotas and limit ranges are the real ones. There are no controllers, scheduler or nodes: nothing runs.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Api } from "./api.ts";

const START_MS = 60_000;

const assets = process.env.KUBEBUILDER_ASSETS;

/** Why there can be no control plane here, or null. */
export const missing = whyMissing();

function whyMissing(): string | null {
	if (!assets) return "KUBEBUILDER_ASSETS is not set (a folder with etcd and kube-apiserver, as setup-envtest makes it)";
	const absent = ["etcd", "kube-apiserver"].filter((name) => !existsSync(path.join(assets, name)));
	return absent.length > 0 ? `KUBEBUILDER_ASSETS=${assets} has no ${absent.join(" and no ")}` : null;
}

/** A running control plane, reached as an administrator. */
export class ControlPlane {
	readonly api: Api;
	readonly #daemons: readonly Daemon[];

	private constructor(api: Api, daemons: readonly Daemon[]) {
		this.api = api;
		this.#daemons = daemons;
	}

	/** Starts, and waits until the API is ready. */
	static async start(): Promise<ControlPlane> {
		if (missing) throw new Error(missing);
		const folder = mkdtempSync(path.join(tmpdir(), "control-plane-"));
		const daemons: Daemon[] = [];
		const launch = (name: string, args: string[]) => {
			const daemon = new Daemon(folder, path.join(assets as string, name), args);
			daemons.push(daemon);
			return daemon;
		};
		try {
			const [client, peer, secure] = (await freePorts(3)) as [number, number, number];
			launch("etcd", etcdArguments(folder, client, peer));
			const token = randomBytes(16).toString("hex");
			const server = launch("kube-apiserver", apiServerArguments(folder, client, secure, token));
			const certificate = await server.until(() => readIfThere(path.join(folder, "apiserver.crt")));
			const api = new Api(`https://127.0.0.1:${secure}`, { certificate, token });
			await server.until(async () => (await api.request("GET", "/readyz")).status === 200 || undefined);
			return new ControlPlane(api, daemons);
		} catch (error) {
			await stopAll(daemons);
			throw error;
		}
	}

	/** Ends both processes and forgets everything they stored. */
	async stop(): Promise<void> {
		this.api.close();
		await stopAll(this.#daemons);
	}
}

async function stopAll(daemons: readonly Daemon[]): Promise<void> {
	for (const daemon of daemons.toReversed()) await daemon.stop();
}

/** A process that does not outlive this one, however this one ends. */
class Daemon {
	readonly #name: string;
	readonly #child: ChildProcess;
	#log = "";

	constructor(folder: string, program: string, args: string[]) {
		this.#name = path.basename(program);
		// The shell kills the program, and drops its files, when its own input closes: the kernel sees to that when this process is gone.
		const watch = '"$@" & child=$!; exec 3<&0; (cat <&3; kill -9 $child; rm -rf "$0") >/dev/null 2>&1 & wait $child';
		this.#child = spawn("sh", ["-c", watch, folder, program, ...args], { stdio: ["pipe", "pipe", "pipe"] });
		for (const stream of [this.#child.stdout, this.#child.stderr])
			stream?.on("data", (data) => (this.#log = (this.#log + data).slice(-4000)));
		this.#child.once("exit", () => this.#child.stdin?.destroy());
	}

	/** The first answer of `probe` that is not undefined. An error of it is no answer. */
	async until<T>(probe: () => T | undefined | Promise<T | undefined>): Promise<T> {
		const deadline = Date.now() + START_MS;
		let last: unknown;
		while (this.#child.exitCode === null && Date.now() < deadline) {
			try {
				const answer = await probe();
				if (answer !== undefined) return answer;
			} catch (error) {
				last = error;
			}
			await sleep(50);
		}
		const what = this.#child.exitCode === null ? `is not ready after ${START_MS / 1000} s` : `ended with ${this.#child.exitCode}`;
		throw new Error(`${this.#name} ${what}; it said:\n${this.#log}`, { cause: last });
	}

	async stop(): Promise<void> {
		if (this.#child.exitCode !== null) return;
		this.#child.stdin?.end();
		await once(this.#child, "exit");
	}
}

function etcdArguments(folder: string, client: number, peer: number): string[] {
	const peers = `http://127.0.0.1:${peer}`;
	return [
		`--data-dir=${folder}/etcd`,
		`--listen-client-urls=http://127.0.0.1:${client}`,
		`--advertise-client-urls=http://127.0.0.1:${client}`,
		`--listen-peer-urls=${peers}`,
		`--initial-advertise-peer-urls=${peers}`,
		`--initial-cluster=default=${peers}`,
		"--unsafe-no-fsync",
		"--log-level=warn",
	];
}

function apiServerArguments(folder: string, etcd: number, port: number, token: string): string[] {
	const { privateKey } = generateKeyPairSync("ec", {
		namedCurve: "P-256",
		privateKeyEncoding: { type: "sec1", format: "pem" },
		publicKeyEncoding: { type: "spki", format: "pem" },
	});
	const key = path.join(folder, "service-accounts.pem");
	const tokens = path.join(folder, "tokens.csv");
	writeFileSync(key, privateKey, { mode: 0o600 });
	writeFileSync(tokens, `${token},admin,admin,system:masters\n`, { mode: 0o600 });
	return [
		`--etcd-servers=http://127.0.0.1:${etcd}`,
		"--bind-address=127.0.0.1",
		"--advertise-address=127.0.0.1",
		`--secure-port=${port}`,
		`--cert-dir=${folder}`,
		`--token-auth-file=${tokens}`,
		"--authorization-mode=RBAC",
		"--allow-privileged", // as EKS has it; Pod Security decides
		"--service-account-issuer=https://kubernetes.default.svc",
		`--service-account-key-file=${key}`,
		`--service-account-signing-key-file=${key}`,
		"--service-cluster-ip-range=10.0.0.0/24",
	];
}

function readIfThere(file: string): string | undefined {
	const text = existsSync(file) ? readFileSync(file, "utf8") : "";
	return text.includes("END CERTIFICATE") ? text : undefined;
}

/** Ports of loopback on which nothing listens. */
async function freePorts(count: number): Promise<number[]> {
	const servers = Array.from({ length: count }, () => createServer().listen(0, "127.0.0.1"));
	await Promise.all(servers.map((server) => once(server, "listening")));
	const ports = servers.map((server) => (server.address() as { port: number }).port);
	await Promise.all(servers.map((server) => once(server.close(), "close")));
	return ports;
}
