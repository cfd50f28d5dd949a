import { describe, expect, it } from "vitest";
import { loadStack } from "../stacks/load.ts";
import { layout, nodeAddress, portsFrom } from "./place.ts";
import { secretFilesOf } from "./secrets.ts";
import { haproxyProcesses } from "./services/haproxy.ts";
import { type LocalSettings, readSettings, shown } from "./settings.ts";
import { type Ingredients, topologyOf } from "./topology.ts";

const secrets = {
	postgresAdmin: "secret-admin",
	roleA: { username: "server_a", password: "secret-a" },
	roleB: { username: "server_b", password: "secret-b" },
	redisState: "secret-state",
	redisCache: "secret-cache",
	redisTerminals: "secret-terminals",
	session: "secret-session",
};

function ingredients(given: Record<string, unknown> = {}, machine: Partial<Ingredients["machine"]> = {}): Ingredients {
	const settings = readSettings(given).settings as LocalSettings;
	const programs = {
		haproxy: "/bin/haproxy",
		redis: "/bin/redis",
		postgres: "/pg",
		prometheus: "/bin/prometheus",
		alertmanager: "/bin/am",
		rsyslog: "/bin/rsyslogd",
	};
	return {
		config: loadStack("dev", { root: `${import.meta.dirname}/..` }),
		settings,
		machine: { programs, openFiles: 20_000, postgresUser: undefined, firstShellUid: 900_000_000, ipv6: false, ...machine },
		layout: layout("/state/3001"),
		ports: portsFrom(settings.port),
		secrets,
		postgresActive: "a",
	};
}

const plan = (given?: Record<string, unknown>, machine?: Partial<Ingredients["machine"]>) => topologyOf(ingredients(given, machine));
const named = (topology: ReturnType<typeof plan>, name: string) => {
	const service = topology.services.find((each) => each.name === name);
	if (!service) throw new Error(`no ${name}`);
	return service;
};

