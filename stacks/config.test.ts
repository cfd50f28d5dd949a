import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { parse, stringify } from "yaml";
import { type Fault, UserError } from "../core/errors.ts";
import { stackFileSchema } from "./json-schema.ts";
import { loadStack } from "./load.ts";

const root = new URL("..", import.meta.url).pathname;
const scratch = mkdtempSync(join(tmpdir(), "stack-files-"));
afterAll(() => rmSync(scratch, { recursive: true }));

type Settings = { [key: string]: unknown };
const REMOVED = Symbol("a setting taken out");

/** The faults of a stack file: the given stack's own, with some settings changed (`postgres.replicas`, ...). */
function faultsOf(stack: "dev" | "prod", changes: { [path: string]: unknown }): readonly Fault[] {
	const file = parse(readFileSync(join(root, `Pulumi.${stack}.yaml`), "utf8")) as { config: Settings };
	for (const [path, value] of Object.entries(changes)) set(file.config, path, value);
	return faultsOfText(stringify(file));
}

function faultsOfText(text: string): readonly Fault[] {
	writeFileSync(join(scratch, "Pulumi.test.yaml"), text);
	try {
		loadStack("test", { root: scratch });
		return [];
	} catch (error) {
		if (error instanceof UserError) return error.faults;
		throw error;
	}
}

function set(config: Settings, path: string, value: unknown): void {
	const [section, ...keys] = path.split(".");
	let here: Settings = config;
	const all = [`agentic-flow:${section}`, ...keys];
	for (const key of all.slice(0, -1)) {
		here[key] ??= {};
		here = here[key] as Settings;
	}
	const last = all.at(-1) as string;
	if (value === REMOVED) delete here[last];
	else here[last] = value;
}

describe("the stack files of the project", () => {
	it.each(["dev", "prod"] as const)("%s is complete and has no fault", (stack) => {
		expect(loadStack(stack, { root }).app.workersPerPod).toBe(4);
	});

	it("fills in defaults, so that nothing is left to decide", () => {
		const config = loadStack("prod", { root });
		expect(config.loadBalancer.timeouts).toEqual({
			pingSeconds: 25,
			albIdleSeconds: 120,
			haproxyIdleSeconds: 150,
			keepAliveSeconds: 180,
			clientKeepAliveSeconds: 3600,
			responseSeconds: 60,
			queueSeconds: 5,
			headerSeconds: 10,
		});
	});

	it("name the editor schema, which is current", () => {
		const written = readFileSync(join(root, "stacks/config.schema.json"), "utf8");
		expect(JSON.parse(written), "run `npm run schema`").toEqual(JSON.parse(JSON.stringify(stackFileSchema())));
		for (const stack of ["dev", "prod"]) {
			expect(readFileSync(join(root, `Pulumi.${stack}.yaml`), "utf8").split("\n")[0]).toBe(
				"# yaml-language-server: $schema=./stacks/config.schema.json",
			);
		}
	});
});

