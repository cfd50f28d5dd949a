/** A local topology as it runs: what the supervisor's process does when it is told to. */
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { StackConfig } from "../stacks/config.ts";
import { originOf } from "./environment.ts";
import { failoverPostgres, failoverRedis } from "./failover.ts";
import { type Layout, type Ports, portsFrom } from "./place.ts";
import { prepare } from "./prepare.ts";
import { run } from "./processes.ts";
import { reloadNodes } from "./reload.ts";
import type { Secrets } from "./secrets.ts";
import { serverCommand } from "./services/server.ts";
import type { Command } from "./services/service.ts";
import { type LocalSettings, shown } from "./settings.ts";
import { removeState, writeState } from "./state.ts";
import { type ServiceStatus, Supervisor, type Told } from "./supervisor.ts";
import { type Ingredients, type Machine, type Topology, topologyOf } from "./topology.ts";

/** What a topology is made from. */
export interface Order {
	readonly stack: string;
	readonly config: StackConfig;
	readonly settings: LocalSettings;
	readonly machine: Machine & { readonly openssl: string };
}

export type Tell = (told: Told) => void;

export interface Status {
	readonly stack: string;
	readonly settings: LocalSettings;
	readonly services: readonly ServiceStatus[];
	readonly urls: Readonly<Record<string, string>>;
	readonly absent: Topology["absent"];
	/** Client connections that are WebSockets, and HTTP requests a second, all load balancers together. */
	readonly sockets: number;
	readonly requestsPerSecond: number;
}

export interface Access {
	readonly token: string;
	readonly credentialId: string;
}

export class LocalCluster {
	readonly layout: Layout;
	readonly ports: Ports;
	readonly supervisor: Supervisor;
	readonly secrets: Secrets;
	readonly order: Order;
	#settings: LocalSettings;
	#topology: Topology;

	private constructor(layout: Layout, order: Order, secrets: Secrets, supervisor: Supervisor) {
		this.layout = layout;
		this.order = order;
		this.ports = portsFrom(order.settings.port);
		this.secrets = secrets;
		this.supervisor = supervisor;
		this.#settings = order.settings;
		this.#topology = this.#plan();
	}

	/** Prepares its folder. Nothing runs yet. */
	static async prepare(
		layout: Layout,
		order: Order,
		self: { pid: number; startTime: string },
		log: (line: string) => void,
	): Promise<LocalCluster> {
		const secrets = await prepare(layout, order.machine.postgresUser, order.machine.openssl);
		const supervisor = new Supervisor(layout, (processes) => writeState(layout, { supervisor: self, stack: order.stack, processes }), log);
		return new LocalCluster(layout, order, secrets, supervisor);
	}

	get topology(): Topology {
		return this.#topology;
	}

	get settings(): LocalSettings {
		return this.#settings;
	}

	/** The topology as it would be now, with changed settings, or after PostgreSQL has changed places. */
	#plan(): Topology {
		return topologyOf(this.ingredients);
	}

	get ingredients(): Ingredients {
		const { config, machine } = this.order;
		return {
			config,
			settings: this.#settings,
			machine,
			layout: this.layout,
			ports: this.ports,
			secrets: this.secrets,
			postgresActive: this.postgresActive,
		};
	}

	get postgresActive(): "a" | "b" {
		return existsSync(this.layout.postgresActive) && readFileSync(this.layout.postgresActive, "utf8").trim() === "b" ? "b" : "a";
	}

	/** Written before anything follows from it: whoever starts next takes the right one. */
	set postgresActive(which: "a" | "b") {
		writeFileSync(this.layout.postgresActive, `${which}\n`);
		this.#topology = this.#plan();
	}

	async up(tell: Tell): Promise<void> {
		await this.supervisor.start(this.#topology.services, tell);
	}

	async down(tell: Tell, { volumes }: { volumes: boolean }): Promise<void> {
		await this.supervisor.close(tell);
		if (volumes) for (const folder of this.layout.data) rmSync(folder, { recursive: true, force: true });
		removeState(this.layout);
	}

	/** Adds or takes away nodes, and their terminal hosts, while everything else goes on. */
	async scale(nodes: number, tell: Tell): Promise<void> {
		const before = this.#topology.services.map(({ name }) => name);
		this.#settings = { ...this.#settings, nodes };
		this.#topology = this.#plan();
		const after = this.#topology.services.map(({ name }) => name);
		await this.supervisor.start(
			this.#topology.services.filter(({ name }) => !before.includes(name)),
			tell,
		);
		// Its checks fail while it drains, so the load balancer has forgotten a node before it is gone.
		await this.supervisor.stop(
			before.filter((name) => !after.includes(name)),
			tell,
		);
		for (const each of this.#topology.services) {
			if (each.role === "haproxy") this.supervisor.update(each, "SIGUSR2");
			if (each.role === "prometheus") this.supervisor.update(each, null);
		}
	}

	async reload(tell: Tell): Promise<void> {
		await reloadNodes(this, tell);
		// One after another: what one has begun and cannot end, the others go on with.
		for (const service of this.#topology.services.filter(({ role }) => role === "jobs")) {
			await this.supervisor.stop([service.name], tell);
			await this.supervisor.start([service], tell);
		}
	}

	async failover(what: "redis" | "postgres", tell: Tell): Promise<{ readonly ms: number }> {
		return what === "redis" ? failoverRedis(this, tell) : failoverPostgres(this, tell);
	}

	/** The token that `up` shows: made once, then kept. */
	async access(): Promise<Access> {
		if (existsSync(this.layout.token)) return JSON.parse(readFileSync(this.layout.token, "utf8")) as Access;
		const words = ["issue", "--subject", "local", "--role", "member,operator", "--days", "365"];
		const issued = JSON.parse(await this.token(words)) as Access;
		writeFileSync(this.layout.token, JSON.stringify(issued), { mode: 0o600 });
		return issued;
	}

	/** Runs the server's own role for tokens. @returns what it prints */
	async token(words: readonly string[]): Promise<string> {
		const { program, args, env } = serverCommand("token", this.#topology.environment);
		return run({ program, args: [...args, ...words], ...(env ? { env } : {}) }, this.layout.folder);
	}

	/** How a role of the server's is run in this topology. */
	command(role: Parameters<typeof serverCommand>[0]): Command {
		return serverCommand(role, this.#topology.environment);
	}

	get urls(): Readonly<Record<string, string>> {
		const { http, sync, mcp, tls, prometheus } = this.ports;
		return {
			http: originOf(this.ports),
			https: `https://localhost:${tls}`,
			sync: `ws://localhost:${sync}`,
			mcp: `ws://localhost:${mcp}`,
			api: `http://localhost:${http}/api/docs`,
			...(this.order.machine.programs.prometheus === null ? {} : { prometheus: `http://127.0.0.1:${prometheus}` }),
		};
	}

	async status(): Promise<Status> {
		const order = this.#topology.services.map(({ name }) => name);
		const place = ({ name }: ServiceStatus) => order.indexOf(name);
		const services = (await this.supervisor.status()).sort((one, other) => place(one) - place(other));
		const balancers = services.filter(({ role }) => role === "haproxy");
		const sum = (fact: string) => balancers.reduce((all, { facts }) => all + (Number(facts[fact]) || 0), 0);
		return {
			stack: this.order.stack,
			settings: shown(this.#settings),
			services,
			urls: this.urls,
			absent: this.#topology.absent,
			sockets: sum("sockets"),
			requestsPerSecond: sum("requestsPerSecond"),
		};
	}
}