describe("the topology", () => {
	it("of the dev stack is three nodes of four workers, behind everything they need", () => {
		const { services, nodes, workersPerNode } = plan();
		expect({ nodes: nodes.map(({ address }) => address), workersPerNode }).toEqual({
			nodes: ["127.0.1.1", "127.0.1.2", "127.0.1.3"],
			workersPerNode: 4,
		});
		expect(services.map(({ name, after }) => `${name} <- ${after.join(" ")}`.trim())).toMatchInlineSnapshot(`
			[
			  "redis-state-1 <-",
			  "redis-state-2 <-",
			  "sentinel <- redis-state-1 redis-state-2",
			  "redis-cache <-",
			  "postgres-primary <-",
			  "postgres-standby <- postgres-primary",
			  "postgres-replica-1 <- postgres-primary",
			  "migrate <- postgres-primary postgres-standby postgres-replica-1",
			  "node-1 <- redis-state-1 redis-state-2 sentinel redis-cache migrate",
			  "node-2 <- redis-state-1 redis-state-2 sentinel redis-cache migrate",
			  "node-3 <- redis-state-1 redis-state-2 sentinel redis-cache migrate",
			  "jobs-1 <- redis-state-1 redis-state-2 sentinel redis-cache migrate",
			  "terminal-host-1 <- redis-state-1 redis-state-2 sentinel redis-cache",
			  "terminal-host-2 <- redis-state-1 redis-state-2 sentinel redis-cache",
			  "terminal-host-3 <- redis-state-1 redis-state-2 sentinel redis-cache",
			  "haproxy-1 <- node-1 node-2 node-3",
			  "alertmanager <-",
			  "prometheus <-",
			]
		`);
	});

	it("has a terminal host for every node, with users of its own for shells where it may, and no word of a database", () => {
		const { services } = plan({ nodes: "20", port: "3001" }, { firstShellUid: 900_000_000 });
		const hosts = services.filter(({ role }) => role === "terminal-host").map(({ command }) => command.env ?? {});
		expect(new Set(hosts.map((environment) => environment.POD_IP)).size).toBe(20);
		const first = hosts.map((environment) => Number(environment.TERMINAL_FIRST_UID));
		expect(first.slice(1).every((uid, index) => uid === (first[index] as number) + 1_000)).toBe(true);
		const others = plan({ nodes: "20", port: "3002" }, { firstShellUid: 900_000_000 }).services.flatMap(({ role, command }) =>
			role === "terminal-host" ? [Number(command.env?.TERMINAL_FIRST_UID)] : [],
		);
		expect(others[0]).toBe((first.at(-1) as number) + 1_000);
		expect(Object.keys(hosts[0] as object).sort()).toEqual([
			"DRAIN_SECONDS",
			"POD_IP",
			"REDIS_STATE",
			"REDIS_TLS",
			"SECRETS_DIR",
			"TERMINAL_FIRST_UID",
			"TERMINAL_HOMES",
			"TERMINAL_HOST_OUTPUT_KIB",
		]);
		const small = plan({}, { firstShellUid: null });
		expect(named(small, "terminal-host-1").command.env).not.toHaveProperty("TERMINAL_FIRST_UID");
		expect(small.absent).toContainEqual(expect.objectContaining({ how: "run as root; a terminal here may do all that you may" }));
	});

	it("gives those who have no token a shell only where both is asked for", () => {
		const shell = (given: object) => plan({ ...given }).environment.ANONYMOUS_SHELL;
		expect([{}, { legacyOpen: true }, { allowShell: true }, { legacyOpen: true, allowShell: true }].map(shell)).toEqual([
			undefined,
			undefined,
			undefined,
			"1",
		]);
	});

	it("has as many job workers as are asked for, each at an address of its own that is no node's", () => {
		const { services, nodes } = plan({ jobWorkers: "3", nodes: "20" });
		const workers = services.filter(({ role }) => role === "jobs").map(({ command }) => command.env?.POD_IP);
		expect(workers).toEqual(["127.0.1.101", "127.0.1.102", "127.0.1.103"]);
		expect(nodes.map(({ address }) => address)).not.toEqual(expect.arrayContaining(workers));
	});

	it("starts nothing before what it needs, whatever is asked for", () => {
		for (const given of [{}, { nodes: "1" }, { nodes: "20", workers: "8", sockets: "50000" }]) {
			const { services } = plan(given);
			const before = new Set<string>();
			for (const { name, after } of services) {
				expect(after.filter((each) => !before.has(each))).toEqual([]);
				before.add(name);
			}
			expect(before.size).toBe(services.length);
		}
	});

	it("is the same for the same settings", () => {
		expect(JSON.stringify(plan())).toBe(JSON.stringify(plan()));
	});

	it("holds no secret in a command line or an environment, which every user of the machine may read", () => {
		const { services, environment } = plan();
		const text = JSON.stringify([environment, services.map(({ command, data }) => [command, data?.commands("/x")])]);
		expect(text).not.toMatch(/secret-/);
	});

	it("has each secret as a file where the server looks for it", () => {
		expect(Object.keys(secretFilesOf(secrets))).toMatchInlineSnapshot(`
			[
			  "postgres/username",
			  "postgres/password",
			  "postgres/previous-username",
			  "postgres/previous-password",
			  "postgres-admin/username",
			  "postgres-admin/password",
			  "postgres-admin/current-username",
			  "postgres-admin/current-password",
			  "postgres-admin/previous-username",
			  "postgres-admin/previous-password",
			  "redis-state/username",
			  "redis-state/password",
			  "redis-cache/username",
			  "redis-cache/password",
			  "redis-terminals/username",
			  "redis-terminals/password",
			  "session/current",
			]
		`);
	});

	it("listens on nothing but loopback", () => {
		const text = JSON.stringify(plan().services.map(({ command, files }) => [command, files]));
		const addresses = text.match(/\b\d{1,3}(\.\d{1,3}){3}\b/g) ?? [];
		expect(addresses.length).toBeGreaterThan(20);
		expect(addresses.filter((address) => !address.startsWith("127."))).toEqual([]);
		expect(named(plan(), "alertmanager").command.args).toContain("--cluster.listen-address=");
	});

	it("gives a worker the address that HAProxy has for it, so that both compute the same sticky cookie", () => {
		const topology = plan({ nodes: "2", workers: "2" });
		const config = named(topology, "haproxy-1").files[0]?.text ?? "";
		for (const [node, { address }] of topology.nodes.entries()) {
			expect(named(topology, `node-${node + 1}`).command.env).toMatchObject({ POD_IP: address, WORKERS: "2" });
			expect(config).toContain(`${address}:3101\n`);
			expect(config).toContain(`${address}:3102\n`);
		}
	});

	it("lets the token-less clients of the original in only when told to, and only with exact lists", () => {
		expect(plan().environment).not.toHaveProperty("LEGACY_OPEN");
		const { environment } = plan({ legacyOpen: true });
		expect(environment).toMatchObject({ LEGACY_OPEN: "1" });
		expect(environment.ALLOWED_HOSTS).toBe(
			"localhost:3001,127.0.0.1:3001,localhost:3007,127.0.0.1:3007,localhost:3008,127.0.0.1:3008,localhost:3443,127.0.0.1:3443",
		);
		expect(environment.ALLOWED_ORIGINS?.split(",")).toContain("http://localhost:5173");
	});

	it("swaps the data folders of PostgreSQL's primary and standby after a failover", () => {
		const folders = (active: "a" | "b") => {
			const topology = topologyOf({ ...ingredients(), postgresActive: active });
			return ["postgres-primary", "postgres-standby"].map((name) => named(topology, name).data?.folder);
		};
		expect(folders("a")).toEqual(["/state/3001/postgres/a", "/state/3001/postgres/b"]);
		expect(folders("b")).toEqual(["/state/3001/postgres/b", "/state/3001/postgres/a"]);
	});

	it("names what is absent, and how to have it", () => {
		const programs = { ...ingredients().machine.programs, prometheus: null };
		const { services, absent } = plan({ traces: "http://127.0.0.1:4318" }, { programs });
		expect(services.map(({ role }) => role)).not.toContain("prometheus");
		expect(absent.map(({ name }) => name)).toEqual(["Prometheus", "Elasticsearch", "Grafana"]);
	});

	it("sends logs to an Elasticsearch and makes a Grafana draw from its Prometheus, and shows nobody their passwords", () => {
		const topology = plan({ logs: "https://shipper:s%22cret@logs.example.com", grafana: "http://admin:hidden@127.0.0.1:3000/g" });
		expect(topology.absent.map(({ name }) => name)).toEqual(["Jaeger"]);
		const first = topology.services[0];
		expect(first).toMatchObject({ name: "rsyslog", role: "logs", command: { program: "/bin/rsyslogd" } });
		const [{ text } = { text: "" }] = first?.files ?? [];
		expect(text).toContain('server="logs.example.com" serverport="443" usehttps="on" uid="shipper" pwd="s\\"cret"');
		expect(text).toContain('File="/state/3001/logs/*.log"');
		const grafana = named(topology, "grafana");
		expect(grafana).toMatchObject({ once: true, after: ["prometheus"] });
		expect(grafana.command.args.slice(1)).toEqual(["agentic-flow-3001", "http://127.0.0.1:4021"]);
		expect([...(first?.command.args ?? []), ...grafana.command.args].join(" ")).not.toMatch(/cret|hidden/);
		expect(shown(readSettings({ grafana: "http://admin:hidden@g:3000" }).settings as LocalSettings).grafana).toBe("http://g:3000/");
	});
});