describe("a rule between settings names its own fault and no other", () => {
	const prod: [rule: string, changes: { [path: string]: unknown }, at: string[]][] = [
		["production without a domain", { domain: REMOVED }, ["domain"]],
		["production without a standby", { "postgres.multiAz": false }, ["postgres.multiAz"]],
		["production without deletion protection of the database", { "postgres.deletionProtection": false }, ["postgres.deletionProtection"]],
		["production without deletion protection of the cluster", { "cluster.deletionProtection": false }, ["cluster.deletionProtection"]],
		[
			"production without deletion protection of the load balancer",
			{ "loadBalancer.deletionProtection": false },
			["loadBalancer.deletionProtection"],
		],
		["production in two zones", { "aws.availabilityZones": ["euw1-az1", "euw1-az2"], "nodes.system.min": 4 }, ["aws.availabilityZones"]],
		["production without an audit log", { "cluster.logTypes": ["api"] }, ["cluster.logTypes"]],
		["production with few backups", { "postgres.backupDays": 3 }, ["postgres.backupDays"]],
		["production without a Redis replica", { "redis.state.replicas": 0 }, ["redis.state.replicas"]],
		["production without a replica of the cache", { "redis.cache.replicas": 0 }, ["redis.cache.replicas"]],
		["too few HAProxies for the WebSockets", { "loadBalancer.haproxy.maxConnections": 24_999 }, ["loadBalancer.haproxy.maxConnections"]],
		["too few workers for the WebSockets", { "app.socketsPerWorker": 300 }, ["app.socketsPerWorker"]],
		["an API open to everybody", { "cluster.publicAccessCidrs": ["0.0.0.0/0"] }, ["cluster.publicAccessCidrs"]],
		["callers limited beside a domain", { "loadBalancer.allowedCidrs": ["203.0.113.0/24"] }, ["loadBalancer.allowedCidrs"]],
		["a name on the certificate twice", { "domain.alternativeNames": ["agents.example.com"] }, ["domain.alternativeNames[0]"]],
		["nodes that the zones cannot share", { "nodes.system.min": 4 }, ["nodes.system.min"]],
	];
	const dev: typeof prod = [
		["read replicas without backups", { "postgres.backupDays": 0 }, ["postgres.backupDays"]],
		["a ping slower than the ALB's patience", { "loadBalancer.timeouts.pingSeconds": 100 }, ["loadBalancer.timeouts.albIdleSeconds"]],
		["an ALB more patient than HAProxy", { "loadBalancer.timeouts.albIdleSeconds": 150 }, ["loadBalancer.timeouts.haproxyIdleSeconds"]],
		[
			"an HAProxy more patient than the worker",
			{ "loadBalancer.timeouts.keepAliveSeconds": 150 },
			["loadBalancer.timeouts.keepAliveSeconds"],
		],
		["a drain longer than the grace", { "app.drainSeconds": 65 }, ["app.terminationGraceSeconds"]],
		["a job's drain longer than the grace", { "jobs.drainSeconds": 80 }, ["jobs.terminationGraceSeconds"]],
		["a terminal's drain longer than the grace", { "terminals.drainSeconds": 650 }, ["terminals.terminationGraceSeconds"]],
		[
			"HAProxy's drain longer than the grace",
			{ "loadBalancer.haproxy.hardStopSeconds": 75 },
			["loadBalancer.haproxy.terminationGraceSeconds"],
		],
		["a pod gone before HAProxy forgets it", { "app.preStopSeconds": 11 }, ["app.preStopSeconds"]],
		["an HAProxy gone before the ALB notices", { "loadBalancer.haproxy.preStopSeconds": 12 }, ["loadBalancer.haproxy.preStopSeconds"]],
		[
			"a health check slower than its interval",
			{ "loadBalancer.healthCheck.timeoutSeconds": 5 },
			["loadBalancer.healthCheck.timeoutSeconds"],
		],
		["pods that the smallest app pool cannot hold", { "jobs.minPods": 3 }, ["nodes.app.min"]],
		["pods that the largest app pool cannot hold", { "jobs.maxPods": 5 }, ["nodes.app.max"]],
		[
			"pods that no size of the system pool can hold",
			{ "loadBalancer.haproxy.pod": { milliCpu: 1740, memoryMib: 512 } },
			["nodes.system.min", "nodes.system.max"],
		],
		["more HAProxies than nodes to be apart on", { "loadBalancer.haproxy.replicas": 3 }, ["nodes.system.min"]],
		["more connections than the primary takes", { "postgres.poolPrimary": 20 }, ["postgres.poolPrimary"]],
		["more connections than a replica takes", { "postgres.poolReplica": 20 }, ["postgres.poolReplica"]],
		[
			"more addresses than the subnets have",
			{
				"network.cidr": "10.40.0.0/20",
				"nodes.app.max": 20,
				"nodes.app.instanceType": "m7i.4xlarge",
				"postgres.instanceClass": "db.r7g.xlarge",
			},
			["network.cidr"],
		],
		["a VPC that is too large", { "network.cidr": "10.0.0.0/8" }, ["network.cidr"]],
		[
			"more zones than the plan has room for",
			{ "network.maxAvailabilityZones": 2, "aws.availabilityZones": ["euw1-az1", "euw1-az2", "euw1-az3"] },
			["network.maxAvailabilityZones"],
		],
		["a zone of another region", { "aws.availabilityZones": ["euw1-az1", "use1-az2"] }, ["aws.availabilityZones[1]"]],
		["a zone listed twice", { "aws.availabilityZones": ["euw1-az1", "euw1-az1"] }, ["aws.availabilityZones[1]"]],
		["a role of another account", { "aws.deployRoleArn": "arn:aws:iam::999999999999:role/deploy" }, ["aws.deployRoleArn"]],
		[
			"an administrator named twice",
			{ "aws.adminRoleArns": ["arn:aws:iam::111122223333:role/agentic-flow-deploy"] },
			["aws.adminRoleArns[0]"],
		],
		["an API that nobody reaches", { "cluster.publicAccessCidrs": [] }, ["cluster.publicAccessCidrs"]],
		["plain HTTP for everybody", { "loadBalancer.allowedCidrs": ["0.0.0.0/0"] }, ["loadBalancer.allowedCidrs"]],
		[
			"an address block named twice",
			{ "loadBalancer.allowedCidrs": ["203.0.113.0/24", "203.0.113.0/24"] },
			["loadBalancer.allowedCidrs[1]"],
		],
		["an endpoint named twice", { "network.interfaceEndpoints": ["sts", "ec2", "sts"] }, ["network.interfaceEndpoints[2]"]],
		[
			"roles of one last name",
			{ "aws.adminRoleArns": ["arn:aws:iam::111122223333:role/team/x", "arn:aws:iam::111122223333:role/team-x"] },
			["aws.adminRoleArns[1]"],
		],
		["fewest job pods above most", { "jobs.minPods": 2, "jobs.maxPods": 1 }, ["jobs.minPods"]],
		["workers without memory", { "app.pod.memoryMib": 1024 }, ["app.pod.memoryMib"]],
		["pools of two architectures", { "nodes.system.instanceType": "m7g.large" }, ["nodes.system.instanceType"]],
		["fewest nodes above most nodes", { "nodes.app.min": 4, "nodes.app.max": 3, "jobs.maxPods": 3 }, ["nodes.app.min"]],
		["more than eight workers a node", { "app.podsPerNode": 3, "app.pod.milliCpu": 900, "app.pod.memoryMib": 3072 }, ["app.workersPerPod"]],
		["fewer than four workers a node", { "app.workersPerPod": 3 }, ["app.workersPerPod"]],
		["a Redis of a version it never had", { "redis.version": "8.0" }, ["redis.version"]],
		["a Valkey of Redis's version", { "redis.engine": "valkey" }, ["redis.version"]],
		["storage with no room to grow", { "postgres.maxStorageGib": 50 }, ["postgres.maxStorageGib"]],
		["backups in the middle of maintenance", { "postgres.maintenanceWindow": "wed:01:59-wed:03:00" }, ["postgres.maintenanceWindow"]],
		[
			"snapshots that begin in maintenance over midnight",
			{ "redis.maintenanceWindow": "sun:23:30-mon:01:01" },
			["redis.maintenanceWindow"],
		],
		["backups in less time than AWS takes", { "postgres.backupWindow": "23:50-00:19" }, ["postgres.backupWindow"]],
		["maintenance in no time", { "redis.maintenanceWindow": "sun:04:00-sun:04:00" }, ["redis.maintenanceWindow"]],
		["a kube-proxy of another minor version", { "cluster.version": "1.34" }, ["cluster.addons.kubeProxy"]],
	];
	it.each(prod)("%s", (_rule, changes, at) => {
		expect(faultsOf("prod", changes).map((fault) => fault.at)).toEqual(at.map((path) => `agentic-flow:${path}`));
	});
	it.each(dev)("%s", (_rule, changes, at) => {
		expect(faultsOf("dev", changes).map((fault) => fault.at)).toEqual(at.map((path) => `agentic-flow:${path}`));
	});

	it.each([
		{ "postgres.maintenanceWindow": "mon:02:00-mon:02:30" },
		{ "postgres.backupWindow": "23:30-00:00", "postgres.maintenanceWindow": "sun:00:00-sun:00:30" },
		{ "redis.maintenanceWindow": "sun:23:59-mon:01:00" },
	])("lets windows end where others begin: %o", (changes) => {
		expect(faultsOf("dev", changes)).toEqual([]);
	});

	it("says what, why and how to fix, with the user's own value", () => {
		expect(faultsOf("dev", { "postgres.backupDays": 0 })).toEqual([
			{
				at: "agentic-flow:postgres.backupDays",
				what: "is 0, with 1 read replica",
				why: "RDS makes replicas from backups, and refuses them without",
				fix: "set it to 1 or more, or postgres.replicas to 0",
			},
		]);
	});
});

