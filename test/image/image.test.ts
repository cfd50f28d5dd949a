import { readFileSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { commandOf, env, IMAGE_USER, ports, SECRETS_DIR } from "../../app/contract.ts";
import { freePort } from "../app/daemon.ts";
import { missing, type PostgresCluster, type StandaloneRedis, startPostgres, startRedis } from "../app/daemons.ts";
import { ask, type Setting, settingOf, until } from "../app/server-process.ts";
import { buildImage, defaultBase, findBase, nodeVersion, root } from "./build.ts";
import { contentsOf, type Entry, lockedPackages, serverFiles } from "./contents.ts";
import { Container, podman, podmanMissing } from "./podman.ts";

it("the image is based on the Node that the project runs on", () => {
	expect(defaultBase).toBe(`docker.io/library/node:${nodeVersion}-bookworm-slim`);
});

const reason = podmanMissing ?? missing;

describe.skipIf(reason)(`the image${reason ? `: ${reason}` : ""}`, () => {
	/** Why there is none, though it could be built and run. */
	let noBase: string | null = null;
	let image: string;
	let entries: readonly Entry[];
	let packages: Map<string, string>;
	let postgres: PostgresCluster;
	let redis: StandaloneRedis;
	let setting: Setting;
	const containers: Container[] = [];

	beforeAll(async () => {
		const found = await findBase();
		if ("missing" in found) {
			noBase = found.missing;
			return;
		}
		const started = performance.now();
		image = await buildImage(found.base);
		const seconds = (performance.now() - started) / 1_000;
		({ entries, packages } = await contentsOf(image));
		const bytes = entries.reduce((sum, { size }) => sum + size, 0);
		console.log(`${(bytes / 1e6).toFixed(0)} MB, built on ${found.base} in ${seconds.toFixed(0)} s`);
		[postgres, redis] = await Promise.all([startPostgres(), startRedis()]);
		setting = settingOf(postgres, `${redis.host}:${redis.port}`, redis);
	}, 900_000);

	beforeEach(({ skip }) => {
		if (noBase) skip(noBase);
	});

	afterAll(async () => {
		await Promise.all(containers.map((container) => container.remove()));
		setting?.remove();
		await Promise.all([postgres?.stop(), redis?.stop()]);
	});

	/** As its pod has it: the secrets mounted, the rest in the environment. */
	function start(command: readonly string[], own: Readonly<Record<string, string>> = {}): Container {
		const { [env.secretsDir]: from = "", ...environment } = setting.environment;
		const container = new Container(image, command, { ...environment, ...own }, { from, to: SECRETS_DIR });
		containers.push(container);
		return container;
	}

	it("runs the server as its unprivileged user unless told otherwise", async () => {
		const config = JSON.parse(await podman(["image", "inspect", "--format", "{{json .Config}}", image]));
		expect(config.User).toBe(`${IMAGE_USER}:${IMAGE_USER}`);
		expect([...config.Entrypoint, ...config.Cmd]).toEqual(commandOf("server"));
		const { version } = JSON.parse(readFileSync(path.join(root, "app", "package.json"), "utf8"));
		expect(config.Labels).toMatchObject({ "org.opencontainers.image.version": version, "org.opencontainers.image.licenses": "MIT" });
		expect(config.Env.map((entry: string) => entry.split("=")[0]).toSorted()).toEqual(["NODE_ENV", "PATH", env.pm2Home]);
	});

	it("has no program but Node: no shell, no npm, no package manager", () => {
		const programs = entries.filter((entry) => entry.mode.startsWith("-") && entry.mode.includes("x") && !entry.path.startsWith("srv/"));
		const libraries = /^(usr\/)?lib(64)?\/.*\.so(\.\d+)*$/;
		expect(programs.map((entry) => entry.path).filter((file) => !libraries.test(file))).toEqual(["usr/local/bin/node"]);
		expect(entries.filter((entry) => /(^|\/)(npm|npx|corepack|yarn)(\/|$)/.test(entry.path))).toEqual([]);
	});

	it("has every file of ours that the server loads, and no other: no tests, nothing tests share", () => {
		const ours = entries.filter((entry) => /^srv\/app\/(?!node_modules)/.test(entry.path) && !entry.mode.startsWith("d"));
		expect(ours.map((entry) => entry.path.slice("srv/app/".length)).toSorted()).toEqual(serverFiles());
	});

	it("has the packages the lock file names for the server, and none for development", () => {
		const allowed = lockedPackages(true);
		expect([...packages].filter(([folder, version]) => allowed.get(folder) !== version)).toEqual([]);
		expect([...lockedPackages(false).keys()].filter((folder) => !packages.has(folder))).toEqual([]);
	});

	it("has nothing in it that its user may change, but two folders to mount over", () => {
		expect(entries.filter((entry) => entry.owner !== "0/0")).toEqual([]);
		const open = entries.filter((entry) => !entry.mode.startsWith("l") && /^.....w|^........w|s/i.test(entry.mode));
		expect(open.map((entry) => `${entry.path} ${entry.mode}`)).toEqual(["pm2 drwxrwxrwt", "tmp drwxrwxrwt"]);
	});

	it("is the same whenever it is built: nothing in it has a date", () => {
		expect(entries.filter((entry) => !entry.date.startsWith("1970-01-01")).map((entry) => entry.path)).toEqual([]);
	});

	it.for(["server", "migrate"] as const)("says all that is wrong with its settings as %s, and exits 2", async (role) => {
		const container = new Container(image, commandOf(role), {});
		containers.push(container);
		expect(await container.exited).toBe(2);
		for (const name of [env.postgresPrimary, env.postgresDatabase]) expect(container.output).toContain(`${name} is missing`);
		expect(container.output).toContain(`${SECRETS_DIR}/`);
	});

	it("migrates a database, serves, and finishes in order when it is told to stop", async () => {
		const migration = start(commandOf("migrate"));
		expect(await migration.exited, migration.output).toBe(0);

		const port = await freePort([0, 1, 2, ports.metricsOffset + 1, ports.metricsOffset + 2]);
		const server = start(commandOf("server"), { [env.port]: String(port + 1), [env.workers]: "2" });
		const all = [port, port + 1, port + 2];
		const ready = async () => (await Promise.all(all.map((each) => ask(each, "/health/ready")))).every(({ status }) => status === 200);
		let ended = false;
		void server.exited.then(() => (ended = true));
		await until(
			async () => ended || (await ready()),
			() => `the pod and its workers to be ready; they said:\n${server.output}`,
			45_000,
		);
		expect(ended, server.output).toBe(false);

		expect(await ask(port + 1, "/api/health")).toMatchObject({ status: 200 });
		expect((await ask(port + 1, "/")).text).toContain("<title>");
		const made = await ask(port + 1, "/api/hive/agents", { method: "POST", body: { type: "coder", name: "c" } });
		expect(made.status).toBe(200);
		const issued = JSON.parse(await server.exec(["node", "main.ts", "token", "issue", "--subject", "ada"]));
		expect(issued).toMatchObject({ token: expect.any(String) });

		const stopped = performance.now();
		await server.terminate();
		expect(await server.exited, server.output).toBe(0);
		expect(performance.now() - stopped).toBeLessThan(Number(setting.environment[env.drainSeconds]) * 1_000);
		const lines = server.output.split("\n").filter((line) => line !== "");
		expect(lines.filter((line) => !line.startsWith("{"))).toEqual([]);
		expect(lines.filter((line) => JSON.parse(line).message === "drained")).toHaveLength(2);
	});
});