describe("ports and addresses", () => {
	it("are those the original's clients have written into them", () => {
		expect(portsFrom(3001)).toMatchObject({ http: 3001, sync: 3007, mcp: 3008, tls: 3443 });
	});

	it("of two topologies do not meet", () => {
		for (const port of [3501, 4001, 10_001]) {
			expect(nodeAddress(port, 1)).not.toBe(nodeAddress(3001, 1));
			expect(nodeAddress(port, 1)).toMatch(/^127\.0\.\d{1,3}\.1$/);
		}
	});
});

describe("HAProxy's processes", () => {
	it.each([
		[5_000, 20_000, { count: 1, maxConnections: 9_000 }],
		[50_000, 20_000, { count: 8, maxConnections: 9_000 }],
		[5_000, 4_096, { count: 4, maxConnections: 1_798 }],
	])("are enough for %i WebSockets where a process may open %i files", (sockets, files, expected) => {
		expect(haproxyProcesses(sockets, files)).toEqual(expected);
	});

	it("have a tenth to spare, and more where the kernel shares clients out unevenly", () => {
		for (let sockets = 100; sockets <= 200_000; sockets += 997) {
			const { count, maxConnections } = haproxyProcesses(sockets, 20_000);
			expect(count * maxConnections).toBeGreaterThanOrEqual(sockets * (count === 1 ? 1.1 : 1.39));
		}
	});
});

describe("settings", () => {
	it.each([
		[{ nodes: "0" }, "--nodes", "a whole number from 1 to 20"],
		[{ nodes: "three" }, "--nodes", "a whole number from 1 to 20"],
		[{ nodes: "2.5" }, "--nodes", "a whole number from 1 to 20"],
		[{ workers: "9" }, "--workers", "a whole number from 1 to 8"],
		[{ port: "80" }, "--port", "a port from 1024 to 50000"],
		[{ traces: "jaeger" }, "--traces", "the URL of an OTLP/HTTP receiver"],
		[{ env: "nonsense" }, "--env", "NAME=VALUE"],
	])("such as %j are refused with what is allowed", (given, at, allowed) => {
		const { settings, faults } = readSettings(given);
		expect(settings).toBeNull();
		expect(faults).toEqual([expect.objectContaining({ at, fix: expect.stringContaining(allowed) })]);
	});

	it("that are wrong are told all at once", () => {
		expect(readSettings({ nodes: "0", port: "1" }).faults).toHaveLength(2);
	});

	it("of the environment are pairs, whatever is in a value", () => {
		expect(readSettings({ env: "A=1,B_C=x=y" }).settings?.env).toEqual({ A: "1", B_C: "x=y" });
	});
});