describe("a fault in the shape of the file", () => {
	it("reports a misspelt setting with the one that was meant", () => {
		const [fault, ...others] = faultsOf("dev", { "postgres.replica": 2 });
		expect(others).toEqual([]);
		expect(fault?.at).toBe("agentic-flow:postgres.replica");
		expect(fault?.fix).toContain('did you mean "replicas"?');
	});

	it("reports a misspelt section with the one that was meant", () => {
		const [fault, ...others] = faultsOf("dev", { netwrok: { cidr: "10.0.0.0/16" } });
		expect(others).toEqual([]);
		expect(fault).toMatchObject({ at: "agentic-flow:netwrok", what: "is not a setting" });
		expect(fault?.fix).toContain('did you mean "network"?');
	});

	it("reports a wrong type with the user's value, what is allowed and what the setting is for", () => {
		expect(faultsOf("dev", { "postgres.replicas": "two" })).toEqual([
			{ at: "agentic-flow:postgres.replicas", what: '"two" is not allowed', why: "Read replicas.", fix: "give a whole number from 0 to 5" },
		]);
	});

	it.each([
		["a number out of range", "nodes.app.min", 1, "give a whole number from 2 to 20"],
		["a number that is none", "nodes.app.max", Number.NaN, "give a whole number from 2 to 20"],
		["a word that is not on the list", "redis.engine", "memcached", 'give one of "redis", "valkey"'],
		["an account number without quotes", "aws.accountId", 111122223333, "give twelve digits, in quotes"],
		["an image by tag", "app.image", "example.com/app:latest", "give an image by digest: <repository>@sha256:<64 hex digits>"],
		["an address that is no block", "network.cidr", "10.0.0.0", "give an IPv4 block, e.g. 203.0.113.0/24"],
		["a block that begins amid itself", "network.cidr", "10.40.1.0/16", "give an IPv4 block by its first address, e.g. 203.0.113.0/24"],
		["a time that is none", "redis.snapshotWindow", "24:00-25:00", "give a time of day in UTC, e.g. 01:00-02:00"],
		["a day that is none", "postgres.maintenanceWindow", "son:03:00-son:04:00", "give a time of the week in UTC, e.g. sun:03:00-sun:04:00"],
		["text where true or false belongs", "postgres.multiAz", "yes please", "give true or false, without quotes"],
		["a value where a group belongs", "network", "10.0.0.0/16", "give a group of settings, one on each line, indented"],
	])("reports %s", (_what, path, value, fix) => {
		expect(faultsOf("dev", { [path]: value }).map((fault) => [fault.at, fault.fix])).toEqual([[`agentic-flow:${path}`, fix]]);
	});

	it.each(["https://example.com/", "https://example.com:443", "https://Example.com", "example.com", "ftp://example.com"])(
		"refuses %s, which no browser sends as its page's origin",
		(origin) => {
			expect(faultsOf("dev", { "app.allowedOrigins": ["http://localhost:5173", origin] })).toEqual([
				{
					at: "agentic-flow:app.allowedOrigins[1]",
					what: `"${origin}" is not allowed`,
					why: undefined,
					fix: "give an origin as browsers send it, e.g. https://agents.example.com",
				},
			]);
		},
	);

	it("asks whether a word near to an allowed one was meant", () => {
		const [fault] = faultsOf("dev", { environment: "developement" });
		expect(fault?.fix).toBe('did you mean "development"? give one of "development", "production"');
	});

	it("reports a missing required setting", () => {
		expect(faultsOf("dev", { "aws.region": REMOVED }).map(({ at, what }) => [at, what])).toEqual([
			["agentic-flow:aws.region", "is missing"],
		]);
	});

	it("reports all faults at once: a misspelt key, a wrong type and a broken rule", () => {
		const at = faultsOf("dev", { "redis.stat": {}, "network.natGateways": 3, "postgres.backupDays": 0 }).map((fault) => fault.at);
		expect(at).toEqual(["agentic-flow:network.natGateways", "agentic-flow:redis.stat", "agentic-flow:postgres.backupDays"]);
	});

	it("reports a demand of production's although another section cannot be read", () => {
		const at = faultsOf("prod", { domain: REMOVED, "redis.engine": "redi", "postgres.logDays": 2 }).map((fault) => fault.at);
		expect(at).toEqual(["agentic-flow:redis.engine", "agentic-flow:postgres.logDays", "agentic-flow:domain"]);
	});

	it("reports a setting outside the project's namespace, and lets Pulumi's own through", () => {
		const text = readFileSync(join(root, "Pulumi.dev.yaml"), "utf8");
		expect(faultsOfText(`${text}  pulumi:disable-default-providers: ["*"]\nencryptionsalt: v1:x\n`)).toEqual([]);
		expect(faultsOfText(`${text}  agentic_flow:app: {}\n`).map((fault) => fault.what)).toEqual(["is not a setting"]);
		expect(faultsOfText(`${text}confg: {}\n`).map((fault) => fault.at)).toEqual(["confg"]);
	});

	it("refuses an encrypted value, because settings hold no secrets", () => {
		expect(faultsOf("dev", { domain: { secure: "v1:abc" } }).map(({ at, what }) => [at, what])).toEqual([
			["agentic-flow:domain", "is encrypted"],
		]);
	});

	it.each([
		["an empty file", "", "is empty"],
		["a file of comments", "# nothing\n", "is empty"],
		["broken YAML", "config:\n  - a\n b: [", "is not valid YAML"],
		["a key given twice", "config:\n  a: 1\n  a: 2\n", "is not valid YAML"],
		["an alias of nothing", "config:\n  a: *nothing\n", "Unresolved alias"],
		["two documents", "config: {}\n---\nconfig: {}\n", "line 2, column 1: a second document begins"],
		["a list", "- 1\n", "is not a stack file"],
		["binary data", "\u0000\u0001\ufffd", "is not a stack file"],
		["no config", "encryptionsalt: v1:x\n", "Pulumi.test.yaml"],
	])("says plainly what is wrong with %s", (_what, text, message) => {
		writeFileSync(join(scratch, "Pulumi.test.yaml"), text);
		expect(() => loadStack("test", { root: scratch })).toThrow(UserError);
		expect(() => loadStack("test", { root: scratch })).toThrow(message);
	});

	it("names the stacks that exist when asked for one that does not", () => {
		expect(() => loadStack("prd", { root })).toThrow(/unknown stack "prd"[\s\S]*did you mean "prod"\? stacks here: dev, prod/);
		expect(() => loadStack("../prod", { root })).toThrow('unknown stack "../prod"');
	});

	it("says that a file cannot be read", () => {
		mkdirSync(join(scratch, "Pulumi.folder.yaml"));
		expect(() => loadStack("folder", { root: scratch })).toThrow(
			"Pulumi.folder.yaml cannot be read\n  Pulumi.folder.yaml: is a folder, not a file\n      fix: make it a file that you may read",
		);
	});
});
